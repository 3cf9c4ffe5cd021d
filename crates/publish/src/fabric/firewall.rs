//! Security groups as the kernel needs them: references to groups and prefix lists resolved to
//! addresses, the groups of one host put together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use trellis_model::fabric::{Firewall, FirewallRule, FirewallTraffic, GatewayPlan};
use trellis_model::resource::lattice::{ResourceGateway, VpcAssociation};
use trellis_model::resource::vpc::{
    Direction, Instance, IpProtocol, Peer, PrefixList, SecurityGroup, Traffic,
};
use trellis_model::{Region, ResourceGatewayId, SecurityGroupId, VpcId};

/// The groups of one VPC and who has them.
pub(super) struct Rules<'a> {
    region: &'a Region,
    groups: BTreeMap<&'a SecurityGroupId, &'a SecurityGroup>,
    /// Addresses of the hosts and resource gateways that have a group.
    members: BTreeMap<&'a SecurityGroupId, Arc<[IpNet]>>,
    /// A host that is on its way out keeps its rules, and counts as a member, until the kernel has let go of it.
    hosts: Vec<&'a Instance>,
    associations: Vec<&'a VpcAssociation>,
    gateways: Vec<&'a ResourceGateway>,
}

impl<'a> Rules<'a> {
    /// Chooses what belongs to `vpc` from everything there is.
    pub(super) fn of(
        vpc: &VpcId,
        region: &'a Region,
        groups: impl Iterator<Item = &'a SecurityGroup>,
        instances: impl Iterator<Item = &'a Instance>,
        associations: impl Iterator<Item = &'a VpcAssociation>,
        gateways: impl Iterator<Item = &'a ResourceGateway>,
    ) -> Self {
        let hosts: Vec<_> = instances
            .filter(|instance| instance.vpc == *vpc && instance.state.holds_resources())
            .filter(|instance| !instance.security_groups.is_empty())
            .collect();
        let mut members: BTreeMap<_, Vec<IpNet>> = BTreeMap::new();
        for host in &hosts {
            for group in &host.security_groups {
                members.entry(group).or_default().extend(host.addresses().map(IpNet::from));
            }
        }
        let gateways: Vec<_> = gateways.filter(|gateway| gateway.vpc == *vpc).collect();
        for gateway in &gateways {
            for group in &gateway.security_groups {
                let addresses = gateway.addresses.values().flatten();
                members.entry(group).or_default().extend(addresses.map(|address| IpNet::from(*address)));
            }
        }
        Self {
            region,
            groups: groups.filter(|group| group.vpc == *vpc).map(|group| (&group.id, group)).collect(),
            members: members.into_iter().map(|(group, addresses)| (group, addresses.into())).collect(),
            hosts,
            associations: associations.filter(|association| association.vpc == *vpc).collect(),
            gateways,
        }
    }

    /// By address, for each host that was given groups. Hosts with the same groups share one.
    pub(super) fn firewalls(&self) -> BTreeMap<IpAddr, Arc<Firewall>> {
        let mut shared: BTreeMap<&[SecurityGroupId], Arc<Firewall>> = BTreeMap::new();
        self.hosts
            .iter()
            .flat_map(|host| {
                let groups = host.security_groups.as_slice();
                let firewall = shared.entry(groups).or_insert_with(|| {
                    Arc::new(Firewall {
                        ingress: self.rules(groups, Direction::Ingress),
                        egress: self.rules(groups, Direction::Egress),
                    })
                });
                let firewall = firewall.clone();
                host.addresses().map(move |address| (address, firewall.clone()))
            })
            .collect()
    }

    /// Who may begin a connection to a service: all, where an association has no groups.
    pub(super) fn service_clients(&self) -> Option<Arc<[FirewallRule]>> {
        if self.associations.iter().any(|association| association.security_groups.is_empty()) {
            return None;
        }
        let groups: Vec<_> =
            self.associations.iter().flat_map(|association| association.security_groups.clone()).collect();
        (!groups.is_empty()).then(|| self.rules(&groups, Direction::Ingress).into())
    }

