//! One control plane on a directory of its own, and calls of VPC Lattice and its neighbours.

mod records;
mod resources;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use trellis_api::schema::{Location, Segment};
use trellis_auth::Scope;
use trellis_control::{Config, Control, TxtLookup};
use trellis_lattice::Settings;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_model::snapshot::Snapshot;
use trellis_store::{Read as _, Store};

pub(crate) use crate::client::{ACCOUNT, REGION};
use crate::client::{ESCAPED, KEY_ID, SECRET, signed};
use crate::process::{self, Ahead};

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) body: Value,
}

impl Fault {
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Status and code, for comparisons.
    pub(crate) fn is(&self, status: u16, code: &str) -> bool {
        self.status == status && self.code == code
    }
}

type TxtRecords = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

pub(crate) struct Installation {
    pub(crate) control: Control,
    pub(crate) store: Store,
    dir: Option<TempDir>,
    config: Config,
    ahead: Ahead,
    names: AtomicU64,
    /// TXT records by name, as the control plane's look-ups find them.
    pub(crate) txt: TxtRecords,
    data_plane: Option<tokio::task::JoinHandle<()>>,
}

impl Installation {
    /// A fresh one with AWS's quotas and a data plane that acts on every Snapshot at once.
    pub(crate) async fn new() -> Self {
        Self::with_quotas(&[]).await
    }

    pub(crate) async fn with_quotas(quotas: &[(&str, u64)]) -> Self {
        Self::start(quotas, Duration::ZERO).await
    }

    /// Answers wait so long for what they tell of to settle.
    pub(crate) async fn settling(longest: Duration) -> Self {
        Self::start(&[], longest).await
    }

    async fn start(quotas: &[(&str, u64)], settling: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ahead = Ahead::default();
        let txt = TxtRecords::default();
        let records = txt.clone();
        let mut config = process::config(quotas, &ahead);
        config.frame.settling = settling;
        config.lattice = Settings {
            txt_lookup: TxtLookup::new(move |name| {
                let found = records.lock().unwrap().get(&name).cloned().unwrap_or_default();
                Box::pin(std::future::ready(Ok(found)))
            }),
            txt_lookup_interval: Duration::from_millis(5),
            certificate_check_interval: Duration::from_millis(20),
            ..Settings::default()
        };
        let store = Store::open(dir.path()).unwrap();
        let control = Control::start(store.clone(), config.clone()).await.unwrap();
        let names = AtomicU64::new(1);
        let mut installation =
            Self { control, store, dir: Some(dir), config, ahead, names, txt, data_plane: None };
        installation.start_data_plane();
        installation
    }

