//! Keys of VPC Lattice in one account and region, one function for each kind.
//!
//! Indexes, all written and deleted with the record they speak of:
//!
//! ```text
//! name/{kind}/{name}                          -> id; names of listeners and rules: name/{kind}/{parent}/{name}
//! port/{svc}/{port}                           -> listener id
//! priority/{listener}/{priority}              -> rule id
//! use/{tg}/{svc}/{listener}/{rule}            a rule, or the default action as `default`, forwards to the group
//! uses/{svc}/{tg}/{listener}/{rule}           the same from the other end
//! network-vpc/{sn}/{snva}                     and vpc-network/{vpc}/{snva}
//! network-service/{sn}/{svc}                  -> snsa id; and service-network/{svc}/{sn} -> snsa id
//! network-domain/{sn}/{custom domain}         -> snsa id
//! vpc-target-group/{vpc}/{tg}                 of older releases: removed by super::held
//! vpc-gateway/{vpc}/{rgw}                     the gateway is in the VPC
//! gateway-resource/{rgw}/{rcfg}               the configuration is behind the gateway, children among them
//! group-child/{rcfg}/{rcfg}                   the second is a child of the first
//! verified-resource/{dv}/{rcfg}               the configuration's domain rests on the verification
//! network-resource/{sn}/{rcfg}                -> snra id; and resource-network/{rcfg}/{sn} -> snra id
//! network-address/{sn}/{address}              -> snra id: the resource's address in the network's VPCs
//! network-own-resource/{sn}/{rcfg}            the same without the associations of groups' children
//! domain/{domain}                             -> dv id
//! far-association/{snva, snsa or snra}        -> account of the network, where that is another one
//! access-log/{sn or svc}/{stream}/{sink}      -> als id: one subscription for each kind of destination
//! ```

use trellis_model::resource::lattice::Home;
use trellis_model::{
    AccessLogSubscriptionId, DomainVerificationId, ListenerId, ResourceConfigurationId, ResourceGatewayId,
    RuleId, ServiceId, ServiceNetworkId, TargetGroupId, VpcAssociationId, VpcId,
};

use crate::keys::{self, Scope};

pub(crate) use trellis_model::resource::lattice::kind;

/// What stands for the default action where a rule id is expected.
pub(crate) const DEFAULT_ACTION: &str = "default";

/// An account and region, and the keys in it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) home: Home,
    pub(crate) scope: Scope,
}

impl Place {
    pub(crate) fn new(home: Home) -> Self {
        let scope = keys::lattice(&home);
        Self { home, scope }
    }

    // === records ===

    pub(crate) fn network(&self, id: &ServiceNetworkId) -> String {
        self.scope.record(kind::NETWORK, id)
    }

    pub(crate) fn service(&self, id: &ServiceId) -> String {
        self.scope.record(kind::SERVICE, id)
    }

    pub(crate) fn listener(&self, service: &ServiceId, id: &ListenerId) -> String {
        self.scope.record(kind::LISTENER, format_args!("{service}/{id}"))
    }

    pub(crate) fn listeners(&self, service: &ServiceId) -> String {
        self.scope.records_of(kind::LISTENER, service)
    }

    pub(crate) fn rule(&self, listener: &ListenerId, id: &RuleId) -> String {
        self.scope.record(kind::RULE, format_args!("{listener}/{id}"))
    }

    pub(crate) fn rules(&self, listener: &ListenerId) -> String {
        self.scope.records_of(kind::RULE, listener)
    }

    pub(crate) fn target_group(&self, id: &TargetGroupId) -> String {
        self.scope.record(kind::TARGET_GROUP, id)
    }

    /// `port` is 0 where the group's type has no ports.
    pub(crate) fn target(&self, group: &TargetGroupId, id: &str, port: u16) -> String {
        self.scope.record(kind::TARGET, format_args!("{group}/{id}|{port}"))
    }

    pub(crate) fn targets(&self, group: &TargetGroupId) -> String {
        self.scope.records_of(kind::TARGET, group)
    }

    /// The policy of a service or a service network.
    pub(crate) fn auth_policy(&self, id: &str) -> String {
        self.scope.record(kind::AUTH_POLICY, id)
    }

    /// `kind` is one of the three kinds of associations.
    pub(crate) fn association(&self, kind: &str, id: &str) -> String {
        self.scope.record(kind, id)
    }

