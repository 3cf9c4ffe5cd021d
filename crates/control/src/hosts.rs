//! What the binary asks and reports: hosts from the command line, states from the kernel.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::sync::watch;
use trellis_ec2::{HostError, RunInstance, hosts};
use trellis_model::fabric::FabricPlan;
use trellis_model::resource::vpc::Instance;
use trellis_model::{InstanceId, VpcId};

use crate::Control;

impl Control {
    /// What should be in the kernel, newest last; the first is there when [`Control::start`] returns.
    pub fn fabric_plans(&self) -> watch::Receiver<Arc<FabricPlan>> {
        self.inner.published.plans.clone()
    }

    /// Records a new host, `pending` until [`Control::host_ready`].
    ///
    /// # Errors
    /// Whatever of [`HostError`] the request deserves; nothing has changed then.
    pub async fn run_instance(&self, spec: RunInstance) -> Result<Instance, HostError> {
        hosts::run(self.inner.frame.surroundings(), spec).await
    }

    /// Ends the host called `name_or_id`; one that is ending already stays as it is.
    ///
    /// # Errors
    /// [`HostError::NoHost`], or a state that cannot be written.
    pub async fn terminate_instance(&self, name_or_id: &str) -> Result<Instance, HostError> {
        hosts::terminate_named(self.inner.frame.surroundings(), name_or_id).await
    }

    /// Gives the host with `id` as many more addresses of its subnet as `count` says, and returns them. They are in
    /// force once [`Control::fabric_plans`] has been applied, as every address is.
    ///
    /// # Errors
    /// [`HostError::NoHost`], [`HostError::SubnetHasNotSoMany`], [`HostError::TooManyAddresses`]; nothing has changed then.
    pub async fn assign_private_addresses(
        &self,
        id: &InstanceId,
        count: usize,
    ) -> Result<Vec<Ipv4Addr>, HostError> {
        hosts::assign_to_host(self.inner.frame.surroundings(), id, count).await
    }

    /// Takes secondary addresses of the host with `id` away; what it does not have is passed over.
    ///
    /// # Errors
    /// [`HostError::NoHost`], or a state that cannot be written.
    pub async fn unassign_private_addresses(
        &self,
        id: &InstanceId,
        addresses: &[Ipv4Addr],
    ) -> Result<(), HostError> {
        hosts::unassign_from_host(self.inner.frame.surroundings(), id, addresses).await
    }

    /// Every host of the installation that is not terminated, in the order they were made.
    ///
    /// # Errors
    /// The state could not be read.
    pub fn instances(&self) -> Result<Vec<Instance>, HostError> {
        hosts::list(self.inner.frame.surroundings())
    }

    /// The kernel has the VPC.
    pub async fn vpc_ready(&self, vpc: &VpcId) {
        hosts::vpc_ready(self.inner.frame.surroundings(), vpc).await;
    }

    /// The kernel could not make the VPC. It stays `pending`, as EC2 has no other word, and is tried
    /// again.
    pub async fn vpc_failed(&self, vpc: &VpcId, reason: &str) {
        tracing::warn!(%vpc, reason, "a VPC stays pending");
    }

    /// The kernel no longer has the VPC. Its record went when it was deleted.
    pub async fn vpc_gone(&self, vpc: &VpcId) {
        tracing::debug!(%vpc, "a VPC is gone");
    }

    /// The kernel has the host.
    pub async fn host_ready(&self, instance: &InstanceId) {
        hosts::host_ready(self.inner.frame.surroundings(), instance).await;
    }

    /// The kernel could not make the host; it is tried again until somebody ends it.
    pub async fn host_failed(&self, instance: &InstanceId, reason: &str) {
        hosts::host_failed(self.inner.frame.surroundings(), instance, reason).await;
    }

    /// The kernel no longer has the host.
    pub async fn host_gone(&self, instance: &InstanceId) {
        hosts::host_gone(self.inner.frame.surroundings(), instance).await;
    }
}
