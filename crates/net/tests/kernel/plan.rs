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
        (id.clone(), SubnetPlan { id, cidr: format!("10.0.{third}.0/24").parse().unwrap() })
    };
    VpcPlan {
        id: vpc_id(number),
        cidrs: vec!["10.0.0.0/16".parse().unwrap()],
        subnets: [subnet(1), subnet(2)].into(),
        hosts: [].into(),
        firewalls: [].into(),
        service_clients: None,
        resources: Default::default(),
        gateways: Default::default(),
    }
}

/// Puts a host at `address` (10.0.1.x or 10.0.2.x) into `vpc`.
pub(crate) fn add_host(vpc: &mut VpcPlan, id: u64, address: &str, command: &[&str]) -> InstanceId {
    let id = instance_id(id);
    let address = address.parse().unwrap();
    let subnet = vpc.subnets.values().find(|subnet| subnet.cidr.contains(&address)).unwrap().id.clone();
    let command = command.iter().map(|&text| text.to_owned()).collect();
    let host =
        HostPlan { id: id.clone(), name: format!("host-{}", &id.suffix()[9..]), subnet, address, command };
    vpc.hosts.insert(id.clone(), host);
    id
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