    /// From now on every Snapshot and every plan is applied when it comes.
    pub(crate) fn start_data_plane(&mut self) {
        let control = self.control.clone();
        self.data_plane = Some(tokio::spawn(async move {
            let (mut snapshots, mut plans) = (control.snapshots(), control.fabric_plans());
            loop {
                control.data_plane_applied(snapshots.borrow_and_update().revision);
                control.kernel_applied(plans.borrow_and_update().revision);
                let changed = tokio::select! {
                    changed = snapshots.changed() => changed,
                    changed = plans.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        }));
    }

    /// From now on nobody acts on Snapshots and plans.
    pub(crate) async fn stop_data_plane(&mut self) {
        if let Some(task) = self.data_plane.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Ends the control plane and starts another on the same directory, without a data plane.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(Duration::ZERO).await
    }

    /// As [`restart`](Self::restart), with nothing running for so long.
    pub(crate) async fn restart_after(mut self, pause: Duration) -> Self {
        self.stop_data_plane().await;
        let Self { control, store, mut dir, config, ahead, names, txt, .. } = self;
        control.stop().await;
        drop((control, store));
        ahead.advance(pause);
        let dir = dir.take().unwrap();
        let store = process::reopen(dir.path()).await;
        let control = Control::start(store.clone(), config.clone()).await.unwrap();
        Self { control, store, dir: Some(dir), config, ahead, names, txt, data_plane: None }
    }

    /// As [`restart`](Self::restart), with answers that wait so long.
    pub(crate) async fn restart_settling(mut self, longest: Duration) -> Self {
        self.config.frame.settling = longest;
        self.restart().await
    }

    /// The revision that last wrote what the store has at `key`.
    pub(crate) fn revision(&self, key: &str) -> u64 {
        self.store.read().unwrap().get(key).unwrap().unwrap().modified
    }

    /// What the secrets in the store are sealed with.
    pub(crate) fn sealing_key(&self) -> Arc<trellis_control::SealingKey> {
        self.config.frame.sealing_key.clone()
    }

    pub(crate) fn advance_clock(&self, by: Duration) {
        self.ahead.advance(by);
    }

    /// A number nobody had before.
    pub(crate) fn next(&self) -> u64 {
        self.names.fetch_add(1, Ordering::SeqCst)
    }

    /// A signed request for a VPC Lattice operation.
    pub(crate) fn request(&self, operation: &str, input: &Value) -> Request<Bytes> {
        self.request_in(REGION, operation, input)
    }

    pub(crate) fn request_in(&self, region: &str, operation: &str, input: &Value) -> Request<Bytes> {
        self.request_as((KEY_ID, SECRET), "vpc-lattice", region, operation, input)
    }

    /// A request for an operation of a REST service, signed with a key.
    pub(crate) fn request_as(
        &self,
        key: (&str, &str),
        service_name: &str,
        region: &str,
        operation: &str,
        input: &Value,
    ) -> Request<Bytes> {
        let service = trellis_api::service_by_signing_name(service_name).unwrap();
        let operation = service.operation(operation).unwrap_or_else(|| panic!("no operation {operation}"));
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let escape = |value: &Value| utf8_percent_encode(&text(value), ESCAPED).to_string();
        let mut path = String::new();
        for segment in operation.uri.segments() {
            path.push('/');
            match segment {
                Segment::Literal(literal) => path.push_str(literal),
                Segment::Label(label) => path.push_str(&escape(&input[label])),
            }
        }
        let mut query = Vec::new();
        let mut body = Map::new();
        for member in service.members(operation.input) {
            let Some(value) = input.get(&member.name) else { continue };
            match member.location {
                Location::Label | Location::Header | Location::Payload { .. } | Location::Status => {}
                Location::Body => drop(body.insert(member.wire.clone(), value.clone())),
                Location::Query => match value {
                    Value::Array(values) => {
                        query.extend(values.iter().map(|value| format!("{}={}", member.wire, escape(value))));
                    }
                    value => query.push(format!("{}={}", member.wire, escape(value))),
                },
            }
        }
        for name in input.as_object().unwrap().keys() {
            let is_known = service.members(operation.input).iter().any(|member| member.name == *name);
            assert!(is_known, "{} has no member {name}", operation.name);
        }
        let body =
            if operation.method == "GET" { Bytes::new() } else { Value::Object(body).to_string().into() };
        let (method, query) = (operation.method.as_str(), query.join("&"));
        self.sign_as(key, method, &path, &query, body, Scope { region, service: service_name })
    }

    /// Any request, signed.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn sign(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: Bytes,
        region: &str,
        service: &str,
        secret: &str,
    ) -> Request<Bytes> {
        self.sign_as((KEY_ID, secret), method, path, query, body, Scope { region, service })
    }

    fn sign_as(
        &self,
        (key_id, secret): (&str, &str),
        method: &str,
        path: &str,
        query: &str,
        body: Bytes,
        scope: Scope<'_>,
    ) -> Request<Bytes> {
        let headers = vec![("content-type", "application/json".to_owned())];
        let now = self.config.frame.clock.now();
        signed((key_id, secret), scope, now, (method, path, query), headers, body)
    }

    /// Status, headers and body of the answer.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> (u16, HeaderMap, Value) {
        let response = self.control.serve(request).await;
        let (head, body) = response.into_parts();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        (head.status.as_u16(), head.headers, body)
    }

    pub(crate) async fn call(&self, operation: &str, input: Value) -> Result<Value, Fault> {
        self.outcome(self.request(operation, &input)).await
    }

    /// The answer to any request.
    pub(crate) async fn outcome(&self, request: Request<Bytes>) -> Result<Value, Fault> {
        let (status, headers, body) = self.send(request).await;
        if status < 300 {
            return Ok(body);
        }
        let code = headers.get("x-amzn-errortype").map_or("", |value| value.to_str().unwrap()).to_owned();
        Err(Fault { status, code, body })
    }

    /// A call of ACM.
    pub(crate) async fn acm(&self, operation: &str, input: Value) -> Result<Value, Fault> {
        self.acm_in(REGION, operation, input).await
    }

