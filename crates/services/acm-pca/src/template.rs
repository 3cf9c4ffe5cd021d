//! Certificate templates: what a certificate says whatever its requester asks for.
//!
//! `arn:aws:acm-pca:::template/SubordinateCACertificate_PathLen0_APIPassthrough/V1` is a kind of certificate, a path
//! length for those of authorities, and whose wishes are heard: the request's (CSR), the call's (API), or both. Names and
//! contents are those of "Understanding certificate templates" in AWS Private CA's user guide.

use trellis_ca::facts::KeyUsage;
use trellis_ca::{Csr, Extension, extension::id};
use trellis_frame::Refusal;

/// What a template says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Template {
    kind: Kind,
    /// Whether it leaves the usages to the passthrough.
    is_blank: bool,
    path_length: Option<u8>,
    /// `CA:FALSE` is critical: `_CriticalBasicConstraints`.
    is_critical: bool,
    hears_csr: bool,
    pub(crate) hears_api: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    EndEntity,
    ServerAuth,
    ClientAuth,
    CodeSigning,
    OcspSigning,
    Root,
    Subordinate,
}

impl Template {
    /// Of [`END_ENTITY`](Self::END_ENTITY).
    pub(crate) const END_ENTITY_ARN: &str = "arn:aws:acm-pca:::template/EndEntityCertificate/V1";

    /// Of calls that name none, and of certificates for ACM.
    pub(crate) const END_ENTITY: Self = Self {
        kind: Kind::EndEntity,
        is_blank: false,
        path_length: None,
        is_critical: false,
        hears_csr: false,
        hears_api: false,
    };

    /// The template `arn` names.
    ///
    /// # Errors
    /// `InvalidArgsException` for one there is not.
    pub(crate) fn of_arn(arn: &str) -> Result<Self, Refusal> {
        let name = arn.strip_prefix("arn:aws:acm-pca:::template/").and_then(|name| name.strip_suffix("/V1"));
        name.and_then(Self::named).ok_or_else(|| {
            let message = format_args!(
                "{arn} is not a template: expected one such as arn:aws:acm-pca:::template/EndEntityCertificate/V1"
            );
            Refusal::invalid("TemplateArn", message)
        })
    }

    fn named(name: &str) -> Option<Self> {
        let (name, (hears_csr, hears_api)) = [
            ("_APICSRPassthrough", (true, true)),
            ("_APIPassthrough", (false, true)),
            ("_CSRPassthrough", (true, false)),
        ]
        .into_iter()
        .find_map(|(suffix, heard)| Some((name.strip_suffix(suffix)?, heard)))
        .unwrap_or((name, (false, false)));
        let (name, is_critical) = match name.strip_suffix("_CriticalBasicConstraints") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (name, path_length) = match name.split_once("_PathLen") {
            Some((name, length @ ("0" | "1" | "2" | "3"))) => (name, length.parse().ok()),
            Some(_) => return None,
            None => (name, None),
        };
        let (is_blank, name) = match name.strip_prefix("Blank") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let kind = match name {
            "EndEntityCertificate" => Kind::EndEntity,
            "EndEntityServerAuthCertificate" => Kind::ServerAuth,
            "EndEntityClientAuthCertificate" => Kind::ClientAuth,
            "CodeSigningCertificate" => Kind::CodeSigning,
            "OCSPSigningCertificate" => Kind::OcspSigning,
            "RootCACertificate" => Kind::Root,
            "SubordinateCACertificate" => Kind::Subordinate,
            _ => return None,
        };
        let is_there = match kind {
            Kind::Root => !hears_csr && !is_critical && (is_blank || path_length.is_none()),
            Kind::Subordinate => path_length.is_some() && !is_critical,
            Kind::EndEntity => path_length.is_none() && (is_blank || !is_critical),
            _ => path_length.is_none() && !is_critical && !is_blank,
        };
        let hears = hears_csr || hears_api;
        (is_there && (hears || !is_blank)).then_some(Self {
            kind,
            is_blank,
            path_length,
            is_critical,
            hears_csr,
            hears_api,
        })
    }

    /// Whether it is for an authority to sign itself with.
    pub(crate) fn is_root(&self) -> bool {
        self.kind == Kind::Root
    }

    /// The path length of the authority it makes; `None` for certificates of no authority.
    pub(crate) fn authority(&self) -> Option<Option<u8>> {
        matches!(self.kind, Kind::Root | Kind::Subordinate).then_some(self.path_length)
    }

