//! Which resources the hosts of a VPC can reach, where and by what names: worked out once, for the Snapshot that
//! proxies act on and for the plan that the kernel follows alike.
//!
//! Synchronous and without I/O: changes of the store go in, [`Touched`] comes out. A resource of type ARN is the host
//! that is its database, and reached by nobody while there is none in the VPC of its gateway.

mod private_dns;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use rustc_hash::{FxHashMap, FxHashSet};
use trellis_frame::record::read_changed;
use trellis_model::resource::lattice::{
    Database, DomainVerification, PortRange, ResourceAssociation, ResourceConfiguration, ResourceDefinition,
    ResourceGateway, ResourceIpAddressType, VpcAssociation, kind,
};
use trellis_model::snapshot::{AddressFamily, Destination, Resource};
use trellis_model::{
    DomainVerificationId, ResourceAssociationId, ResourceConfigurationId, ResourceGatewayId,
    ServiceNetworkId, VpcId,
};

/// What a change concerns.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// What can be reached through them may be another.
    pub(crate) networks: FxHashSet<ServiceNetworkId>,
    /// Their hosts may be answered other private names.
    pub(crate) named_vpcs: FxHashSet<VpcId>,
    /// The gateways in them may be others.
    pub(crate) gateway_vpcs: FxHashSet<VpcId>,
    /// An association waits for the data plane.
    pub(crate) is_awaited: bool,
}

/// The records that tell, by id.
#[derive(Debug, Default)]
pub(crate) struct Records {
    associations: FxHashMap<ResourceAssociationId, ResourceAssociation>,
    configurations: FxHashMap<ResourceConfigurationId, ResourceConfiguration>,
    gateways: FxHashMap<ResourceGatewayId, ResourceGateway>,
    verifications: FxHashMap<DomainVerificationId, DomainVerification>,
    /// By ARN.
    databases: FxHashMap<String, Database>,
    /// VPCs whose hosts are answered private names.
    named_vpcs: FxHashMap<VpcId, bool>,
    of_network: FxHashMap<ServiceNetworkId, BTreeSet<ResourceAssociationId>>,
    networks_of: FxHashMap<ResourceConfigurationId, FxHashMap<ResourceAssociationId, ServiceNetworkId>>,
}

impl Records {
    /// Takes in what the store has at `key` now, a record of `kind` with `id`. What does not read is reported and
    /// left out; kinds that are not ours are passed over.
    pub(crate) fn apply(&mut self, kind: &str, id: &str, key: &str, value: Option<&[u8]>) -> Touched {
        let mut touched = Touched::default();
        match kind {
            kind::RESOURCE_ASSOCIATION => self.association(id, read_changed(key, value), &mut touched),
            kind::RESOURCE_CONFIGURATION => {
                if let Ok(id) = id.parse() {
                    self.touch_resource(&id, &mut touched);
                    set(&mut self.configurations, id, read_changed(key, value));
                }
            }
            kind::RESOURCE_GATEWAY => self.gateway(id, read_changed(key, value), &mut touched),
            kind::DOMAIN_VERIFICATION => {
                if let Ok(id) = id.parse() {
                    self.touch_where(
                        |resource| resource.domain_verification.as_ref() == Some(&id),
                        &mut touched,
                    );
                    set(&mut self.verifications, id, read_changed(key, value));
                }
            }
            kind::DATABASE => {
                let is_it = |definition: &ResourceDefinition| matches!(definition, ResourceDefinition::Arn(arn) if arn == id);
                self.touch_where(|resource| resource.definition.as_ref().is_some_and(is_it), &mut touched);
                set(&mut self.databases, id.to_owned(), read_changed(key, value));
            }
            kind::PRIVATE_NAMES => {
                if let Ok(id) = id.parse::<VpcId>() {
                    touched.named_vpcs.insert(id.clone());
                    set(&mut self.named_vpcs, id, read_changed(key, value));
                }
            }
            _ => {}
        }
        touched
    }

    fn association(&mut self, id: &str, record: Option<ResourceAssociation>, touched: &mut Touched) {
        let Ok(id) = id.parse::<ResourceAssociationId>() else { return };
        if let Some(before) = self.associations.get(&id) {
            touched.networks.insert(before.network.clone());
            if let Some(known) = self.of_network.get_mut(&before.network) {
                known.remove(&id);
                if known.is_empty() {
                    self.of_network.remove(&before.network);
                }
            }
            if let Some(known) = self.networks_of.get_mut(&before.resource) {
                known.remove(&id);
                if known.is_empty() {
                    self.networks_of.remove(&before.resource);
                }
            }
        }
        if let Some(record) = &record {
            touched.is_awaited = record.status.is_in_progress();
            touched.networks.insert(record.network.clone());
            self.of_network.entry(record.network.clone()).or_default().insert(id.clone());
            let networks = self.networks_of.entry(record.resource.clone()).or_default();
            networks.insert(id.clone(), record.network.clone());
        }
        set(&mut self.associations, id, record);
    }

