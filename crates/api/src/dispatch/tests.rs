use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

struct Request {
    method: Method,
    path: &'static str,
    query: &'static str,
    headers: HeaderMap,
    body: &'static str,
}

impl Request {
    fn new(line: &'static str) -> Self {
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Self { method, path, query, headers: HeaderMap::new(), body: "" }
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    fn form(mut self, body: &'static str) -> Self {
        self.body = body;
        self.header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    }

    fn incoming(&self) -> Incoming<'_> {
        Incoming {
            method: &self.method,
            raw_path: self.path,
            raw_query: self.query,
            headers: &self.headers,
            body: self.body.as_bytes(),
        }
    }

    fn routed(&self) -> Result<(&str, Option<&str>, Source), String> {
        route(Schema::all(), &self.incoming())
            .map(|route| (route.service.signing_name.as_str(), route.region, route.source))
            .map_err(|exception| format!("{} {}", exception.code, exception.status))
    }
}

const V4: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-west-1/tagging/aws4_request, \
                  SignedHeaders=host;x-amz-date, Signature=00";

#[test]
fn the_scope_of_the_signature_decides_before_anything_else() {
    let request = Request::new("POST /")
        .header("authorization", V4)
        .header("host", "ec2.us-east-1.amazonaws.com")
        .header("x-amz-target", "Other_1.Thing");
    assert_eq!(request.routed(), Ok(("tagging", Some("eu-west-1"), Source::Signature)));
}

#[test]
fn the_path_never_decides() {
    // `/tags/{arn}` is a path of vpc-lattice, but also of services that are not served.
    let request = Request::new("GET /tags/arn").header("host", "127.0.0.1:4560");
    assert_eq!(request.routed(), Err("MissingAuthenticationTokenException 403".into()));
}

#[test]
fn a_presigned_url_carries_its_scope_in_the_query() {
    let request = Request::new(
        "GET /?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKID%2F20260102%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Expires=60",
    );
    assert_eq!(request.routed(), Ok(("sts", Some("us-east-1"), Source::Presigned)));
}

#[test]
fn sigv4a_names_no_region() {
    let request = Request::new("GET /services").header(
        "authorization",
        "AWS4-ECDSA-P256-SHA256 Credential=AKID/20260102/vpc-lattice/aws4_request, SignedHeaders=host, Signature=0",
    );
    assert_eq!(request.routed(), Ok(("vpc-lattice", None, Source::Signature)));
}

#[test]
fn unsigned_requests_are_found_by_target_action_and_host() {
    let target =
        Request::new("POST /").header("x-amz-target", "ResourceGroupsTaggingAPI_20170126.GetResources");
    assert_eq!(target.routed(), Ok(("tagging", None, Source::Target)));
    let tokens = trellis_idl::parse(
        "service tokens\n  id T\n  endpoint t\n  protocol query\n  version 1\nop Exchange POST / 200\n  unsigned\nop Look POST / 200\n",
    );
    let schema = Schema::new(vec![Box::leak(Box::new(tokens.unwrap()))]);
    let action = Request::new("POST /").form("Action=Exchange&Version=1");
    assert_eq!(route(&schema, &action.incoming()).unwrap().source, Source::UnsignedAction);
    let action = Request::new("POST /").form("Action=Look&Version=1");
    assert_eq!(route(&schema, &action.incoming()).unwrap_err().code, "MissingAuthenticationToken");
    for (host, expected) in [
        ("vpc-lattice.us-west-2.amazonaws.com", ("vpc-lattice", Some("us-west-2"), Source::Host)),
        ("vpc-lattice.us-west-2.api.aws:443", ("vpc-lattice", Some("us-west-2"), Source::Host)),
        ("sts.amazonaws.com", ("sts", None, Source::Host)),
    ] {
        assert_eq!(Request::new("GET /").header("host", host).routed(), Ok(expected), "{host}");
    }
    for host in ["ec2.a.b.amazonaws.com", "amazonaws.com", "nope.us-east-1.amazonaws.com", "localhost:1", ""]
    {
        assert!(Request::new("GET /").header("host", host).routed().is_err(), "{host}");
    }
}

/// A request of botocore for a service, signed for it.
fn signed_for(line: &'static str, service: &str) -> Request {
    let mut request = Request::new(line);
    let value =
        format!("AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/{service}/aws4_request, Signature=0");
    request.headers.insert("authorization", value.parse().unwrap());
    request
}

#[test]
fn a_service_that_is_not_served_is_named_in_an_error_of_its_own_protocol() {
    for (request, protocol, code, status) in [
        (
            signed_for("GET /2013-04-01/hostedzone", "route53"),
            Protocol::RestXml,
            "SignatureDoesNotMatch",
            403,
        ),
        (signed_for("GET /", "s3"), Protocol::S3, "SignatureDoesNotMatch", 403),
        (
            signed_for("POST /", "iam").form("Action=ListRoles&Version=2010-05-08"),
            Protocol::Query,
            "SignatureDoesNotMatch",
            403,
        ),
        (
            signed_for("POST /", "monitoring").form("Action=ListMetrics"),
            Protocol::Query,
            "SignatureDoesNotMatch",
            403,
        ),
        (
            signed_for("POST /", "dynamodb")
                .header("x-amz-target", "DynamoDB_20120810.ListTables")
                .header("content-type", "application/x-amz-json-1.0"),
            Protocol::Json10,
            "InvalidSignatureException",
            403,
        ),
        (signed_for("GET /clusters", "eks"), Protocol::RestJson, "InvalidSignatureException", 403),
    ] {
        let exception = route(Schema::all(), &request.incoming()).unwrap_err();
        assert_eq!(guess_protocol(Schema::all(), &request.incoming()), protocol, "{exception}");
        assert_eq!((exception.code.as_ref(), exception.status), (code, status));
        assert!(exception.message.contains("is not served here"), "{}", exception.message);
    }
}

