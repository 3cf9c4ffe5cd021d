//! What policies and requests are made of: small pools, so that they often meet.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

pub(super) const RESOURCES_ASKED: [&str; 6] = [
    "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1/",
    "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1/abc",
    "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1/a:b/c*d",
    "arn:aws:vpc-lattice:eu-west-1:444455556666:service/svc-2/alice/red",
    "arn:aws:s3:::bucket/key",
    "svc-1",
];
const RESOURCES: [&str; 16] = [
    "*",
    "*",
    "*",
    "*/abc",
    "*a*c*",
    "arn:aws:*",
    "arn:aws:vpc-lattice:*:*:service/svc-?/*",
    "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1/*",
    "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1/${*}",
    "arn:aws:vpc-lattice:us-east-1:111122223333:service/*:b/c${*}d",
    "arn:aws:vpc-lattice:*:${aws:PrincipalAccount}:service/*",
    "arn:aws:vpc-lattice:*:*:service/*/${aws:username}/*",
    "arn:aws:vpc-lattice:*:*:service/*/${aws:username, 'alice'}/${aws:PrincipalTag/team, 'red'}",
    "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1",
    "arn:aws:s3:::*",
    "svc-1",
];
const ACTIONS: [&str; 8] = [
    "*",
    "vpc-lattice-svcs:Invoke",
    "vpc-lattice-svcs:*",
    "VPC-Lattice-svcs:inVOKE",
    "vpc-lattice-svcs:Con*t",
    "vpc-lattice-svcs:Invok?",
    "s3:Get*",
    "s3:PutObject",
];
const PRINCIPALS: [&str; 10] = [
    r#""*""#,
    r#""*""#,
    r#"{"AWS":"*"}"#,
    r#"{"AWS":"111122223333"}"#,
    r#"{"AWS":["arn:aws:iam::444455556666:root","arn:aws:iam::111122223333:user/team/alice"]}"#,
    r#"{"AWS":"arn:aws:iam::444455556666:role/app/cart"}"#,
    r#"{"AWS":"arn:aws:sts::444455556666:assumed-role/cart/s1"}"#,
    r#"{"AWS":"AROACART000000000000"}"#,
    r#"{"Service":"pods.eks.amazonaws.com"}"#,
    r#"{"AWS":"arn:aws:iam::111122223333:user/bob","Service":["x.amazonaws.com"]}"#,
];
/// Keys with the operators' kind, and what a condition may want of them.
const KEYS: [(&str, &str, &[&str]); 14] = [
    ("aws:PrincipalType", "String", &["Anonymous", "anonymous", "User", "Assumed*", "*"]),
    ("aws:PrincipalTag/Team", "String", &["red", "a*c", "a${*}c", "${aws:PrincipalTag/team}", "RED"]),
    (
        "aws:PrincipalArn",
        "Arn",
        &[
            "arn:aws:iam::*:role/*",
            "arn:aws:iam::111122223333:*",
            "*",
            "arn:aws:iam::${aws:PrincipalAccount}:*",
        ],
    ),
    ("aws:PrincipalOrgPaths", "String", &["o-1/r-1/*", "o-1/*", "o-1/r-1/", "o-2/*"]),
    (
        "aws:userid",
        "String",
        &["AROACART000000000000:*", "*:${aws:username}", "111122223333", "${aws:userid}"],
    ),
    ("aws:SourceVpc", "String", &["vpc-1", "vpc-?", "VPC-1", "vpc-${aws:username, '1'}"]),
    ("vpc-lattice-svcs:Port", "Numeric", &["80", "443", "80.0", "8e1", "-1"]),
    ("vpc-lattice-svcs:RequestQueryString/k", "String", &["1", "2", "a*", "é?", ""]),
    ("aws:SourceIp", "Ip", &["10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "fd00::/8", "10.1.2.0/31"]),
    ("aws:SecureTransport", "Bool", &["true", "false"]),
    ("aws:CurrentTime", "Date", &["2024-01-01T00:00:00Z", "2026-06-01T12:00:00+02:00", "1767225600"]),
    ("aws:ResourceTag/tier", "String", &["gold", "${aws:PrincipalTag/team}", "g*d"]),
    (
        "vpc-lattice-svcs:ServiceArn",
        "Arn",
        &["arn:aws:vpc-lattice:*:*:service/svc-1", "arn:aws:vpc-lattice:us-*", "svc-*"],
    ),
    ("aws:Nothing", "String", &["x", "*"]),
];
const FACTS: [(&str, &[&str]); 8] = [
    ("aws:sourcevpc", &["vpc-1", "vpc-2"]),
    ("vpc-lattice-svcs:port", &["80", "443", "x"]),
    ("vpc-lattice-svcs:requestquerystring/k", &["1", "2", "abc", "éx", ""]),
    ("aws:sourceip", &["10.1.2.3", "192.0.2.1", "fd00::1", "nonsense"]),
    ("aws:securetransport", &["true", "false"]),
    ("aws:currenttime", &["2026-01-01T00:00:00Z", "2026-06-01T10:00:00Z", "1704067200"]),
    ("aws:resourcetag/tier", &["gold", "red", "a*c"]),
    ("vpc-lattice-svcs:servicearn", &["arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1", "svc-1"]),
];

/// xorshift64*: the same cases every time.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    pub(super) fn one<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn some(&mut self, from: &[&'static str]) -> Value {
        match self.below(3) {
            0 => json!([self.one(from), self.one(from)]),
            _ => json!(self.one(from)),
        }
    }

    pub(super) fn policy(&mut self) -> Value {
        let statements: Vec<Value> = (0..=self.below(3)).map(|_| self.statement()).collect();
        match self.below(5) {
            0 => json!({"Statement": statements[0]}),
            1 => json!({"Version": "2008-10-17", "Statement": statements}),
            _ => json!({"Version": "2012-10-17", "Id": "x", "Statement": statements}),
        }
    }

    fn statement(&mut self) -> Value {
        let mut statement = Map::new();
        statement.insert("Effect".into(), json!(if self.below(10) < 6 { "Allow" } else { "Deny" }));
        let principal: Value = serde_json::from_str(self.one::<&str>(&PRINCIPALS)).unwrap();
        let not = |random: &mut Self, name: &str| {
            if random.below(8) == 0 { format!("Not{name}") } else { name.into() }
        };
        statement.insert(not(self, "Principal"), principal);
        statement.insert(not(self, "Action"), self.some(&ACTIONS));
        statement.insert(not(self, "Resource"), self.some(&RESOURCES));
        let mut conditions = Map::new();
        for _ in 0..*self.one(&[0, 0, 1, 1, 2]) {
            let (key, kind, values) = *self.one(&KEYS);
            let operator = self.operator(kind);
            let values =
                if operator == "Null" { json!(*self.one(&["true", "false"])) } else { self.some(values) };
            let keys = conditions.entry(operator).or_insert_with(|| json!({}));
            keys.as_object_mut().unwrap().insert(key.into(), values);
        }
        if !conditions.is_empty() || self.below(4) == 0 {
            statement.insert("Condition".into(), Value::Object(conditions));
        }
        Value::Object(statement)
    }

    fn operator(&mut self, kind: &str) -> String {
        const COMPARISONS: [&str; 6] =
            ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"];
        let base = match kind {
            "String" => (*self.one(&[
                "StringEquals",
                "StringNotEquals",
                "StringEqualsIgnoreCase",
                "StringNotEqualsIgnoreCase",
                "StringLike",
                "StringNotLike",
            ]))
            .to_owned(),
            "Arn" => (*self.one(&["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"])).to_owned(),
            "Ip" => (*self.one(&["IpAddress", "NotIpAddress"])).to_owned(),
            "Bool" => "Bool".to_owned(),
            kind => format!("{kind}{}", self.one(&COMPARISONS)),
        };
        let set = *self.one(&["", "", "", "ForAnyValue:", "ForAllValues:"]);
        match self.below(12) {
            0 => "Null".to_owned(),
            1..4 => format!("{set}{base}IfExists"),
            _ => format!("{set}{base}"),
        }
    }

    pub(super) fn facts(&mut self) -> HashMap<&'static str, Vec<&'static str>> {
        let mut facts = HashMap::new();
        for (key, values) in FACTS {
            let count = *self.one(&[0, 1, 1, 1, 1, 2]);
            let count = if count == 2 && !key.contains("querystring") { 1 } else { count };
            if count > 0 {
                facts.insert(key, (0..count).map(|_| *self.one(values)).collect());
            }
        }
        facts
    }
}
