//! Successors for certificates of the private CA, long before they end.
//!
//! Everything is looked through at start and then at a steady pace; what is past two thirds of its life, or was
//! never issued, is issued anew. The Snapshot follows the store, so proxies show the successor to the next
//! handshake. What cannot be issued is tried again the next time.

use std::sync::Arc;

use trellis_frame::record::{decode, get};
use trellis_frame::{Surroundings, task};
use trellis_model::resource::lattice::{Service, Status};
use trellis_store::{Entry, Read, Reader};

use crate::certificate::{self, Sealed};
use crate::place::{Place, kind};
use crate::refusal::Refusal;
use crate::{keys, settings};

/// Records looked at, and so most certificates issued, in one transaction.
const STEP: usize = 256;

/// Renews for ever, first after a while. Ends when the store is closed.
pub(crate) async fn run(surroundings: Arc<Surroundings>) {
    let every = settings(&surroundings).certificate_check_interval;
    let what = "certificates could not be looked through";
    task::every(every, what, || renew(&surroundings)).await;
}

/// Issues everything that is due now.
///
/// # Errors
/// A store that fails.
pub(crate) async fn renew(surroundings: &Arc<Surroundings>) -> Result<(), Refusal> {
    let mut after: Option<String> = None;
    loop {
        let (entries, due) = {
            let mut state = surroundings.store.read()?;
            let entries = state.scan(keys::LATTICE, after.as_deref(), STEP)?;
            let due = due(surroundings, &mut state, &entries)?;
            (entries, due)
        };
        if !due.is_empty() {
            surroundings
                .store
                .transact(move |tx| {
                    for (service, sealed) in &due {
                        // It may be going by now.
                        let key = Place::new(service.home.clone()).service(&service.id);
                        let now: Option<Service> = get(tx, &key)?;
                        if now.is_some_and(|service| is_kept(&service)) {
                            sealed.put(tx);
                        }
                    }
                    Ok::<_, Refusal>(())
                })
                .await?;
        }
        if entries.len() < STEP {
            return Ok(());
        }
        after = entries.last().map(|entry| entry.key.clone());
    }
}

/// A service that is being made gets its first certificate from the workflow.
fn is_kept(service: &Service) -> bool {
    service.status.is_in_force() && service.status != Status::CreateInProgress
}

/// The services among `entries` whose certificate needs a successor, with it.
fn due(
    surroundings: &Surroundings,
    state: &mut Reader,
    entries: &[Entry],
) -> Result<Vec<(Service, Sealed)>, Refusal> {
    let now = surroundings.clock.now();
    let mut due = Vec::new();
    for entry in entries {
        // lattice/{account}/{region}/{kind}/...
        if entry.key.split('/').nth(3) != Some(kind::SERVICE) {
            continue;
        }
        // What does not read is reported where it is needed.
        let Ok(service) = decode::<Service>(entry) else { continue };
        if !is_kept(&service) {
            continue;
        }
        let leaf = certificate::issued(state, &surroundings.vault, &service)?;
        if leaf.is_some_and(|leaf| now < leaf.renew_at()) {
            continue;
        }
        match Sealed::issue(&surroundings.vault, &service, now) {
            Ok(sealed) => due.push((service, sealed)),
            Err(fault) => {
                let error = &fault as &dyn std::error::Error;
                tracing::error!(service = %service.id, error, "a certificate could not be issued");
            }
        }
    }
    Ok(due)
}