    /// The extensions it says by itself.
    fn own(&self) -> Vec<Extension> {
        use KeyUsage::{CertificateSigning, CrlSigning, DigitalSignature, KeyEncipherment};
        let mut extensions = Vec::new();
        let authority = self.authority();
        extensions.push(Extension::basic_constraints(authority, authority.is_some() || self.is_critical));
        if self.is_blank {
            return extensions;
        }
        let (usages, extended, is_critical): (&[KeyUsage], &[&str], bool) = match self.kind {
            Kind::EndEntity => (&[DigitalSignature, KeyEncipherment], &[SERVER_AUTH, CLIENT_AUTH], false),
            Kind::ServerAuth => (&[DigitalSignature, KeyEncipherment], &[SERVER_AUTH], false),
            Kind::ClientAuth => (&[DigitalSignature, KeyEncipherment], &[CLIENT_AUTH], false),
            Kind::CodeSigning => (&[DigitalSignature], &["1.3.6.1.5.5.7.3.3"], true),
            Kind::OcspSigning => (&[DigitalSignature], &["1.3.6.1.5.5.7.3.9"], true),
            Kind::Root | Kind::Subordinate => {
                (&[DigitalSignature, CertificateSigning, CrlSigning], &[], false)
            }
        };
        extensions.push(Extension::key_usage(usages, true));
        if !extended.is_empty() {
            let usage = Extension::extended_key_usage(extended.iter().copied(), is_critical);
            extensions.push(usage.expect("constants"));
        }
        extensions
    }

    /// The extensions of one certificate: the template's word comes first, then the authority's, then the call's, then
    /// the request's. Nothing a requester says makes an authority of a certificate that is none.
    pub(crate) fn extensions(
        &self,
        csr: &Csr,
        authoritys: Vec<Extension>,
        calls: Vec<Extension>,
    ) -> Vec<Extension> {
        let names = csr.extension(id::SUBJECT_ALTERNATIVE_NAME).cloned();
        let requested = match self.hears_csr {
            true => csr.extensions.clone(),
            false => Vec::new(),
        };
        let mut extensions = self.own();
        extensions.extend(authoritys);
        let wished = calls.into_iter().chain(names).chain(requested);
        for extension in wished.filter(|extension| !NEVER_REQUESTED.contains(&extension.oid.as_str())) {
            if !extensions.iter().any(|other| other.oid == extension.oid) {
                extensions.push(extension);
            }
        }
        extensions
    }
}

/// What a requester cannot say, even where template and authority say nothing.
const NEVER_REQUESTED: &[&str] = &[
    id::BASIC_CONSTRAINTS,
    id::SUBJECT_KEY_IDENTIFIER,
    id::AUTHORITY_KEY_IDENTIFIER,
    id::CRL_DISTRIBUTION_POINTS,
    id::AUTHORITY_INFORMATION_ACCESS,
];

const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_of_the_user_guide_are_there_and_no_others() {
        let mut there = vec!["RootCACertificate".to_owned(), "RootCACertificate_APIPassthrough".to_owned()];
        let passthroughs = ["_APIPassthrough", "_CSRPassthrough", "_APICSRPassthrough"];
        for kind in ["CodeSigning", "EndEntity", "EndEntityClientAuth", "EndEntityServerAuth", "OCSPSigning"]
        {
            there.push(format!("{kind}Certificate"));
            there.extend(passthroughs.map(|heard| format!("{kind}Certificate{heard}")));
        }
        for length in 0..4 {
            let base = format!("SubordinateCACertificate_PathLen{length}");
            there.extend(passthroughs.map(|heard| format!("{base}{heard}")));
            there.extend(passthroughs.map(|heard| format!("Blank{base}{heard}")));
            there.push(base);
            there.push(format!("BlankRootCACertificate_PathLen{length}_APIPassthrough"));
        }
        there.push("BlankRootCACertificate_APIPassthrough".to_owned());
        for heard in passthroughs {
            there.push(format!("BlankEndEntityCertificate{heard}"));
            there.push(format!("BlankEndEntityCertificate_CriticalBasicConstraints{heard}"));
        }
        for name in &there {
            assert!(Template::of_arn(&format!("arn:aws:acm-pca:::template/{name}/V1")).is_ok(), "{name}");
        }
        for name in [
            "",
            "BlankEndEntityCertificate",
            "RootCACertificate_CSRPassthrough",
            "RootCACertificate_PathLen0",
            "SubordinateCACertificate",
            "SubordinateCACertificate_PathLen4",
            "BlankCodeSigningCertificate_APIPassthrough",
            "EndEntityCertificate_CriticalBasicConstraints",
            "EndEntityCertificate_PathLen0",
        ] {
            assert!(Template::of_arn(&format!("arn:aws:acm-pca:::template/{name}/V1")).is_err(), "{name}");
        }
        assert!(Template::of_arn("EndEntityCertificate/V1").is_err());
        assert!(Template::of_arn("arn:aws:acm-pca:::template/EndEntityCertificate/V2").is_err());
    }
}
