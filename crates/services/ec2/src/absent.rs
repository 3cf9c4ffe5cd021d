//! What EC2 has and this is not: volumes, images, gateways and the like.
//!
//! Clients ask for them around what there is: Terraform looks for the volumes of an instance, a waiter for a peering
//! that is to be gone. The honest answer is an empty list, and for an id that there is no such thing. Ids are checked
//! for form and filters for their names, as where there are some.

mod filters;

use serde_json::{Map, Value};
use trellis_frame::{Context, Refusal};

use super::fault;
use super::filter::Filters;
use super::input::{Filter, Request};
use super::listing::Page;

/// A kind of thing that there is none of.
struct Kind {
    operation: &'static str,
    /// The lists of the answer.
    items: &'static [&'static str],
    /// What each may be asked for by.
    by: &'static [By],
    filters: &'static [&'static str],
}

/// A list of ids or names in the input.
struct By {
    member: &'static str,
    /// What ids begin with; empty for names.
    prefix: &'static str,
    noun: &'static str,
    not_found: &'static str,
    /// The code for what is no id; `not_found` where EC2 has no other.
    malformed: &'static str,
}

impl By {
    const fn id(
        member: &'static str,
        prefix: &'static str,
        noun: &'static str,
        codes: [&'static str; 2],
    ) -> Self {
        let [not_found, malformed] = codes;
        Self { member, prefix, noun, not_found, malformed }
    }

    const fn name(member: &'static str, noun: &'static str, not_found: &'static str) -> Self {
        Self { member, prefix: "", noun, not_found, malformed: not_found }
    }

    fn refuse(&self, text: &str) -> Refusal {
        let suffix = text.strip_prefix(self.prefix);
        let is_hex = |suffix: &str| suffix.bytes().all(|byte| byte.is_ascii_hexdigit());
        let quoted = fault::quoted(text);
        match suffix {
            Some(suffix) if self.prefix.is_empty() || (is_hex(suffix) && matches!(suffix.len(), 8 | 17)) => {
                fault::refuse(self.not_found, format_args!("The {} '{quoted}' does not exist", self.noun))
            }
            _ => fault::refuse(
                self.malformed,
                format_args!("Invalid id: \"{quoted}\" (expecting \"{}...\")", self.prefix),
            ),
        }
    }
}

impl Kind {
    fn describe(&self, input: Value) -> Result<Value, Refusal> {
        let input = Request::<Map<String, Value>>::read(input)?.into_read()?;
        // Two of the older calls say Filter.
        let filters = input
            .get("Filters")
            .or_else(|| input.get("Filter"))
            .cloned()
            .unwrap_or_else(|| Value::Array(vec![]));
        let filters: Vec<Filter> =
            serde_json::from_value(filters).map_err(|error| fault::invalid_value(error.to_string()))?;
        let filters = Filters::new(filters, self.filters)?;
        for by in self.by {
            let texts = input.get(by.member).and_then(Value::as_array);
            if let Some(text) = texts.and_then(|texts| texts.first()) {
                return Err(by.refuse(text.as_str().unwrap_or_default()));
            }
        }
        // Some of these have pages smaller or larger than others; none has a second.
        let token = input.get("NextToken").and_then(Value::as_str);
        Page::of(self.operation, &filters, None, token)?;
        Ok(self
            .items
            .iter()
            .map(|list| ((*list).to_owned(), Value::Array(vec![])))
            .collect::<Map<_, _>>()
            .into())
    }
}

/// One operation for each kind.
macro_rules! absent {
    ($($perform:ident => $operation:literal [$($item:literal)+] $filters:ident [$($by:expr),+];)+) => {
        $(
            pub(super) fn $perform(_: &Context, input: Value) -> Result<Value, Refusal> {
                const KIND: Kind = Kind {
                    operation: $operation,
                    items: &[$($item),+],
                    by: &[$($by),+],
                    filters: filters::$filters,
                };
                KIND.describe(input)
            }
        )+
    };
}

absent! {
    addresses => "DescribeAddresses" ["Addresses"] ADDRESSES
        [By::id("AllocationIds", "eipalloc-", "allocation ID", ["InvalidAllocationID.NotFound", "InvalidAllocationID.NotFound"]),
         By::name("PublicIps", "address", "InvalidAddress.NotFound")];
    customer_gateways => "DescribeCustomerGateways" ["CustomerGateways"] CUSTOMER_GATEWAYS
        [By::id("CustomerGatewayIds", "cgw-", "customerGateway ID", ["InvalidCustomerGatewayID.NotFound", "InvalidCustomerGatewayID.Malformed"])];
    egress_only_internet_gateways => "DescribeEgressOnlyInternetGateways" ["EgressOnlyInternetGateways"] EGRESS_ONLY_INTERNET_GATEWAYS
        [By::id("EgressOnlyInternetGatewayIds", "eigw-", "egressOnlyInternetGateway ID", ["InvalidGatewayID.NotFound", "InvalidGatewayID.NotFound"])];
    flow_logs => "DescribeFlowLogs" ["FlowLogs"] FLOW_LOGS
        [By::id("FlowLogIds", "fl-", "flowLog ID", ["InvalidFlowLogId.NotFound", "InvalidFlowLogId.NotFound"])];
    images => "DescribeImages" ["Images"] IMAGES
        [By::id("ImageIds", "ami-", "image id", ["InvalidAMIID.NotFound", "InvalidAMIID.Malformed"])];
    internet_gateways => "DescribeInternetGateways" ["InternetGateways"] INTERNET_GATEWAYS
        [By::id("InternetGatewayIds", "igw-", "internetGateway ID", ["InvalidInternetGatewayID.NotFound", "InvalidInternetGatewayId.Malformed"])];
    key_pairs => "DescribeKeyPairs" ["KeyPairs"] KEY_PAIRS
        [By::name("KeyNames", "key pair", "InvalidKeyPair.NotFound"),
         By::id("KeyPairIds", "key-", "key pair ID", ["InvalidKeyPair.NotFound", "InvalidKeyPair.NotFound"])];
    launch_templates => "DescribeLaunchTemplates" ["LaunchTemplates"] LAUNCH_TEMPLATES
        [By::id("LaunchTemplateIds", "lt-", "launchTemplate ID", ["InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.Malformed"]),
         By::name("LaunchTemplateNames", "launch template", "InvalidLaunchTemplateName.NotFoundException")];
    nat_gateways => "DescribeNatGateways" ["NatGateways"] NAT_GATEWAYS
        [By::id("NatGatewayIds", "nat-", "NAT gateway", ["NatGatewayNotFound", "NatGatewayMalformed"])];
    placement_groups => "DescribePlacementGroups" ["PlacementGroups"] PLACEMENT_GROUPS
        [By::name("GroupNames", "placement group", "InvalidPlacementGroup.Unknown"),
         By::id("GroupIds", "pg-", "placement group ID", ["InvalidPlacementGroup.Unknown", "InvalidPlacementGroup.Unknown"])];
    snapshots => "DescribeSnapshots" ["Snapshots"] SNAPSHOTS
        [By::id("SnapshotIds", "snap-", "snapshot", ["InvalidSnapshot.NotFound", "InvalidSnapshotID.Malformed"])];
    transit_gateway_attachments => "DescribeTransitGatewayAttachments" ["TransitGatewayAttachments"] TRANSIT_GATEWAY_ATTACHMENTS
        [By::id("TransitGatewayAttachmentIds", "tgw-attach-", "transitGatewayAttachment ID", ["InvalidTransitGatewayAttachmentID.NotFound", "InvalidTransitGatewayAttachmentID.Malformed"])];
    transit_gateway_vpc_attachments => "DescribeTransitGatewayVpcAttachments" ["TransitGatewayVpcAttachments"] TRANSIT_GATEWAY_VPC_ATTACHMENTS
        [By::id("TransitGatewayAttachmentIds", "tgw-attach-", "transitGatewayAttachment ID", ["InvalidTransitGatewayAttachmentID.NotFound", "InvalidTransitGatewayAttachmentID.Malformed"])];
    transit_gateways => "DescribeTransitGateways" ["TransitGateways"] TRANSIT_GATEWAYS
        [By::id("TransitGatewayIds", "tgw-", "transitGateway ID", ["InvalidTransitGatewayID.NotFound", "InvalidTransitGatewayID.Malformed"])];
    volumes => "DescribeVolumes" ["Volumes"] VOLUMES
        [By::id("VolumeIds", "vol-", "volume", ["InvalidVolume.NotFound", "InvalidParameterValue"])];
    vpc_endpoint_services => "DescribeVpcEndpointServices" ["ServiceNames" "ServiceDetails"] VPC_ENDPOINT_SERVICES
        [By::name("ServiceNames", "Vpc Endpoint Service", "InvalidServiceName")];
    vpc_endpoints => "DescribeVpcEndpoints" ["VpcEndpoints"] VPC_ENDPOINTS
        [By::id("VpcEndpointIds", "vpce-", "Vpc Endpoint Id", ["InvalidVpcEndpointId.NotFound", "InvalidVpcEndpointId.Malformed"])];
    vpc_peering_connections => "DescribeVpcPeeringConnections" ["VpcPeeringConnections"] VPC_PEERING_CONNECTIONS
        [By::id("VpcPeeringConnectionIds", "pcx-", "vpcPeeringConnection ID", ["InvalidVpcPeeringConnectionID.NotFound", "InvalidVpcPeeringConnectionId.Malformed"])];
    vpn_connections => "DescribeVpnConnections" ["VpnConnections"] VPN_CONNECTIONS
        [By::id("VpnConnectionIds", "vpn-", "vpnConnection ID", ["InvalidVpnConnectionID.NotFound", "InvalidVpnConnectionID.NotFound"])];
    vpn_gateways => "DescribeVpnGateways" ["VpnGateways"] VPN_GATEWAYS
        [By::id("VpnGatewayIds", "vgw-", "vpnGateway ID", ["InvalidVpnGatewayID.NotFound", "InvalidVpnGatewayID.NotFound"])];
}
