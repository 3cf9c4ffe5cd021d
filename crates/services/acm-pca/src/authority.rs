//! A certificate authority as it is kept.

pub(crate) mod create;
pub(crate) mod describe;
pub(crate) mod import;
pub(crate) mod lifecycle;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trellis_api::Exception;
use trellis_api::typed::FromValue;
use trellis_ca::{DistinguishedName, Facts, PrivateKey, SealingKey, SignatureAlgorithm};
use trellis_frame::random::is_uuid;
use trellis_frame::vault::VaultFault;
use trellis_frame::{Kind, Records, Refusal};
use trellis_model::Arn;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Transaction};

use crate::{refuse, wire};

pub(crate) const KIND: &str = "authority";
pub(crate) const AUTHORITIES: Records<Authority> = Records::new("acm-pca", KIND);
const KEYS: Records<Value> = Records::new("acm-pca", "key");
const NOUN: Kind = Kind::new("CertificateAuthority", "CERTIFICATE_AUTHORITY");

/// Everything of an authority but its private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Authority {
    /// A UUID.
    pub(crate) id: String,
    pub(crate) home: Home,
    pub(crate) is_root: bool,
    pub(crate) status: Status,
    /// `CertificateAuthorityConfiguration`, as it was given.
    pub(crate) configuration: Value,
    /// `RevocationConfiguration`, as it was given last.
    pub(crate) revocation: Option<Value>,
    /// Certificates of at most seven days, which nobody revokes.
    pub(crate) is_short_lived: bool,
    pub(crate) key_storage: String,
    pub(crate) created_at: Moment,
    pub(crate) changed_at: Moment,
    /// PEM, once the key is made.
    pub(crate) csr: Option<String>,
    pub(crate) installed: Option<Installed>,
    pub(crate) deleted: Option<Deleted>,
}

/// The authority's own certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installed {
    pub(crate) certificate: String,
    /// Those of its issuers; a root has none.
    pub(crate) chain: Option<String>,
    pub(crate) facts: Facts,
    pub(crate) path_length: Option<u8>,
}

/// What is remembered of an authority that may still be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deleted {
    pub(crate) status_before: Status,
    pub(crate) restorable_until: Moment,
}

/// As kept: `EXPIRED` is a matter of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Status {
    Creating,
    PendingCertificate,
    Active,
    Disabled,
    Deleted,
    Failed,
}

impl Authority {
    pub(crate) fn arn(&self) -> String {
        Arn::new(
            "acm-pca",
            &self.home.region,
            &self.home.account,
            format_args!("certificate-authority/{}", self.id),
        )
        .to_string()
    }

    /// The authority that `text` names.
    ///
    /// # Errors
    /// `InvalidArnException` for what is no authority's ARN, `ResourceNotFoundException` for one that is not there, not
    /// in this region or not the caller's.
    pub(crate) fn find(state: &mut impl Read, home: &Home, text: &str) -> Result<Self, Refusal> {
        let (arn, id) = named(text)?;
        let is_here = arn.partition == "aws"
            && arn.region == home.region.as_str()
            && arn.account == home.account.as_str();
        let found = if is_here { AUTHORITIES.get(state, home, &id)? } else { None };
        found.ok_or_else(|| {
            refuse("ResourceNotFoundException", format_args!("Could not find certificate authority {text}."))
        })
    }

    /// As [`find`](Self::find), but for one that is deleted.
    ///
    /// # Errors
    /// `InvalidStateException` as well.
    pub(crate) fn find_live(state: &mut impl Read, home: &Home, text: &str) -> Result<Self, Refusal> {
        Self::find(state, home, text)?.live()
    }

    /// Itself, unless it is deleted.
    ///
    /// # Errors
    /// `InvalidStateException`.
    pub(crate) fn live(self) -> Result<Self, Refusal> {
        match self.status {
            Status::Deleted => Err(self.wrong_state("is DELETED: restore it first")),
            _ => Ok(self),
        }
    }

    pub(crate) fn is_expired(&self, now: Moment) -> bool {
        self.installed.as_ref().is_some_and(|installed| now > installed.facts.not_after)
    }

    pub(crate) fn wire_status(&self, now: Moment) -> wire::CertificateAuthorityStatus {
        use wire::CertificateAuthorityStatus as Wire;
        match self.status {
            Status::Creating => Wire::Creating,
            Status::PendingCertificate => Wire::PendingCertificate,
            Status::Active | Status::Disabled if self.is_expired(now) => Wire::Expired,
            Status::Active => Wire::Active,
            Status::Disabled => Wire::Disabled,
            Status::Deleted => Wire::Deleted,
            Status::Failed => Wire::Failed,
        }
    }

    /// The refusal for something its status does not allow; `what` goes on after its ARN.
    pub(crate) fn wrong_state(&self, what: &str) -> Refusal {
        Refusal::conflict(&NOUN, &self.id, format_args!("The certificate authority {} {what}.", self.arn()))
    }

