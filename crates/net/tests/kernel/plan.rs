//! Plans, briefly written.

use std::sync::Arc;

use trellis_model::fabric::{FabricPlan, HostPlan, SubnetPlan, VpcPlan};
use trellis_model::id::{InstanceId, SubnetId, VpcId};

use crate::entry::SELF;

pub(crate) fn vpc_id(number: u64) -> VpcId {
    VpcId::from_random(number)
}

pub(crate) fn instance_id(number: u64) -> InstanceId {
    InstanceId::from_random(number)
}

/// The VPC `number`, 10.0.0.0/16, with the subnets 10.0.1.0/24 and 10.0.2.0/24 and no hosts.
pub(crate) fn vpc(number: u64) -> VpcPlan {
    let subnet = |third: u64| {
        let id = SubnetId::from_random(number * 100 + third);
        (id.clone(), SubnetPlan { id, cidr: format!("10.0.{third}.0/24").parse().unwrap(), ipv6_cidr: None })
    };
    VpcPlan {
        id: vpc_id(number),
        cidrs: vec!["10.0.0.0/16".parse().unwrap()],
        ipv6_cidr: None,
        private_dns_domain: "ec2.internal".into(),
        subnets: [subnet(1), subnet(2)].into(),
        hosts: [].into(),
        secondary_addresses: [].into(),
        firewalls: [].into(),
        service_clients: None,
        resources: Default::default(),
        gateways: Default::default(),
    }
}

/// The same with fd12:3456:789a::/56, and fd12:3456:789a:1::/64 and fd12:3456:789a:2::/64 in its subnets.
pub(crate) fn dualstack_vpc(number: u64) -> VpcPlan {
    let mut vpc = vpc(number);
    vpc.ipv6_cidr = Some("fd12:3456:789a::/56".parse().unwrap());
    for subnet in vpc.subnets.values_mut() {
        let third = subnet.cidr.network().octets()[2];
        subnet.ipv6_cidr = Some(format!("fd12:3456:789a:{third}::/64").parse().unwrap());
    }
    vpc
}

/// Puts a host at 10.0.S.H into `vpc`, whose IPv6 address is fd12:3456:789a:S::H, and which tells whoever connects to
/// port 8080 who they are.
pub(crate) fn add_dualstack(vpc: &mut VpcPlan, id: u64, subnet: u8, host: u8) -> InstanceId {
    let id = add_server(vpc, id, &format!("10.0.{subnet}.{host}"));
    let address = format!("fd12:3456:789a:{subnet}::{host}").parse().unwrap();
    vpc.hosts.get_mut(&id).unwrap().ipv6_address = Some(address);
    id
}

/// Puts a host at `address` (10.0.1.x or 10.0.2.x) into `vpc`.
pub(crate) fn add_host(vpc: &mut VpcPlan, id: u64, address: &str, command: &[&str]) -> InstanceId {
    let id = instance_id(id);
    let address = address.parse().unwrap();
    let subnet = vpc.subnets.values().find(|subnet| subnet.cidr.contains(&address)).unwrap().id.clone();
    let command = command.iter().map(|&text| text.to_owned()).collect();
    let host = HostPlan {
        id: id.clone(),
        name: format!("host-{}", &id.suffix()[9..]),
        subnet,
        address,
        ipv6_address: None,
        command,
        sandbox: Default::default(),
    };
    vpc.hosts.insert(id.clone(), host);
    id
}

/// Gives a host every power over its own namespaces: to change its addresses, its routes and its links.
pub(crate) fn make_privileged(vpc: &mut VpcPlan, host: &InstanceId) {
    vpc.hosts.get_mut(host).unwrap().sandbox.is_privileged = true;
}

/// A host that tells whoever connects to port 8080 who they are.
pub(crate) fn add_server(vpc: &mut VpcPlan, id: u64, address: &str) -> InstanceId {
    add_host(vpc, id, address, &[SELF, "tool", "serve", "8080"])
}

pub(crate) fn fabric(revision: u64, vpcs: impl IntoIterator<Item = VpcPlan>) -> Arc<FabricPlan> {
    Arc::new(FabricPlan {
        revision,
        vpcs: vpcs.into_iter().map(|vpc| (vpc.id.clone(), Arc::new(vpc))).collect(),
    })
}
