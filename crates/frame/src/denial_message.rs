//! What EC2 adds to a denial: its circumstances, sealed, for whoever may decode them.
//!
//! "The message is encoded because the details of the authorization status can contain privileged information."

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use trellis_api::AuthFailure;

use crate::authorise::Denial;
use crate::caller::Caller;
use crate::vault::Vault;

/// What it is sealed for, in place of a record.
const PURPOSE: &str = "authorization-message";

/// The longest text that is decoded.
const LONGEST: usize = 10_240;

/// "You are not authorized to perform this operation. ... Encoded authorization failure message: ...".
pub(crate) fn of_ec2(denial: &Denial, caller: &Caller, vault: &Vault) -> String {
    let message = format!("{} {}", AuthFailure::AccessDenied.message(), denial.sentence);
    let circumstances = json!({
        "allowed": false,
        "explicitDeny": denial.is_explicit,
        "matchedStatements": {"items": []},
        "failures": {"items": []},
        "context": {
            "principal": {"id": caller.principal.user_id(), "arn": caller.arn},
            "action": denial.action,
            "resource": denial.resource.chars().take(2048).collect::<String>(),
            "conditions": {"items": []},
        },
    });
    match vault.sealing_key().seal(PURPOSE, circumstances.to_string().as_bytes()) {
        Ok(sealed) => format!("{message}. Encoded authorization failure message: {}", BASE64.encode(sealed)),
        // The denial stands without it.
        Err(_) => message,
    }
}

/// What a message says, and the account of the caller it was for; `None` for what was not made here.
pub fn decode(text: &str, vault: &Vault) -> Option<(String, String)> {
    if text.len() > LONGEST {
        return None;
    }
    let opened = vault.sealing_key().open(PURPOSE, &BASE64.decode(text).ok()?).ok()?;
    let said = std::str::from_utf8(&opened).ok()?.to_owned();
    let circumstances: Value = serde_json::from_str(&said).ok()?;
    let arn = circumstances["context"]["principal"]["arn"].as_str()?;
    Some((arn.split(':').nth(4)?.to_owned(), said))
}
