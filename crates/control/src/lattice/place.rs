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
//! vpc-target-group/{vpc}/{tg}                 the group's targets are in the VPC
//! access-log/{sn or svc}/{stream}/{sink}      -> als id: one subscription for each kind of destination
//! ```

use trellis_model::resource::lattice::Home;
use trellis_model::{
    AccessLogSubscriptionId, ListenerId, RuleId, ServiceAssociationId, ServiceId, ServiceNetworkId,
    TargetGroupId, VpcAssociationId, VpcId,
};

use crate::keys::Scope;

/// Kinds of unfinished work, as pending keys name them.
pub(crate) mod pending {
    pub(crate) const SERVICE: &str = "service";
    pub(crate) const TARGET_GROUP: &str = "target-group";
    pub(crate) const TARGET: &str = "target";
    pub(crate) const VPC_ASSOCIATION: &str = "vpc-association";
    pub(crate) const SERVICE_ASSOCIATION: &str = "service-association";
}

/// Kinds of records, as record keys name them.
pub(crate) mod kind {
    pub(crate) const NETWORK: &str = "service-network";
    pub(crate) const SERVICE: &str = "service";
    pub(crate) const LISTENER: &str = "listener";
    pub(crate) const RULE: &str = "rule";
    pub(crate) const TARGET_GROUP: &str = "target-group";
    pub(crate) const TARGET: &str = "target";
    pub(crate) const VPC_ASSOCIATION: &str = "vpc-association";
    pub(crate) const SERVICE_ASSOCIATION: &str = "service-association";
    pub(crate) const AUTH_POLICY: &str = "auth-policy";
    pub(crate) const ACCESS_LOG: &str = "access-log";
}

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
        let scope = Scope::lattice(&home);
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

    pub(crate) fn vpc_association(&self, id: &VpcAssociationId) -> String {
        self.scope.record(kind::VPC_ASSOCIATION, id)
    }

    pub(crate) fn service_association(&self, id: &ServiceAssociationId) -> String {
        self.scope.record(kind::SERVICE_ASSOCIATION, id)
    }

    /// The policy of a service or a service network.
    pub(crate) fn auth_policy(&self, id: &str) -> String {
        self.scope.record(kind::AUTH_POLICY, id)
    }

    pub(crate) fn access_log(&self, id: &AccessLogSubscriptionId) -> String {
        self.scope.record(kind::ACCESS_LOG, id)
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

    pub(crate) fn vpc_target_groups(&self, vpc: &VpcId) -> String {
        self.scope.indexes_of("vpc-target-group", vpc)
    }
}
