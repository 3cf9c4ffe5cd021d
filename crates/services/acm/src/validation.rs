//! Proof of a domain by DNS: a CNAME that only who keeps the domain's zone can put there.
//!
//! A certificate without a private CA is issued by this installation's own authority, which every host here trusts: it
//! waits until each of its domains has its record in a zone of the account in Route 53 here, for 72 hours at most.

use serde_json::{Value, json};
use trellis_frame::{Refusal, Surroundings};
use trellis_model::AccountId;
use trellis_model::resource::lattice::Home;
use trellis_store::Read;

use crate::request::Requested;

/// The record that proves a domain: the same for every request of an account, as on AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Without the last dot, as is the value.
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Names that differ by a wildcard alone are proved alike.
pub(crate) fn domain(host: &str) -> &str {
    host.strip_prefix("*.").unwrap_or(host)
}

pub(crate) fn record(account: &AccountId, host: &str) -> Record {
    let domain = domain(host);
    let text = |purpose: &str, length: usize| {
        let digest = trellis_ca::sha256(format!("{purpose} {account} {domain}").as_bytes());
        digest
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .take(length)
            .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
            .collect::<String>()
    };
    Record {
        name: format!("_{}.{domain}", text("name", 32)),
        value: format!("_{}.{}.acm-validations.aws", text("value", 32), text("place", 10)),
    }
}

/// Whether the account's zones prove `host`.
fn is_proved(
    state: &mut dyn Read,
    surroundings: &Surroundings,
    account: &AccountId,
    host: &str,
) -> Result<bool, Refusal> {
    let Some(zones) = surroundings.services.hooks().zones else { return Ok(false) };
    let Record { name, value } = record(account, host);
    Ok(zones.cname(state, account, &name)?.is_some_and(|found| found == value))
}

/// Whether every name of a request is proved.
///
/// # Errors
/// A state that cannot be read.
pub(crate) fn are_proved(
    state: &mut dyn Read,
    surroundings: &Surroundings,
    home: &Home,
    requested: &Requested,
) -> Result<bool, Refusal> {
    for name in &requested.names {
        if !is_proved(state, surroundings, &home.account, name)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `DomainValidationOptions`: each name with its record, and how it stands.
///
/// # Errors
/// A state that cannot be read.
pub(crate) fn described(
    state: &mut dyn Read,
    surroundings: &Surroundings,
    home: &Home,
    requested: &Requested,
) -> Result<Value, Refusal> {
    let mut options = Vec::new();
    for name in &requested.names {
        let is_proved = requested.issued_at.is_some() || is_proved(state, surroundings, &home.account, name)?;
        let status = match (is_proved, &requested.failure) {
            (true, _) => "SUCCESS",
            (false, Some(_)) => "FAILED",
            (false, None) => "PENDING_VALIDATION",
        };
        let Record { name: record, value } = record(&home.account, name);
        options.push(json!({
            "DomainName": name,
            "ValidationDomain": name,
            "ValidationStatus": status,
            "ResourceRecord": {"Name": format!("{record}."), "Type": "CNAME", "Value": format!("{value}.")},
            "ValidationMethod": "DNS",
        }));
    }
    Ok(Value::Array(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_proved_by_the_record_of_its_domain_and_accounts_have_their_own() {
        let [one, other]: [AccountId; 2] = ["111122223333", "444455556666"].map(|id| id.parse().unwrap());
        let found = record(&one, "*.example.com");
        assert_eq!(found, record(&one, "example.com"));
        assert_ne!(found, record(&other, "example.com"));
        assert_ne!(found, record(&one, "example.org"));
        assert!(
            found.name.ends_with(".example.com") && found.name.len() == 34 + "example.com".len(),
            "{}",
            found.name
        );
        assert!(found.value.ends_with(".acm-validations.aws"));
    }
}
