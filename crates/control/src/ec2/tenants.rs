//! Who has which address of a subnet: instances, and resource gateways.

use std::net::IpAddr;

use rustc_hash::FxHashMap;
use trellis_model::SubnetId;
use trellis_model::resource::lattice::{Home, ResourceGateway};
use trellis_model::resource::vpc::Instance;
use trellis_store::Read;

use super::place;
use crate::keys;
use crate::lattice::place::kind;
use crate::record;
use crate::refusal::Refusal;

/// Everybody in the subnets of one account and region.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    /// Terminated ones among them; they hold nothing.
    pub(super) instances: Vec<Instance>,
    gateways: Vec<ResourceGateway>,
}

impl Tenants {
    pub(crate) fn read(state: &mut impl Read, home: &Home) -> Result<Self, Refusal> {
        Ok(Self {
            instances: place::all(state, home)?,
            gateways: record::all(state, &keys::lattice(home).records(kind::RESOURCE_GATEWAY))?,
        })
    }

    /// The addresses of a subnet that somebody has, and what their owner is called.
    pub(crate) fn of(&self, subnet: &SubnetId) -> FxHashMap<IpAddr, &str> {
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
}
