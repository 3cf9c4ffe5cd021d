//! Policy documents: what is refused when they are put, and how answers carry them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use trellis_frame::{Quota, Quotas, Refusal};
use trellis_policy::{Policy, PolicyKind};

use crate::fault;

/// Characters of a role's trust policy.
pub(crate) const TRUST_POLICY: Quota = Quota::new("iam", "L-C07B4B0D", 2048, "ACLSizePerRole");

/// Characters of a version of a managed policy, white space not counted.
pub(crate) const MANAGED: usize = 6144;

/// What RFC 3986 leaves as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// As answers have it: every reserved character percent-encoded.
pub(crate) fn encoded(document: &str) -> String {
    utf8_percent_encode(document, RESERVED).to_string()
}

/// Characters that count against a limit.
pub(crate) fn size(document: &str) -> usize {
    document.chars().filter(|character| !character.is_whitespace()).count()
}

/// # Errors
/// What the engine does not take, with the statement and the reason.
pub(crate) fn check(document: &str, kind: PolicyKind) -> Result<(), Refusal> {
    Policy::parse(document, kind).map(drop).map_err(fault::malformed_policy)
}

/// The same of a managed policy, which has a size.
pub(crate) fn check_managed(document: &str) -> Result<(), Refusal> {
    check(document, PolicyKind::Identity)?;
    let found = size(document);
    if found > MANAGED {
        return Err(fault::too_large(format_args!("Cannot exceed quota for PolicySize: {MANAGED}")));
    }
    Ok(())
}

/// The same of a trust policy.
pub(crate) fn check_trust(document: &str, quotas: &Quotas) -> Result<(), Refusal> {
    check(document, PolicyKind::Trust)?;
    let limit = quotas.limit(&TRUST_POLICY);
    if document.chars().count() as u64 > limit {
        return Err(fault::too_large(format_args!("Cannot exceed quota for ACLSizePerRole: {limit}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_encoded_so_that_nothing_reserved_is_left() {
        assert_eq!(encoded(r#"{"A": "a-b_c.d~e/*"}"#), "%7B%22A%22%3A%20%22a-b_c.d~e%2F%2A%22%7D");
    }

    #[test]
    fn white_space_does_not_count() {
        assert_eq!(size("{ \"a\" :\n\t1 }"), 7);
    }
}
