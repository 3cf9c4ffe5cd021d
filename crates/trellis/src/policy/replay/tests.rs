use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::*;
use crate::policy::tests::run as trellis;

const SERVICE: &str = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1";
const RED: &str = "arn:aws:sts::111122223333:assumed-role/red/session-1";

/// A line as the proxy writes it, changed by `members`.
fn line(members: Value) -> String {
    let mut line = json!({
        "startTime": "2026-01-02T03:04:05Z", "requestId": "1", "requestMethod": "GET", "requestPath": "/items/1",
        "hostHeader": "cart", "userAgent": "curl", "protocol": "HTTP/1.1", "responseCode": 200,
        "sourceIpPort": "10.0.0.7:1234", "targetIpPort": "10.0.1.1:80", "sourceVpcId": "vpc-1",
        "sourceVpcArn": "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-1",
        "serviceNetworkArn": "arn:aws:vpc-lattice:us-east-1:111122223333:servicenetwork/sn-1",
        "serviceArn": SERVICE, "listenerType": "HTTP", "tlsVersion": "-", "resolvedUser": "Anonymous",
        "authDeniedReason": "-", "callerPrincipal": "-", "callerPrincipalOrgID": "-", "callerPrincipalTags": "-",
    });
    let Value::Object(members) = members else { panic!("expected an object") };
    line.as_object_mut().unwrap().extend(members);
    line.to_string()
}

fn place(policy: &str, lines: &[String]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("new.json"), policy).unwrap();
    fs::write(place.path().join("access.log"), lines.join("\n")).unwrap();
    place
}

fn allow(principal: &str, condition: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Principal": {principal}, "Action": "*",
            "Resource": "*", "Condition": {condition}}}}}"#
    )
}

fn replay_service(place: &Path, more: &str) -> (String, ExitCode) {
    trellis(
        place,
        &format!("trellis policy replay --service svc-1 --service-policy @new.json {more} @access.log"),
    )
}

#[test]
fn requests_that_change_fate_are_grouped_and_counted() {
    let policy = allow("\"*\"", r#"{"StringEquals": {"vpc-lattice-svcs:RequestMethod": "GET"}}"#);
    let place = place(
        &policy,
        &[
            line(json!({})),
            line(json!({"requestMethod": "PUT", "requestPath": "/items/2"})),
            line(json!({"requestMethod": "PUT", "requestPath": "/items/3"})),
            line(json!({"serviceArn": format!("{SERVICE}2"), "requestMethod": "PUT"})),
            line(json!({"resolvedUser": "Unknown", "responseCode": 403})),
            line(json!({"serviceArn": "-", "requestMethod": "-"})),
            "{\"startTime\": 1".to_owned(),
            "x".repeat(MAX_LINE + 1),
        ],
    );
    let (text, code) = replay_service(place.path(), "");
    assert!(text.starts_with("allowed, and would be denied: 2\n"), "{text}");
    assert!(text.contains("     2  anonymous  PUT /items/*  by the service-based policies\n"), "{text}");
    assert!(text.contains("the same: 1 allowed, 1 denied\n"), "{text}");
    assert!(text.ends_with("lines: 8, of which 2 about something else and 2 malformed\n"), "{text}");
    assert_eq!(code, ExitCode::FAILURE);

    let (text, _) = replay_service(place.path(), "--json");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["groups"][0]["count"], 2);
    assert_eq!(told["groups"][0]["layer"], "service-based");
    assert_eq!(told["lines"], json!({"read": 8, "others": 2, "malformed": 2}));
}

