//! EC2: VPCs, subnets, instances and security groups, as far as an application network needs them.
//!
//! The API records what should be; [`fabric`] publishes it for the kernel; [`status`] moves states
//! when the kernel reports. Instances are made by `trellis run` ([`host`]), not by RunInstances.

mod account;
mod address;
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
mod quota;
mod security_group;
mod status;
mod subnet;
mod tag;
mod traits;
mod vpc;
mod zone;

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use trellis_api::Exception;
use trellis_frame::{Accounts, Context, Refusal, Service, Surroundings, Tagged};
use trellis_model::fabric::FabricPlan;
use trellis_model::resource::vpc::{Direction, Instance};
use trellis_model::{InstanceId, VpcId};

use crate::Control;

pub use host::{HostError, RunInstance};
pub(crate) use instance::metadata::{Described, describe as describe_instance};

/// The plans for the kernel, the first of which is there, and the task that keeps them current.
///
/// # Errors
/// The state could not be read.
pub(crate) async fn start(
    surroundings: &Surroundings,
) -> Result<(watch::Receiver<Arc<FabricPlan>>, impl Future<Output = ()> + Send + 'static), Refusal> {
    Ok(fabric::publish(surroundings.store.clone()).await?)
}

/// The service: what the frame has to know of it.
pub(crate) static SERVICE: Service = Service {
    words,
    operations: OPERATIONS,
    quotas: quota::ALL,
    tagged: Some(Tagged { arn_service: "ec2", locate: tag::locate }),
    accounts: Accounts {
        records: &[crate::keys::EC2],
        is_remnant: place::forget_terminated_instance,
        ..Accounts::NONE
    },
    start: Some(|surroundings| Box::pin(async move { status::recover(&surroundings).await })),
    ..Service::new(|| trellis_api::service_by_signing_name("ec2").expect("described"))
};

trellis_frame::operations! {
    AssignPrivateIpAddresses => call address::assign,
    AssociateIamInstanceProfile => call instance::profile::associate_with,
    AssociateSubnetCidrBlock => call cidr::associate_subnet,
    AssociateVpcCidrBlock => call cidr::associate_vpc,
    AuthorizeSecurityGroupEgress => call authorize_egress,
    AuthorizeSecurityGroupIngress => call authorize_ingress,
    CreateSecurityGroup => call security_group::create,
    CreateSubnet => call subnet::create,
    CreateTags => call tag::create,
    CreateVpc => call vpc::create,
    DeleteSecurityGroup => call security_group::delete,
    DeleteSubnet => call subnet::delete,
    DeleteTags => call tag::delete,
    DeleteVpc => call vpc::delete,
    DescribeAccountAttributes => view account::describe_attributes,
    DescribeAvailabilityZones => view zone::describe_zones,
    DescribeIamInstanceProfileAssociations => view instance::profile::describe,
    DescribeInstanceStatus => view instance::health::describe,
    DescribeInstances => view instance::describe,
    DescribeManagedPrefixLists => view prefix_list::describe,
    DescribeNetworkAcls => view implied::describe_network_acls,
    DescribeNetworkInterfaces => view instance::describe_interfaces,
    DescribePrefixLists => view prefix_list::describe_with_blocks,
    DescribeRegions => view zone::describe_regions,
    DescribeRouteTables => view implied::describe_route_tables,
    DescribeSecurityGroupRules => view security_group::rule::describe,
    DescribeSecurityGroups => view security_group::describe,
    DescribeSubnets => view subnet::describe,
    DescribeTags => view tag::describe_all,
    DescribeVpcAttribute => view vpc::describe_attribute,
    DescribeVpcs => view vpc::describe,
    DisassociateIamInstanceProfile => call instance::profile::disassociate,
    DisassociateSubnetCidrBlock => call cidr::disassociate_subnet,
    DisassociateVpcCidrBlock => call cidr::disassociate_vpc,
    GetManagedPrefixListEntries => view prefix_list::entries,
    ModifyInstanceMetadataOptions => call instance::metadata::modify,
    ModifySecurityGroupRules => call security_group::rule::modify,
    ModifySubnetAttribute => call subnet::modify_attribute,
    ModifyVpcAttribute => call vpc::modify_attribute,
    ReplaceIamInstanceProfileAssociation => call instance::profile::replace,
    RevokeSecurityGroupEgress => call revoke_egress,
    RevokeSecurityGroupIngress => call revoke_ingress,
    TerminateInstances => call instance::terminate,
    UnassignPrivateIpAddresses => call address::unassign,
    UpdateSecurityGroupRuleDescriptionsEgress => call update_egress_descriptions,
    UpdateSecurityGroupRuleDescriptionsIngress => call update_ingress_descriptions,
}

