//! For tests: an API server and a Lattice of this process. What they were asked is kept; how they behave the test says.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_vpclattice::config::http::{HttpRequest, HttpResponse};
use aws_sdk_vpclattice::config::{Region, retry::RetryConfig};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::lattice::Lattice;

/// How an API server takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temper {
    Answers,
    /// With an error, after a while.
    Refuses(Duration),
    /// Takes them and says nothing.
    IsSilent,
}

/// Objects by their paths; enough of the API for a controller's patches and a Lease.
#[derive(Debug)]
pub(crate) struct ApiServer {
    state: Mutex<State>,
    temper: watch::Sender<Temper>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    asked: Vec<String>,
    refused: BTreeMap<String, u16>,
}

impl ApiServer {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), temper: watch::Sender::new(Temper::Answers) })
    }

    pub(crate) fn client(self: &Arc<Self>) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.serve(request).await) }
        });
        kube::Client::new(service, "default")
    }

    pub(crate) fn behave(&self, temper: Temper) {
        self.temper.send_replace(temper);
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state().objects.insert(path.to_owned(), object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// Refuses a method and path with a status.
    pub(crate) fn refuse(&self, question: &str, status: u16) {
        self.state().refused.insert(question.to_owned(), status);
    }

    /// The objects whose paths begin so.
    pub(crate) fn below(&self, path: &str) -> Vec<Value> {
        let state = self.state();
        state
            .objects
            .iter()
            .filter(|(at, _)| at.starts_with(path))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Methods and paths, in their order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it open")
    }

    async fn serve(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        self.state().asked.push(format!("{} {path}", head.method));
        let body = body.collect_bytes().await.unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let temper = *self.temper.borrow();
        match temper {
            Temper::Answers => {}
            Temper::Refuses(after) => {
                tokio::time::sleep(after).await;
                return answer(500, &status(500));
            }
            Temper::IsSilent => {
                // Until it speaks again; the request is served then.
                let mut temper = self.temper.subscribe();
                let _ = temper.wait_for(|temper| *temper != Temper::IsSilent).await;
            }
        }
        let (code, value) = self.state().handle(head.method.as_str(), &path, body);
        answer(code, &value)
    }
}

impl State {
    fn handle(&mut self, method: &str, path: &str, mut body: Value) -> (u16, Value) {
        if let Some(&code) = self.refused.get(&format!("{method} {path}")) {
            return (code, status(code));
        }
        let path = path.strip_suffix("/status").unwrap_or(path).to_owned();
        let path = match (method, body["metadata"]["name"].as_str()) {
            ("POST", Some(name)) => format!("{path}/{name}"),
            _ => path,
        };
        let found = self.objects.get(&path).cloned();
        let given = body["metadata"].get("resourceVersion").filter(|version| !version.is_null());
        let is_stale = given
            .zip(found.as_ref())
            .is_some_and(|(given, found)| *given != found["metadata"]["resourceVersion"]);
        let new = match (method, found) {
            ("GET", Some(found)) => return (200, found),
            ("POST", None) => body,
            ("POST", Some(_)) => return (409, status(409)),
            (_, None) => return (404, status(404)),
            _ if is_stale => return (409, status(409)),
            ("PATCH", Some(mut found)) => {
                merge(&mut found, body);
                found
            }
            _ => std::mem::take(&mut body),
        };
        self.version += 1;
        let new = self.objects.entry(path).insert_entry(new).into_mut();
        new["metadata"]["resourceVersion"] = json!(self.version.to_string());
        (200, new.clone())
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|target| target.remove(&key));
        } else {
            merge(&mut target[&key], value);
        }
    }
}

fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "refused"})
}

fn answer(code: u16, value: &Value) -> Response<Body> {
    let body = Body::from(value.to_string().into_bytes());
    Response::builder().status(code).body(body).expect("the status is one")
}

/// A Lattice whose answers are written down by method and path; others are of one resource that is always the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mirror {
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Mirror {
    pub(crate) fn client(&self) -> Lattice {
        let connector = SharedHttpConnector::new(self.clone());
        let config = aws_sdk_vpclattice::Config::builder()
            .behavior_version_latest()
            .region(Region::new("us-east-1"))
            .allow_no_auth()
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()));
        Lattice::new(aws_sdk_vpclattice::Client::from_conf(config.build()))
    }

    pub(crate) fn says(&self, question: &str, answer: Value) {
        self.answers.lock().expect("no test panics with it open").insert(question.to_owned(), answer);
    }

    /// Methods and paths, in their order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics with it open").clone()
    }

    fn answer(&self, question: String) -> Value {
        let answers = self.answers.lock().expect("no test panics with it open");
        let found = answers.get(&question).cloned();
        self.asked.lock().expect("no test panics with it open").push(question);
        found.unwrap_or_else(|| {
            json!({"id": "made-1", "arn": "arn:made/made-1", "name": "made", "dnsEntry": {"domainName": "made.example"}})
        })
    }
}

impl HttpConnector for Mirror {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let path = request.uri().trim_start_matches("https://").split_once('/').map_or("", |(_, path)| path);
        let path = path.split('?').next().unwrap_or_default();
        let answer = self.answer(format!("{} /{path}", request.method()));
        let status = 200.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, answer.to_string().into())))
    }
}
