//! The services that are described, and where each is found.

use std::sync::LazyLock;

pub use trellis_idl::schema::*;

/// A set of described services.
#[derive(Debug)]
pub struct Schema {
    services: Vec<&'static Service>,
}

/// Name and text of every description in this crate.
pub(crate) const DESCRIPTIONS: [(&str, &str); 6] = [
    ("vpc-lattice.idl", include_str!("../../services/lattice/vpc-lattice.idl")),
    ("ec2.idl", include_str!("../../services/ec2/ec2.idl")),
    ("sts.idl", include_str!("../../services/sts/sts.idl")),
    ("tagging.idl", include_str!("../../services/tagging/tagging.idl")),
    ("ram.idl", include_str!("../../services/ram/ram.idl")),
    ("acm.idl", include_str!("../../services/acm/acm.idl")),
];

impl Schema {
    /// These services.
    pub fn new(services: Vec<&'static Service>) -> Self {
        Self { services }
    }

    /// The descriptions of this crate, parsed at the first call (a few milliseconds).
    pub fn all() -> &'static Self {
        static ALL: LazyLock<Schema> = LazyLock::new(|| {
            let services = DESCRIPTIONS.iter().map(|(file, text)| match trellis_idl::parse(text) {
                Ok(service) => &*Box::leak(Box::new(service)),
                // The text is part of the program; a test parses every file.
                Err(mistake) => panic!("{file}: {mistake}"),
            });
            Schema::new(services.collect())
        });
        &ALL
    }

    /// Every service, in the order it was given.
    pub fn services(&self) -> &[&'static Service] {
        &self.services
    }

    /// The service whose signatures name `name` in their scope, e.g. `vpc-lattice` or `tagging`.
    pub fn by_signing_name(&self, name: &str) -> Option<&'static Service> {
        self.find(|service| service.signing_name == name)
    }

    /// The service whose `X-Amz-Target` begins with `prefix`.
    pub fn by_target_prefix(&self, prefix: &str) -> Option<&'static Service> {
        self.find(|service| service.target_prefix.as_deref() == Some(prefix))
    }

    /// The service reached at `<prefix>.<region>.amazonaws.com`.
    pub fn by_endpoint_prefix(&self, prefix: &str) -> Option<&'static Service> {
        self.find(|service| service.endpoint_prefix == prefix)
    }

    /// The service with an operation of this name that needs no signature.
    pub fn by_unsigned_operation(&self, name: &str) -> Option<&'static Service> {
        self.find(|service| service.operation(name).is_some_and(|operation| operation.unsigned))
    }

    fn find(&self, is_meant: impl Fn(&Service) -> bool) -> Option<&'static Service> {
        self.services.iter().copied().find(|service| is_meant(service))
    }
}

#[cfg(test)]
mod tests;
