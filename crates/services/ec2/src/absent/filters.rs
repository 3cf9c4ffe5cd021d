//! The filters that EC2 documents for what is not here: all of them are taken, and none matches.

/// DescribeAddresses.
pub(super) const ADDRESSES: &[&str] = &[
    "allocation-id",
    "association-id",
    // Of the time of EC2-Classic; boto3 still asks for it.
    "domain",
    "instance-id",
    "network-border-group",
    "network-interface-id",
    "network-interface-owner-id",
    "private-ip-address",
    "public-ip",
];

/// DescribeCustomerGateways.
pub(super) const CUSTOMER_GATEWAYS: &[&str] =
    &["bgp-asn", "customer-gateway-id", "ip-address", "state", "type"];

/// DescribeEgressOnlyInternetGateways.
pub(super) const EGRESS_ONLY_INTERNET_GATEWAYS: &[&str] = &[];

/// DescribeFlowLogs.
pub(super) const FLOW_LOGS: &[&str] = &[
    "deliver-log-status",
    "flow-log-id",
    "log-destination-type",
    "log-group-name",
    "resource-id",
    "traffic-type",
];

/// DescribeImages.
pub(super) const IMAGES: &[&str] = &[
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "boot-mode",
    "creation-date",
    "critical",
    "description",
    "ena-support",
    "free-tier-eligible",
    "high",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "image-watermark.source-image-creation-time",
    "image-watermark.source-image-id",
    "image-watermark.source-image-region",
    "image-watermark.watermark-creation-time",
    "image-watermark.watermark-key",
    "informational",
    "instance-type-specification.supported-instance-type",
    "instance-type-specification.unsupported-instance-type",
    "is-public",
    "kernel-id",
    "low",
    "manifest-location",
    "medium",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "product-code",
    "product-code.type",
    "public-ssm-parameter-name",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "scan-result.critical-fix-available-since",
    "scan-result.finding-scan-date",
    "scan-result.high-fix-available-since",
    "scan-result.highest-finding-severity-label",
    "scan-result.informational-fix-available-since",
    "scan-result.low-fix-available-since",
    "scan-result.medium-fix-available-since",
    "source-image-id",
    "source-image-region",
    "source-instance-id",
    "sriov-net-support",
    "state",
    "state-reason-code",
    "state-reason-message",
    "virtualization-type",
];

/// DescribeInternetGateways.
pub(super) const INTERNET_GATEWAYS: &[&str] =
    &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

/// DescribeKeyPairs.
pub(super) const KEY_PAIRS: &[&str] = &["fingerprint", "key-name", "key-pair-id"];

/// DescribeLaunchTemplates.
pub(super) const LAUNCH_TEMPLATES: &[&str] = &["create-time", "launch-template-name"];

/// DescribeNatGateways.
pub(super) const NAT_GATEWAYS: &[&str] = &["nat-gateway-id", "state", "subnet-id", "vpc-id"];

/// DescribePlacementGroups.
pub(super) const PLACEMENT_GROUPS: &[&str] =
    &["group-arn", "group-name", "spread-level", "state", "strategy"];

/// DescribeSnapshots.
pub(super) const SNAPSHOTS: &[&str] = &[
    "description",
    "encrypted",
    "owner-alias",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "transfer-type",
    "volume-id",
    "volume-size",
];

/// DescribeTransitGatewayAttachments.
pub(super) const TRANSIT_GATEWAY_ATTACHMENTS: &[&str] = &[
    "association.state",
    "association.transit-gateway-route-table-id",
    "resource-id",
    "resource-owner-id",
    "resource-type",
    "state",
    "transit-gateway-attachment-id",
    "transit-gateway-id",
    "transit-gateway-owner-id",
];

/// DescribeTransitGatewayVpcAttachments.
pub(super) const TRANSIT_GATEWAY_VPC_ATTACHMENTS: &[&str] =
    &["state", "transit-gateway-attachment-id", "transit-gateway-id", "vpc-id"];

/// DescribeTransitGateways.
pub(super) const TRANSIT_GATEWAYS: &[&str] = &[
    "options.amazon-side-asn",
    "options.association-default-route-table-id",
    "options.auto-accept-shared-attachments",
    "options.default-route-table-association",
    "options.default-route-table-propagation",
    "options.dns-support",
    "options.propagation-default-route-table-id",
    "options.vpn-ecmp-support",
    "owner-id",
    "state",
    "transit-gateway-id",
];

/// DescribeVolumes.
pub(super) const VOLUMES: &[&str] = &[
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "create-time",
    "encrypted",
    "fast-restored",
    "multi-attach-enabled",
    "operator.managed",
    "operator.principal",
    "size",
    "snapshot-id",
    "status",
    "volume-id",
    "volume-type",
];

/// DescribeVpcEndpointServices.
pub(super) const VPC_ENDPOINT_SERVICES: &[&str] =
    &["owner", "service-name", "service-region", "service-type", "supported-ip-address-types"];

/// DescribeVpcEndpoints.
pub(super) const VPC_ENDPOINTS: &[&str] = &[
    "ip-address-type",
    "service-name",
    "service-region",
    "vpc-endpoint-id",
    "vpc-endpoint-state",
    "vpc-endpoint-type",
    "vpc-id",
];

/// DescribeVpcPeeringConnections.
pub(super) const VPC_PEERING_CONNECTIONS: &[&str] = &[
    "accepter-vpc-info.cidr-block",
    "accepter-vpc-info.owner-id",
    "accepter-vpc-info.vpc-id",
    "expiration-time",
    "requester-vpc-info.cidr-block",
    "requester-vpc-info.owner-id",
    "requester-vpc-info.vpc-id",
    "status-code",
    "status-message",
    "vpc-peering-connection-id",
];

/// DescribeVpnConnections.
pub(super) const VPN_CONNECTIONS: &[&str] = &[
    "bgp-asn",
    "customer-gateway-configuration",
    "customer-gateway-id",
    "option.static-routes-only",
    "route.destination-cidr-block",
    "state",
    "transit-gateway-id",
    "type",
    "vpn-connection-id",
    "vpn-gateway-id",
];

/// DescribeVpnGateways.
pub(super) const VPN_GATEWAYS: &[&str] = &[
    "amazon-side-asn",
    "attachment.state",
    "attachment.vpc-id",
    "availability-zone",
    "state",
    "type",
    "vpn-gateway-id",
];
