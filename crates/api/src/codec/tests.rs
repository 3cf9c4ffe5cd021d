use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use super::*;
use crate::schema::Schema;

fn service(name: &str) -> &'static Service {
    Schema::all().by_signing_name(name).unwrap()
}

/// `POST /services?a=b` with headers and a body.
fn call(
    name: &str,
    line: &str,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Result<Decoded, Exception> {
    let (method, target) = line.split_once(' ').unwrap();
    let (raw_path, raw_query) = target.split_once('?').unwrap_or((target, ""));
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let incoming =
        Incoming { method: &method, raw_path, raw_query, headers: &headers, body: body.as_bytes() };
    decode(service(name), &incoming)
}

fn lattice(line: &str, body: &str) -> Result<Decoded, Exception> {
    call("vpc-lattice", line, &[("content-type", "application/json")], body)
}

#[test]
fn a_rest_call_is_found_by_method_and_raw_path() {
    let arn = "arn%3Aaws%3Avpc-lattice%3Aus-east-1%3A111122223333%3Aservice%2Fsvc-0123456789abcdef0";
    let decoded = lattice(&format!("GET /services/{arn}/listeners?maxResults=5"), "").unwrap();
    assert_eq!(decoded.operation.name, "ListListeners");
    assert_eq!(
        decoded.input,
        json!({
            "serviceIdentifier": "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0",
            "maxResults": 5
        })
    );
}

fn ec2(body: &'static str) -> Result<Decoded, Exception> {
    call("ec2", "POST /", &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")], body)
}

#[test]
fn an_ec2_form_becomes_nested_lists_without_member_levels() {
    let decoded = ec2(
        "Action=DescribeVpcs&Version=2016-11-15&Filter.1.Name=tag%3Aenv&Filter.1.Value.1=a+b&Filter.1.Value.2=c\
         &VpcId.10=vpc-10&VpcId.2=vpc-2&MaxResults=50&NoSuchMember=1",
    )
    .unwrap();
    assert_eq!(decoded.operation.name, "DescribeVpcs");
    assert_eq!(
        decoded.input,
        json!({
            "Filters": [{"Name": "tag:env", "Values": ["a b", "c"]}],
            "VpcIds": ["vpc-2", "vpc-10"],
            "MaxResults": 50
        })
    );
}
