//! Who asks: callers, and what IAM's documentation says of each.

use trellis_policy::{Caller, Organization};

/// A caller, and the same in words of this test.
pub(super) struct Person {
    pub(super) caller: Caller,
    pub(super) kind: &'static str,
    pub(super) account: Option<&'static str>,
    pub(super) arn: Option<&'static str>,
    pub(super) role: Option<&'static str>,
    pub(super) id: Option<&'static str>,
    pub(super) service: Option<&'static str>,
    pub(super) facts: Vec<(&'static str, &'static str)>,
}

pub(super) fn people() -> Vec<Person> {
    let organization =
        || Organization { id: "o-1".into(), paths: vec!["o-1/r-1/".into(), "o-1/r-1/ou-1/".into()] };
    let blank = |caller, kind| Person {
        caller,
        kind,
        account: None,
        arn: None,
        role: None,
        id: None,
        service: None,
        facts: vec![],
    };
    vec![
        Person { facts: vec![("aws:principaltype", "Anonymous")], ..blank(Caller::anonymous(), "anonymous") },
        Person {
            account: Some("111122223333"),
            arn: Some("arn:aws:iam::111122223333:root"),
            id: Some("111122223333"),
            facts: vec![
                ("aws:principaltype", "Account"),
                ("aws:principalarn", "arn:aws:iam::111122223333:root"),
                ("aws:principalaccount", "111122223333"),
                ("aws:userid", "111122223333"),
            ],
            ..blank(Caller::root("111122223333"), "root")
        },
        Person {
            account: Some("111122223333"),
            arn: Some("arn:aws:iam::111122223333:user/team/alice"),
            id: Some("AIDAALICE00000000000"),
            facts: vec![
                ("aws:principaltype", "User"),
                ("aws:principalarn", "arn:aws:iam::111122223333:user/team/alice"),
                ("aws:principalaccount", "111122223333"),
                ("aws:userid", "AIDAALICE00000000000"),
                ("aws:username", "alice"),
                ("aws:principaltag/team", "red"),
            ],
            ..blank(
                Caller::user("111122223333", "/team/", "alice", "AIDAALICE00000000000")
                    .with_tags([("Team".to_owned(), "red".to_owned())]),
                "user",
            )
        },
        Person {
            account: Some("444455556666"),
            arn: Some("arn:aws:sts::444455556666:assumed-role/cart/s1"),
            role: Some("arn:aws:iam::444455556666:role/app/cart"),
            id: Some("AROACART000000000000"),
            facts: vec![
                ("aws:principaltype", "AssumedRole"),
                ("aws:principalarn", "arn:aws:iam::444455556666:role/app/cart"),
                ("aws:principalaccount", "444455556666"),
                ("aws:userid", "AROACART000000000000:s1"),
                ("aws:principaltag/team", "a*c"),
                ("aws:principalorgid", "o-1"),
                ("aws:principalorgpaths", "o-1/r-1/"),
                ("aws:principalorgpaths", "o-1/r-1/ou-1/"),
            ],
            ..blank(
                Caller::session("444455556666", "/app/", "cart", "AROACART000000000000", "s1")
                    .with_tags([("team".to_owned(), "a*c".to_owned())])
                    .with_organization(organization()),
                "session",
            )
        },
        Person {
            service: Some("pods.eks.amazonaws.com"),
            facts: vec![("aws:principaltype", "AWSService")],
            ..blank(Caller::service("pods.eks.amazonaws.com"), "service")
        },
    ]
}