    pub(crate) fn access_log(&self, id: &AccessLogSubscriptionId) -> String {
        self.scope.record(kind::ACCESS_LOG, id)
    }

    pub(crate) fn resource_gateway(&self, id: &ResourceGatewayId) -> String {
        self.scope.record(kind::RESOURCE_GATEWAY, id)
    }

    pub(crate) fn resource_configuration(&self, id: &ResourceConfigurationId) -> String {
        self.scope.record(kind::RESOURCE_CONFIGURATION, id)
    }

    pub(crate) fn domain_verification(&self, id: &DomainVerificationId) -> String {
        self.scope.record(kind::DOMAIN_VERIFICATION, id)
    }

    /// What the service shows as `host`, which is lower case.
    pub(crate) fn certificate(&self, service: &ServiceId, host: &str) -> String {
        self.scope.record(kind::CERTIFICATE, format_args!("{service}/{host}"))
    }

    pub(crate) fn certificates(&self, service: &ServiceId) -> String {
        self.scope.records_of(kind::CERTIFICATE, service)
    }

    // === indexes ===

    pub(crate) fn name(&self, kind: &str, name: &str) -> String {
        self.scope.index("name", format_args!("{kind}/{name}"))
    }

    pub(crate) fn names(&self, kind: &str) -> String {
        self.scope.indexes_of("name", kind)
    }

    pub(crate) fn listener_name(&self, service: &ServiceId, name: &str) -> String {
        self.scope.index("name", format_args!("listener/{service}/{name}"))
    }

    pub(crate) fn rule_name(&self, listener: &ListenerId, name: &str) -> String {
        self.scope.index("name", format_args!("rule/{listener}/{name}"))
    }

    pub(crate) fn port(&self, service: &ServiceId, port: u16) -> String {
        self.scope.index("port", format_args!("{service}/{port:05}"))
    }

    pub(crate) fn ports(&self, service: &ServiceId) -> String {
        self.scope.indexes_of("port", service)
    }

    pub(crate) fn priority(&self, listener: &ListenerId, priority: u16) -> String {
        self.scope.index("priority", format_args!("{listener}/{priority:05}"))
    }

    pub(crate) fn priorities(&self, listener: &ListenerId) -> String {
        self.scope.indexes_of("priority", listener)
    }

    /// `rule` is a rule's id or [`DEFAULT_ACTION`]. Gives both ends.
    pub(crate) fn uses(
        &self,
        service: &ServiceId,
        listener: &ListenerId,
        rule: &str,
        group: &str,
    ) -> [String; 2] {
        [
            self.scope.index("use", format_args!("{group}/{service}/{listener}/{rule}")),
            self.scope.index("uses", format_args!("{service}/{group}/{listener}/{rule}")),
        ]
    }

    pub(crate) fn uses_of_group(&self, group: &TargetGroupId) -> String {
        self.scope.indexes_of("use", group)
    }

    pub(crate) fn uses_by_service(&self, service: &ServiceId) -> String {
        self.scope.indexes_of("uses", service)
    }

    pub(crate) fn network_vpc(&self, network: &ServiceNetworkId, id: &VpcAssociationId) -> String {
        self.scope.index("network-vpc", format_args!("{network}/{id}"))
    }

    pub(crate) fn network_vpcs(&self, network: &ServiceNetworkId) -> String {
        self.scope.indexes_of("network-vpc", network)
    }

    pub(crate) fn vpc_network(&self, vpc: &VpcId, id: &VpcAssociationId) -> String {
        self.scope.index("vpc-network", format_args!("{vpc}/{id}"))
    }

    pub(crate) fn vpc_networks(&self, vpc: &VpcId) -> String {
        self.scope.indexes_of("vpc-network", vpc)
    }

    pub(crate) fn network_service(&self, network: &ServiceNetworkId, service: &ServiceId) -> String {
        self.scope.index("network-service", format_args!("{network}/{service}"))
    }

    pub(crate) fn network_services(&self, network: &ServiceNetworkId) -> String {
        self.scope.indexes_of("network-service", network)
    }

    pub(crate) fn service_network(&self, service: &ServiceId, network: &ServiceNetworkId) -> String {
        self.scope.index("service-network", format_args!("{service}/{network}"))
    }