    /// What the gateways may begin, by id.
    pub(super) fn gateways(&self) -> BTreeMap<ResourceGatewayId, GatewayPlan> {
        let plan = |gateway: &&ResourceGateway| GatewayPlan {
            addresses: gateway.addresses.values().flatten().copied().collect(),
            egress: self.rules(&gateway.security_groups, Direction::Egress),
        };
        self.gateways.iter().map(|gateway| (gateway.id.clone(), plan(gateway))).collect()
    }

    /// What `groups` allow together; rules without a peer that exists here are left out.
    fn rules(&self, groups: &[SecurityGroupId], direction: Direction) -> Vec<FirewallRule> {
        groups
            .iter()
            .filter_map(|id| self.groups.get(id))
            .flat_map(|group| &group.rules)
            .filter(|rule| rule.direction == direction)
            .filter_map(|rule| {
                let peers = self.peers(&rule.peer)?;
                Some(FirewallRule { traffic: resolve(rule.traffic)?, peers })
            })
            .collect()
    }

    fn peers(&self, peer: &Peer) -> Option<Arc<[IpNet]>> {
        match peer {
            Peer::Ipv4(block) => Some([(*block).into()].into()),
            Peer::Ipv6(block) => Some([(*block).into()].into()),
            Peer::Group { group, .. } => self.members.get(group).cloned(),
            Peer::PrefixList(id) => Some(PrefixList::blocks_of(self.region, id).into()),
        }
    }
}

/// [`None`] for numbers that no packet can carry.
fn resolve(traffic: Traffic) -> Option<FirewallTraffic> {
    let Traffic { protocol, from, to } = traffic;
    let port = |bound: Option<i32>, absent: u16| match bound {
        None | Some(-1) => Some(absent),
        Some(port) => u16::try_from(port).ok(),
    };
    let byte = |number: Option<i32>| match number {
        None | Some(-1) => Some(None),
        Some(number) => u8::try_from(number).ok().map(Some),
    };
    Some(match protocol {
        IpProtocol::All => FirewallTraffic::All,
        IpProtocol::TCP => FirewallTraffic::Tcp { first: port(from, 0)?, last: port(to, u16::MAX)? },
        IpProtocol::UDP => FirewallTraffic::Udp { first: port(from, 0)?, last: port(to, u16::MAX)? },
        IpProtocol::ICMP => FirewallTraffic::Icmp { kind: byte(from)?, code: byte(to)? },
        IpProtocol::ICMPV6 => FirewallTraffic::Icmpv6 { kind: byte(from)?, code: byte(to)? },
        IpProtocol::Number(number) => FirewallTraffic::Protocol(number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_without_bounds_is_all_of_its_protocol() {
        let traffic = |protocol, from, to| resolve(Traffic { protocol, from, to });
        let all = Some(FirewallTraffic::Tcp { first: 0, last: u16::MAX });
        assert_eq!(traffic(IpProtocol::TCP, None, None), all);
        assert_eq!(traffic(IpProtocol::TCP, Some(-1), Some(-1)), all);
        assert_eq!(
            traffic(IpProtocol::ICMP, Some(8), Some(-1)),
            Some(FirewallTraffic::Icmp { kind: Some(8), code: None })
        );
        assert_eq!(traffic(IpProtocol::All, None, None), Some(FirewallTraffic::All));
        assert_eq!(traffic(IpProtocol::Number(47), None, None), Some(FirewallTraffic::Protocol(47)));
        assert_eq!(
            traffic(IpProtocol::ICMPV6, Some(128), Some(-1)),
            Some(FirewallTraffic::Icmpv6 { kind: Some(128), code: None })
        );
        for nonsense in [
            traffic(IpProtocol::ICMPV6, Some(-2), Some(-1)),
            traffic(IpProtocol::UDP, Some(70_000), Some(70_000)),
            traffic(IpProtocol::ICMP, Some(256), None),
        ] {
            assert_eq!(nonsense, None);
        }
    }
}
