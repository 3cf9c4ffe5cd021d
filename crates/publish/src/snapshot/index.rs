//! The records a Snapshot is made of, by id, with what refers to what; and what a change touches.
//!
//! Synchronous and without I/O: changes of the store go in, [`Touched`] comes out.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use trellis_frame::record::read_changed;
use trellis_model::health_board::{HealthBoard, TargetKey};
use trellis_model::resource::lattice::{
    AuthPolicy, Listener, Rule, RuleAction, Service, ServiceAssociation, ServiceNetwork, Target, TargetGroup,
    VpcAssociation, kind,
};
use trellis_model::{
    ListenerId, RuleId, ServiceAssociationId, ServiceId, ServiceNetworkId, TargetGroupId, VpcAssociationId,
    VpcId,
};

use super::guards::Guards;
use crate::keys;
use crate::resources;

/// What has to be built anew.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) groups: FxHashSet<TargetGroupId>,
    pub(super) services: FxHashSet<ServiceId>,
    pub(super) networks: FxHashSet<ServiceNetworkId>,
    pub(super) vpcs: FxHashSet<VpcId>,
    /// Somebody waits for the data plane to act on this revision, whether it changes anything or not.
    pub(super) is_awaited: bool,
}

impl Touched {
    pub(super) fn is_empty(&self) -> bool {
        !self.is_awaited
            && self.groups.is_empty()
            && self.services.is_empty()
            && self.networks.is_empty()
            && self.vpcs.is_empty()
    }
}

/// Everything known, and who uses what.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) networks: FxHashMap<ServiceNetworkId, ServiceNetwork>,
    pub(super) services: FxHashMap<ServiceId, Service>,
    pub(super) listeners: FxHashMap<ServiceId, BTreeMap<ListenerId, Listener>>,
    pub(super) rules: FxHashMap<ListenerId, BTreeMap<RuleId, Rule>>,
    pub(super) groups: FxHashMap<TargetGroupId, TargetGroup>,
    pub(super) targets: FxHashMap<TargetGroupId, BTreeMap<TargetKey, Target>>,
    pub(super) resources: resources::Records,
    pub(super) ipv6_vpcs: FxHashSet<VpcId>,
    pub(super) guards: Guards,
    vpc_associations: FxHashMap<VpcAssociationId, VpcAssociation>,
    service_associations: FxHashMap<ServiceAssociationId, ServiceAssociation>,
    /// How many actions of each service forward to the group.
    users: FxHashMap<TargetGroupId, FxHashMap<ServiceId, usize>>,
    of_network: FxHashMap<ServiceNetworkId, NetworkLinks>,
    networks_of_service: FxHashMap<ServiceId, FxHashSet<ServiceAssociationId>>,
    of_vpc: FxHashMap<VpcId, FxHashSet<VpcAssociationId>>,
    pub(super) touched: Touched,
}

#[derive(Debug, Default)]
struct NetworkLinks {
    vpcs: FxHashSet<VpcAssociationId>,
    services: FxHashSet<ServiceAssociationId>,
}

impl Index {
    /// Takes in what the store has at `key` now. What does not read is reported and left out.
    pub(super) fn apply(&mut self, board: &HealthBoard, key: &str, value: Option<&[u8]>) {
        if let Some(rest) = key.strip_prefix(keys::TAGS) {
            return self.tags(rest, key, value);
        }
        // lattice/{account}/{region}/{kind}/{rest}
        let mut parts = key.splitn(5, '/').skip(3);
        let (Some(kind), Some(rest)) = (parts.next(), parts.next()) else { return };
        match kind {
            kind::NETWORK => self.network(rest, read_changed(key, value)),
            kind::SERVICE => self.service(rest, read_changed(key, value)),
            kind::LISTENER => self.listener(rest, read_changed(key, value)),
            kind::RULE => self.rule(rest, read_changed(key, value)),
            kind::TARGET_GROUP => self.group(board, rest, read_changed(key, value)),
            kind::TARGET => self.target(board, rest, read_changed(key, value)),
            kind::VPC_ASSOCIATION => self.vpc_association(rest, read_changed(key, value)),
            kind::SERVICE_ASSOCIATION => self.service_association(rest, read_changed(key, value)),
            kind::AUTH_POLICY => self.auth_policy(rest, read_changed(key, value)),
            kind::IPV6_VPC => self.ipv6_vpc(rest, value.is_some()),
            _ => self.resource(kind, rest, key, value),
        }
    }

