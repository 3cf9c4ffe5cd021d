//! Every word of the language on its wire, where no service of this crate says it yet.

use super::*;

fn described(protocol: &str, body: &str) -> &'static Service {
    let head = format!(
        "service thing\n  id Thing\n  endpoint thing\n  protocol {protocol}\n  version 2020\n  namespace urn:thing\n  target Thing_2020\n"
    );
    Box::leak(Box::new(trellis_idl::parse(&(head + body)).unwrap()))
}

fn sent(service: &'static Service, line: &str, body: &str) -> Result<Decoded, Exception> {
    let (method, target) = line.split_once(' ').unwrap();
    let (raw_path, raw_query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-target", HeaderValue::from_static("Thing_2020.Put"));
    headers.insert("x-when", HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
    let method = method.parse().unwrap();
    decode(
        service,
        &Incoming { method: &method, raw_path, raw_query, headers: &headers, body: body.as_bytes() },
    )
}

fn answered(service: &Service, operation: &str, output: &Value) -> (u16, HeaderMap, String) {
    split(encode(service, service.protocol, service.operation(operation).unwrap(), output, "r"))
}

/// Everything an XML or form body can hold.
const MEMBERS: &str = "    Name String\n    Size Float\n    Data Blob\n    At Timestamp\n    On Boolean\n\
     \x20   Tags Tags\n    Flat Flat wire=FlatItem\n    Named Named\n    Attributes Attributes\n    Counts Counts wire=Count\n";
const SHAPES: &str = "struct Tag\n  Key String\n  Value String\nlist Tags of Tag item=Tag\n\
     list Flat of String flattened\nlist Named of Integer item=Number flattened\n\
     map Attributes of String String\nmap Counts of String Integer key=Name value=Total flattened\n";

fn value() -> Value {
    json!({
        "Name": " a<b> & c ",
        "Size": 0.25,
        "Data": "AAECAw==",
        "At": "2026-01-02T03:04:05.678Z",
        "On": true,
        "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l"}],
        "Flat": ["x", "y"],
        "Named": [1, 2],
        "Attributes": {"a": "1", "b": "2"},
        "Counts": {"c": 3},
    })
}

fn rest_xml() -> &'static Service {
    let operations = format!(
        "error Unlucky 409\n  message String\n  Reasons Flat\n\
         op Put POST /2020/things/{{Id}}/parts/ 201\n  in\n    Id String required label\n    When Timestamp header=x-when\n{MEMBERS}\
         \x20 out\n    Location String header=Location\n    Code Integer status\n{MEMBERS}  errors Unlucky\n\
         op Upload PUT /2020/raw 200\n  in\n    Bytes Blob payload\n  out\n    Bytes Blob payload\n    Kind String header=Content-Type\n\
         op Configure PUT /2020/configuration 200\n  in\n    Configuration Tag payload wire=Config\n  out\n    Configuration Tag payload wire=Config\n\
         op Touch POST /2020/touch 200\n\
         op List GET /2020/things 200\n  out root=ListResult\n    Flat Flat wire=Id\n"
    );
    described("rest-xml", &format!("{SHAPES}{operations}"))
}

#[test]
fn a_rest_xml_body_becomes_a_value_and_back() {
    let service = rest_xml();
    let body = "<Name> a&lt;b&gt; &amp; c </Name><Size>0.25</Size><Data>AAECAw==</Data>\
                <At>2026-01-02T03:04:05.678Z</At><On>true</On>\
                <Tags><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key></Tag></Tags>\
                <FlatItem>x</FlatItem><FlatItem>y</FlatItem><Number>1</Number><Number>2</Number>\
                <Attributes><entry><key>a</key><value>1</value></entry><entry><key>b</key><value>2</value></entry></Attributes>\
                <Count><Name>c</Name><Total>3</Total></Count>";
    let request =
        format!("<?xml version=\"1.0\"?><PutRequest xmlns=\"urn:thing\">{body}<Other/></PutRequest>");
    for path in ["/2020/things/t-1/parts", "/2020/things/t-1/parts/"] {
        let decoded = sent(service, &format!("POST {path}"), &request).unwrap();
        let mut expected = value();
        expected["Id"] = "t-1".into();
        expected["When"] = "1994-11-06T08:49:37.000Z".into();
        assert_eq!((decoded.operation.name.as_str(), decoded.input), ("Put", expected));
    }
    let mut output = value();
    output["Location"] = "https://x/2020".into();
    let (status, headers, text) = answered(service, "Put", &output);
    assert_eq!((status, &headers["location"]), (201, &HeaderValue::from_static("https://x/2020")));
    assert_eq!(headers["content-type"], "text/xml;charset=UTF-8");
    assert!(text.ends_with(&format!("<PutResponse xmlns=\"urn:thing\">{body}</PutResponse>")), "{text}");
    output["Code"] = 202.into();
    assert_eq!(answered(service, "Put", &output).0, 202);
    let (_, _, text) = answered(service, "List", &json!({"Flat": ["t-1"]}));
    assert!(text.ends_with("<ListResult xmlns=\"urn:thing\"><Id>t-1</Id></ListResult>"), "{text}");
    assert_eq!(answered(service, "Touch", &json!({})).2, "");
}