    pub(crate) async fn acm_in(&self, region: &str, operation: &str, input: Value) -> Result<Value, Fault> {
        self.json_call("acm", region, &format!("CertificateManager.{operation}"), input).await
    }

    /// A call of AWS Private CA.
    pub(crate) async fn acm_pca(&self, operation: &str, input: Value) -> Result<Value, Fault> {
        self.json_call("acm-pca", REGION, &format!("ACMPrivateCA.{operation}"), input).await
    }

    /// A call of the Resource Groups Tagging API.
    pub(crate) async fn tagging(&self, operation: &str, input: Value) -> Result<Value, Fault> {
        let target = format!("ResourceGroupsTaggingAPI_20170126.{operation}");
        self.json_call("tagging", REGION, &target, input).await
    }

    async fn json_call(
        &self,
        service: &str,
        region: &str,
        target: &str,
        input: Value,
    ) -> Result<Value, Fault> {
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", target.to_owned()),
        ];
        let (scope, now) = (Scope { region, service }, self.config.frame.clock.now());
        let body = input.to_string().into();
        let request = signed((KEY_ID, SECRET), scope, now, ("POST", "/", ""), headers, body);
        let (status, _, body) = self.send(request).await;
        if status < 300 {
            return Ok(body);
        }
        let code = body["__type"].as_str().unwrap_or_default();
        Err(Fault { status, code: code.rsplit('#').next().unwrap().to_owned(), body })
    }

    /// A call that must succeed.
    pub(crate) async fn ok(&self, operation: &str, input: Value) -> Value {
        match self.call(operation, input.clone()).await {
            Ok(answer) => answer,
            Err(fault) => panic!("{operation} {input}: {fault:?}"),
        }
    }

    /// A call that must be refused.
    pub(crate) async fn refused(&self, operation: &str, input: Value) -> Fault {
        match self.call(operation, input.clone()).await {
            Ok(answer) => panic!("{operation} {input} was accepted: {answer}"),
            Err(fault) => fault,
        }
    }

    /// Calls until `is_there` holds for the answer.
    pub(crate) async fn wait(
        &self,
        operation: &str,
        input: Value,
        is_there: impl Fn(&Result<Value, Fault>) -> bool,
    ) -> Result<Value, Fault> {
        let mut last = None;
        for _ in 0..4000 {
            let answer = self.call(operation, input.clone()).await;
            if is_there(&answer) {
                return answer;
            }
            last = Some(answer);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{operation} {input} still answers {last:?}");
    }

    /// Calls until the answer has that status.
    pub(crate) async fn wait_status(&self, operation: &str, input: Value, status: &str) -> Value {
        let is_there = |answer: &Result<Value, Fault>| {
            answer.as_ref().is_ok_and(|answer| answer["status"].as_str() == Some(status))
        };
        self.wait(operation, input, is_there).await.unwrap()
    }

    /// Calls until the answer is ResourceNotFoundException.
    pub(crate) async fn wait_gone(&self, operation: &str, input: Value) {
        let is_gone = |answer: &Result<Value, Fault>| {
            answer.as_ref().is_err_and(|fault| fault.is(404, "ResourceNotFoundException"))
        };
        let _ = self.wait(operation, input, is_gone).await;
    }

    // === what most tests need ===

    pub(crate) fn home(&self) -> Home {
        Home { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() }
    }

    fn now(&self) -> Moment {
        self.config.frame.clock.now().into()
    }
}

/// A forward action to one group.
pub(crate) fn forward(group: &Value) -> Value {
    json!({"forward": {"targetGroups": [{"targetGroupIdentifier": group["id"]}]}})
}

/// Whether any group of the Snapshot has a target.
pub(crate) fn has_target(snapshot: &Arc<Snapshot>) -> bool {
    snapshot.target_groups.values().any(|group| !group.targets.is_empty())
}

/// A match of everything under a path.
pub(crate) fn under(path: &str) -> Value {
    json!({"httpMatch": {"pathMatch": {"match": {"prefix": path}}}})
}

/// `members` of an object, for comparisons.
pub(crate) fn pick(value: &Value, members: &[&str]) -> Value {
    members.iter().map(|name| ((*name).to_owned(), value[*name].clone())).collect::<Map<_, _>>().into()
}

/// The ids of a list.
pub(crate) fn ids(listing: &Value) -> Vec<&str> {
    listing["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}
