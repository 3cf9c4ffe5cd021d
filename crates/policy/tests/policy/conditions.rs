//! Condition operators, each with values present, absent and of the wrong kind.

use trellis_policy::Decision;

use crate::{Facts, ask, cart, policy};

const FACTS: Facts = Facts(&[
    ("x:Text", "Blue"),
    ("x:Star", "B*e"),
    ("x:Many", "a"),
    ("x:Many", "b"),
    ("x:Number", "8080"),
    ("x:Word", "many"),
    ("x:Date", "2024-02-29T12:00:00Z"),
    ("x:Epoch", "1709208000"),
    ("x:Yes", "true"),
    ("x:Ip", "10.1.2.3"),
    ("x:Ip6", "2001:db8::1"),
    ("x:Mapped", "::ffff:10.1.2.3"),
    ("x:Arn", "arn:aws:vpc-lattice:us-east-1:111122223333:servicenetwork/sn-1"),
    ("x:Team", "Red*"),
    ("vpc-lattice-svcs:RequestHeader/x-env", "prod"),
    ("oidc.example.com/id/1:sub", "system:serviceaccount:shop:cart"),
]);

fn holds(condition: &str) -> bool {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{{{condition}}}}}}}"#
    );
    ask(&policy(&text), &cart(), &FACTS) == Decision::Allow
}

fn check(cases: &[(&str, bool)]) {
    for (condition, expected) in cases {
        assert_eq!(holds(condition), *expected, "{condition}");
    }
}