    fn gateway(&mut self, id: &str, record: Option<ResourceGateway>, touched: &mut Touched) {
        let Ok(id) = id.parse::<ResourceGatewayId>() else { return };
        self.touch_where(|resource| resource.gateway == id, touched);
        touched.gateway_vpcs.extend(record.as_ref().map(|gateway| gateway.vpc.clone()));
        let before = set(&mut self.gateways, id, record);
        touched.gateway_vpcs.extend(before.map(|gateway| gateway.vpc));
    }

    /// The networks that the resource, or a child of it, can be reached through.
    fn touch_resource(&self, id: &ResourceConfigurationId, touched: &mut Touched) {
        touched
            .networks
            .extend(self.networks_of.get(id).into_iter().flat_map(|networks| networks.values().cloned()));
    }

    /// A group is associated wherever its children are.
    fn touch_where(&self, concerns: impl Fn(&ResourceConfiguration) -> bool, touched: &mut Touched) {
        for resource in self.configurations.values().filter(|resource| concerns(resource)) {
            self.touch_resource(&resource.id, touched);
        }
    }

    /// What hosts of the VPC that `client` associates reach, the oldest association first.
    pub(crate) fn reached_by(&self, client: &VpcAssociation) -> Vec<Resource> {
        let associations = self.of_network.get(&client.network).into_iter().flatten();
        let mut associations: Vec<_> = associations
            .filter_map(|id| self.associations.get(id))
            .filter(|association| association.status.is_in_force())
            .collect();
        associations.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        associations.into_iter().filter_map(|association| self.resource(client, association)).collect()
    }

    fn resource(&self, client: &VpcAssociation, association: &ResourceAssociation) -> Option<Resource> {
        let configuration = self.configurations.get(&association.resource)?;
        let gateway = self.gateways.get(&configuration.gateway)?;
        if !configuration.status.is_in_force() || !gateway.status.is_in_force() {
            return None;
        }
        let ranges = || apart(&configuration.port_ranges);
        let (destination, ports) = match configuration.definition.as_ref()? {
            ResourceDefinition::Ip(address) => (Destination::Ip(*address), ranges()),
            ResourceDefinition::Dns { domain, ip_address_type } => {
                let family = match ip_address_type {
                    ResourceIpAddressType::Ipv6 => AddressFamily::Ipv6,
                    _ => AddressFamily::Ipv4,
                };
                (Destination::Name(domain.to_ascii_lowercase().into(), family), ranges())
            }
            ResourceDefinition::Arn(arn) => {
                let database = self.databases.get(arn).filter(|database| database.vpc == gateway.vpc)?;
                let address = database.address_for(gateway.ip_address_type)?;
                (Destination::Ip(address), [database.port..=database.port].into())
            }
            ResourceDefinition::Cidr(_) => return None,
        };
        let sources: Box<[_]> = gateway.addresses.values().flatten().copied().collect();
        if sources.is_empty() {
            return None;
        }
        let mut names = vec![Box::from(association.domain_name()?)];
        names.extend(self.database_name(client, configuration, gateway).map(Box::from));
        names.extend(self.private_name(client, association, configuration, gateway).map(Box::from));
        Some(Resource {
            association: association.id.clone(),
            id: configuration.id.clone(),
            arn: configuration.arn().into(),
            owner: configuration.home.account.clone(),
            address: association.address(),
            names: names.into(),
            ports,
            destination,
            vpc: gateway.vpc.clone(),
            sources,
        })
    }

    /// The gateways in force, by id.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = &ResourceGateway> {
        self.gateways.values().filter(|gateway| gateway.status.is_in_force())
    }
}

/// The same ports in ascending ranges that neither touch nor overlap.
fn apart(ranges: &[PortRange]) -> Box<[RangeInclusive<u16>]> {
    let sorted: BTreeMap<u16, u16> = ranges.iter().fold(BTreeMap::new(), |mut sorted, range| {
        let last: &mut u16 = sorted.entry(range.first()).or_default();
        *last = range.last().max(*last);
        sorted
    });
    let mut apart: Vec<RangeInclusive<u16>> = Vec::new();
    for (first, last) in sorted {
        match apart.last_mut() {
            Some(before) if u32::from(first) <= u32::from(*before.end()) + 1 => {
                *before = *before.start()..=last.max(*before.end());
            }
            _ => apart.push(first..=last),
        }
    }
    apart.into()
}

fn set<K: Eq + std::hash::Hash, V>(map: &mut FxHashMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ports_that_touch_or_overlap_become_one() {
        let ranges =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<PortRange>>();
        assert_eq!(
            *apart(&ranges(&["90-99", "80", "81-85", "95-110", "5432"])),
            [80..=85, 90..=110, 5432..=5432]
        );
        assert_eq!(*apart(&ranges(&["1-65535", "80"])), [1..=65535]);
        assert_eq!(*apart(&ranges(&["80-90", "80"])), [80..=90]);
        assert!(apart(&[]).is_empty());
    }
}
