//! EC2: VPCs, subnets, instances and security groups, as far as an application network needs them.
//!
//! The API records what should be; [`status`] moves states when the kernel reports that it is. Instances are made by `trellis run` ([`host`]), not by RunInstances.

mod absent;
mod account;
mod address;
mod block;
mod cidr;
mod cluster_group;
mod dhcp_options;
mod fault;
mod filter;
mod host;
mod hosts;
mod implied;
mod input;
mod instance;
mod instance_type;
mod keys;
mod listing;
mod place;
mod prefix_list;
mod quota;
mod security_group;
mod status;
mod subnet;
mod tag;
mod traits;
mod vpc;
mod zone;

/// Types of the description.
#[allow(clippy::all, dead_code, unreachable_pub, unused_qualifications)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/ec2.rs"));
}

use serde_json::Value;
use trellis_api::Exception;
use trellis_frame::{Accounts, Context, Refusal, Service, Tagged};
use trellis_model::resource::vpc::Direction;

pub use host::{HostError, RunInstance};
pub use hosts::Hosts;
pub use instance::metadata::{Described, describe as describe_instance, options as metadata_options};

/// The service: what the frame has to know of it.
pub static SERVICE: Service = Service {
    words,
    operations: OPERATIONS,
    quotas: quota::ALL,
    tagged: Some(Tagged {
        arn_service: "ec2",
        tag_action: "ec2:CreateTags",
        untag_action: "ec2:DeleteTags",
        locate: tag::locate,
    }),
    accounts: Accounts {
        records: &[keys::EC2],
        is_remnant: place::forget_terminated_instance,
        ..Accounts::NONE
    },
    start: Some(|surroundings| Box::pin(async move { status::recover(&surroundings).await })),
    ..Service::new(wire::description)
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
    DescribeAddresses => view absent::addresses,
    DescribeAvailabilityZones => view zone::describe_zones,
    DescribeCustomerGateways => view absent::customer_gateways,
    DescribeDhcpOptions => view dhcp_options::describe,
    DescribeEgressOnlyInternetGateways => view absent::egress_only_internet_gateways,
    DescribeFlowLogs => view absent::flow_logs,
    DescribeIamInstanceProfileAssociations => view instance::profile::describe,
    DescribeImages => view absent::images,
    DescribeInstanceAttribute => view instance::attribute::describe,
    DescribeInstanceStatus => view instance::health::describe,
    DescribeInstanceTypeOfferings => view instance_type::offerings,
    DescribeInstanceTypes => view instance_type::describe,
    DescribeInstances => view instance::describe,
    DescribeInternetGateways => view absent::internet_gateways,
    DescribeKeyPairs => view absent::key_pairs,
    DescribeLaunchTemplates => view absent::launch_templates,
    DescribeManagedPrefixLists => view prefix_list::describe,
    DescribeNatGateways => view absent::nat_gateways,
    DescribeNetworkAcls => view implied::describe_network_acls,
    DescribeNetworkInterfaceAttribute => view instance::attribute::describe_interface,
    DescribeNetworkInterfaces => view instance::describe_interfaces,
    DescribePlacementGroups => view absent::placement_groups,
    DescribePrefixLists => view prefix_list::describe_with_blocks,
    DescribeRegions => view zone::describe_regions,
    DescribeRouteTables => view implied::describe_route_tables,
    DescribeSecurityGroupRules => view security_group::rule::describe,
    DescribeSecurityGroups => view security_group::describe,
    DescribeSnapshots => view absent::snapshots,
    DescribeSubnets => view subnet::describe,
    DescribeTags => view tag::describe_all,
    DescribeTransitGatewayAttachments => view absent::transit_gateway_attachments,
    DescribeTransitGatewayVpcAttachments => view absent::transit_gateway_vpc_attachments,
    DescribeTransitGateways => view absent::transit_gateways,
    DescribeVolumes => view absent::volumes,
    DescribeVpcAttribute => view vpc::describe_attribute,
    DescribeVpcEndpointServices => view absent::vpc_endpoint_services,
    DescribeVpcEndpoints => view absent::vpc_endpoints,
    DescribeVpcPeeringConnections => view absent::vpc_peering_connections,
    DescribeVpcs => view vpc::describe,
    DescribeVpnConnections => view absent::vpn_connections,
    DescribeVpnGateways => view absent::vpn_gateways,
    DisassociateIamInstanceProfile => call instance::profile::disassociate,
    DisassociateSubnetCidrBlock => call cidr::disassociate_subnet,
    DisassociateVpcCidrBlock => call cidr::disassociate_vpc,
    GetManagedPrefixListEntries => view prefix_list::entries,
    GetPasswordData => view instance::attribute::password,
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
