//! What should exist in the kernel: VPCs, their subnets and their hosts.
//!
//! The control plane publishes a [`FabricPlan`]; the network layer makes the kernel agree with it
//! and reports, VPC by VPC and host by host, what is in force.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::id::{InstanceId, SubnetId, VpcId};

/// Everything that should exist. What is not in it should not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FabricPlan {
    /// The store revision it was built from; only grows.
    pub revision: u64,
    pub vpcs: BTreeMap<VpcId, Arc<VpcPlan>>,
}

/// One VPC: a namespace that routes between its subnets and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpcPlan {
    pub id: VpcId,
    /// The primary block first. /16 to /28, as EC2 has it.
    pub cidrs: Vec<Ipv4Net>,
    pub subnets: BTreeMap<SubnetId, SubnetPlan>,
    pub hosts: BTreeMap<InstanceId, HostPlan>,
}

impl VpcPlan {
    /// The VPC's resolver: "the base of the VPC network range plus two".
    /// It answers on 169.254.169.253 as well.
    pub fn resolver(&self) -> Option<Ipv4Addr> {
        self.cidrs.first().map(|cidr| Ipv4Addr::from_bits(cidr.network().to_bits() + 2))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetPlan {
    pub id: SubnetId,
    pub cidr: Ipv4Net,
}

impl SubnetPlan {
    /// The router's address in the subnet: base plus one.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + 1)
    }
}

/// One host: a namespace with one interface in a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    pub id: InstanceId,
    /// What `trellis run --name` gave; unique in the installation. The host name inside.
    pub name: String,
    pub subnet: SubnetId,
    pub address: Ipv4Addr,
    /// What to run inside, started again when it has ended with the process that held it. Empty: nothing.
    pub command: Vec<String>,
}