#[test]
fn a_payload_is_the_whole_body() {
    let service = rest_xml();
    let uploaded = sent(service, "PUT /2020/raw", "\u{1}<raw>").unwrap();
    assert_eq!(uploaded.input, json!({"Bytes": "ATxyYXc+"}));
    let (_, headers, body) = answered(service, "Upload", &json!({"Bytes": "ATxyYXc+", "Kind": "image/png"}));
    assert_eq!(
        (body.as_str(), &headers["content-type"]),
        ("\u{1}<raw>", &HeaderValue::from_static("image/png"))
    );
    assert_eq!(sent(service, "PUT /2020/raw", "").unwrap().input, json!({}));

    let configured = sent(service, "PUT /2020/configuration", "<Config><Key>k</Key></Config>").unwrap();
    assert_eq!(configured.input, json!({"Configuration": {"Key": "k"}}));
    let (_, _, body) = answered(service, "Configure", &json!({"Configuration": {"Key": "k"}}));
    assert!(body.ends_with("<Config xmlns=\"urn:thing\"><Key>k</Key></Config>"), "{body}");

    let json = described(
        "rest-json",
        "struct Tag\n  Key String\nop Configure PUT /c 200\n  in\n    Tag Tag payload\n  out\n    Tag Tag payload\n",
    );
    assert_eq!(sent(json, "PUT /c", r#"{"Key": "k"}"#).unwrap().input, json!({"Tag": {"Key": "k"}}));
    assert_eq!(answered(json, "Configure", &json!({"Tag": {"Key": "k"}})).2, r#"{"Key":"k"}"#);
}

#[test]
fn rest_xml_faults_are_in_its_words_with_their_members() {
    let service = rest_xml();
    let refused = |line: &str, body: &str| code(sent(service, line, body));
    let put = "POST /2020/things/t-1/parts";
    assert_eq!(refused(put, "<PutRequest>"), ("MalformedInput".into(), 400));
    assert_eq!(refused(put, "<P><Size>big</Size></P>"), ("InvalidInput".into(), 400));
    assert_eq!(refused(put, "<P><Size>NaN</Size></P>"), ("InvalidInput".into(), 400));
    assert_eq!(refused(put, "<P><On><x/></On></P>"), ("InvalidInput".into(), 400));
    assert_eq!(refused("GET /2020/nothing", ""), ("UnknownOperationException".into(), 404));

    let mut exception = Exception::plain("Unlucky", 409, "not <today>");
    exception.members.insert("Reasons".into(), json!(["rain", "snow"]));
    let (status, _, body) = split(encode_error(Some(service), Protocol::RestXml, &exception, "r"));
    assert_eq!(status, 409);
    assert!(
        body.ends_with(
            "<ErrorResponse xmlns=\"urn:thing\"><Error><Type>Sender</Type><Code>Unlucky</Code>\
             <Message>not &lt;today&gt;</Message><Reasons>rain</Reasons><Reasons>snow</Reasons></Error>\
             <RequestId>r</RequestId></ErrorResponse>"
        ),
        "{body}"
    );
    let (_, headers, body) = split(encode_error(None, Protocol::S3, &exception, "r"));
    assert_eq!(headers["x-amz-request-id"], "r");
    assert!(
        body.ends_with(
            "<Error><Code>Unlucky</Code><Message>not &lt;today&gt;</Message><RequestId>r</RequestId></Error>"
        ),
        "{body}"
    );
}

#[test]
fn a_query_form_has_members_entries_and_flattened_lists() {
    let service = described("query", &format!("{SHAPES}op Put POST / 200\n  in\n{MEMBERS}  out\n{MEMBERS}"));
    let form = "Action=Put&Name=+a%3Cb%3E+%26+c+&Size=0.25&Data=AAECAw%3D%3D&At=2026-01-02T03%3A04%3A05.678Z&On=true\
                &Tags.Tag.1.Key=k&Tags.Tag.1.Value=v&Tags.Tag.2.Key=l&FlatItem.1=x&FlatItem.2=y&Number.1=1&Number.2=2\
                &Attributes.entry.1.key=a&Attributes.entry.1.value=1&Attributes.entry.2.key=b&Attributes.entry.2.value=2\
                &Count.1.Name=c&Count.1.Total=3";
    assert_eq!(sent(service, "POST /", form).unwrap().input, value());
    let (_, _, body) = answered(service, "Put", &value());
    assert!(body.contains("<PutResult><Name> a&lt;b&gt; &amp; c </Name><Size>0.25</Size>"), "{body}");
}

#[test]
fn floats_and_blobs_keep_their_limits() {
    let service = described(
        "json-1.1",
        "float Share 0..1\nblob Short 1..3\nop Put POST / 200\n  in\n    A Share\n    B Double\n    C Short\n",
    );
    for good in [r#"{"A": 0.5, "B": -1.5e300, "C": "AAEC"}"#, r#"{"A": 1, "B": 7, "C": "AA=="}"#] {
        sent(service, "POST /", good).unwrap();
    }
    for bad in [r#"{"A": 1.01}"#, r#"{"A": -1}"#, r#"{"C": ""}"#, r#"{"C": "AAECAw=="}"#] {
        assert_eq!(code(sent(service, "POST /", bad)).0, "ValidationException", "{bad}");
    }
    for bad in [r#"{"A": "0.5"}"#, r#"{"B": true}"#, r#"{"C": "*"}"#] {
        assert_eq!(code(sent(service, "POST /", bad)).0, "SerializationException", "{bad}");
    }
}
