//! The search for the TXT records that prove whose a domain is.
//!
//! The look-up itself is given by whoever starts the control plane: nothing here speaks DNS. A record
//! is looked for as soon as the verification is started and then at a steady pace, until it is found
//! or three days have passed. What a domain's servers say is a text to compare, nothing more; each
//! look-up is given little time and few run at once.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use trellis_frame::Surroundings;
use trellis_frame::record::{get, scan_all};
use trellis_frame::task::Changes;
use trellis_model::DomainVerificationId;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{DomainVerification, Home, VerificationStatus};
use trellis_store::{Entry, StoreError};

use crate::domain_verification;
use crate::place::Place;
use crate::refusal::Refusal;
use crate::{Settings, keys, settings};

/// How long a record is waited for before the verification times out.
const PATIENCE: SignedDuration = SignedDuration::from_hours(72);

/// How long one look-up may take.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);

/// Look-ups at a time.
const AT_ONCE: usize = 8;

/// An answer that has not come yet.
pub type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<String>>> + Send>>;

/// Looks up the TXT records of a fully qualified name without final dot: each record's strings put
/// together. A name without any is an empty list, not an error.
#[derive(Clone)]
pub struct TxtLookup(Arc<dyn Fn(String) -> Answer + Send + Sync>);

impl TxtLookup {
    pub fn new(look_up: impl Fn(String) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(look_up))
    }

    /// Finds nothing: verifications stay PENDING until they time out.
    pub fn none() -> Self {
        Self::new(|_| Box::pin(std::future::ready(Ok(Vec::new()))))
    }
}

impl fmt::Debug for TxtLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TxtLookup")
    }
}

/// Looks for every record that is awaited, for ever. Ends when the store is closed.
pub(crate) async fn run(surroundings: Arc<Surroundings>) {
    let Settings { txt_lookup: look_up, txt_lookup_interval: every, .. } = settings(&surroundings).clone();
    let mut awaited = Changes::of(&surroundings.store, keys::UNPROVEN);
    loop {
        match round(&surroundings, &look_up).await {
            Ok(()) => {}
            Err(Refusal::Store(StoreError::Closed)) => return,
            Err(refusal) => tracing::error!(?refusal, "domains could not be verified; it is tried again"),
        }
        tokio::select! {
            event = awaited.next() => if event.is_none() { return },
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Looks for each awaited record once.
async fn round(surroundings: &Arc<Surroundings>, look_up: &TxtLookup) -> Result<(), Refusal> {
    let awaited = scan_all(&mut surroundings.store.read()?, keys::UNPROVEN)?;
    let mut running: JoinSet<Result<(), Refusal>> = JoinSet::new();
    for entry in &awaited {
        let Some((place, id)) = read(entry) else {
            tracing::error!(key = entry.key, "an awaited record does not read and is left alone");
            continue;
        };
        if running.len() == AT_ONCE {
            ended(running.join_next().await)?;
        }
        running.spawn(one(surroundings.clone(), look_up.clone(), place, id));
    }
    while let Some(result) = running.join_next().await {
        ended(Some(result))?;
    }
    Ok(())
}

/// What a look-up's task gave; one that panicked has been reported by the runtime.
fn ended(result: Option<Result<Result<(), Refusal>, tokio::task::JoinError>>) -> Result<(), Refusal> {
    result.and_then(Result::ok).unwrap_or(Ok(()))
}

/// Reads `pending/domain/{account}/{region}/{id}`.
fn read(entry: &Entry) -> Option<(Place, DomainVerificationId)> {
    let mut parts = entry.key.strip_prefix(keys::UNPROVEN)?.splitn(3, '/');
    let home = Home { account: parts.next()?.parse().ok()?, region: parts.next()?.parse().ok()? };
    Some((Place::new(home), parts.next()?.parse().ok()?))
}

/// Looks for the record of one verification and writes down what is certain then.
async fn one(
    surroundings: Arc<Surroundings>,
    look_up: TxtLookup,
    place: Place,
    id: DomainVerificationId,
) -> Result<(), Refusal> {
    let record: Option<DomainVerification> =
        get(&mut surroundings.store.read()?, &place.domain_verification(&id))?;
    let Some(verification) = record else { return Ok(()) };
    let name = format!("{}.{}", verification.record_name(), verification.domain_name);
    let expected = verification.record_value();
    let is_proven = match tokio::time::timeout(LOOK_UP_LIMIT, (look_up.0)(name)).await {
        Ok(Ok(records)) => records.contains(&expected),
        Ok(Err(error)) => {
            tracing::debug!(domain_verification = %id, %error, "a TXT record could not be looked up");
            false
        }
        Err(_) => {
            tracing::debug!(domain_verification = %id, "a TXT look-up took too long");
            false
        }
    };
    let now = surroundings.clock.now();
    let status = if is_proven {
        VerificationStatus::Verified
    } else if now.duration_since(Timestamp::from(verification.created_at)) >= PATIENCE {
        VerificationStatus::VerificationTimedOut
    } else {
        return Ok(());
    };
    let now = Moment::from(now);
    surroundings
        .store
        .transact(move |tx| domain_verification::settle(tx, &place, &id, status, now))
        .await
        .map_err(Refusal::from)
}
