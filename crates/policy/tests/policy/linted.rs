//! What is accepted and not meant.

use trellis_policy::{Problem, lint};

/// The problems of one statement, as texts.
fn problems(statement: &str) -> Vec<String> {
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
    lint(&text, None)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .iter()
        .map(|found| found.problem.to_string())
        .collect()
}

#[test]
fn what_is_meant_is_found_no_fault_with() {
    for statement in [
        r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "vpc-lattice-svcs:Invoke", "Resource": "*"}"#,
        r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "*",
            "Resource": "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0/*"}"#,
        r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "vpc-lattice-svcs:Inv*", "Resource": "*/rates/*"}"#,
        r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "vpc-lattice-svcs:Connect",
            "Resource": "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0"}"#,
        r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*",
            "Condition": {"StringNotEqualsIgnoreCase": {"aws:PrincipalType": "anonymous"}}}"#,
        r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1", "vpc-lattice-svcs:SourceVpc": "vpc-1"}}}"#,
        r#"{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*",
            "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}}"#,
        r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*",
            "Condition": {"StringNotEquals": {"aws:PrincipalTag/team": "red"}, "Null": {"aws:PrincipalTag/team": "false"}}}"#,
    ] {
        assert_eq!(problems(statement), Vec::<String>::new(), "{statement}");
    }
}

#[test]
fn what_nobody_means_is_found() {
    for (statement, words) in [
        (
            r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "*",
                "Resource": "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0"}"#,
            "has no path",
        ),
        (
            r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "*",
                "Resource": "arn:aws:vpc-lattice-svcs:us-east-1:111122223333:service/svc-0123456789abcdef0/*"}"#,
            "is no service's",
        ),
        (
            r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "vpc-lattice:Invoke", "Resource": "*"}"#,
            r#"never "vpc-lattice:Invoke""#,
        ),
        (r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}"#, "the anonymous too"),
        (
            r#"{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "*", "Resource": "*",
                "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}}"#,
            "StringNotEquals aws:PrincipalOrgID holds for the anonymous",
        ),
        (
            r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*",
                "Condition": {"StringEqualsIfExists": {"aws:PrincipalTag/team": "red"}}}"#,
            "holds for the anonymous",
        ),
        (
            r#"{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*",
                "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}}"#,
            "does not deny them",
        ),
        (
            r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "*", "Resource": "*",
                "Condition": {"StringEquals": {"vpc-lattice-svcs:RequestPaths": "/x"}}}"#,
            "is it misspelt",
        ),
        (
            r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "*", "Resource": "*",
                "Condition": {"StringEquals": {"vpc-lattice-svcs:RequestPath": "/x/*"}}}"#,
            "use StringLike for wildcards",
        ),
        (
            r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "*", "Resource": "*",
                "Condition": {"StringEquals": {"vpc-lattice-svcs:RequestMethod": "get"}}}"#,
            "methods are in upper case",
        ),
    ] {
        let found = problems(statement);
        assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}\n{statement}");
    }
}

#[test]
fn a_variable_of_the_first_version_is_text() {
    let text = r#"{"Statement": {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "*",
                   "Resource": "*/${aws:PrincipalTag/team}/*"}}"#;
    let found = lint(text, None).unwrap();
    assert!(matches!(found[0].problem, Problem::LiteralVariable { .. }), "{found:?}");
}

#[test]
fn principals_that_do_not_exist_are_found_where_it_is_known_who_does() {
    let text = r#"{"Version": "2012-10-17", "Statement": [
        {"Sid": "Us", "Effect": "Allow", "Principal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:role/gone"]},
         "Action": "*", "Resource": "*"}]}"#;
    let found = lint(text, Some(&|principal| principal == "111122223333")).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].statement, found[0].sid.as_deref()), (1, Some("Us")));
    let gone = "arn:aws:iam::111122223333:role/gone".to_owned();
    assert_eq!(found[0].problem, Problem::UnknownPrincipal { found: gone });
}
