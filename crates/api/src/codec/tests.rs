mod form;
mod language;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;

use super::*;
use crate::exception::Reason;
use crate::schema::{Schema, Segment};

const SERVICE_ID: &str = "svc-0123456789abcdef0";

fn service(name: &str) -> &'static Service {
    Schema::all().by_signing_name(name).unwrap()
}

/// Decodes `line`, e.g. `POST /services?a=b`.
fn call(name: &str, line: &str, headers: &[(&'static str, &str)], body: &str) -> Result<Decoded, Exception> {
    let (method, target) = line.split_once(' ').unwrap();
    let (raw_path, raw_query) = target.split_once('?').unwrap_or((target, ""));
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    decode(
        service(name),
        &Incoming { method: &method, raw_path, raw_query, headers: &headers, body: body.as_bytes() },
    )
}

fn lattice(line: &str, body: &str) -> Result<Decoded, Exception> {
    call("vpc-lattice", line, &[("content-type", "application/json")], body)
}

fn ec2(body: &str) -> Result<Decoded, Exception> {
    call("ec2", "POST /", &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")], body)
}

fn tagging(operation: &str, body: &str) -> Result<Decoded, Exception> {
    let target = format!("ResourceGroupsTaggingAPI_20170126.{operation}");
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
    call("tagging", "POST /", &headers, body)
}

fn code(result: Result<Decoded, Exception>) -> (String, u16) {
    let exception = result.unwrap_err();
    (exception.code.into_owned(), exception.status)
}

/// Answers an operation of a service with `output`; status, headers and body.
fn answer(name: &str, operation: &str, output: &Value) -> (u16, HeaderMap, String) {
    let service = service(name);
    let operation = service.operation(operation).unwrap();
    split(encode(service, service.protocol, operation, output, "request-1"))
}

fn split(response: Response<Vec<u8>>) -> (u16, HeaderMap, String) {
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body).unwrap())
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

// === REST-JSON ===

#[test]
fn every_rest_operation_is_found_by_its_own_method_and_path() {
    let service = service("vpc-lattice");
    for operation in &service.operations {
        let mut path = String::new();
        for segment in operation.uri.segments() {
            path.push('/');
            path.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Label(_) => "x%2Fy",
            });
        }
        let headers = HeaderMap::new();
        let incoming = Incoming {
            method: &operation.method.parse().unwrap(),
            raw_path: &path,
            raw_query: "",
            headers: &headers,
            body: b"",
        };
        // The values are no identifiers; that they are refused by name shows who was found.
        match decode(service, &incoming) {
            Ok(decoded) => assert_eq!(decoded.operation.name, operation.name),
            Err(exception) => assert_eq!(exception.code, "ValidationException", "{}", operation.name),
        }
    }
}

#[test]
fn a_rest_call_is_put_together_from_path_query_and_body() {
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
    let body = r#"{"targets": [{"id": "10.0.0.1", "port": 80, "extra": [1]}], "unknown": {"a": null}}"#;
    let decoded = lattice("POST /targetgroups/tg-0123456789abcdef0/registertargets/", body).unwrap();
    assert_eq!(
        decoded.input,
        json!({
            "targetGroupIdentifier": "tg-0123456789abcdef0",
            "targets": [{"id": "10.0.0.1", "port": 80}]
        })
    );
}

#[test]
fn a_query_list_takes_every_occurrence_of_its_name() {
    let arn = "arn%3Aaws%3Avpc-lattice%3Aus-east-1%3A111122223333%3Aservice%2Fsvc-0123456789abcdef0";
    let line = format!("DELETE /tags/{arn}?tagKeys=a%2Fb%3Ac&other=1&tagKeys=d%20e");
    assert_eq!(lattice(&line, "").unwrap().input["tagKeys"], json!(["a/b:c", "d e"]));
}

#[test]
fn an_absent_body_and_nulls_are_an_input_without_members() {
    let line = format!(
        "PATCH /services/{SERVICE_ID}/listeners/listener-0123456789abcdef0/rules/rule-0123456789abcdef0"
    );
    for body in ["", "{}", " \n", r#"{"match": null, "priority": null}"#] {
        let decoded = lattice(&line, body).unwrap();
        assert_eq!(decoded.operation.name, "UpdateRule");
        assert_eq!(decoded.input.as_object().unwrap().len(), 3, "{body}");
    }
    // A body that is not asked for is not looked at.
    assert!(lattice(&format!("DELETE /services/{SERVICE_ID}"), "not json").is_ok());
}

