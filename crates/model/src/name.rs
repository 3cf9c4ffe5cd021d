//! Names of VPC Lattice resources, and the DNS names and constants made from them.
//!
//! The shape of a name is checked with the API description; what is kept here is what the
//! description cannot say: what a generated domain name looks like, and which domains can be custom.

use crate::id::{Region, ResourceAssociationId, ResourceConfigurationId, ServiceId};

/// The partition id in generated names: "`7d67968` was the same in every region seen".
pub const PARTITION_ID: &str = "7d67968";

/// The hosted zone id answered with every generated service name. AWS has one per region for
/// Route 53 alias records; here it names no zone and is the same everywhere.
pub const SERVICE_HOSTED_ZONE_ID: &str = "Z09127221KTH2CFUOHIZH";

/// The generated domain name of a service, lower case:
/// `{name}-{id suffix}.{partition id}.vpc-lattice-svcs.{region}.on.aws`.
pub fn service_domain_name(name: &str, id: &ServiceId, region: &Region) -> String {
    format!("{name}-{}.{PARTITION_ID}.vpc-lattice-svcs.{region}.on.aws", id.suffix())
}

/// What stands in generated names of resources where [`PARTITION_ID`] stands in those of services.
pub const RESOURCE_PARTITION_ID: &str = "4232ccc";

/// The hosted zone id answered with every generated name of a resource: as [`SERVICE_HOSTED_ZONE_ID`].
pub const RESOURCE_HOSTED_ZONE_ID: &str = "Z08285483B41F6ASEM5U1";

/// The generated domain name of a resource in a service network:
/// `{association id}.{resource configuration id}.{partition id}.vpc-lattice-rsc.{region}.on.aws`.
pub fn resource_domain_name(
    association: &ResourceAssociationId,
    resource: &ResourceConfigurationId,
    region: &Region,
) -> String {
    format!("{association}.{resource}.{RESOURCE_PARTITION_ID}.vpc-lattice-rsc.{region}.on.aws")
}

/// Whether `domain` may be a custom domain name: labels of letters, digits, `-` and `_`, 1 to 63
/// long, 3 to 255 in all, without a final dot. Not an address, which no certificate and no SNI has and which a last
/// label of digits alone would be read as, nor a wildcard, which no client asks for by its name.
pub fn is_domain_name(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (3..=255).contains(&domain.len())
        && domain.contains('.')
        && domain.split('.').all(label)
        && !domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_name_carries_the_service_name_and_the_id_without_its_prefix() {
        let id: ServiceId = "svc-071ee12b9279df069".parse().unwrap();
        let region: Region = "us-east-1".parse().unwrap();
        assert_eq!(
            service_domain_name("backend", &id, &region),
            "backend-071ee12b9279df069.7d67968.vpc-lattice-svcs.us-east-1.on.aws"
        );
    }

    #[test]
    fn custom_domains_are_host_names() {
        for (domain, expected) in [
            ("cart.example.com", true),
            ("*.example.com", false),
            ("10.0.1.10", false),
            ("cart.example.42", false),
            ("42.example.com", true),
            ("Cart.Example.com", true),
            ("localhost", false),
            ("cart..example.com", false),
            ("-cart.example.com", false),
            ("cart.example.com.", false),
            ("c/art.example.com", false),
            ("a.*.com", false),
        ] {
            assert_eq!(is_domain_name(domain), expected, "{domain}");
        }
    }
}
