//! Opaque page tokens: where the last page ended, bound to what was asked.
//!
//! A token is `base64url(version, MAC, last key)`. The MAC covers the operation, the caller's scope
//! and the filters, so a token is good only for the listing it came from and cannot be made up. It
//! keeps no state on the server and does not expire.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::codec::Decoded;
use crate::exception::{Exception, Reason};
use crate::schema::{Operation, Protocol};

/// First byte of every token.
const VERSION: u8 = 1;
/// Bytes of the MAC that travel.
const MAC_LENGTH: usize = 16;
/// The longest token a client may send, as the models say.
pub const MAX_TOKEN: usize = 2048;
/// The longest key that makes a token within [`MAX_TOKEN`].
pub const MAX_KEY: usize = MAX_TOKEN / 4 * 3 - 1 - MAC_LENGTH;

/// Makes and reads page tokens. Clone it freely; it holds only the MAC key.
#[derive(Clone)]
pub struct Pager {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Pager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pager")
    }
}

/// A page that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where to go on: after this key. `None`: from the start.
    pub after: Option<String>,
    /// The page size asked for, `None` where the caller left it to us.
    pub limit: Option<usize>,
}

impl Pager {
    /// `key` should be the same in every process that serves one state; any length.
    pub fn new(key: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        Self { mac }
    }

    /// The page that `decoded` asks for. `scope` binds tokens to whose listing it is, such as
    /// account and region.
    ///
    /// # Errors
    /// The family's word for a token that is not from this listing.
    pub fn page(&self, decoded: &Decoded, scope: &str) -> Result<Page, Exception> {
        let Some(paging) = &decoded.operation.paging else { return Ok(Page { after: None, limit: None }) };
        let limit = paging
            .limit
            .as_ref()
            .and_then(|name| decoded.input.get(name))
            .and_then(Value::as_u64)
            .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        // Tagging ends its lists with an empty token, and its clients send that back to start anew.
        let token =
            decoded.input.get(&paging.input_token).and_then(Value::as_str).filter(|token| !token.is_empty());
        let after = match token {
            None => None,
            Some(token) => {
                let key = self.open(decoded.operation, scope, &decoded.input, token);
                Some(key.ok_or_else(|| invalid_token(decoded, &paging.input_token))?)
            }
        };
        Ok(Page { after, limit })
    }

    /// The token of the page after `last`, the key of the last item given out (at most [`MAX_KEY`]
    /// bytes for a token that every client can send back).
    pub fn token(&self, decoded: &Decoded, scope: &str, last: &str) -> String {
        self.seal(decoded.operation, scope, &decoded.input, last)
    }

    fn seal(&self, operation: &Operation, scope: &str, input: &Value, last: &str) -> String {
        let mut bytes = vec![VERSION];
        let mac = self.mac_over(operation, scope, input, last.as_bytes()).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..MAC_LENGTH]);
        bytes.extend_from_slice(last.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open(&self, operation: &Operation, scope: &str, input: &Value, token: &str) -> Option<String> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (&version, rest) = bytes.split_first()?;
        let (mac, last) = rest.split_at_checked(MAC_LENGTH)?;
        if version != VERSION {
            return None;
        }
        self.mac_over(operation, scope, input, last).verify_truncated_left(mac).ok()?;
        String::from_utf8(last.to_vec()).ok()
    }

    /// Every part goes in with its length, so that no two listings look alike.
    fn mac_over(&self, operation: &Operation, scope: &str, input: &Value, last: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        let mut part = |bytes: &[u8]| {
            mac.update(&(bytes.len() as u64).to_be_bytes());
            mac.update(bytes);
        };
        part(operation.name.as_bytes());
        part(scope.as_bytes());
        part(last);
        let paging = operation.paging.as_ref();
        let mut filters: Vec<(&String, &Value)> = input
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| {
                paging
                    .is_none_or(|paging| **name != paging.input_token && Some(*name) != paging.limit.as_ref())
            })
            .collect();
        filters.sort_by_key(|(name, _)| *name);
        for (name, value) in filters {
            part(name.as_bytes());
            part(value.to_string().as_bytes());
        }
        mac
    }
}

fn invalid_token(decoded: &Decoded, member: &str) -> Exception {
    let message = format!("The value of {member} is not a token of this listing.");
    match decoded.protocol {
        Protocol::RestJson => Exception::validation(
            Reason::FieldValidationFailed,
            message.clone(),
            vec![(member.to_owned(), message)],
        ),
        Protocol::Json10 | Protocol::Json11 => {
            let expired = decoded.operation.errors.iter().find(|name| name.contains("PaginationToken"));
            match expired {
                Some(name) => Exception::plain(name.clone(), 400, message),
                None => Exception::plain("InvalidNextTokenException", 400, message),
            }
        }
        Protocol::Query => Exception::plain("ValidationError", 400, message),
        Protocol::Ec2 => Exception::ec2("InvalidNextToken", 400, message),
    }
}

#[cfg(test)]
mod tests;
