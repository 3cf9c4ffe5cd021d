//! What the tests of several modules need.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use trellis_model::AccessLogSubscriptionId;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{AccessLogSubscription, Home};

use crate::options::Options;

/// A subscription of a service or a resource configuration.
pub(crate) fn subscription(resource: &str, destination: &str) -> AccessLogSubscription {
    let now = Moment::from(jiff::Timestamp::UNIX_EPOCH);
    AccessLogSubscription {
        id: AccessLogSubscriptionId::from_random(1),
        home: Home { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() },
        resource_id: resource.into(),
        resource_arn: format!("arn:aws:vpc-lattice:us-east-1:111122223333:service/{resource}"),
        destination_arn: destination.into(),
        log_type: None,
        created_at: now,
        last_updated_at: now,
    }
}

/// The line of a request, as short as it may be.
pub(crate) fn request(network: &str, service: &str) -> String {
    format!(
        "{{\"startTime\":\"2026-11-21T10:00:07Z\",\"serviceNetworkArn\":\"a/{network}\",\"serviceArn\":\"a/{service}\"}}\n"
    )
}

/// Everything in `directory`, with keys that no server here checks.
pub(crate) fn options(directory: &Path) -> Options {
    let credentials = Credentials::new("AKIATEST", "secret", None, None, "a test");
    Options {
        credentials: Some(SharedCredentialsProvider::new(credentials)),
        ..Options::new(directory.join("spool"), directory)
    }
}

/// Head and body.
type Request = (String, Vec<u8>);

/// A server that answers each request as a function of its head and body says, until it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&str, &[u8]) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (requests, over, answer) = (seen.clone(), is_over.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, answer, requests) = (stream.unwrap(), answer.clone(), requests.clone());
                std::thread::spawn(move || answer_all(stream, &*answer, &requests));
            }
        });
        Self { url, seen, is_over }
    }

    /// Every request answered.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

fn answer_all(
    stream: TcpStream,
    answer: &impl Fn(&str, &[u8]) -> (u16, String),
    requests: &Mutex<Vec<Request>>,
) {
    let mut stream = BufReader::new(stream);
    while let Some((head, body)) = read_request(&mut stream) {
        let (status, text) = answer(&head, &body);
        requests.lock().unwrap().push((head, body));
        let length = text.len();
        let reply = format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\n\r\n{text}");
        if stream.get_mut().write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(stream: &mut impl BufRead) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .to_ascii_lowercase()
        .split_once("content-length: ")
        .map(|(_, rest)| rest.lines().next().unwrap().trim().parse().unwrap());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}
