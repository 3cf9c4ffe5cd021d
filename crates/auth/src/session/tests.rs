use super::*;

fn session() -> Session {
    Session {
        access_key_id: "ASIAEXAMPLE".into(),
        secret_key: SecretKey::new("hush").unwrap(),
        kind: SessionKind::Role,
        account: "111122223333".into(),
        principal: "arn:aws:iam::111122223333:role/app/cart".into(),
        principal_id: "AROACART000000000000".into(),
        name: "eks-demo-cart-1".into(),
        policies: vec![r#"{"Version":"2012-10-17","Statement":[]}"#.into()],
        policy_arns: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".into()],
        tags: vec![("kubernetes-namespace".into(), "apps".into())],
        transitive_tag_keys: vec!["kubernetes-namespace".into()],
        source_identity: Some("alice".into()),
        federated_provider: None,
        issued_at: 1_000,
        expires_at: 4_600,
    }
}

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_token_gives_back_the_session_until_it_is_over() {
    let keys = TokenKeys::new([(*b"key1", &OLD)]);
    let token = keys.seal(&session(), [7; 12]).unwrap();
    assert_eq!(keys.open(token.as_str()).unwrap(), session());
    assert_eq!(keys.open_for("ASIAEXAMPLE", token.as_str(), at(4_599)).unwrap(), session());
    let expired = keys.open_for("ASIAEXAMPLE", token.as_str(), at(4_600));
    assert_eq!(expired.unwrap_err(), AuthError::TokenExpired);
    let other = keys.open_for("ASIAANOTHER", token.as_str(), at(2_000));
    assert_eq!(other.unwrap_err(), AuthError::TokenInvalid);
}

#[test]
fn tokens_of_the_old_key_live_on_until_it_is_taken_away() {
    let token = TokenKeys::new([(*b"key1", &OLD)]).seal(&session(), [7; 12]).unwrap();
    let rotated = TokenKeys::new([(*b"key2", &NEW), (*b"key1", &OLD)]);
    assert!(rotated.open(token.as_str()).is_ok());
    let fresh = rotated.seal(&session(), [8; 12]).unwrap();
    let later = TokenKeys::new([(*b"key2", &NEW)]);
    assert!(later.open(fresh.as_str()).is_ok());
    assert_eq!(later.open(token.as_str()).unwrap_err(), AuthError::TokenInvalid);
}

#[test]
fn a_token_that_was_changed_anywhere_is_none() {
    let keys = TokenKeys::new([(*b"key1", &OLD)]);
    let token = keys.seal(&session(), [7; 12]).unwrap();
    let bytes = BASE64.decode(token.as_str()).unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert_eq!(keys.open(&BASE64.encode(&changed)).unwrap_err(), AuthError::TokenInvalid, "{place}");
        assert!(keys.open(&BASE64.encode(&bytes[..place])).is_err(), "{place}");
    }
    for text in ["", "!", "AQ", &"A".repeat(MAX_TOKEN + 4), &"A".repeat(400)] {
        assert_eq!(keys.open(text).unwrap_err(), AuthError::TokenInvalid, "{text}");
    }
}

#[test]
fn a_token_of_another_installation_is_none_even_under_the_same_key_id() {
    let token = TokenKeys::new([(*b"key1", &NEW)]).seal(&session(), [7; 12]).unwrap();
    let keys = TokenKeys::new([(*b"key1", &OLD)]);
    assert_eq!(keys.open(token.as_str()).unwrap_err(), AuthError::TokenInvalid);
    assert_eq!(TokenKeys::new([]).open(token.as_str()).unwrap_err(), AuthError::TokenInvalid);
}

#[test]
fn a_session_that_no_head_has_room_for_is_not_sealed() {
    let keys = TokenKeys::new([(*b"key1", &OLD)]);
    let large = Session { policies: vec!["x".repeat(MAX_TOKEN)], ..session() };
    assert!(matches!(keys.seal(&large, [7; 12]), Err(SealError::TooLarge { .. })));
    assert_eq!(TokenKeys::new([]).seal(&session(), [7; 12]), Err(SealError::NoKey));
}

#[test]
fn no_secret_is_shown() {
    let text = format!("{:?} {:?}", session(), TokenKeys::new([(*b"key1", &OLD)]));
    assert!(text.contains("ASIAEXAMPLE") && !text.contains("hush"), "{text}");
}
