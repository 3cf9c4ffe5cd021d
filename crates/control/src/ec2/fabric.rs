//! What should be in the kernel: the [`FabricPlan`] of the newest state, kept current.
//!
//! Built from a watch on `ec2/`. A commit rebuilds the VPCs it touches; the others keep their `Arc`,
//! and so does one that comes out as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::watch;
use trellis_model::VpcId;
use trellis_model::fabric::{FabricPlan, HostPlan, SubnetPlan, VpcPlan};
use trellis_model::resource::vpc::{Instance, Subnet, Vpc};
use trellis_store::{Event, Store, StoreError};

use super::place::kind;
use crate::keys;

/// Between attempts to watch again after the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// The first plan, of the state as it is now, and the task that keeps it current.
///
/// # Errors
/// The state could not be read.
pub(super) async fn publish(
    store: Store,
) -> Result<(watch::Receiver<Arc<FabricPlan>>, impl Future<Output = ()> + Send + 'static), StoreError> {
    let mut changes = store.watch(keys::EC2)?;
    let mut known = Known::default();
    let first = changes.next().await?;
    let (sender, plans) = watch::channel(known.follow(first));
    let task = async move {
        loop {
            match changes.next().await {
                Ok(event) => {
                    sender.send_replace(known.follow(event));
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "the kernel is not told of changes for now");
                    changes = loop {
                        tokio::time::sleep(RETRY).await;
                        match store.watch(keys::EC2) {
                            Ok(changes) => break changes,
                            Err(StoreError::Closed) => return,
                            Err(_) => {}
                        }
                    };
                }
            }
        }
    };
    Ok((plans, task))
}

/// The records that plans are made of, by id, and the newest plan.
#[derive(Default)]
struct Known {
    vpcs: BTreeMap<String, Vpc>,
    subnets: BTreeMap<String, Subnet>,
    instances: BTreeMap<String, Instance>,
    plan: Arc<FabricPlan>,
}

impl Known {
    /// The plan after `event`.
    fn follow(&mut self, event: Event) -> Arc<FabricPlan> {
        let (revision, touched) = match event {
            Event::Resync { revision, entries } => {
                self.vpcs.clear();
                self.subnets.clear();
                self.instances.clear();
                let mut touched: BTreeSet<VpcId> = self.plan.vpcs.keys().cloned().collect();
                for entry in entries {
                    self.take(&entry.key, Some(&entry.value), &mut touched);
                }
                (revision, touched)
            }
            Event::Changes { revision, changes } => {
                let mut touched = BTreeSet::new();
                for change in changes {
                    self.take(&change.key, change.value.as_deref(), &mut touched);
                }
                (revision, touched)
            }
        };
        let mut vpcs = self.plan.vpcs.clone();
        for id in touched {
            match self.build(&id) {
                Some(plan) if vpcs.get(&id).is_some_and(|old| **old == plan) => {}
                Some(plan) => {
                    vpcs.insert(id, Arc::new(plan));
                }
                None => {
                    vpcs.remove(&id);
                }
            }
        }
        self.plan = Arc::new(FabricPlan { revision, vpcs });
        self.plan.clone()
    }

    /// Takes one record in or out, and notes the VPCs it belongs or belonged to.
    fn take(&mut self, key: &str, value: Option<&[u8]>, touched: &mut BTreeSet<VpcId>) {
        // ec2/{account}/{region}/{kind}/{id}
        let mut parts = key.rsplit('/');
        let (Some(id), Some(kind)) = (parts.next(), parts.next()) else { return };
        match kind {
            kind::VPC => replace(&mut self.vpcs, key, id, value, |vpc| &vpc.id, touched),
            kind::SUBNET => replace(&mut self.subnets, key, id, value, |subnet| &subnet.vpc, touched),
            kind::INSTANCE => {
                replace(&mut self.instances, key, id, value, |instance| &instance.vpc, touched);
            }
            // Enforcement of security groups is not part of the plan yet.
            _ => {}
        }
    }

    fn build(&self, id: &VpcId) -> Option<VpcPlan> {
        let vpc = self.vpcs.get(id.as_str())?;
        let subnets: BTreeMap<_, _> = self
            .subnets
            .values()
            .filter(|subnet| subnet.vpc == *id)
            .map(|subnet| (subnet.id.clone(), SubnetPlan { id: subnet.id.clone(), cidr: subnet.cidr }))
            .collect();
        let hosts = self
            .instances
            .values()
            .filter(|instance| instance.vpc == *id && instance.state.is_wanted())
            .filter(|instance| subnets.contains_key(&instance.subnet))
            .map(|instance| {
                let plan = HostPlan {
                    id: instance.id.clone(),
                    name: instance.name.clone(),
                    subnet: instance.subnet.clone(),
                    address: instance.address,
                    command: instance.command.clone(),
                };
                (instance.id.clone(), plan)
            })
            .collect();
        Some(VpcPlan { id: id.clone(), cidrs: vec![vpc.cidr], subnets, hosts })
    }
}

fn replace<T: DeserializeOwned>(
    records: &mut BTreeMap<String, T>,
    key: &str,
    id: &str,
    value: Option<&[u8]>,
    vpc_of: impl Fn(&T) -> &VpcId,
    touched: &mut BTreeSet<VpcId>,
) {
    let new = value.and_then(|value| match serde_json::from_slice::<T>(value) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(key, %error, "a stored record does not read; it is left out of the kernel");
            None
        }
    });
    touched.extend(new.as_ref().map(|record| vpc_of(record).clone()));
    let old = match new {
        Some(record) => records.insert(id.to_owned(), record),
        None => records.remove(id),
    };
    touched.extend(old.as_ref().map(|record| vpc_of(record).clone()));
}
