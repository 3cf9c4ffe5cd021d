//! Credentials for a while: a key, its secret, and the token that holds the session.

use jiff::Timestamp;
use trellis_auth::{SealError, Session};
use trellis_frame::random::{BASE_32, BASE_64, Random};
use trellis_frame::{Refusal, Surroundings, token_key};
use trellis_model::AccountId;
use trellis_store::Read;

use crate::{fault, wire};

/// What the ids of sessions' keys begin with.
const PREFIX: &str = "ASIA";

/// A new key id of `account`. As in AWS's, the 40 bits after the first say which account it is of.
pub(crate) fn new_access_key_id(account: &AccountId, random: &Random) -> String {
    let account: u64 = account.as_str().parse().unwrap_or_default();
    let head = (1 << 47) | (account << 7) | (random.draw() & 0x7f);
    let bits = (u128::from(head) << 32) | u128::from(random.draw() & 0xffff_ffff);
    let character = |place: u32| char::from(BASE_32[(bits >> (75 - 5 * place)) as usize & 31]);
    PREFIX.chars().chain((0..16).map(character)).collect()
}

/// The account that made a key id of [`new_access_key_id`]'s; `None` for what is none.
pub(crate) fn account_of(access_key_id: &str) -> Option<String> {
    let text = access_key_id.strip_prefix(PREFIX).filter(|text| text.len() == 16)?;
    let head = text.bytes().take(10).try_fold(0_u64, |bits, byte| {
        let digit = BASE_32.iter().position(|known| *known == byte)?;
        Some(bits << 5 | digit as u64)
    })?;
    // 50 bits, of which 48 are the head.
    let account = (head >> 2 >> 7) & 0xff_ffff_ffff;
    (account < 1_000_000_000_000).then(|| format!("{account:012}"))
}

/// Forty characters of 64, which is 240 random bits.
pub(crate) fn new_secret(random: &Random) -> String {
    random.text(40, BASE_64)
}

/// Seals `session` into what its caller gets.
///
/// # Errors
/// More than a token has room for; a state that does not read; a system without random numbers.
pub(crate) fn seal(
    state: &mut impl Read,
    surroundings: &Surroundings,
    session: &Session,
) -> Result<wire::Credentials, Refusal> {
    let now = surroundings.clock.now();
    let keys = token_key::token_keys(state, &surroundings.vault.sealing_key(), now)?;
    let mut nonce = [0; 12];
    let (high, low) = (surroundings.random.draw(), surroundings.random.draw());
    nonce[..8].copy_from_slice(&high.to_be_bytes());
    nonce[8..].copy_from_slice(&low.to_be_bytes()[..4]);
    let token = keys.seal(session, nonce).map_err(|error| match error {
        SealError::TooLarge { .. } => fault::too_large(
            "Packed policy and tags consume more room than a session token has. Use fewer or shorter tags and policies.",
        ),
        SealError::NoKey => trellis_api::Exception::internal(error.to_string()).into(),
    })?;
    let expiration = Timestamp::from_second(session.expires_at).unwrap_or(now);
    Ok(wire::Credentials {
        access_key_id: session.access_key_id.clone(),
        secret_access_key: trellis_api::typed::Secret(session.secret_key.expose().to_owned()),
        session_token: trellis_api::typed::Secret(token.as_str().to_owned()),
        expiration: expiration.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_tells_its_account_and_nothing_else_is_one() {
        for account in ["000000000001", "111122223333", "999999999999"] {
            let id = new_access_key_id(&account.parse().unwrap(), &Random::system());
            assert!(id.len() == 20 && id.starts_with("ASIA"), "{id}");
            assert_eq!(account_of(&id).as_deref(), Some(account));
        }
        for text in ["", "ASIA", "AKIAIOSFODNN7EXAMPLE", "ASIA0000000000000000", "ASIA777777777777777é"] {
            assert_eq!(account_of(text), None, "{text}");
        }
    }
}
