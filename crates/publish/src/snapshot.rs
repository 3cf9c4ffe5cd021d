//! Keeps the [`Snapshot`] that proxies act on equal to the store.
//!
//! Follows the store's watch, rebuilds only the branches a change touches (an `Arc` for each target
//! group, service and network) and publishes. A burst of commits becomes a few Snapshots: the first
//! change after a quiet time is out at once, later ones at most [`PACE`] apart.

mod certificates;
mod compile;
mod guards;
mod identities;
mod index;

use std::sync::Arc;
use std::time::Duration;

use certificates::Certificates;
use compile::Groups;
use index::{Index, Touched};
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio::time::Instant;
use trellis_ca::SealingKey;
use trellis_frame::{access_key, token_key};
use trellis_model::health_board::HealthBoard;
use trellis_model::snapshot::{Ingress, Network, Resources, Service, Snapshot};
use trellis_model::{ServiceId, ServiceNetworkId, VpcId};
use trellis_route53::Publication;
use trellis_store::{Event, Revision, Store, StoreError, Watch};

use crate::keys;

/// Prefixes of everything a Snapshot is made of.
const WATCHED: &[&str] = &[
    keys::LATTICE,
    keys::TAGS,
    access_key::PREFIX,
    token_key::PREFIX,
    identities::PREFIX,
    trellis_model::resource::organization::PREFIX,
    trellis_route53::RECORDS,
];

/// Shortest time between two Snapshots, well inside the 20 ms a change may take.
const PACE: Duration = Duration::from_millis(5);

/// How long to wait when the store cannot be read.
const RETRY: Duration = Duration::from_secs(1);

/// How long a commit waits for company: transactions that share an fsync arrive together.
const GATHER: Duration = Duration::from_micros(500);

/// The first Snapshot, of the state as it is now, and the task that keeps it current.
///
/// # Errors
/// The state could not be read.
pub(crate) async fn publish(
    store: &Store,
    board: HealthBoard,
    endpoints: trellis_route53::Board,
    sealing_key: Arc<SealingKey>,
) -> Result<(watch::Receiver<Arc<Snapshot>>, impl Future<Output = ()> + Send + 'static), StoreError> {
    let mut changes = store.watch_each(WATCHED)?;
    let mut builder = Builder::new(board, endpoints, sealing_key);
    builder.apply(changes.next().await?);
    let (publish, snapshots) = watch::channel(builder.build().unwrap_or_default());
    Ok((snapshots, follow(builder, changes, publish)))
}

/// Builds Snapshots out of changes.
#[derive(Debug)]
pub(crate) struct Builder {
    index: Index,
    board: HealthBoard,
    certificates: Certificates,
    identities: identities::Known,
    names: Publication,
    groups: Groups,
    services: FxHashMap<ServiceId, Arc<Service>>,
    networks: FxHashMap<ServiceNetworkId, Arc<Network>>,
    ingresses: FxHashMap<VpcId, Arc<Ingress>>,
    revision: Revision,
}

impl Builder {
    pub(crate) fn new(
        board: HealthBoard,
        endpoints: trellis_route53::Board,
        sealing_key: Arc<SealingKey>,
    ) -> Self {
        Self {
            index: Index::default(),
            board,
            certificates: Certificates::new(sealing_key.clone()),
            identities: identities::Known::new(sealing_key),
            names: Publication::new(endpoints),
            groups: Groups::default(),
            services: FxHashMap::default(),
            networks: FxHashMap::default(),
            ingresses: FxHashMap::default(),
            revision: 0,
        }
    }

