//! EC2: VPCs, subnets, instances and security groups, as far as an application network needs them.
//!
//! The API records what should be; [`fabric`] publishes it for the kernel; [`status`] moves states
//! when the kernel reports. Instances are made by `trellis run` ([`host`]), not by RunInstances.

mod account;
mod block;
mod cidr;
mod fabric;
mod fault;
mod filter;
mod host;
mod implied;
mod input;
mod instance;
mod listing;
pub(crate) mod place;
mod prefix_list;
mod security_group;
mod status;
mod subnet;
mod tag;
mod tenants;
mod vpc;
mod zone;

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use trellis_api::{Exception, Operation};
use trellis_model::fabric::FabricPlan;
use trellis_model::resource::vpc::{Direction, Instance};
use trellis_model::{InstanceId, VpcId};

use crate::Control;
use crate::context::{Context, Surroundings};
use crate::refusal::Refusal;

pub use host::{HostError, RunInstance};
pub(crate) use place::{forget_place, is_terminated_instance};
pub(crate) use tag::exists;
pub(crate) use tenants::Tenants;

/// Settles what an earlier process left; gives the plans for the kernel, the first of which is there,
/// and the task that keeps them current.
///
/// # Errors
/// The state could not be read or written.
pub(crate) async fn start(
    surroundings: &Surroundings,
) -> Result<(watch::Receiver<Arc<FabricPlan>>, impl Future<Output = ()> + Send + 'static), Refusal> {
    status::recover(surroundings).await?;
    Ok(fabric::publish(surroundings.store.clone()).await?)
}

/// Names of the operations that are implemented, in alphabetical order.
pub(crate) const IMPLEMENTED: &[&str] = &[
    "AssociateSubnetCidrBlock",
    "AssociateVpcCidrBlock",
    "AuthorizeSecurityGroupEgress",
    "AuthorizeSecurityGroupIngress",
    "CreateSecurityGroup",
    "CreateSubnet",
    "CreateTags",
    "CreateVpc",
    "DeleteSecurityGroup",
    "DeleteSubnet",
    "DeleteTags",
    "DeleteVpc",
    "DescribeAccountAttributes",
    "DescribeAvailabilityZones",
    "DescribeInstanceStatus",
    "DescribeInstances",
    "DescribeManagedPrefixLists",
    "DescribeNetworkAcls",
    "DescribeNetworkInterfaces",
    "DescribePrefixLists",
    "DescribeRegions",
    "DescribeRouteTables",
    "DescribeSecurityGroupRules",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeTags",
    "DescribeVpcAttribute",
    "DescribeVpcs",
    "DisassociateSubnetCidrBlock",
    "DisassociateVpcCidrBlock",
    "GetManagedPrefixListEntries",
    "ModifySecurityGroupRules",
    "ModifySubnetAttribute",
    "ModifyVpcAttribute",
    "RevokeSecurityGroupEgress",
    "RevokeSecurityGroupIngress",
    "TerminateInstances",
    "UpdateSecurityGroupRuleDescriptionsEgress",
    "UpdateSecurityGroupRuleDescriptionsIngress",
];