    fn network(&mut self, rest: &str, record: Option<ServiceNetwork>) {
        let Ok(id) = rest.parse::<ServiceNetworkId>() else { return };
        set(&mut self.networks, &id, record);
        self.touched.networks.insert(id);
    }

    /// The policy of a service or a network.
    fn auth_policy(&mut self, rest: &str, record: Option<AuthPolicy>) {
        self.guards.set_policy(rest, record.as_ref());
        if let Ok(id) = rest.parse::<ServiceId>() {
            self.touched.services.insert(id);
        } else if let Ok(id) = rest.parse::<ServiceNetworkId>() {
            self.touched.networks.insert(id);
        }
    }

    /// The tags of a resource; those of services alone matter to proxies.
    fn tags(&mut self, rest: &str, key: &str, value: Option<&[u8]>) {
        // {account}/{region}/{arn}
        let Some(arn) = rest.splitn(3, '/').nth(2) else { return };
        let Some(Ok(id)) = arn.rsplit_once(":service/").map(|(_, id)| id.parse::<ServiceId>()) else {
            return;
        };
        self.guards.set_tags(arn, read_changed(key, value));
        self.touched.services.insert(id);
    }

    fn ipv6_vpc(&mut self, rest: &str, has_ipv6: bool) {
        let Ok(id) = rest.parse::<VpcId>() else { return };
        match has_ipv6 {
            true => self.ipv6_vpcs.insert(id.clone()),
            false => self.ipv6_vpcs.remove(&id),
        };
        self.touched.vpcs.insert(id);
    }

    fn service(&mut self, rest: &str, record: Option<Service>) {
        let Ok(id) = rest.parse::<ServiceId>() else { return };
        set(&mut self.services, &id, record);
        self.touched.services.insert(id);
    }

    fn listener(&mut self, rest: &str, record: Option<Listener>) {
        let Some((service, id)) = rest.split_once('/') else { return };
        let (Ok(service), Ok(id)) = (service.parse::<ServiceId>(), id.parse::<ListenerId>()) else { return };
        let after = record.as_ref().map(|listener| listener.default_action.clone());
        let before =
            set_in(&mut self.listeners, &service, id, record).map(|listener| listener.default_action);
        self.relink(&service, before.as_ref(), after.as_ref());
    }

    fn rule(&mut self, rest: &str, record: Option<Rule>) {
        let Some((listener, id)) = rest.split_once('/') else { return };
        let (Ok(listener), Ok(id)) = (listener.parse::<ListenerId>(), id.parse::<RuleId>()) else { return };
        let after = record.clone();
        let before = set_in(&mut self.rules, &listener, id, record);
        let Some(service) = before.as_ref().or(after.as_ref()).map(|rule| rule.service.clone()) else {
            return;
        };
        let action = |rule: &Option<Rule>| rule.as_ref().map(|rule| rule.action.clone());
        self.relink(&service, action(&before).as_ref(), action(&after).as_ref());
    }

    /// An action of `service` changed: count its groups anew.
    fn relink(&mut self, service: &ServiceId, before: Option<&RuleAction>, after: Option<&RuleAction>) {
        self.touched.services.insert(service.clone());
        for id in before.into_iter().flat_map(forwards_to) {
            let Some(users) = self.users.get_mut(&id) else { continue };
            if let Some(count) = users.get_mut(service) {
                *count -= 1;
                if *count == 0 {
                    users.remove(service);
                }
            }
            if users.is_empty() {
                self.users.remove(&id);
                self.touched.groups.insert(id);
            }
        }
        for id in after.into_iter().flat_map(forwards_to) {
            let users = self.users.entry(id.clone()).or_default();
            if users.is_empty() {
                self.touched.groups.insert(id);
            }
            *users.entry(service.clone()).or_default() += 1;
        }
    }

