//! Who has which address of a subnet: instances, and resource gateways.

use std::net::IpAddr;

use rustc_hash::FxHashMap;

use super::Instance;
use crate::SubnetId;
use crate::resource::lattice::ResourceGateway;

/// Everybody in the subnets of one account and region.
#[derive(Debug, Default)]
pub struct Tenants {
    /// Terminated ones among them; they hold nothing.
    pub instances: Vec<Instance>,
    pub gateways: Vec<ResourceGateway>,
}

impl Tenants {
    /// The addresses of a subnet that somebody has, and what their owner is called.
    pub fn of(&self, subnet: &SubnetId) -> FxHashMap<IpAddr, &str> {
        let hosts = self
            .instances
            .iter()
            .filter(|instance| instance.subnet == *subnet && instance.state.holds_resources())
            .flat_map(|instance| instance.addresses().map(|address| (address, instance.name.as_str())));
        let gateways = self.gateways.iter().flat_map(|gateway| {
            let own = gateway.addresses.get(subnet).into_iter().flatten();
            own.map(|address| (*address, gateway.id.as_str()))
        });
        hosts.chain(gateways).collect()
    }

    /// The gateway that has an IPv6 address of the subnet.
    pub fn gateway_with_ipv6(&self, subnet: &SubnetId) -> Option<&ResourceGateway> {
        let has_one = |gateway: &&ResourceGateway| {
            gateway.addresses.get(subnet).is_some_and(|own| own.iter().any(IpAddr::is_ipv6))
        };
        self.gateways.iter().find(has_one)
    }
}
