//! Proof by DNS that a domain is its user's.

use serde::{Deserialize, Serialize};

use super::Home;
use crate::DomainVerificationId;
use crate::moment::Moment;

/// A domain and the TXT record that proves whose it is. It covers every name below the domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainVerification {
    pub id: DomainVerificationId,
    pub home: Home,
    /// As it was given; compare without regard to case.
    pub domain_name: String,
    /// What the record has to hold. Not a secret: it proves nothing outside the domain's zone.
    pub token: String,
    pub status: VerificationStatus,
    pub created_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_at: Option<Moment>,
}

impl DomainVerification {
    pub fn arn(&self) -> String {
        self.home.lattice_arn(format_args!("domainverification/{}", self.id))
    }

    /// Name of the TXT record, relative to the domain.
    pub fn record_name(&self) -> String {
        format!("_{}", self.token)
    }

    /// What the TXT record has to say.
    pub fn record_value(&self) -> String {
        format!("vpc-lattice:{}", self.token)
    }

    /// Whether `domain` is the domain or below it.
    pub fn covers(&self, domain: &str) -> bool {
        let (domain, own) = (domain.to_ascii_lowercase(), self.domain_name.to_ascii_lowercase());
        domain.strip_suffix(&own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// Where a verification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VerificationStatus {
    /// The record has not been seen yet.
    Pending,
    Verified,
    VerificationTimedOut,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_covers_itself_and_every_name_below_it() {
        let verification = DomainVerification {
            id: DomainVerificationId::from_random(1),
            home: Home { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() },
            domain_name: "Example.com".into(),
            token: "0f".into(),
            status: VerificationStatus::Pending,
            created_at: jiff::Timestamp::UNIX_EPOCH.into(),
            last_verified_at: None,
        };
        for (domain, expected) in [
            ("example.com", true),
            ("db.EXAMPLE.com", true),
            ("a.b.example.com", true),
            ("myexample.com", false),
            ("com", false),
            ("example.com.org", false),
        ] {
            assert_eq!(verification.covers(domain), expected, "{domain}");
        }
        assert_eq!(
            (verification.record_name(), verification.record_value()),
            ("_0f".into(), "vpc-lattice:0f".into())
        );
    }
}