    fn group(&mut self, board: &HealthBoard, rest: &str, record: Option<TargetGroup>) {
        let Ok(id) = rest.parse::<TargetGroupId>() else { return };
        let is_checked = |group: &TargetGroup| group.is_health_checked();
        let after = record.as_ref().map(is_checked);
        let before = set(&mut self.groups, &id, record).as_ref().map(is_checked);
        // What was known with health checks says nothing without them, and the other way round.
        if before.is_some() && before != after {
            board.forget_group(&id);
        }
        self.touched.groups.insert(id);
    }

    fn target(&mut self, board: &HealthBoard, rest: &str, record: Option<Target>) {
        let Some((group, key)) = rest.split_once('/') else { return };
        let Some((id, port)) = key.rsplit_once('|') else { return };
        let (Ok(group), Ok(port)) = (group.parse::<TargetGroupId>(), port.parse()) else { return };
        let key = TargetKey { id: id.to_owned(), port };
        let is_registered = |target: &Target| target.draining_since.is_none();
        let after = record.as_ref().is_some_and(is_registered);
        let is_gone = record.is_none();
        let before = set_in(&mut self.targets, &group, key.clone(), record);
        // A target that comes back while it drains starts anew.
        if is_gone || (after && before.as_ref().is_some_and(|target| !is_registered(target))) {
            board.forget(&group, &key);
        }
        self.touched.groups.insert(group);
    }

    fn vpc_association(&mut self, rest: &str, record: Option<VpcAssociation>) {
        let Ok(id) = rest.parse::<VpcAssociationId>() else { return };
        self.touched.is_awaited |= record.as_ref().is_some_and(|record| record.status.is_in_progress());
        if let Some(record) = &record {
            self.of_network.entry(record.network.clone()).or_default().vpcs.insert(id.clone());
            self.of_vpc.entry(record.vpc.clone()).or_default().insert(id.clone());
        }
        let in_force = |record: &VpcAssociation| record.status.is_in_force();
        let after = record.as_ref().is_some_and(in_force);
        let names = |record: &VpcAssociation| (record.private_dns_enabled, record.dns_options.clone());
        let names_after = record.as_ref().map(names);
        let is_gone = record.is_none();
        let named = record.as_ref().map(|record| (record.network.clone(), record.vpc.clone()));
        let before = set(&mut self.vpc_associations, &id, record);
        let Some((network, vpc)) =
            named.or_else(|| before.as_ref().map(|record| (record.network.clone(), record.vpc.clone())))
        else {
            return;
        };
        if is_gone {
            if let Some(links) = self.of_network.get_mut(&network) {
                links.vpcs.remove(&id);
            }
            remove_from(&mut self.of_vpc, &vpc, &id);
        }
        if before.as_ref().is_some_and(in_force) != after {
            self.touched.networks.insert(network);
            self.touched.vpcs.insert(vpc);
        } else if before.as_ref().map(names) != names_after {
            self.touched.vpcs.insert(vpc);
        }
    }

    /// A change of what resources there are and where.
    fn resource(&mut self, kind: &str, id: &str, key: &str, value: Option<&[u8]>) {
        let resources::Touched { networks, named_vpcs, gateway_vpcs: _, is_awaited } =
            self.resources.apply(kind, id, key, value);
        self.touched.is_awaited |= is_awaited;
        self.touched.vpcs.extend(named_vpcs);
        for network in networks {
            let vpcs: Vec<_> = self.vpcs_of(&network).cloned().collect();
            self.touched.vpcs.extend(vpcs);
        }
    }

    fn service_association(&mut self, rest: &str, record: Option<ServiceAssociation>) {
        let Ok(id) = rest.parse::<ServiceAssociationId>() else { return };
        self.touched.is_awaited |= record.as_ref().is_some_and(|record| record.status.is_in_progress());
        if let Some(record) = &record {
            self.of_network.entry(record.network.clone()).or_default().services.insert(id.clone());
            self.networks_of_service.entry(record.service.clone()).or_default().insert(id.clone());
        }
        let in_force = |record: &ServiceAssociation| record.status.is_in_force();
        let after = record.as_ref().is_some_and(in_force);
        let is_gone = record.is_none();
        let named = record.as_ref().map(|record| (record.network.clone(), record.service.clone()));
        let before = set(&mut self.service_associations, &id, record);
        let Some((network, service)) =
            named.or_else(|| before.as_ref().map(|record| (record.network.clone(), record.service.clone())))
        else {
            return;
        };
        if is_gone {
            if let Some(links) = self.of_network.get_mut(&network) {
                links.services.remove(&id);
            }
            remove_from(&mut self.networks_of_service, &service, &id);
        }
        if before.as_ref().is_some_and(in_force) != after {
            self.touched.networks.insert(network);
            self.touched.services.insert(service);
        }
    }

