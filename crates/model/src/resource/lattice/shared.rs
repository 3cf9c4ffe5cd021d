//! What of VPC Lattice can be shared with other accounts.

use serde::{Deserialize, Serialize};

use super::{Home, kind};
use crate::Arn;

/// A kind of resource that can be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Shared {
    ServiceNetwork,
    Service,
    ResourceConfiguration,
}

impl Shared {
    pub const ALL: [Self; 3] = [Self::ServiceNetwork, Self::Service, Self::ResourceConfiguration];

    /// RAM's word.
    pub const fn resource_type(self) -> &'static str {
        match self {
            Self::ServiceNetwork => "vpc-lattice:ServiceNetwork",
            Self::Service => "vpc-lattice:Service",
            Self::ResourceConfiguration => "vpc-lattice:ResourceConfiguration",
        }
    }

    /// What ARNs have before the id.
    pub const fn arn_prefix(self) -> &'static str {
        match self {
            Self::ServiceNetwork => "servicenetwork/",
            Self::Service => "service/",
            Self::ResourceConfiguration => "resourceconfiguration/",
        }
    }

    /// As record keys name it.
    pub const fn record_kind(self) -> &'static str {
        match self {
            Self::ServiceNetwork => kind::NETWORK,
            Self::Service => kind::SERVICE,
            Self::ResourceConfiguration => kind::RESOURCE_CONFIGURATION,
        }
    }

    pub fn arn(self, owner: &Home, id: &str) -> String {
        owner.lattice_arn(format_args!("{}{id}", self.arn_prefix()))
    }

    /// Kind and id of what an ARN of VPC Lattice names; `None` for what cannot be shared.
    pub fn of_arn(arn: &Arn) -> Option<(Self, &str)> {
        let named = Self::ALL
            .into_iter()
            .find_map(|kind| Some((kind, arn.resource.strip_prefix(kind.arn_prefix())?)));
        named.filter(|(_, id)| arn.partition == "aws" && arn.service == "vpc-lattice" && !id.contains('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_networks_services_and_resource_configurations_can_be_shared() {
        let of = |resource: &str| {
            let arn: Arn = format!("arn:aws:vpc-lattice:us-east-1:111122223333:{resource}").parse().unwrap();
            Shared::of_arn(&arn).map(|(kind, id)| (kind, id.to_owned()))
        };
        assert_eq!(of("servicenetwork/sn-1"), Some((Shared::ServiceNetwork, "sn-1".into())));
        assert_eq!(of("service/svc-1"), Some((Shared::Service, "svc-1".into())));
        assert_eq!(
            of("resourceconfiguration/rcfg-1"),
            Some((Shared::ResourceConfiguration, "rcfg-1".into()))
        );
        for other in ["targetgroup/tg-1", "service/svc-1/listener/listener-1", "resourcegateway/rgw-1"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
