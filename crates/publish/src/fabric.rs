//! What should be in the kernel: the [`FabricPlan`] of the newest state, kept current.
//!
//! Built from one watch on `ec2/` and, for VPC associations, resources and their gateways, `lattice/`: the revision of
//! a plan stands for everything up to it under both. A commit rebuilds the VPCs it touches; the others keep their
//! `Arc`, and so does one that comes out as it was.

mod firewall;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::watch;
use trellis_frame::record::read_changed;
use trellis_model::VpcId;
use trellis_model::fabric::{FabricPlan, HostPlan, SubnetPlan, VpcPlan};
use trellis_model::resource::lattice::{VpcAssociation, kind as lattice};
use trellis_model::resource::vpc::{Instance, SecurityGroup, Subnet, Vpc, kind, private_dns_domain};
use trellis_store::{Event, Store, StoreError, Watch};

use crate::{keys, resources};

/// Between attempts to watch again after the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// The first plan, of the state as it is now, and the task that keeps it current.
///
/// # Errors
/// The state could not be read.
pub(crate) async fn publish(
    store: Store,
) -> Result<(watch::Receiver<Arc<FabricPlan>>, impl Future<Output = ()> + Send + 'static), StoreError> {
    let mut changes = watch(&store)?;
    let mut known = Known::default();
    known.follow(changes.next().await?);
    let (sender, plans) = watch::channel(known.plan.clone());
    let task = async move {
        loop {
            match changes.next().await {
                Ok(event) => {
                    if known.follow(event) {
                        sender.send_replace(known.plan.clone());
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "the kernel is not told of changes for now");
                    changes = loop {
                        tokio::time::sleep(RETRY).await;
                        match watch(&store) {
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

/// Two watches would not be equally far: a plan could have what is newer in one and lack what is older in the other.
fn watch(store: &Store) -> Result<Watch, StoreError> {
    store.watch_each(&[keys::EC2, keys::LATTICE])
}

/// The records that plans are made of, by id, and the newest plan.
#[derive(Default)]
struct Known {
    vpcs: BTreeMap<String, Vpc>,
    subnets: BTreeMap<String, Subnet>,
    instances: BTreeMap<String, Instance>,
    groups: BTreeMap<String, SecurityGroup>,
    associations: BTreeMap<String, VpcAssociation>,
    resources: resources::Records,
    /// Somebody waits for the kernel to be as far, whether anything is another there or not.
    is_awaited: bool,
    plan: Arc<FabricPlan>,
}

impl Known {
    /// Takes up what happened. False: it is of no interest here, and the plan is the same.
    fn follow(&mut self, event: Event) -> bool {
        let mut touched = BTreeSet::new();
        let revision = match event {
            Event::Resync { revision, entries } => {
                *self = Self { plan: self.plan.clone(), is_awaited: true, ..Self::default() };
                touched.extend(self.plan.vpcs.keys().cloned());
                for entry in entries {
                    self.take(&entry.key, Some(&entry.value), &mut touched);
                }
                revision
            }
            Event::Changes { revision, changes } => {
                for change in changes {
                    self.is_awaited |= change.key.starts_with(keys::EC2);
                    self.take(&change.key, change.value.as_deref(), &mut touched);
                }
                revision
            }
        };
        let is_awaited = std::mem::take(&mut self.is_awaited);
        if touched.is_empty() && !is_awaited {
            return false;
        }
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
        true
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
            kind::SECURITY_GROUP => {
                replace(&mut self.groups, key, id, value, |group| &group.vpc, touched);
            }
            lattice::VPC_ASSOCIATION => {
                replace(&mut self.associations, key, id, value, |association| &association.vpc, touched);
            }
            other => {
                let resources::Touched { networks, named_vpcs: _, gateway_vpcs, is_awaited } =
                    self.resources.apply(other, id, key, value);
                let clients = self.associations.values().filter(|client| networks.contains(&client.network));
                touched.extend(clients.map(|client| client.vpc.clone()));
                touched.extend(gateway_vpcs);
                self.is_awaited |= is_awaited;
            }
        }
    }

    fn build(&self, id: &VpcId) -> Option<VpcPlan> {
        let vpc = self.vpcs.get(id.as_str())?;
        let subnets: BTreeMap<_, _> = self
            .subnets
            .values()
            .filter(|subnet| subnet.vpc == *id)
            .map(|subnet| {
                let ipv6_cidr = subnet.ipv6.as_ref().map(|ipv6| ipv6.cidr);
                (subnet.id.clone(), SubnetPlan { id: subnet.id.clone(), cidr: subnet.cidr, ipv6_cidr })
            })
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
                    ipv6_address: instance.ipv6_address,
                    // Whoever is attached runs the command, and is the one to see it end.
                    command: if instance.detached { instance.command.clone() } else { Vec::new() },
                    sandbox: instance.sandbox.clone(),
                };
                (instance.id.clone(), plan)
            })
            .collect();
        let secondary_addresses = self
            .instances
            .values()
            .filter(|instance| instance.vpc == *id && instance.state.is_wanted())
            .filter(|instance| !instance.secondary_addresses.is_empty())
            .map(|instance| (instance.id.clone(), instance.secondary_addresses.clone()))
            .collect();
        let rules = firewall::Rules::of(
            id,
            &vpc.home.region,
            self.groups.values(),
            self.instances.values(),
            self.associations.values(),
            self.resources.gateways(),
        );
        let clients = self.associations.values();
        let resources = clients
            .filter(|client| client.vpc == *id && client.status.is_in_force())
            .flat_map(|client| self.resources.reached_by(client))
            .map(|resource| (resource.address, resource.ports))
            .collect();
        Some(VpcPlan {
            id: id.clone(),
            cidrs: vec![vpc.cidr],
            ipv6_cidr: vpc.ipv6.as_ref().map(|ipv6| ipv6.cidr),
            private_dns_domain: private_dns_domain(&vpc.home.region).into(),
            subnets,
            hosts,
            secondary_addresses,
            firewalls: rules.firewalls(),
            service_clients: rules.service_clients(),
            resources,
            gateways: rules.gateways(),
        })
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
    let new: Option<T> = read_changed(key, value);
    touched.extend(new.as_ref().map(|record| vpc_of(record).clone()));
    let old = match new {
        Some(record) => records.insert(id.to_owned(), record),
        None => records.remove(id),
    };
    touched.extend(old.as_ref().map(|record| vpc_of(record).clone()));
}