    pub(crate) fn service_networks(&self, service: &ServiceId) -> String {
        self.scope.indexes_of("service-network", service)
    }

    pub(crate) fn network_domain(&self, network: &ServiceNetworkId, domain: &str) -> String {
        self.scope.index("network-domain", format_args!("{network}/{}", domain.to_ascii_lowercase()))
    }

    pub(crate) fn access_log_sink(&self, resource: &str, stream: &str, sink: &str) -> String {
        self.scope.index("access-log", format_args!("{resource}/{stream}/{sink}"))
    }

    pub(crate) fn access_log_sinks(&self, resource: &str) -> String {
        self.scope.indexes_of("access-log", resource)
    }

    pub(crate) fn vpc_target_group(&self, vpc: &VpcId, group: &TargetGroupId) -> String {
        self.scope.index("vpc-target-group", format_args!("{vpc}/{group}"))
    }

    pub(crate) fn vpc_gateway(&self, vpc: &VpcId, gateway: &ResourceGatewayId) -> String {
        self.scope.index("vpc-gateway", format_args!("{vpc}/{gateway}"))
    }

    pub(crate) fn vpc_gateways(&self, vpc: &VpcId) -> String {
        self.scope.indexes_of("vpc-gateway", vpc)
    }

    pub(crate) fn gateway_resource(
        &self,
        gateway: &ResourceGatewayId,
        id: &ResourceConfigurationId,
    ) -> String {
        self.scope.index("gateway-resource", format_args!("{gateway}/{id}"))
    }

    pub(crate) fn gateway_resources(&self, gateway: &ResourceGatewayId) -> String {
        self.scope.indexes_of("gateway-resource", gateway)
    }

    pub(crate) fn group_child(
        &self,
        group: &ResourceConfigurationId,
        child: &ResourceConfigurationId,
    ) -> String {
        self.scope.index("group-child", format_args!("{group}/{child}"))
    }

    pub(crate) fn group_children(&self, group: &ResourceConfigurationId) -> String {
        self.scope.indexes_of("group-child", group)
    }

    pub(crate) fn verified_resource(
        &self,
        verification: &DomainVerificationId,
        id: &ResourceConfigurationId,
    ) -> String {
        self.scope.index("verified-resource", format_args!("{verification}/{id}"))
    }

    pub(crate) fn verified_resources(&self, verification: &DomainVerificationId) -> String {
        self.scope.indexes_of("verified-resource", verification)
    }

    pub(crate) fn network_resource(
        &self,
        network: &ServiceNetworkId,
        id: &ResourceConfigurationId,
    ) -> String {
        self.scope.index("network-resource", format_args!("{network}/{id}"))
    }

    pub(crate) fn network_resources(&self, network: &ServiceNetworkId) -> String {
        self.scope.indexes_of("network-resource", network)
    }

    pub(crate) fn network_address(&self, network: &ServiceNetworkId, address: std::net::Ipv4Addr) -> String {
        self.scope.index("network-address", format_args!("{network}/{address}"))
    }

    pub(crate) fn network_own_resource(
        &self,
        network: &ServiceNetworkId,
        id: &ResourceConfigurationId,
    ) -> String {
        self.scope.index("network-own-resource", format_args!("{network}/{id}"))
    }

    pub(crate) fn network_own_resources(&self, network: &ServiceNetworkId) -> String {
        self.scope.indexes_of("network-own-resource", network)
    }

    pub(crate) fn resource_network(
        &self,
        id: &ResourceConfigurationId,
        network: &ServiceNetworkId,
    ) -> String {
        self.scope.index("resource-network", format_args!("{id}/{network}"))
    }

    pub(crate) fn resource_networks(&self, id: &ResourceConfigurationId) -> String {
        self.scope.indexes_of("resource-network", id)
    }

    pub(crate) fn far_association(&self, id: &str) -> String {
        self.scope.index("far-association", id)
    }

    /// Those of one kind, by the prefix of its ids.
    pub(crate) fn far_associations(&self, id_prefix: &str) -> String {
        self.scope.index("far-association", id_prefix)
    }

    pub(crate) fn domain(&self, domain: &str) -> String {
        self.scope.index("domain", domain.to_ascii_lowercase())
    }
}