    /// Services that forward to the group.
    pub(super) fn users_of(&self, group: &TargetGroupId) -> impl Iterator<Item = &ServiceId> {
        self.users.get(group).into_iter().flat_map(|users| users.keys())
    }

    pub(super) fn is_used(&self, group: &TargetGroupId) -> bool {
        self.users.contains_key(group)
    }

    /// Networks the service is or was just in.
    pub(super) fn networks_of<'a>(
        &'a self,
        service: &ServiceId,
    ) -> impl Iterator<Item = (&'a ServiceNetworkId, bool)> + use<'a> {
        let associations = self.networks_of_service.get(service).into_iter().flatten();
        associations
            .filter_map(|id| self.service_associations.get(id))
            .map(|association| (&association.network, association.status.is_in_force()))
    }

    /// Services that can be reached through the network, in the order of their ids.
    pub(super) fn services_in(&self, network: &ServiceNetworkId) -> Vec<&ServiceId> {
        let associations = self.of_network.get(network).map(|links| &links.services).into_iter().flatten();
        let mut services: Vec<_> = associations
            .filter_map(|id| self.service_associations.get(id))
            .filter(|association| association.status.is_in_force())
            .map(|association| &association.service)
            .collect();
        services.sort_unstable();
        services
    }

    /// VPCs that are clients of the network.
    pub(super) fn vpcs_of<'a>(
        &'a self,
        network: &ServiceNetworkId,
    ) -> impl Iterator<Item = &'a VpcId> + use<'a> {
        let associations = self.of_network.get(network).map(|links| &links.vpcs).into_iter().flatten();
        associations
            .filter_map(|id| self.vpc_associations.get(id))
            .filter(|association| association.status.is_in_force())
            .map(|association| &association.vpc)
    }

    /// The association in force of a VPC.
    pub(super) fn association_of(&self, vpc: &VpcId) -> Option<&VpcAssociation> {
        let associations = self.of_vpc.get(vpc)?.iter();
        associations
            .filter_map(|id| self.vpc_associations.get(id))
            .find(|association| association.status.is_in_force())
    }

    /// Touches everything there is.
    pub(super) fn touch_all(&mut self) {
        self.touched.groups.extend(self.groups.keys().cloned());
        self.touched.services.extend(self.services.keys().cloned());
        self.touched.networks.extend(self.networks.keys().cloned());
        self.touched.vpcs.extend(self.of_vpc.keys().cloned());
        self.touched.is_awaited = true;
    }
}

/// Ids of the groups an action forwards to.
fn forwards_to(action: &RuleAction) -> Vec<TargetGroupId> {
    action.target_groups().iter().filter_map(|group| group.target_group_identifier.parse().ok()).collect()
}

/// Puts or takes away; gives what was there.
fn set<K: Clone + Eq + std::hash::Hash, V>(
    map: &mut FxHashMap<K, V>,
    key: &K,
    value: Option<V>,
) -> Option<V> {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    }
}

/// As [`set`], one level down; a level that is empty goes.
fn set_in<P: Clone + Eq + std::hash::Hash, K: Ord, V>(
    map: &mut FxHashMap<P, BTreeMap<K, V>>,
    parent: &P,
    key: K,
    value: Option<V>,
) -> Option<V> {
    match value {
        Some(value) => map.entry(parent.clone()).or_default().insert(key, value),
        None => {
            let children = map.get_mut(parent)?;
            let before = children.remove(&key);
            if children.is_empty() {
                map.remove(parent);
            }
            before
        }
    }
}

fn remove_from<K: Eq + std::hash::Hash, V: Eq + std::hash::Hash>(
    map: &mut FxHashMap<K, FxHashSet<V>>,
    key: &K,
    value: &V,
) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}