#[test]
fn a_key_may_be_a_claim_of_an_issuer_with_a_path() {
    check(&[
        (r#""StringEquals":{"oidc.example.com/id/1:sub":"system:serviceaccount:shop:cart"}"#, true),
        (r#""StringEquals":{"oidc.example.com/id/2:sub":"system:serviceaccount:shop:cart"}"#, false),
    ]);
}

#[test]
fn text_is_compared_exactly_without_case_or_by_pattern() {
    check(&[
        (r#""StringEquals":{"x:Text":"Blue"}"#, true),
        (r#""StringEquals":{"x:text":"Blue"}"#, true),
        (r#""StringEquals":{"x:Text":"blue"}"#, false),
        (r#""StringEquals":{"x:Text":"Bl*"}"#, false),
        (r#""StringEquals":{"x:Star":"B*e"}"#, true),
        (r#""StringEquals":{"x:Text":["Red","Blue"]}"#, true),
        (r#""StringNotEquals":{"x:Text":["Red","Blue"]}"#, false),
        (r#""StringNotEquals":{"x:Text":["Red","Green"]}"#, true),
        (r#""StringEqualsIgnoreCase":{"x:Text":"bLUE"}"#, true),
        (r#""StringNotEqualsIgnoreCase":{"x:Text":"bLUE"}"#, false),
        (r#""StringLike":{"x:Text":"B?u*"}"#, true),
        (r#""StringLike":{"x:Text":"b*"}"#, false),
        (r#""StringNotLike":{"x:Text":"B*"}"#, false),
        (r#""StringLike":{"x:Text":"${*}"}"#, false),
        (r#""StringEquals":{"x:Number":8080}"#, true),
        (r#""StringEquals":{"vpc-lattice-svcs:RequestHeader/x-env":"prod"}"#, true),
    ]);
}

#[test]
fn a_variable_stands_for_the_callers_value() {
    check(&[
        (r#""StringEquals":{"x:Team":"${aws:PrincipalTag/team}"}"#, true),
        (r#""StringLike":{"x:Text":"${aws:PrincipalTag/team}"}"#, false),
        (r#""StringEquals":{"x:Text":"${aws:PrincipalTag/none}"}"#, false),
        (r#""StringNotEquals":{"x:Text":"${aws:PrincipalTag/none}"}"#, false),
        (r#""StringEquals":{"x:Text":"${aws:PrincipalTag/none, 'Blue'}"}"#, true),
        (r#""StringEquals":{"x:Text":["${aws:PrincipalTag/none}","Blue"]}"#, true),
        // A key with several values names none of them.
        (r#""StringEquals":{"x:Text":"${x:Many}"}"#, false),
    ]);
}

#[test]
fn numbers_are_compared_as_numbers() {
    check(&[
        (r#""NumericEquals":{"x:Number":"8080.0"}"#, true),
        (r#""NumericEquals":{"x:Number":[80,8080]}"#, true),
        (r#""NumericNotEquals":{"x:Number":443}"#, true),
        (r#""NumericLessThan":{"x:Number":8080}"#, false),
        (r#""NumericLessThanEquals":{"x:Number":8080}"#, true),
        (r#""NumericGreaterThan":{"x:Number":-1}"#, true),
        (r#""NumericGreaterThanEquals":{"x:Number":"9000"}"#, false),
        (r#""NumericLessThan":{"x:Word":9}"#, false),
        (r#""NumericNotEquals":{"x:Word":9}"#, true),
    ]);
}

#[test]
fn dates_are_moments_days_or_seconds() {
    check(&[
        (r#""DateEquals":{"x:Date":"2024-02-29T13:00:00+01:00"}"#, true),
        (r#""DateEquals":{"x:Epoch":"2024-02-29T12:00:00Z"}"#, true),
        (r#""DateGreaterThan":{"x:Date":"2024-02-29"}"#, true),
        (r#""DateLessThan":{"x:Date":"2024-03-01"}"#, true),
        (r#""DateLessThanEquals":{"x:Date":1709208000}"#, true),
        (r#""DateGreaterThan":{"x:Date":1709208000}"#, false),
        (r#""DateLessThan":{"x:Word":"2024-03-01"}"#, false),
    ]);
}

#[test]
fn addresses_are_in_networks() {
    check(&[
        (r#""IpAddress":{"x:Ip":"10.0.0.0/8"}"#, true),
        (r#""IpAddress":{"x:Ip":"10.1.2.3"}"#, true),
        (r#""IpAddress":{"x:Ip":["192.0.2.0/24","10.1.2.4"]}"#, false),
        (r#""NotIpAddress":{"x:Ip":"192.0.2.0/24"}"#, true),
        (r#""NotIpAddress":{"x:Ip":"10.0.0.0/8"}"#, false),
        (r#""IpAddress":{"x:Ip6":"2001:db8::/32"}"#, true),
        (r#""IpAddress":{"x:Ip6":"0.0.0.0/0"}"#, false),
        (r#""IpAddress":{"x:Mapped":"10.0.0.0/8"}"#, true),
        (r#""IpAddress":{"x:Word":"0.0.0.0/0"}"#, false),
    ]);
}

#[test]
fn arns_are_compared_part_by_part() {
    check(&[
        (r#""ArnEquals":{"x:Arn":"arn:aws:vpc-lattice:*:111122223333:servicenetwork/*"}"#, true),
        (r#""ArnLike":{"x:Arn":"arn:aws:*:servicenetwork/sn-1"}"#, false),
        (r#""ArnNotEquals":{"x:Arn":"arn:aws:vpc-lattice:*:*:servicenetwork/sn-1"}"#, false),
        (r#""ArnNotLike":{"x:Arn":"arn:aws:vpc-lattice:*:*:servicenetwork/sn-2"}"#, true),
        (r#""ArnLike":{"x:Text":"arn:aws:*:*:*:*"}"#, false),
    ]);
}

#[test]
fn booleans_and_presence() {
    check(&[
        (r#""Bool":{"x:Yes":true}"#, true),
        (r#""Bool":{"x:Yes":"True"}"#, true),
        (r#""Bool":{"x:Yes":"false"}"#, false),
        (r#""Bool":{"x:Absent":"false"}"#, false),
        (r#""Null":{"x:Yes":"false"}"#, true),
        (r#""Null":{"x:Yes":"true"}"#, false),
        (r#""Null":{"x:Absent":true}"#, true),
    ]);
}

#[test]
fn an_absent_key_fails_unless_the_operator_says_otherwise() {
    check(&[
        (r#""StringEquals":{"x:Absent":"a"}"#, false),
        (r#""StringLike":{"x:Absent":"*"}"#, false),
        (r#""NumericLessThan":{"x:Absent":1}"#, false),
        (r#""IpAddress":{"x:Absent":"0.0.0.0/0"}"#, false),
        (r#""StringNotEquals":{"x:Absent":"a"}"#, true),
        (r#""NotIpAddress":{"x:Absent":"0.0.0.0/0"}"#, true),
        (r#""StringEqualsIfExists":{"x:Absent":"a"}"#, true),
        (r#""StringEqualsIfExists":{"x:Text":"a"}"#, false),
        (r#""BoolIfExists":{"x:Absent":true}"#, true),
        (r#""ForAnyValue:StringEquals":{"x:Absent":"a"}"#, false),
        (r#""ForAnyValue:StringNotEquals":{"x:Absent":"a"}"#, false),
        (r#""ForAllValues:StringEquals":{"x:Absent":"a"}"#, true),
        (r#""ForAllValues:StringEqualsIfExists":{"x:Absent":"a"}"#, true),
    ]);
}

#[test]
fn several_values_are_asked_for_any_or_all() {
    check(&[
        (r#""ForAnyValue:StringEquals":{"x:Many":["b","c"]}"#, true),
        (r#""ForAnyValue:StringEquals":{"x:Many":["c"]}"#, false),
        (r#""ForAllValues:StringEquals":{"x:Many":["a","b","c"]}"#, true),
        (r#""ForAllValues:StringEquals":{"x:Many":["b","c"]}"#, false),
        (r#""ForAnyValue:StringNotEquals":{"x:Many":["a"]}"#, true),
        (r#""ForAnyValue:StringNotEquals":{"x:Many":["a","b"]}"#, false),
        (r#""ForAllValues:StringNotEquals":{"x:Many":["c"]}"#, true),
        (r#""ForAllValues:StringNotEquals":{"x:Many":["a"]}"#, false),
        (r#""StringEquals":{"x:Many":"b"}"#, true),
        (r#""StringNotEquals":{"x:Many":"b"}"#, false),
        (r#""StringNotEquals":{"x:Many":"c"}"#, true),
    ]);
}

#[test]
fn all_conditions_must_hold() {
    check(&[
        (r#""StringEquals":{"x:Text":"Blue","x:Star":"B*e"},"Bool":{"x:Yes":true}"#, true),
        (r#""StringEquals":{"x:Text":"Blue","x:Star":"no"},"Bool":{"x:Yes":true}"#, false),
        (r#""StringEquals":{"x:Text":"Blue"},"Bool":{"x:Yes":false}"#, false),
        ("", true),
    ]);
}
