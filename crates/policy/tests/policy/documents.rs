//! The grammar: what is not a policy, and what actions and resources cover.

use trellis_policy::{Access, Decision, MAX_POLICY_BYTES, Policy, PolicyError, PolicyKind, StatementFault};

use crate::{Facts, SERVICE, alice, ask, policy};

/// A policy of one statement that allows everything, with `change` made to its text.
fn changed(from: &str, to: &str) -> Result<Policy, PolicyError> {
    let text = r#"{"Version":"2012-10-17","Statement":[{"Sid":"one","Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"vpc-1"}}}]}"#;
    assert_eq!(text.matches(from).count(), 1, "{from}");
    Policy::parse(&text.replace(from, to), PolicyKind::Resource)
}

#[test]
fn what_iam_would_not_read_is_refused() {
    for (from, to) in [
        ("}]}", "}]"),
        (r#""Version""#, r#""version""#),
        (r#""Version":"2012-10-17""#, r#""Version":null"#),
        (r#""Effect":"Allow""#, r#""Effect":"allow""#),
        (r#""Effect":"Allow","#, ""),
        (r#""Effect":"Allow""#, r#""Effect":"Deny","Effect":"Allow""#),
        (r#""Sid":"one""#, r#""Sid":"one","Comment":"x""#),
        (r#""Principal":"*""#, r#""Principal":null"#),
        (r#""Principal":"*""#, r#""Principal":["*"]"#),
        (r#""Action":"*""#, r#""Action":1"#),
        (r#""Action":"*""#, r#""Action":null"#),
        (r#""Action":"*""#, r#""Action":{"a":"b"}"#),
        (r#""StringEquals":{"#, r#""StringEquals":{"aws:sourcevpc":"x"},"StringEquals":{"#),
        (r#""aws:SourceVpc":"vpc-1""#, r#""aws:SourceVpc":"vpc-1","aws:SourceVpc":"vpc-2""#),
        (r#""vpc-1""#, r#"{"a":"b"}"#),
        (r#""vpc-1""#, "null"),
    ] {
        let result = changed(from, to);
        assert!(matches!(result, Err(PolicyError::Document { .. })), "{from} -> {to}: {result:?}");
    }
    assert!(
        matches!(changed("2012-10-17", "2024-01-01"), Err(PolicyError::Version { found }) if found == "2024-01-01")
    );
    let empty = Policy::parse(r#"{"Version":"2012-10-17","Statement":[]}"#, PolicyKind::Resource);
    assert_eq!(empty.unwrap_err(), PolicyError::NoStatement);
    let long = format!("{{{}", " ".repeat(MAX_POLICY_BYTES));
    assert!(matches!(Policy::parse(&long, PolicyKind::Resource), Err(PolicyError::TooLarge { .. })));
    let deep = "[".repeat(50_000);
    assert!(matches!(Policy::parse(&deep, PolicyKind::Resource), Err(PolicyError::Document { .. })));
}

#[test]
fn a_fault_of_a_statement_is_named() {
    type Is = fn(&StatementFault) -> bool;
    let cases: &[(&str, &str, Is)] = &[
        (r#""Principal":"*","#, "", |f| matches!(f, StatementFault::Missing { element: "Principal" })),
        (r#""Action":"*","#, "", |f| matches!(f, StatementFault::Missing { element: "Action" })),
        (r#""Resource":"*","#, "", |f| matches!(f, StatementFault::Missing { element: "Resource" })),
        (r#""Resource":"*""#, r#""Resource":"*","NotResource":"a""#, |f| {
            matches!(f, StatementFault::Both { element: "Resource" })
        }),
        (r#""Action":"*""#, r#""Action":[]"#, |f| matches!(f, StatementFault::Empty { element: "Action" })),
        (r#""Resource":"*""#, r#""Resource":[""]"#, |f| {
            matches!(f, StatementFault::Empty { element: "Resource" })
        }),
        (r#""Action":"*""#, r#""Action":"Invoke""#, |f| matches!(f, StatementFault::Action { .. })),
        (r#""Action":"*""#, r#""Action":"vpc-*:Invoke""#, |f| matches!(f, StatementFault::Action { .. })),
        (r#""Principal":"*""#, r#""Principal":"alice""#, |f| matches!(f, StatementFault::Principal { .. })),
        (r#""Principal":"*""#, r#""Principal":{}"#, |f| matches!(f, StatementFault::Principal { .. })),
        (
            r#""Principal":"*""#,
            r#""Principal":{"Azure":"x"}"#,
            |f| matches!(f, StatementFault::PrincipalKind { found } if found == "Azure"),
        ),
        (r#""Principal":"*""#, r#""Principal":{"AWS":"arn:aws:iam::111122223333:role/*"}"#, |f| {
            matches!(f, StatementFault::Principal { .. })
        }),
        (r#""Principal":"*""#, r#""Principal":{"Service":"*"}"#, |f| {
            matches!(f, StatementFault::Principal { .. })
        }),
        ("StringEquals", "StringMatches", |f| matches!(f, StatementFault::Operator { .. })),
        ("StringEquals", "stringequals", |f| matches!(f, StatementFault::Operator { .. })),
        ("StringEquals", "ForSomeValue:StringEquals", |f| matches!(f, StatementFault::Operator { .. })),
        ("StringEquals", "NullIfExists", |f| matches!(f, StatementFault::Operator { .. })),
        ("StringEquals", "NumericEquals", |f| matches!(f, StatementFault::Value { .. })),
        ("StringEquals", "DateLessThan", |f| matches!(f, StatementFault::Value { .. })),
        ("StringEquals", "Bool", |f| matches!(f, StatementFault::Value { .. })),
        ("StringEquals", "IpAddress", |f| matches!(f, StatementFault::Value { .. })),
        ("aws:SourceVpc", "SourceVpc", |f| matches!(f, StatementFault::Key { .. })),
        (r#""vpc-1""#, "[]", |f| matches!(f, StatementFault::Value { .. })),
        (r#""vpc-1""#, r#""${aws:username""#, |f| matches!(f, StatementFault::Variable { .. })),
    ];
    for (from, to, is) in cases {
        match changed(from, to) {
            Err(PolicyError::Statement { number: 1, fault }) if is(&fault) => {}
            other => panic!("{from} -> {to}: {other:?}"),
        }
    }
}

#[test]
fn each_kind_of_policy_has_its_elements() {
    let with = |principal: &str, resource: &str, kind| {
        let text =
            format!(r#"{{"Statement":{{"Effect":"Allow",{principal}{resource}"Action":"sts:AssumeRole"}}}}"#);
        Policy::parse(&text, kind).is_ok()
    };
    let (principal, resource) = (r#""Principal":"*","#, r#""Resource":"*","#);
    for (kind, elements) in [
        (PolicyKind::Identity, ("", resource)),
        (PolicyKind::Resource, (principal, resource)),
        (PolicyKind::Trust, (principal, "")),
    ] {
        for candidate in [("", ""), ("", resource), (principal, ""), (principal, resource)] {
            let accepted = with(candidate.0, candidate.1, kind);
            assert_eq!(accepted, candidate == elements, "{kind:?} {candidate:?}");
        }
    }
}

#[test]
fn a_statement_id_is_used_once() {
    let statement = r#"{"Sid":"a","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
    let text = format!(r#"{{"Id":"x","Statement":[{statement},{statement}]}}"#);
    let error = Policy::parse(&text, PolicyKind::Resource).unwrap_err();
    assert_eq!(error, PolicyError::RepeatedSid { sid: "a".into() });
}

#[test]
fn actions_and_resources_cover_what_they_match() {
    let invoke = format!("{SERVICE}/rates/today");
    for (elements, expected) in [
        (r#""Action":"vpc-lattice-svcs:Invoke","Resource":"*""#, true),
        (r#""Action":"VPC-Lattice-Svcs:invoke","Resource":"*""#, true),
        (r#""Action":"vpc-lattice-svcs:*","Resource":"*""#, true),
        (r#""Action":["s3:GetObject","vpc-lattice-svcs:In?oke"],"Resource":["a","*"]"#, true),
        (r#""Action":"vpc-lattice-svcs:Connect","Resource":"*""#, false),
        (r#""NotAction":"vpc-lattice-svcs:Connect","Resource":"*""#, true),
        (r#""NotAction":["vpc-lattice-svcs:*"],"Resource":"*""#, false),
        (r#""Action":"*","Resource":"SVC/rates/today""#, true),
        (r#""Action":"*","Resource":"SVC/rates/*""#, true),
        (r#""Action":"*","Resource":"SVC/*""#, true),
        (r#""Action":"*","Resource":"*/rates/*""#, true),
        (r#""Action":"*","Resource":"SVC""#, false),
        (r#""Action":"*","Resource":"SVC/Rates/today""#, false),
        (r#""Action":"*","Resource":"SVC/rates""#, false),
        (r#""Action":"*","NotResource":"SVC/admin/*""#, true),
        (r#""Action":"*","NotResource":["x","SVC/*"]"#, false),
        (r#""Action":"*","Resource":"SVC/${aws:username}/*""#, false),
    ] {
        let elements = elements.replace("SVC", SERVICE);
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*",{elements}}}}}"#
        );
        let access = Access {
            caller: &alice(),
            action: "vpc-lattice-svcs:Invoke",
            resource: &invoke,
            context: &Facts(&[]),
        };
        let expected = if expected { Decision::Allow } else { Decision::ImplicitDeny };
        assert_eq!(policy(&text).decide(&access), expected, "{elements}");
    }
}

#[test]
fn variables_are_plain_text_in_the_first_version() {
    for (version, expected) in [("2012-10-17", Decision::Allow), ("2008-10-17", Decision::ImplicitDeny)] {
        let text = format!(
            r#"{{"Version":"{version}","Statement":{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{{"StringEquals":{{"x:owner":"${{aws:username}}"}}}}}}}}"#
        );
        assert_eq!(ask(&policy(&text), &alice(), &Facts(&[("x:owner", "alice")])), expected, "{version}");
    }
}

#[test]
fn a_denying_statement_beats_every_allowing_one_in_any_order() {
    let allow = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
    let deny = r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*/rates/*"}"#;
    for statements in [[allow, deny], [deny, allow]] {
        let text = format!(r#"{{"Statement":[{}]}}"#, statements.join(","));
        assert_eq!(ask(&policy(&text), &alice(), &Facts(&[])), Decision::ExplicitDeny);
    }
}

#[test]
fn what_cannot_be_told_allows_nothing_and_is_denied() {
    // Anonymous callers have no user name: "all but their own" must not become "all".
    let nobody = trellis_policy::Caller::anonymous();
    for (effect, expected) in [("Allow", Decision::ImplicitDeny), ("Deny", Decision::ExplicitDeny)] {
        for element in [
            r#""NotResource":"*/${aws:username}/*""#,
            r#""Resource":"*","Condition":{"StringNotEquals":{"x:owner":"${aws:username}"}}"#,
        ] {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Principal":"*","Action":"*",{element}}}}}"#
            );
            assert_eq!(
                ask(&policy(&text), &nobody, &Facts(&[("x:owner", "bob")])),
                expected,
                "{effect} {element}"
            );
        }
    }
}
