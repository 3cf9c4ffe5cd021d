//! Hosts, for who makes them otherwise than by the API, and what the kernel reports of them and of VPCs.

use std::net::Ipv4Addr;
use std::sync::Arc;

use trellis_frame::Surroundings;
use trellis_frame::tags::Tags;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::Instance;
use trellis_model::{InstanceId, SecurityGroupId, VpcId};

use crate::host::{HostError, RunInstance};
use crate::{address, cluster_group, host, status};

/// The hosts of an installation.
#[derive(Clone, Copy)]
pub struct Hosts<'a>(&'a Arc<Surroundings>);

impl<'a> Hosts<'a> {
    pub fn of(surroundings: &'a Arc<Surroundings>) -> Self {
        Self(surroundings)
    }

    /// Records a new host, `pending` until [`Hosts::ready`].
    ///
    /// # Errors
    /// Whatever of [`HostError`] the request deserves; nothing has changed then.
    pub async fn run(self, spec: RunInstance) -> Result<Instance, HostError> {
        host::run(self.0, spec).await
    }

    /// Ends the host called `name_or_id`; one that is ending already stays as it is.
    ///
    /// # Errors
    /// [`HostError::NoHost`], or a state that cannot be written.
    pub async fn terminate(self, name_or_id: &str) -> Result<Instance, HostError> {
        host::terminate_named(self.0, name_or_id).await
    }

    /// Gives the host with `id` as many more addresses of its subnet as `count` says, and returns them. They are in
    /// force once the plan of the kernel has been applied, as every address is.
    ///
    /// # Errors
    /// [`HostError::NoHost`], [`HostError::SubnetHasNotSoMany`], [`HostError::TooManyAddresses`]; nothing has changed then.
    pub async fn assign_addresses(self, id: &InstanceId, count: usize) -> Result<Vec<Ipv4Addr>, HostError> {
        address::assign_to_host(self.0, id, count).await
    }

    /// Takes secondary addresses of the host with `id` away; what it does not have is passed over.
    ///
    /// # Errors
    /// [`HostError::NoHost`], or a state that cannot be written.
    pub async fn unassign_addresses(self, id: &InstanceId, addresses: &[Ipv4Addr]) -> Result<(), HostError> {
        address::unassign_from_host(self.0, id, addresses).await
    }

    /// Every host of the installation that is not terminated, in the order they were made.
    ///
    /// # Errors
    /// The state could not be read.
    pub fn list(self) -> Result<Vec<Instance>, HostError> {
        host::list(self.0)
    }

    /// The kernel has the VPC.
    pub async fn vpc_ready(self, vpc: &VpcId) {
        status::vpc_ready(self.0, vpc).await;
    }

    /// The kernel has the host.
    pub async fn ready(self, instance: &InstanceId) {
        status::host_ready(self.0, instance).await;
    }

    /// The kernel could not make the host; it is tried again until somebody ends it.
    pub async fn failed(self, instance: &InstanceId, reason: &str) {
        status::host_failed(self.0, instance, reason).await;
    }

    /// The kernel no longer has the host.
    pub async fn gone(self, instance: &InstanceId) {
        status::host_gone(self.0, instance).await;
    }

    /// The security group called `name` in `vpc`, made where there is none: its members reach each other, and everything.
    ///
    /// # Errors
    /// A VPC that is not there; a state that cannot be written.
    pub async fn cluster_group(
        self,
        home: &Home,
        vpc: &VpcId,
        name: &str,
        tags: &Tags,
    ) -> Result<SecurityGroupId, HostError> {
        cluster_group::cluster_group(self.0, home, vpc, name, tags).await
    }

    /// Takes such a group away, unless somebody uses it.
    ///
    /// # Errors
    /// A state that cannot be written.
    pub async fn forget_cluster_group(self, home: &Home, vpc: &VpcId, name: &str) -> Result<(), HostError> {
        cluster_group::forget_cluster_group(self.0, home, vpc, name).await
    }
}
