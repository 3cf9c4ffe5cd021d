//! Which resources have a private DNS name in a client's VPC.
//!
//! The consumer decides: on the VPC association, for which domains, and on the resource association, whether at all.
//! "Needs VPC enableDnsSupport and enableDnsHostnames."

use trellis_model::resource::lattice::{
    DnsResolution, PrivateDnsPreference, ResourceAssociation, ResourceConfiguration, ResourceDefinition,
    ResourceGateway, VerificationStatus, VpcAssociation,
};

use super::Records;

impl Records {
    /// The name of a database, whatever the associations say: "PHZ for the RDS name regardless of SNVA/SNE settings;
    /// skipped when RGW is in the consumer's own VPC".
    pub(super) fn database_name(
        &self,
        client: &VpcAssociation,
        resource: &ResourceConfiguration,
        gateway: &ResourceGateway,
    ) -> Option<String> {
        let is_answered = self.has_names(client) && gateway.vpc != client.vpc;
        resource.database().filter(|_| is_answered).map(|database| database.domain_name())
    }

    fn has_names(&self, client: &VpcAssociation) -> bool {
        self.named_vpcs.get(&client.vpc).copied().unwrap_or(false)
    }

    /// The private name of the resource in the VPC that `client` associates, in lower case.
    pub(super) fn private_name(
        &self,
        client: &VpcAssociation,
        association: &ResourceAssociation,
        resource: &ResourceConfiguration,
        gateway: &ResourceGateway,
    ) -> Option<String> {
        if !client.private_dns_enabled || !association.private_dns_enabled || !self.has_names(client) {
            return None;
        }
        let name = resource.custom_domain_name.as_ref()?.to_ascii_lowercase();
        let group = resource.group.as_ref().and_then(|group| self.configurations.get(group));
        let group_domain =
            group.and_then(|group| group.group_domain.as_ref()).map(|domain| domain.to_ascii_lowercase());
        // "Children must use subdomains of the group's domain."
        if group_domain.as_ref().is_some_and(|domain| !is_below(&name, domain)) {
            return None;
        }
        // Within one VPC whose resolver knows the resource's own name, that name is not to be shadowed.
        if let Some(ResourceDefinition::Dns { domain, .. }) = &resource.definition
            && gateway.vpc == client.vpc
            && gateway.dns_resolution == DnsResolution::InVpc
        {
            let domain = domain.to_ascii_lowercase();
            let shadows = |own: &str| domain == own || is_below(&domain, own);
            if shadows(&name) || group_domain.as_deref().is_some_and(shadows) {
                return None;
            }
        }
        let options = client.dns_options.as_ref();
        let is_verified = || self.is_verified(resource) || group.is_some_and(|group| self.is_verified(group));
        let is_specified = || {
            let domains = options.and_then(|options| options.private_dns_specified_domains.as_ref());
            domains.into_iter().flatten().any(|domain| matches(&name, &domain.to_ascii_lowercase()))
        };
        let preference = options.and_then(|options| options.private_dns_preference).unwrap_or_default();
        let is_wanted = match preference {
            PrivateDnsPreference::VerifiedDomainsOnly => is_verified(),
            PrivateDnsPreference::AllDomains => true,
            PrivateDnsPreference::VerifiedDomainsAndSpecifiedDomains => is_verified() || is_specified(),
            PrivateDnsPreference::SpecifiedDomainsOnly => is_specified(),
        };
        is_wanted.then_some(name)
    }

    /// "Removing a verification does not break existing associations": one that is gone was VERIFIED, as deleting any
    /// other takes it out of the configurations that name it.
    fn is_verified(&self, resource: &ResourceConfiguration) -> bool {
        let Some(id) = &resource.domain_verification else { return false };
        self.verifications
            .get(id)
            .is_none_or(|verification| verification.status == VerificationStatus::Verified)
    }
}

/// Whether `name` is below `domain`. Both in lower case.
fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether `specified`, a name or `*.` and a domain, means `name`.
fn matches(name: &str, specified: &str) -> bool {
    match specified.strip_prefix("*.") {
        Some(domain) => is_below(name, domain),
        None => name == specified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_means_every_name_below_its_domain() {
        for (name, specified, expected) in [
            ("db.example.com", "db.example.com", true),
            ("db.example.com", "*.example.com", true),
            ("a.db.example.com", "*.example.com", true),
            ("example.com", "*.example.com", false),
            ("dbexample.com", "*.example.com", false),
            ("db.example.com", "example.com", false),
        ] {
            assert_eq!(matches(name, specified), expected, "{name} {specified}");
        }
    }
}
