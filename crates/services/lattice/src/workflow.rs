//! What takes longer than a call: statuses that move once the data plane has caught up, targets that
//! drain.
//!
//! All of it is found in the store under `pending/`, so a restart goes on where the last process
//! stopped. One task; it wakes when something becomes pending and when the data plane reports; a step
//! that fails is tried again, later each time.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use trellis_frame::record::{get, scan_all};
use trellis_frame::task::Changes;
use trellis_frame::{InForce, Services, Surroundings};
use trellis_model::health_board::TargetKey;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{
    Home, ResourceAssociation, Service, ServiceAssociation, Status, VpcAssociation,
};
use trellis_store::{Entry, Read, Revision, Transaction};

use crate::certificate::Sealed;
use crate::health;
use crate::keys;
use crate::place::{Place, kind};
use crate::refusal::Refusal;
use crate::{association, resource_configuration, resource_gateway, service, settings, target, target_group};

/// Most pieces of work in one transaction.
const STEP: usize = 128;

/// How often a draining target is looked at.
const DRAIN_POLL: Duration = Duration::from_millis(250);

/// First and longest wait after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// How long it sleeps when nothing moves with time.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Moves everything pending, for ever. Ends when the store is closed.
pub(crate) async fn run(surroundings: Arc<Surroundings>) {
    let drain_limit = settings(&surroundings).drain_limit;
    let drain_limit = SignedDuration::try_from(drain_limit).unwrap_or(SignedDuration::MAX);
    let mut pending = Changes::of(&surroundings.store, keys::LATTICE_PENDING);
    let mut applied = surroundings.in_force.clone();
    let mut back_off = BACK_OFF.0;
    loop {
        let in_force = *applied.borrow_and_update();
        let wait = match advance(&surroundings, in_force, drain_limit).await {
            Ok(Remaining::Draining) => DRAIN_POLL,
            Ok(Remaining::Nothing) => LONGEST_SLEEP,
            Err(Refusal::Store(trellis_store::StoreError::Closed)) => return,
            Err(refusal) => {
                tracing::error!(?refusal, "pending work could not be done; it is tried again");
                let wait = back_off;
                back_off = (back_off * 2).min(BACK_OFF.1);
                tokio::time::sleep(wait).await;
                continue;
            }
        };
        back_off = BACK_OFF.0;
        tokio::select! {
            event = pending.next() => if event.is_none() { return },
            changed = applied.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What is left after a round.
enum Remaining {
    /// Nothing that time alone moves.
    Nothing,
    Draining,
}

/// A piece of work: what is pending, and since which revision.
#[derive(Debug, Clone)]
struct Work {
    key: String,
    since: Revision,
    place: Place,
    what: What,
    /// For a service that is being made.
    certificate: Option<Sealed>,
}

#[derive(Debug, Clone)]
enum What {
    Service(trellis_model::ServiceId),
    TargetGroup(trellis_model::TargetGroupId),
    Target(trellis_model::TargetGroupId, TargetKey),
    VpcAssociation(trellis_model::VpcAssociationId),
    ServiceAssociation(trellis_model::ServiceAssociationId),
    ResourceGateway(trellis_model::ResourceGatewayId),
    ResourceConfiguration(trellis_model::ResourceConfigurationId),
    ResourceAssociation(trellis_model::ResourceAssociationId),
}

impl Work {
    /// Reads `pending/lattice/{account}/{region}/{kind}/{rest}`.
    fn read(entry: &Entry) -> Option<Self> {
        let mut parts = entry.key.strip_prefix(keys::LATTICE_PENDING)?.splitn(4, '/');
        let home = Home { account: parts.next()?.parse().ok()?, region: parts.next()?.parse().ok()? };
        let (kind, rest) = (parts.next()?, parts.next()?);
        let what = match kind {
            kind::SERVICE => What::Service(rest.parse().ok()?),
            kind::TARGET_GROUP => What::TargetGroup(rest.parse().ok()?),
            kind::VPC_ASSOCIATION => What::VpcAssociation(rest.parse().ok()?),
            kind::SERVICE_ASSOCIATION => What::ServiceAssociation(rest.parse().ok()?),
            kind::RESOURCE_GATEWAY => What::ResourceGateway(rest.parse().ok()?),
            kind::RESOURCE_CONFIGURATION => What::ResourceConfiguration(rest.parse().ok()?),
            kind::RESOURCE_ASSOCIATION => What::ResourceAssociation(rest.parse().ok()?),
            kind::TARGET => {
                let (group, key) = rest.split_once('/')?;
                let (id, port) = key.rsplit_once('|')?;
                What::Target(group.parse().ok()?, TargetKey { id: id.to_owned(), port: port.parse().ok()? })
            }
            _ => return None,
        };
        let place = Place::new(home);
        Some(Self { key: entry.key.clone(), since: entry.modified, place, what, certificate: None })
    }

    /// Whether the world is as far as the work needs it to be.
    fn is_ready(
        &self,
        state: &mut impl Read,
        surroundings: &Surroundings,
        in_force: InForce,
        drain_limit: SignedDuration,
    ) -> Result<bool, Refusal> {
        Ok(match &self.what {
            What::Service(_)
            | What::TargetGroup(_)
            | What::ResourceGateway(_)
            | What::ResourceConfiguration(_) => true,
            What::ServiceAssociation(_) => self.since <= in_force.data_plane,
            // The kernel lets clients of services in, and says which resources there are.
            What::VpcAssociation(_) | What::ResourceAssociation(_) => {
                self.since <= in_force.data_plane && self.since <= in_force.kernel
            }
            What::Target(group, key) => {
                let Some(since) = target::draining_since(state, &self.place, group, key)? else {
                    return Ok(true);
                };
                let age = surroundings.clock.now().duration_since(Timestamp::from(since));
                !health(surroundings).is_held(group, key) || age >= drain_limit
            }
        })
    }

    /// Makes what the work needs and may take a while, outside the transaction. What cannot be made now is made
    /// by `certificate_renewal`.
    fn prepare(&mut self, state: &mut impl Read, surroundings: &Surroundings) -> Result<(), Refusal> {
        let What::Service(id) = &self.what else { return Ok(()) };
        let service: Option<Service> = get(state, &self.place.service(id))?;
        let Some(service) = service.filter(|service| service.status == Status::CreateInProgress) else {
            return Ok(());
        };
        match Sealed::issue(&surroundings.vault, &service, surroundings.clock.now()) {
            Ok(certificate) => self.certificate = Some(certificate),
            Err(fault) => {
                let error = &fault as &dyn std::error::Error;
                tracing::error!(service = %id, error, "a certificate could not be issued");
            }
        }
        Ok(())
    }

    /// Does the work, unless something has happened to it since it was read.
    fn step(&self, tx: &mut Transaction<'_>, services: &Services, now: Moment) -> Result<(), Refusal> {
        if tx.get(&self.key)?.is_none_or(|entry| entry.modified != self.since) {
            return Ok(());
        }
        tx.delete(&self.key);
        let place = &self.place;
        match &self.what {
            What::Service(id) => service::settle(tx, place, id, self.certificate.as_ref(), now),
            What::TargetGroup(id) => target_group::settle(tx, place, id, now),
            What::Target(group, key) => target::settle(tx, place, group, key),
            What::VpcAssociation(id) => association::settle::<VpcAssociation>(tx, place, id.as_str(), now),
            What::ServiceAssociation(id) => {
                association::settle::<ServiceAssociation>(tx, place, id.as_str(), now)
            }
            What::ResourceGateway(id) => resource_gateway::settle(tx, place, id, now),
            What::ResourceConfiguration(id) => resource_configuration::settle(tx, services, place, id, now),
            What::ResourceAssociation(id) => {
                association::settle::<ResourceAssociation>(tx, place, id.as_str(), now)
            }
        }
    }
}

/// One round: does everything that is ready.
async fn advance(
    surroundings: &Arc<Surroundings>,
    in_force: InForce,
    drain_limit: SignedDuration,
) -> Result<Remaining, Refusal> {
    let (ready, remaining) = {
        let mut state = surroundings.store.read()?;
        let mut ready = Vec::new();
        let mut remaining = Remaining::Nothing;
        for entry in scan_all(&mut state, keys::LATTICE_PENDING)? {
            let Some(work) = Work::read(&entry) else {
                tracing::error!(key = entry.key, "pending work does not read and is left alone");
                continue;
            };
            if work.is_ready(&mut state, surroundings, in_force, drain_limit)? {
                ready.push(work);
            } else if matches!(work.what, What::Target(..)) {
                remaining = Remaining::Draining;
            }
        }
        (ready, remaining)
    };
    for works in ready.chunks(STEP) {
        let mut works = works.to_vec();
        let mut state = surroundings.store.read()?;
        works.iter_mut().try_for_each(|work| work.prepare(&mut state, surroundings))?;
        drop(state);
        let now = Moment::from(surroundings.clock.now());
        let inside = surroundings.clone();
        surroundings
            .store
            .transact(move |tx| works.iter().try_for_each(|work| work.step(tx, &inside.services, now)))
            .await
            .map_err(Refusal::from)?;
    }
    Ok(remaining)
}
