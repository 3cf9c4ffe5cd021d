use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_sdk_s3::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::tests::{self, Server, subscription};

const SERVICE: &str = "svc-00000000000000001";

/// A courier to `server`, and a segment of three lines to bring there, the second of them damaged.
struct Errand {
    _directory: TempDir,
    courier: Courier,
    segment: Segment,
    progress: Progress,
    tally: Tally,
}

impl Errand {
    fn new(destination: &str, server: &Server) -> Self {
        Self::with(destination, &server.url, [line(3), "\0\0{}\n".into(), line(1)].concat())
    }

    fn with(destination: &str, url: &str, content: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = tests::options(directory.path());
        options.endpoints = LogDestinationKind::ALL
            .into_iter()
            .map(|kind| (kind, url.parse().unwrap()))
            .collect::<BTreeMap<_, _>>();
        let sdk = Sdk::new(options.credentials.clone());
        let of = subscription(SERVICE, destination);
        let destination = of.destination().unwrap();
        let courier = Courier::new(&options, &sdk, Arc::new(of), &destination).unwrap();
        let begun = "2026-11-21T10:00:07Z".parse().unwrap();
        let segment = Segment::new(directory.path(), 0, begun);
        fs::write(&segment.path, content).unwrap();
        Self {
            _directory: directory,
            courier,
            segment,
            progress: Progress::default(),
            tally: Tally::default(),
        }
    }

    async fn run(&mut self) -> Result<(), Failure> {
        self.courier.deliver(&self.segment, &mut self.progress, &self.tally).await
    }

    fn counts(&self) -> (u64, u64) {
        (self.tally.delivered.value(), self.tally.refused.value())
    }
}

fn line(second: u64) -> String {
    format!("{{\"startTime\":\"2026-11-21T10:00:0{second}Z\"}}\n")
}

/// The first answer to give, and then the others.
fn then(
    first: (u16, &str),
    others: (u16, &str),
) -> impl Fn(&str, &[u8]) -> (u16, String) + Send + Sync + 'static {
    let count = AtomicUsize::new(0);
    let [first, others] = [first, others].map(|(status, text)| (status, text.to_owned()));
    move |_, _| if count.fetch_add(1, Ordering::SeqCst) == 0 { first.clone() } else { others.clone() }
}

#[tokio::test]
async fn an_object_sent_again_has_the_name_it_had() {
    let refusal = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let server = Server::start(then((503, refusal), (200, "")));
    let mut errand = Errand::new("arn:aws:s3:::logs/a b", &server);
    let failure = errand.run().await.unwrap_err();
    assert_eq!(failure.to_string(), "SlowDown: Please reduce your request rate.");
    assert_eq!(errand.counts(), (0, 0));
    errand.run().await.unwrap();
    assert_eq!(errand.counts(), (2, 1));
    let [(first, _), (second, body)] = &server.seen()[..] else { panic!("not two requests") };
    let path = |head: &str| head.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(path(first), path(second));
    assert!(path(first).starts_with("/logs/a%20b/AWSLogs/111122223333/VpcLattice/AccessLogs/"), "{first}");
    assert!(
        first.contains("Credential=AKIATEST/") && first.contains("/us-east-1/s3/aws4_request"),
        "{first}"
    );
    let mut lines = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut lines).unwrap();
    assert_eq!(lines, [line(3), line(1)].concat());
}