#[test]
fn a_credential_that_cannot_be_read_is_an_incomplete_signature() {
    for value in [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Signature=0",
        "AWS4-HMAC-SHA256 Credential=AKID/ec2, Signature=0",
    ] {
        let request = Request::new("POST /").header("authorization", value);
        assert_eq!(request.routed(), Err("IncompleteSignatureException 400".into()), "{value}");
    }
    let bearer = Request::new("POST /").header("authorization", "Bearer x");
    assert_eq!(bearer.routed(), Err("MissingAuthenticationTokenException 403".into()));
}

#[test]
fn the_protocol_is_guessed_from_target_scope_and_form() {
    let guess = |request: Request| guess_protocol(Schema::all(), &request.incoming());
    let json = || Request::new("POST /").header("x-amz-target", "A.B");
    assert_eq!(guess(json()), Protocol::Json11);
    assert_eq!(guess(json().header("content-type", "application/x-amz-json-1.0")), Protocol::Json10);
    assert_eq!(guess(Request::new("POST /").form("Action=DescribeVpcs&Version=2016-11-15")), Protocol::Ec2);
    assert_eq!(guess(Request::new("GET /?Action=X&Version=2011-06-15")), Protocol::Query);
    assert_eq!(guess(Request::new("POST /").form("")), Protocol::Query);
    assert_eq!(guess(Request::new("POST /").header("host", "ec2.us-east-1.amazonaws.com")), Protocol::Ec2);
    assert_eq!(guess(Request::new("GET /services")), Protocol::RestJson);
    assert_eq!(guess(Request::new("GET /2013-04-01/hostedzone")), Protocol::RestXml);
    assert_eq!(guess(Request::new("GET /x").header("host", "s3.eu-west-1.amazonaws.com")), Protocol::S3);
}

#[test]
fn an_unsigned_call_of_s3_is_told_by_what_s3_alone_has() {
    let guess = |request: Request| guess_protocol(Schema::all(), &request.incoming());
    for request in [
        Request::new("GET /bucket?acl"),
        Request::new("GET /bucket?location="),
        Request::new("GET /?list-type=2&prefix=a"),
        Request::new("GET /key?AWSAccessKeyId=A&Expires=1&Signature=x"),
        Request::new("PUT /bucket/key").header("x-amz-meta-a", "b"),
        Request::new("PUT /bucket/key").header("x-amz-sdk-checksum-algorithm", "CRC32"),
        Request::new("GET /bucket/key").header("authorization", "AWS AKID:sig"),
        Request::new("GET /key").header("host", "bucket.s3.us-east-1.amazonaws.com"),
        Request::new("GET /key").header("host", "bucket.s3.localhost:4560"),
        Request::new("GET /bucket/key").header("user-agent", "aws-sdk-go-v2/1.3 ua/2.1 api/s3#1.2"),
        Request::new("GET /bucket").header("user-agent", "aws-cli/2.3 md/command#s3.ls"),
    ] {
        assert_eq!(guess_protocol(Schema::all(), &request.incoming()), Protocol::S3, "{}", request.path);
    }
    // An SDK that does not say whom it calls.
    let boto = |line| Request::new(line).header("user-agent", "Boto3/1.40 md/Botocore#1.40 ua/2.1");
    for line in ["GET /", "PUT /bucket", "DELETE /bucket/key", "GET /bucket/a/long/key"] {
        assert_eq!(guess(boto(line)), Protocol::S3, "{line}");
    }
}

#[test]
fn what_other_services_are_asked_unsigned_is_not_taken_for_s3() {
    let guess = |request: Request| guess_protocol(Schema::all(), &request.incoming());
    let boto = |line| Request::new(line).header("user-agent", "Boto3/1.40 md/Botocore#1.40 ua/2.1");
    assert_eq!(guess(boto("GET /services")), Protocol::RestJson);
    assert_eq!(guess(boto("DELETE /tags/arn?tagKeys=a")), Protocol::RestJson);
    assert_eq!(guess(boto("POST /functions").header("content-type", "application/json")), Protocol::RestJson);
    assert_eq!(guess(boto("GET /2013-04-01/hostedzone")), Protocol::RestXml);
    assert_eq!(guess(boto("POST /").form("Action=X&Version=2")), Protocol::Query);
    assert_eq!(guess(Request::new("GET /bucket/key").header("user-agent", "curl/8.0")), Protocol::RestJson);
    for (agent, protocol) in [
        ("aws-sdk-rust/1.3 api/eks/1.0", Protocol::RestJson),
        ("aws-cli/2.3 md/command#eks.list-clusters", Protocol::RestJson),
        ("aws-sdk-java/2.30 api/VPC_Lattice#2.30", Protocol::RestJson),
        ("aws-sdk-go-v2/1.3 api/route53#1.2", Protocol::RestXml),
        ("aws-sdk-go-v2/1.3 api/s3control#1.2", Protocol::RestXml),
    ] {
        assert_eq!(guess(Request::new("GET /clusters/x").header("user-agent", agent)), protocol, "{agent}");
    }
}