/// EC2's codes for what the parts that all services share refuse.
fn words(refusal: Refusal) -> Exception {
    let message = refusal.to_string();
    let (code, status) = match refusal {
        Refusal::Exception(exception) => return *exception,
        Refusal::Missing { .. } => ("InvalidID.NotFound", 400),
        Refusal::Conflict { .. } => ("IncorrectState", 400),
        Refusal::InUse { .. } => ("DependencyViolation", 400),
        Refusal::Invalid { .. } | Refusal::Unreadable { .. } => ("InvalidParameterValue", 400),
        Refusal::NotAPage { .. } => ("InvalidNextToken", 400),
        Refusal::Quota { .. } => ("ResourceLimitExceeded", 400),
        Refusal::Denied { .. } => {
            let message = format!("You are not authorized to perform this operation. {message}");
            return Exception::ec2("UnauthorizedOperation", 403, message);
        }
        Refusal::TokenReused { .. } => ("IdempotentParameterMismatch", 400),
        Refusal::NotServed { operation } => {
            let mut message = format!("{operation} is not supported.");
            if operation == "RunInstances" {
                message =
                    "RunInstances is not supported: an instance here is a host made with `trellis run`."
                        .into();
            }
            return Exception::ec2("UnsupportedOperation", 400, message);
        }
        Refusal::Store(_) | Refusal::Corrupt { .. } | Refusal::Vault(_) => {
            return Exception::internal(message);
        }
    };
    Exception::ec2(code, status, message)
}

async fn authorize_ingress(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    security_group::rule::authorize(ctx, input, Direction::Ingress).await
}

async fn authorize_egress(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    security_group::rule::authorize(ctx, input, Direction::Egress).await
}

async fn update_ingress_descriptions(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    security_group::rule::update_descriptions(ctx, input, Direction::Ingress).await
}

async fn update_egress_descriptions(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    security_group::rule::update_descriptions(ctx, input, Direction::Egress).await
}

async fn revoke_ingress(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    security_group::rule::revoke(ctx, input, Direction::Ingress).await
}

async fn revoke_egress(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    security_group::rule::revoke(ctx, input, Direction::Egress).await
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
        host::run(self.inner.frame.surroundings(), spec).await
    }

    /// Ends the host called `name_or_id`; one that is ending already stays as it is.
    ///
    /// # Errors
    /// [`HostError::NoHost`], or a state that cannot be written.
    pub async fn terminate_instance(&self, name_or_id: &str) -> Result<Instance, HostError> {
        host::terminate_named(self.inner.frame.surroundings(), name_or_id).await
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
        address::assign_to_host(self.inner.frame.surroundings(), id, count).await
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
        address::unassign_from_host(self.inner.frame.surroundings(), id, addresses).await
    }

    /// Every host of the installation that is not terminated, in the order they were made.
    ///
    /// # Errors
    /// The state could not be read.
    pub fn instances(&self) -> Result<Vec<Instance>, HostError> {
        host::list(self.inner.frame.surroundings())
    }

    /// The kernel has the VPC.
    pub async fn vpc_ready(&self, vpc: &VpcId) {
        status::vpc_ready(self.inner.frame.surroundings(), vpc).await;
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
        status::host_ready(self.inner.frame.surroundings(), instance).await;
    }

    /// The kernel could not make the host; it is tried again until somebody ends it.
    pub async fn host_failed(&self, instance: &InstanceId, reason: &str) {
        status::host_failed(self.inner.frame.surroundings(), instance, reason).await;
    }

    /// The kernel no longer has the host.
    pub async fn host_gone(&self, instance: &InstanceId) {
        status::host_gone(self.inner.frame.surroundings(), instance).await;
    }
}