#[tokio::test]
async fn a_missing_stream_is_made_and_events_go_in_the_order_of_their_time() {
    let missing =
        r#"{"__type":"ResourceNotFoundException","message":"The specified log stream does not exist."}"#;
    let server = Server::start(then((400, missing), (200, "{}")));
    let mut errand = Errand::new("arn:aws:logs:eu-west-1:111122223333:log-group:lattice:*", &server);
    errand.run().await.unwrap();
    assert_eq!(errand.counts(), (2, 1));
    let seen = server.seen();
    let targets: Vec<_> = seen
        .iter()
        .map(|(head, _)| {
            head.lines().find_map(|line| line.strip_prefix("x-amz-target: Logs_20140328.")).unwrap()
        })
        .collect();
    assert_eq!(targets, ["PutLogEvents", "CreateLogStream", "PutLogEvents"]);
    assert!(seen[0].0.contains("/eu-west-1/logs/aws4_request"), "{}", seen[0].0);
    let body: Value = serde_json::from_slice(&seen[2].1).unwrap();
    let event = |second: u64| {
        let message = line(second);
        json!({"timestamp": 1_795_255_200_000_u64 + second * 1000, "message": message.trim_end()})
    };
    let stream = format!("111122223333_VpcLatticeAccessLogs_us-east-1_{SERVICE}");
    let expected =
        json!({"logGroupName": "lattice", "logStreamName": stream, "logEvents": [event(1), event(3)]});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_missing_group_is_said_and_not_made() {
    let missing =
        r#"{"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}"#;
    let server = Server::start(then((400, missing), (400, missing)));
    let mut errand = Errand::new("arn:aws:logs:eu-west-1:111122223333:log-group:lattice", &server);
    let failure = errand.run().await.unwrap_err();
    assert_eq!(failure.to_string(), "ResourceNotFoundException: The specified log group does not exist.");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn events_that_a_group_refuses_are_counted_and_not_sent_again() {
    let server =
        Server::start(|_, _| (200, r#"{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1}}"#.into()));
    let mut errand = Errand::new("arn:aws:logs:eu-west-1:111122223333:log-group:lattice", &server);
    errand.run().await.unwrap();
    assert_eq!(errand.counts(), (1, 2));
}

#[tokio::test]
async fn records_that_were_not_taken_are_sent_again_and_the_others_are_not() {
    let some = r#"{"FailedPutCount":1,"RequestResponses":[{"RecordId":"1"},
        {"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}]}"#;
    let server = Server::start(then((200, some), (200, r#"{"RequestResponses":[{"RecordId":"2"}]}"#)));
    let mut errand = Errand::new("arn:aws:firehose:us-east-1:111122223333:deliverystream/lattice", &server);
    let failure = errand.run().await.unwrap_err();
    assert_eq!(failure.to_string(), "ServiceUnavailableException: Slow down.");
    errand.run().await.unwrap();
    assert_eq!(errand.counts(), (2, 1));
    let sent: Vec<Vec<String>> = server.seen().iter().map(|(_, body)| records(body)).collect();
    assert_eq!(sent, [vec![line(1), line(3)], vec![line(3)]]);
}

fn records(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["DeliveryStreamName"], "lattice");
    let data =
        |record: &Value| base64::engine::general_purpose::STANDARD.decode(record["Data"].as_str().unwrap());
    body["Records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| String::from_utf8(data(each).unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn more_records_than_one_call_takes_are_several_calls() {
    let server = Server::start(|_, body| {
        let body: Value = serde_json::from_slice(body).unwrap();
        let entries = vec![json!({"RecordId": "x"}); body["Records"].as_array().unwrap().len()];
        (200, json!({"FailedPutCount": 0, "RequestResponses": entries}).to_string())
    });
    let stream = "arn:aws:firehose:us-east-1:111122223333:deliverystream/lattice";
    let mut errand = Errand::with(stream, &server.url, line(1).repeat(1001));
    errand.run().await.unwrap();
    assert_eq!(errand.counts(), (1001, 0));
    assert_eq!(server.seen().iter().map(|(_, body)| records(body).len()).collect::<Vec<_>>(), [500, 500, 1]);
}

#[tokio::test]
async fn a_destination_that_is_not_there_is_named() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut errand = Errand::with("arn:aws:s3:::logs", &url, line(1));
    let failure = errand.run().await.unwrap_err().to_string();
    assert!(failure.starts_with(&format!("cannot call {url}: ")), "{failure}");
    assert!(failure.contains("Connection refused"), "{failure}");
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_not_read_to_its_end() {
    let server = Server::start(|_, _| (200, " ".repeat(2 << 20)));
    let mut errand = Errand::new("arn:aws:firehose:us-east-1:111122223333:deliverystream/lattice", &server);
    let failure = errand.run().await.unwrap_err().to_string();
    assert!(failure.contains("length limit exceeded"), "{failure}");
    assert_eq!(errand.counts(), (0, 1));
}

#[tokio::test]
async fn a_service_that_fails_is_called_once_for_each_attempt() {
    let server = Server::start(|_, _| (500, String::new()));
    let mut errand = Errand::new("arn:aws:s3:::logs", &server);
    let failure = errand.run().await.unwrap_err();
    assert_eq!(failure.to_string(), format!("{} answered 500", server.url));
    assert_eq!(server.seen().len(), 1);
}

/// Takes the URL of each request, and answers none.
#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl HttpClient for Recorder {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.0.lock().unwrap().push(request.uri().to_owned());
        HttpConnectorFuture::ready(Err(ConnectorError::other("nobody is there".into(), None)))
    }
}

#[tokio::test]
async fn amazons_own_hosts_are_known() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = tests::options(directory.path());
    options.endpoints = LogDestinationKind::ALL.into_iter().map(|kind| (kind, Endpoint::Amazon)).collect();
    let recorder = Recorder::default();
    let sdk = Sdk::over(SharedHttpClient::new(recorder.clone()), options.credentials.clone());
    let segment = Segment::new(directory.path(), 0, "2026-11-21T10:00:07Z".parse().unwrap());
    fs::write(&segment.path, line(1)).unwrap();
    for (destination, url) in [
        ("arn:aws:s3:::logs/a", "https://logs.s3.us-east-1.amazonaws.com/a/AWSLogs/"),
        // A certificate of Amazon's names one label before `s3`.
        ("arn:aws:s3:::dotted.logs", "https://s3.us-east-1.amazonaws.com/dotted.logs/AWSLogs/"),
        ("arn:aws:logs:eu-west-1:111122223333:log-group:a", "https://logs.eu-west-1.amazonaws.com/"),
        (
            "arn:aws-cn:firehose:cn-north-1:111122223333:deliverystream/a",
            "https://firehose.cn-north-1.amazonaws.com.cn/",
        ),
    ] {
        let of = subscription(SERVICE, destination);
        let parsed = of.destination().unwrap();
        let courier = Courier::new(&options, &sdk, Arc::new(of), &parsed).unwrap();
        courier.deliver(&segment, &mut Progress::default(), &Tally::default()).await.unwrap_err();
        let seen = recorder.0.lock().unwrap().pop().unwrap();
        assert!(seen.starts_with(url), "{seen}");
    }
}