/// Performs one operation; `input` and the answer are keyed by the model's member names.
///
/// # Errors
/// The operation's own, with EC2's codes.
pub(crate) async fn call(
    ctx: &Context,
    operation: &'static Operation,
    input: Value,
) -> Result<Value, Exception> {
    match operation.name.as_str() {
        "CreateVpc" => vpc::create(ctx, input).await,
        "DescribeVpcs" => vpc::describe(ctx, input),
        "DescribeVpcAttribute" => vpc::describe_attribute(ctx, input),
        "ModifyVpcAttribute" => vpc::modify_attribute(ctx, input).await,
        "DeleteVpc" => vpc::delete(ctx, input).await,

        "CreateSubnet" => subnet::create(ctx, input).await,
        "DescribeSubnets" => subnet::describe(ctx, input),
        "ModifySubnetAttribute" => subnet::modify_attribute(ctx, input).await,
        "DeleteSubnet" => subnet::delete(ctx, input).await,

        "AssociateVpcCidrBlock" => cidr::associate_vpc(ctx, input).await,
        "DisassociateVpcCidrBlock" => cidr::disassociate_vpc(ctx, input).await,
        "AssociateSubnetCidrBlock" => cidr::associate_subnet(ctx, input).await,
        "DisassociateSubnetCidrBlock" => cidr::disassociate_subnet(ctx, input).await,

        "DescribeInstances" => instance::describe(ctx, input),
        "DescribeInstanceStatus" => instance::health::describe(ctx, input),
        "TerminateInstances" => instance::terminate(ctx, input).await,
        "DescribeNetworkInterfaces" => instance::describe_interfaces(ctx, input),
        "RunInstances" => Err(fault::unsupported(
            "RunInstances is not supported: an instance here is a host made with `trellis run`.",
        )
        .into()),

        "CreateSecurityGroup" => security_group::create(ctx, input).await,
        "DescribeSecurityGroups" => security_group::describe(ctx, input),
        "DeleteSecurityGroup" => security_group::delete(ctx, input).await,
        "AuthorizeSecurityGroupIngress" => {
            security_group::rule::authorize(ctx, input, Direction::Ingress).await
        }
        "AuthorizeSecurityGroupEgress" => {
            security_group::rule::authorize(ctx, input, Direction::Egress).await
        }
        "RevokeSecurityGroupIngress" => security_group::rule::revoke(ctx, input, Direction::Ingress).await,
        "RevokeSecurityGroupEgress" => security_group::rule::revoke(ctx, input, Direction::Egress).await,
        "ModifySecurityGroupRules" => security_group::rule::modify(ctx, input).await,
        "UpdateSecurityGroupRuleDescriptionsIngress" => {
            security_group::rule::update_descriptions(ctx, input, Direction::Ingress).await
        }
        "UpdateSecurityGroupRuleDescriptionsEgress" => {
            security_group::rule::update_descriptions(ctx, input, Direction::Egress).await
        }
        "DescribeSecurityGroupRules" => security_group::rule::describe(ctx, input),

        "CreateTags" => tag::create(ctx, input).await,
        "DeleteTags" => tag::delete(ctx, input).await,
        "DescribeTags" => tag::describe_all(ctx, input),

        "DescribeAvailabilityZones" => zone::describe_zones(ctx, input),
        "DescribeRegions" => zone::describe_regions(ctx, input),
        "DescribeManagedPrefixLists" => prefix_list::describe(ctx, input),
        "DescribePrefixLists" => prefix_list::describe_with_blocks(ctx, input),
        "GetManagedPrefixListEntries" => prefix_list::entries(ctx, input),
        "DescribeRouteTables" => implied::describe_route_tables(ctx, input),
        "DescribeNetworkAcls" => implied::describe_network_acls(ctx, input),
        "DescribeAccountAttributes" => account::describe_attributes(input),

        other => Err(fault::unsupported(format_args!("{other} is not supported.")).into()),
    }
}

/// What the binary asks and reports: hosts from the command line, states from the kernel.
impl Control {
    /// What should be in the kernel, newest last; the first is there when [`Control::start`] returns.
    pub fn fabric_plans(&self) -> watch::Receiver<Arc<FabricPlan>> {
        self.inner.plans.clone()
    }

    /// Records a new host, `pending` until [`Control::host_ready`].
    ///
    /// # Errors
    /// Whatever of [`HostError`] the request deserves; nothing has changed then.
    pub async fn run_instance(&self, spec: RunInstance) -> Result<Instance, HostError> {
        host::run(&self.inner.surroundings, spec).await
    }

    /// Ends the host called `name_or_id`; one that is ending already stays as it is.
    ///
    /// # Errors
    /// [`HostError::NoHost`], or a state that cannot be written.
    pub async fn terminate_instance(&self, name_or_id: &str) -> Result<Instance, HostError> {
        host::terminate_named(&self.inner.surroundings, name_or_id).await
    }

    /// Every host of the installation that is not terminated, in the order they were made.
    ///
    /// # Errors
    /// The state could not be read.
    pub fn instances(&self) -> Result<Vec<Instance>, HostError> {
        host::list(&self.inner.surroundings)
    }

    /// The kernel has the VPC.
    pub async fn vpc_ready(&self, vpc: &VpcId) {
        status::vpc_ready(&self.inner.surroundings, vpc).await;
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
        status::host_ready(&self.inner.surroundings, instance).await;
    }

    /// The kernel could not make the host; it is tried again until somebody ends it.
    pub async fn host_failed(&self, instance: &InstanceId, reason: &str) {
        status::host_failed(&self.inner.surroundings, instance, reason).await;
    }

    /// The kernel no longer has the host.
    pub async fn host_gone(&self, instance: &InstanceId) {
        status::host_gone(&self.inner.surroundings, instance).await;
    }
}
