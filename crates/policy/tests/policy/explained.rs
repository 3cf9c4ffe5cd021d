//! Why a statement applies or not.

use trellis_policy::{Access, Caller, Decision, Obstacle, PolicyError, PolicyKind, explain};

use crate::{Facts, SERVICE, alice, cart};

const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Sid": "Write", "Effect": "Allow", "Principal": "*", "Action": "vpc-lattice-svcs:Connect", "Resource": "*"},
    {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "*", "Resource": "*/rates/*",
     "Condition": {"StringEquals": {"vpc-lattice-svcs:RequestMethod": ["GET", "HEAD"]},
                   "StringLike": {"aws:PrincipalTag/kubernetes-namespace": "shop*"}}},
    {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*/secret"}]}"#;

fn obstacles(
    caller: &Caller,
    path: &str,
    method: &'static [(&'static str, &'static str)],
) -> (Decision, Vec<Option<Obstacle>>) {
    let resource = format!("{SERVICE}{path}");
    let facts = Facts(method);
    let access = Access { caller, action: "vpc-lattice-svcs:Invoke", resource: &resource, context: &facts };
    let explained = explain(POLICY, PolicyKind::Resource, &access).unwrap();
    assert_eq!(explained.statements[0].sid.as_deref(), Some("Write"));
    assert!(explained.statements[2].denies);
    (explained.decision, explained.statements.into_iter().map(|statement| statement.obstacle).collect())
}

const GET: &[(&str, &str)] = &[("vpc-lattice-svcs:RequestMethod", "GET")];

#[test]
fn the_first_thing_in_the_way_of_each_statement_is_named() {
    let (decision, found) = obstacles(&cart(), "/rates/today", GET);
    assert_eq!(decision, Decision::Allow);
    assert_eq!(found, [Some(Obstacle::Action), None, Some(Obstacle::Resource)]);

    let (decision, found) = obstacles(&Caller::anonymous(), "/rates/secret", GET);
    assert_eq!(decision, Decision::ExplicitDeny);
    assert_eq!(found, [Some(Obstacle::Action), Some(Obstacle::Principal), None]);
}

#[test]
fn a_condition_is_told_with_what_was_wanted_and_found() {
    let (decision, found) = obstacles(&cart(), "/rates/today", &[("vpc-lattice-svcs:RequestMethod", "PUT")]);
    assert_eq!(decision, Decision::ImplicitDeny);
    assert_eq!(
        found[1],
        Some(Obstacle::Condition {
            operator: "StringEquals".into(),
            key: "vpc-lattice-svcs:RequestMethod".into(),
            wanted: vec!["GET".into(), "HEAD".into()],
            found: vec!["PUT".into()],
        })
    );
    let (_, found) = obstacles(&alice(), "/rates/today", GET);
    let Some(Obstacle::Condition { key, found, .. }) = &found[1] else { panic!("{found:?}") };
    assert_eq!((key.as_str(), found.len()), ("aws:PrincipalTag/kubernetes-namespace", 0));
}

#[test]
fn what_is_no_policy_is_an_error_of_the_parser() {
    let caller = Caller::anonymous();
    let access = Access { caller: &caller, action: "a:B", resource: "*", context: &() };
    let error = explain(r#"{"Statement": []}"#, PolicyKind::Resource, &access);
    assert_eq!(error, Err(PolicyError::NoStatement));
}
