//! Any text as a session token: opening it must not panic, nothing opens that was not sealed here, and
//! what was sealed opens, unless it was changed.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use trellis_auth::{SecretKey, Session, SessionKind, TokenKeys};

const KEY: [u8; 32] = [7; 32];

fuzz_target!(|input: &[u8]| {
    let keys = TokenKeys::new([(*b"key1", &KEY), (*b"key2", &KEY)]);
    if let Ok(text) = std::str::from_utf8(input) {
        // AES-GCM cannot be forged, by a fuzzer neither.
        assert!(keys.open(text).is_err());
        assert!(keys.open_for("ASIA1", text, Timestamp::UNIX_EPOCH).is_err());
    }
    let text = String::from_utf8_lossy(input).into_owned();
    let Ok(secret_key) = SecretKey::new("secret") else { return };
    let session = Session {
        access_key_id: "ASIA1".into(),
        secret_key,
        kind: SessionKind::Role,
        account: "111122223333".into(),
        principal: text.clone(),
        principal_id: "AROA1".into(),
        name: text.clone(),
        policies: vec![text.clone()],
        policy_arns: Vec::new(),
        tags: vec![(text.clone(), text)],
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        federated_provider: None,
        issued_at: 0,
        expires_at: 900,
    };
    let Ok(token) = keys.seal(&session, [3; 12]) else { return };
    assert!(keys.open(token.as_str()).is_ok_and(|opened| opened == session));
    let mut changed = token.as_str().to_owned().into_bytes();
    let place = input.first().map_or(0, |byte| usize::from(*byte) % changed.len());
    changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
    assert!(keys.open(&String::from_utf8_lossy(&changed)).is_err());
});