    /// Takes in what the store reports.
    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Resync { revision, entries } => {
                self.index = Index::default();
                self.certificates.begin_anew();
                self.identities.begin_anew();
                self.names.begin_anew();
                for entry in entries {
                    self.apply_one(&entry.key, Some(&entry.value));
                }
                self.certificates.end_anew();
                let targets = &self.index.targets;
                self.board
                    .retain(|group, key| targets.get(group).is_some_and(|targets| targets.contains_key(key)));
                self.index.touch_all();
                self.touch_what_is_gone();
                self.revision = revision;
            }
            Event::Changes { revision, changes } => {
                for change in changes {
                    self.apply_one(&change.key, change.value.as_deref());
                }
                self.revision = revision;
            }
        }
    }

    fn apply_one(&mut self, key: &str, value: Option<&[u8]>) {
        if self.identities.apply(key, value) || self.names.apply(key, value) {
            return;
        }
        match self.certificates.apply(key, value) {
            Some(service) => {
                self.index.touched.services.insert(service);
            }
            None => self.index.apply(&self.board, key, value),
        }
    }

    /// After a fresh start: what was built and has no record any more.
    fn touch_what_is_gone(&mut self) {
        let touched = &mut self.index.touched;
        touched.groups.extend(self.groups.keys().cloned());
        touched.services.extend(self.services.keys().cloned());
        touched.networks.extend(self.networks.keys().cloned());
        touched.vpcs.extend(self.ingresses.keys().cloned());
    }

    /// The Snapshot of everything taken in, or `None` when nothing a proxy acts on has changed.
    pub(crate) fn build(&mut self) -> Option<Arc<Snapshot>> {
        if self.index.touched.is_empty() && !self.identities.is_changed() && !self.names.is_changed() {
            return None;
        }
        let Touched { groups, services, networks, vpcs, is_awaited } =
            std::mem::take(&mut self.index.touched);
        let mut is_changed = is_awaited || self.identities.is_changed() || self.names.is_changed();
        let (mut services, mut networks, mut vpcs) = (services, networks, vpcs);

        for id in groups {
            let record = self.index.groups.get(&id).filter(|_| self.index.is_used(&id));
            services.extend(self.index.users_of(&id).cloned());
            match record {
                Some(record) => {
                    let targets = self.index.targets.get(&id).into_iter().flatten();
                    let group = compile::target_group(record, targets, &self.board);
                    self.groups.insert(id, Arc::new(group));
                    is_changed = true;
                }
                None => {
                    self.board.forget_group(&id);
                    is_changed |= self.groups.remove(&id).is_some();
                }
            }
        }
        for id in services {
            networks.extend(self.index.networks_of(&id).map(|(network, _)| network.clone()));
            let is_reachable = self.index.networks_of(&id).any(|(_, in_force)| in_force);
            match self.index.services.get(&id).filter(|record| is_reachable && record.status.is_in_force()) {
                Some(record) => {
                    let listeners = self.index.listeners.get(&id).into_iter().flat_map(|all| all.values());
                    let rules = |listener: &trellis_model::resource::lattice::Listener| {
                        self.index.rules.get(&listener.id).into_iter().flat_map(|all| all.values()).collect()
                    };
                    let certificates = self.certificates.of(&id);
                    let guards = &self.index.guards;
                    let service =
                        compile::service(record, listeners, rules, &self.groups, certificates, guards);
                    self.services.insert(id, Arc::new(service));
                }
                None => {
                    self.services.remove(&id);
                }
            }
        }
        for id in networks {
            vpcs.extend(self.index.vpcs_of(&id).cloned());
            let is_entered = self.index.vpcs_of(&id).next().is_some();
            match self.index.networks.get(&id).filter(|_| is_entered) {
                Some(record) => {
                    let services = self.index.services_in(&id).into_iter().filter_map(|service| {
                        let custom = self.index.services.get(service)?.custom_domain_name.as_deref();
                        Some((self.services.get(service)?, custom))
                    });
                    let network = compile::network(record, services, &self.index.guards);
                    self.networks.insert(id, Arc::new(network));
                }
                None => {
                    self.networks.remove(&id);
                }
            }
        }
        for vpc in vpcs {
            is_changed = true;
            let ingress = self.index.association_of(&vpc).and_then(|association| {
                Some(Ingress {
                    vpc: vpc.clone(),
                    vpc_arn: association.vpc_arn().into(),
                    vpc_owner: association.created_by.clone(),
                    has_ipv6: self.index.ipv6_vpcs.contains(&vpc),
                    resources: Resources::new(self.index.resources.reached_by(association)),
                    network: self.networks.get(&association.network)?.clone(),
                })
            });
            match ingress {
                Some(ingress) => self.ingresses.insert(vpc, Arc::new(ingress)),
                None => self.ingresses.remove(&vpc),
            };
        }
        let identities = self.identities.current();
        let names = self.names.current();
        is_changed.then(|| {
            Arc::new(Snapshot {
                revision: self.revision,
                ingresses: self.ingresses.clone(),
                target_groups: self.groups.clone(),
                identities,
                names,
            })
        })
    }
}

/// Follows `changes` and publishes, until the store is closed.
async fn follow(mut builder: Builder, mut changes: Watch, snapshots: watch::Sender<Arc<Snapshot>>) {
    let mut earliest = Instant::now();
    loop {
        match gather(&mut builder, &mut changes, earliest).await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::error!(%error, "changes could not be read; trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        if let Some(snapshot) = builder.build() {
            snapshots.send_replace(snapshot);
            earliest = Instant::now() + PACE;
        }
    }
}

/// Waits for a change and takes in everything that comes with it.
async fn gather(builder: &mut Builder, changes: &mut Watch, earliest: Instant) -> Result<(), StoreError> {
    builder.apply(changes.next().await?);
    let publish_at = earliest.max(Instant::now() + GATHER);
    while Instant::now() < publish_at
        && let Ok(event) = tokio::time::timeout_at(publish_at, changes.next()).await
    {
        builder.apply(event?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