#[test]
fn what_cannot_be_read_is_told_apart_from_what_breaks_a_limit() {
    let reason = |body: &str| {
        let exception = lattice("POST /services", body).unwrap_err();
        assert_eq!((exception.code.as_ref(), exception.status), ("ValidationException", 400));
        exception
    };
    for body in ["{", "[]", "5", "\"x\"", "nul", "{\"name\": \"cart\",}", "{\"name\": NaN}"] {
        assert_eq!(reason(body).members["reason"], Reason::CannotParse.as_str(), "{body}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(reason(&deep).members["reason"], "cannotParse");
    let mistyped = reason(r#"{"name": 5, "tags": {"a": 1}}"#);
    assert_eq!(mistyped.members["reason"], "cannotParse");
    assert_eq!(
        mistyped.members["fieldList"],
        json!([
            {"name": "name", "message": "Member must be a string"},
            {"name": "tags.a.member", "message": "Member must be a string"}
        ])
    );
    assert_eq!(reason("{}").members["reason"], "fieldValidationFailed");
}

#[test]
fn a_number_that_is_no_32_bit_integer_is_refused() {
    for number in ["1.5", "2147483648", "1e3", "99999999999999999999", "\"80\"", "true"] {
        let body = format!(r#"{{"targets": [{{"id": "i", "port": {number}}}]}}"#);
        let line = "POST /targetgroups/tg-0123456789abcdef0/registertargets";
        let exception = lattice(line, &body).unwrap_err();
        assert_eq!(exception.members["fieldList"][0]["name"], "targets.1.member.port", "{number}");
    }
    assert_eq!(code(lattice("GET /services?maxResults=ten", "")).0, "ValidationException");
}

#[test]
fn a_method_or_path_of_no_operation_is_an_unknown_operation() {
    for line in ["GET /", "GET /nope", "PUT /services", "GET /services/a/b", "GET /services/x/../y"] {
        assert_eq!(code(lattice(line, "")), ("UnknownOperationException".into(), 404), "{line}");
    }
    assert_eq!(code(lattice("GET /services/%ff%fe", "")), ("ValidationException".into(), 400));
}

#[test]
fn a_body_over_the_limit_is_refused_in_the_words_of_the_service() {
    let body = format!("{{\"name\": \"{}\"}}", "a".repeat(2 << 20));
    let refused = |name: &str| {
        let exception = crate::check_size(service(name), body.as_bytes()).unwrap_err();
        (exception.code.into_owned(), exception.status)
    };
    assert_eq!(refused("vpc-lattice"), ("RequestEntityTooLargeException".into(), 413));
    assert_eq!(refused("ec2"), ("RequestEntityTooLarge".into(), 413));
    assert!(crate::check_size(service("ec2"), b"Action=DescribeVpcs").is_ok());
}

#[test]
fn a_rest_answer_has_the_status_of_its_operation_and_no_nulls() {
    let output = json!({"id": SERVICE_ID, "name": "cart", "customDomainName": null, "made_up": 1});
    let (status, headers, body) = answer("vpc-lattice", "CreateService", &output);
    assert_eq!(status, 201);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-amzn-requestid"], "request-1");
    assert_eq!(json_of(&body), json!({"id": SERVICE_ID, "name": "cart"}));

    let (status, headers, body) = answer("vpc-lattice", "DeleteListener", &json!({}));
    assert_eq!((status, body.as_str()), (204, ""));
    assert!(!headers.contains_key("content-type"));
    assert_eq!(answer("vpc-lattice", "TagResource", &json!({})).2, "{}");
}

#[test]
fn a_rest_error_names_its_code_in_a_header_and_its_members_in_the_body() {
    let exception = Exception::conflict("Name taken", "svc-1", "SERVICE");
    let (status, headers, body) =
        split(encode_error(Some(service("vpc-lattice")), Protocol::RestJson, &exception, "r"));
    assert_eq!((status, &headers["x-amzn-errortype"]), (409, &HeaderValue::from_static("ConflictException")));
    assert_eq!(
        json_of(&body),
        json!({"message": "Name taken", "resourceId": "svc-1", "resourceType": "SERVICE"})
    );
    let throttled = Exception::plain("ThrottlingException", 429, "slow down").retry_after(1);
    let (status, headers, body) =
        split(encode_error(Some(service("vpc-lattice")), Protocol::RestJson, &throttled, "r"));
    assert_eq!((status, &headers["retry-after"]), (429, &HeaderValue::from_static("1")));
    assert_eq!(json_of(&body), json!({"message": "slow down"}));
}

#[test]
fn text_that_cannot_stand_in_a_header_never_breaks_an_answer() {
    let exception = Exception::plain("Bad\r\nCode".to_owned(), 1000, "m");
    let (status, headers, _) = split(encode_error(None, Protocol::RestJson, &exception, "a\nb"));
    assert_eq!(status, 500);
    assert!(!headers.contains_key("x-amzn-errortype") && !headers.contains_key("x-amzn-requestid"));
}

// === JSON ===

#[test]
fn a_json_call_is_named_by_its_target() {
    let decoded =
        tagging("GetResources", r#"{"TagFilters": [{"Key": "a/b", "Values": ["c"]}], "X": 1}"#).unwrap();
    assert_eq!((decoded.operation.name.as_str(), decoded.protocol), ("GetResources", Protocol::Json11));
    assert_eq!(decoded.input, json!({"TagFilters": [{"Key": "a/b", "Values": ["c"]}]}));
    assert!(tagging("GetResources", "").is_ok());
}

#[test]
fn json_faults_have_the_codes_json_clients_know() {
    assert_eq!(code(tagging("Nope", "{}")), ("UnknownOperationException".into(), 400));
    let headers = [("x-amz-target", "Other.GetResources")];
    assert_eq!(code(call("tagging", "POST /", &headers, "{}")).0, "UnknownOperationException");
    assert_eq!(code(call("tagging", "POST /", &[], "{}")).0, "UnknownOperationException");
    assert_eq!(code(tagging("GetResources", "{")), ("SerializationException".into(), 400));
    assert_eq!(code(tagging("GetResources", r#"{"TagFilters": 1}"#)).0, "SerializationException");
    assert_eq!(code(tagging("GetTagValues", "{}")), ("InvalidParameterException".into(), 400));
}

#[test]
fn a_json_answer_echoes_the_version_the_client_speaks() {
    let tagging = service("tagging");
    let operation = tagging.operation("GetTagKeys").unwrap();
    let output = json!({"PaginationToken": "", "TagKeys": ["a"]});
    let (_, headers, body) = split(encode(tagging, Protocol::Json10, operation, &output, "r"));
    assert_eq!(headers["content-type"], "application/x-amz-json-1.0");
    assert_eq!(json_of(&body), output);

    let exception = Exception::plain("InvalidParameterException", 400, "m");
    let (status, headers, body) = split(encode_error(Some(tagging), Protocol::Json11, &exception, "r"));
    assert_eq!(
        (status, &headers["content-type"]),
        (400, &HeaderValue::from_static("application/x-amz-json-1.1"))
    );
    assert_eq!(json_of(&body), json!({"__type": "InvalidParameterException", "Message": "m"}));
    let (_, _, body) = split(encode_error(None, Protocol::Json11, &exception, "r"));
    assert_eq!(json_of(&body), json!({"__type": "InvalidParameterException", "message": "m"}));
}

// === Anything ===

#[test]
fn a_fault_of_ours_has_each_services_own_word() {
    for (name, word) in [
        ("vpc-lattice", "InternalServerException"),
        ("ram", "ServerInternalException"),
        ("tagging", "InternalServiceException"),
        ("acm", "InternalFailure"),
        ("sts", "InternalFailure"),
        ("ec2", "InternalError"),
    ] {
        let service = service(name);
        let answer = encode_error(Some(service), service.protocol, &Exception::internal("m"), "r");
        let (status, headers, body) = split(answer);
        let told = headers.get("x-amzn-errortype").map(|code| code.to_str().unwrap());
        assert_eq!((status, &headers["retry-after"]), (500, &HeaderValue::from_static("1")));
        assert!(told == Some(word) || body.contains(&format!("<Code>{word}</Code>")), "{name}: {body}");
    }
}

/// Deterministic disorder.
struct Shuffle(u64);

impl Shuffle {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

#[test]
fn mangled_requests_are_answered_and_never_panic() {
    let seeds = [
        ("vpc-lattice", "POST /services?maxResults=1", r#"{"name": "cart", "tags": {"a": "b"}}"#),
        (
            "vpc-lattice",
            "POST /services/svc-0123456789abcdef0/listeners",
            r#"{"name":"http","protocol":"HTTP","port":80,"defaultAction":{"fixedResponse":{"statusCode":404}}}"#,
        ),
        ("ec2", "POST /", "Action=DescribeVpcs&Filter.1.Name=a&Filter.1.Value.1=b&VpcId.1=c&MaxResults=5"),
        ("sts", "GET /?Action=GetCallerIdentity&Version=2011-06-15", ""),
        ("tagging", "POST /", r#"{"ResourceARNList": ["a"], "Tags": {"a": "b"}}"#),
    ];
    let alphabet: Vec<char> = "{}[]\":,.%&=/0129-+eE \\nult\u{0}é".chars().collect();
    let mut shuffle = Shuffle(0x9e37_79b9_7f4a_7c15);
    for round in 0..4000 {
        let (name, line, body) = seeds[round % seeds.len()];
        let mut texts = [line.split_once(' ').unwrap().1.to_owned(), body.to_owned()];
        for text in &mut texts {
            for _ in 0..shuffle.next(4) {
                let at = shuffle.next(text.chars().count() + 1);
                let at = text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
                match shuffle.next(3) {
                    0 => text.truncate(at),
                    1 => text.insert(at, alphabet[shuffle.next(alphabet.len())]),
                    _ if at < text.len() => drop(text.remove(at)),
                    _ => {}
                }
            }
        }
        let method = line.split_once(' ').unwrap().0;
        let headers = [("x-amz-target", "ResourceGroupsTaggingAPI_20170126.TagResources")];
        if let Err(exception) = call(name, &format!("{method} {}", texts[0]), &headers, &texts[1]) {
            assert!((400..500).contains(&exception.status), "{exception}");
            encode_error(Some(service(name)), service(name).protocol, &exception, "r");
        }
    }
}