    /// As it was given; it read when it was.
    pub(crate) fn configuration(&self) -> Result<wire::CertificateAuthorityConfiguration, Refusal> {
        read(&self.configuration)
    }

    pub(crate) fn revocation(&self) -> Result<wire::RevocationConfiguration, Refusal> {
        self.revocation.as_ref().map_or(Ok(wire::RevocationConfiguration::default()), read)
    }

    /// What it signs CRLs and OCSP answers with, and its request with.
    pub(crate) fn signature_algorithm(&self) -> Result<SignatureAlgorithm, Refusal> {
        signature_algorithm(self.configuration()?.signing_algorithm)
    }

    /// Its name, as its certificates say it.
    pub(crate) fn name(&self) -> Option<DistinguishedName> {
        let installed = self.installed.as_ref()?;
        DistinguishedName::of_subject(
            &trellis_ca::certificates_of_pem(installed.certificate.as_bytes()).ok()?.pop()?,
        )
    }

    /// Where its private key is kept.
    pub(crate) fn key_record(&self) -> String {
        KEYS.key(&self.home, &self.id)
    }

    /// Opens its private key.
    ///
    /// # Errors
    /// A key that is not there or does not open: ours.
    pub(crate) fn open_key(&self, sealed: &[u8], sealing_key: &SealingKey) -> Result<PrivateKey, Refusal> {
        let record = self.key_record();
        let pem = sealing_key
            .open(&record, sealed)
            .map_err(|source| VaultFault::Seal { record: record.clone(), source })?;
        PrivateKey::from_pem(&pem).map_err(|fault| {
            tracing::error!(authority = self.id, %fault, "the private key of an authority does not read");
            Exception::internal("the private key of the authority does not read").into()
        })
    }

    /// Its private key as it is kept.
    pub(crate) fn sealed_key(&self, state: &mut impl Read) -> Result<Vec<u8>, Refusal> {
        Ok(state.get(&self.key_record())?.map(|entry| entry.value).unwrap_or_default())
    }

    pub(crate) fn put(&self, tx: &mut Transaction<'_>) -> Result<(), Refusal> {
        AUTHORITIES.put(tx, &self.home, &self.id, self)
    }
}

fn read<T: FromValue>(value: &Value) -> Result<T, Refusal> {
    T::from_value(value.clone()).map_err(|mismatch| Exception::from(mismatch).into())
}

/// The ARN of an authority, whoever's, and the authority's id.
///
/// # Errors
/// `InvalidArnException` for what is none.
pub(crate) fn named(text: &str) -> Result<(Arn, String), Refusal> {
    let malformed = || {
        let shown: String = text.chars().take(200).collect();
        refuse("InvalidArnException", format_args!("{shown} is not the ARN of a certificate authority"))
    };
    let arn: Arn = text.parse().map_err(|_| malformed())?;
    let id = arn.resource.strip_prefix("certificate-authority/").filter(|id| is_uuid(id));
    let id = id.filter(|_| arn.service == "acm-pca").ok_or_else(malformed)?.to_owned();
    Ok((arn, id))
}

/// Refuses an ARN of `home` that names no authority.
pub(crate) fn locate(mut state: &mut dyn Read, home: &Home, arn: &Arn) -> Result<(), Refusal> {
    Authority::find_live(&mut state, home, &arn.to_string()).map(drop)
}

/// The algorithm of that name in AWS Private CA.
///
/// # Errors
/// `InvalidArgsException` for those that no client here could verify.
pub(crate) fn signature_algorithm(named: wire::SigningAlgorithm) -> Result<SignatureAlgorithm, Refusal> {
    use wire::SigningAlgorithm as Wire;
    match named {
        Wire::Sha256withecdsa => Ok(SignatureAlgorithm::Sha256Ecdsa),
        Wire::Sha384withecdsa => Ok(SignatureAlgorithm::Sha384Ecdsa),
        Wire::Sha512withecdsa => Ok(SignatureAlgorithm::Sha512Ecdsa),
        Wire::Sha256withrsa => Ok(SignatureAlgorithm::Sha256Rsa),
        Wire::Sha384withrsa => Ok(SignatureAlgorithm::Sha384Rsa),
        Wire::Sha512withrsa => Ok(SignatureAlgorithm::Sha512Rsa),
        Wire::Sha256withrsaPss => Ok(SignatureAlgorithm::Sha256RsaPss),
        Wire::Sha384withrsaPss => Ok(SignatureAlgorithm::Sha384RsaPss),
        Wire::Sha512withrsaPss => Ok(SignatureAlgorithm::Sha512RsaPss),
        Wire::Sm3withsm2 | Wire::MlDsa44 | Wire::MlDsa65 | Wire::MlDsa87 => Err(Refusal::invalid(
            "SigningAlgorithm",
            "SM3WITHSM2 and ML-DSA are not served here: expected RSA or ECDSA over SHA-256, SHA-384 or SHA-512",
        )),
    }
}