#[test]
fn what_the_log_does_not_tell_is_listed_and_not_guessed() {
    for (condition, missing) in [
        (
            r#"{"StringEquals": {"vpc-lattice-svcs:RequestHeader/color": "red"}}"#,
            "vpc-lattice-svcs:RequestHeader/color",
        ),
        (r#"{"StringNotEquals": {"vpc-lattice-svcs:RequestQueryString/x": "1"}}"#, "RequestQueryString/x"),
        (r#"{"Null": {"aws:ResourceTag/stage": "true"}}"#, "aws:ResourceTag/stage"),
        (r#"{"StringEquals": {"aws:ResourceAccount": "${vpc-lattice-svcs:Port}"}}"#, "vpc-lattice-svcs:Port"),
    ] {
        let place = place(&allow("\"*\"", condition), &[line(json!({}))]);
        let (text, code) = replay_service(place.path(), "");
        assert!(text.contains("allowed, and cannot be told: 1\n") && text.contains(missing), "{text}");
        assert_eq!(code, ExitCode::FAILURE);
    }
    // What is there already settles it.
    for (condition, same) in [
        (r#"{"StringEquals": {"vpc-lattice-svcs:RequestHeader/a": "b", "aws:SourceVpc": "vpc-2"}}"#, false),
        (
            r#"{"StringEquals": {"aws:SourceVpc": "vpc-1"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#,
            true,
        ),
        (r#"{"Bool": {"aws:SecureTransport": "false"}, "StringLike": {"aws:UserAgent": "cur*"}}"#, true),
    ] {
        let place = place(&allow("\"*\"", condition), &[line(json!({}))]);
        let (text, _) = replay_service(place.path(), "");
        assert!(
            !text.contains("cannot be told: 1") && text.contains("the same: 1 allowed") == same,
            "{text}"
        );
    }
}

#[test]
fn callers_are_told_by_arn_and_tags_and_roles_with_a_path_by_the_list_of_principals() {
    let signed = json!({"resolvedUser": RED, "callerPrincipalTags": "{\"team\":\"red\"}"});
    let tagged = allow("\"*\"", r#"{"StringEquals": {"aws:PrincipalTag/team": "red"}}"#);
    let place_ = place(&tagged, &[line(signed.clone())]);
    assert_eq!(replay_service(place_.path(), "").1, ExitCode::SUCCESS);

    let named = allow(r#"{"AWS": "arn:aws:iam::111122223333:role/teams/red"}"#, "{}");
    let place = place(&named, &[line(signed)]);
    let (text, _) = replay_service(place.path(), "");
    assert!(
        text.contains("111122223333:assumed-role/red/*  GET /items/*  without the path of the caller's role"),
        "{text}"
    );
    let list = place.path().join("principals");
    fs::write(&list, "arn:aws:iam::111122223333:role/teams/red\n").unwrap();
    assert_eq!(replay_service(place.path(), "--principals @principals").1, ExitCode::SUCCESS);
    fs::write(&list, "arn:aws:iam::111122223333:role/red\n").unwrap();
    let (text, _) = replay_service(place.path(), "--principals @principals");
    assert!(text.starts_with("allowed, and would be denied: 1\n"), "{text}");
}

#[test]
fn a_denied_request_is_allowed_where_every_layer_is_given_and_allows_it() {
    let denied = json!({"authDeniedReason": "Service", "responseCode": 403});
    let place = place(&allow("\"*\"", "{}"), &[line(denied)]);
    let (text, _) = replay_service(place.path(), "");
    assert!(text.contains("denied, and cannot be told: 1\n"), "{text}");
    assert!(text.contains("without the policy of the network (--network-policy)"), "{text}");
    let (text, _) = replay_service(place.path(), "--network sn-1 --network-policy none");
    assert!(text.contains("denied, and would be allowed: 1\n"), "{text}");
    // Whoever was denied by a layer that stays as it is stays denied.
    let call = "trellis policy replay --network sn-1 --network-policy @new.json @access.log";
    assert_eq!(trellis(place.path(), call).1, ExitCode::SUCCESS);
}

#[test]
fn a_caller_who_signs_may_have_bounds_that_no_log_tells() {
    let policy = r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*/items/*"}}"#;
    let call = "trellis policy replay --identity arn:aws:iam::111122223333:role/red --identity-policy @new.json @access.log";
    let place_ = place(policy, &[line(json!({"resolvedUser": RED})), line(json!({}))]);
    let (text, code) = trellis(place_.path(), call);
    assert!(text.contains("the same: 1 allowed, 0 denied\n"), "{text}");
    assert_eq!(code, ExitCode::SUCCESS);
    let elsewhere = json!({"resolvedUser": RED, "requestPath": "/items/../secret"});
    let place_ = place(policy, &[line(elsewhere)]);
    let (text, _) = trellis(place_.path(), call);
    assert!(text.contains("GET /items/../secret  by the identity-based policies"), "{text}");
    let was = json!({"resolvedUser": RED, "authDeniedReason": "Identity"});
    let place_ = place(policy, &[line(was)]);
    let (text, _) = trellis(place_.path(), call);
    assert!(text.contains("permissions boundary, session and service control policies"), "{text}");
}

#[test]
fn a_connection_that_is_passed_through_asks_for_connect() {
    let policy = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "vpc-lattice-svcs:Invoke",
        "Resource": "*"}}"#;
    let passed = json!({"listenerType": "TLS_PASSTHROUGH", "requestMethod": "-", "requestPath": "-"});
    let place = place(policy, &[line(passed)]);
    let (text, _) = replay_service(place.path(), "");
    assert!(text.contains("anonymous  CONNECT -  by the service-based policies"), "{text}");
}

#[test]
fn a_long_path_was_cut_and_a_compressed_log_is_refused() {
    let policy = allow("\"*\"", "{}");
    let long = line(json!({"requestPath": format!("/{}", "x".repeat(2047))}));
    let place = place(&policy, &[long]);
    let (text, _) = replay_service(place.path(), "");
    assert!(text.contains("anonymous  GET /*  without the whole path"), "{text}");
    let mut log: Box<dyn BufRead> = Box::new(&[0x1f, 0x8b, 8, 0][..]);
    assert!(log.fill_buf().is_ok());
    let changed = Changed { network: None, service: None, identity: None, roles: HashMap::new() };
    assert!(replay(log, &changed, &mut Tally::default()).unwrap_err().to_string().contains("zcat"));
}
