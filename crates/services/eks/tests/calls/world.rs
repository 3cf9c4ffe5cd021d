//! A frame with EKS alone, how it is called, and the machine that only keeps count.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use trellis_auth::{Credentials, Payload, Scope, SecretKey, SignOptions, SignedRequest, sign};
use trellis_eks::{ControlPlanePlan, Fault, Machine, Machines, NodePlan, Running, RunningNode};
use trellis_frame::{BoxFuture, Clock, Config, Extensions, Frame, Refusal, key, record};
use trellis_model::resource::iam::{self, Permissions, Role};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Subnet, Vpc, VpcState, Zone};
use trellis_model::{InstanceId, SecurityGroupId, SubnetId, VpcId};
use trellis_store::Store;

const SERVICES: &[&trellis_frame::Service] = &[&trellis_eks::SERVICE];
const KEY_ID: &str = "AKIATESTTESTTESTTEST";
const SECRET: &str = "a-secret-that-is-only-used-in-tests";
const ACCOUNT: &str = "111122223333";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/eks";

/// What a machine was asked for.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) clusters: BTreeSet<String>,
    pub(crate) nodes: BTreeSet<String>,
    pub(crate) started: u8,
    pub(crate) broken: bool,
    /// Nodes that are there are not Ready.
    pub(crate) unready: bool,
    /// How often it was asked for an object.
    pub(crate) looks: u32,
}

/// Makes nothing, at once.
#[derive(Clone, Default)]
pub(crate) struct Pretended(Arc<Mutex<Seen>>);

fn done<T: Send + 'static>(value: Result<T, Fault>) -> BoxFuture<'static, Result<T, Fault>> {
    Box::pin(std::future::ready(value))
}

impl Pretended {
    pub(crate) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

fn running() -> Running {
    Running {
        endpoint: "https://127.0.0.1:1".into(),
        private_endpoint: "https://10.0.0.4:443".into(),
        certificate_authority: "Y2E=".into(),
        security_group: "sg-00000000000000001".into(),
        instance: InstanceId::from_random(1),
        address: [10, 0, 0, 4].into(),
        keys: "{}".into(),
    }
}

impl Machine for Pretended {
    fn start(&self, plan: ControlPlanePlan) -> BoxFuture<'static, Result<Running, Fault>> {
        done(self.seen(|seen| {
            if seen.broken {
                return Err(Fault::new("no programs"));
            }
            seen.clusters.insert(plan.id);
            Ok(running())
        }))
    }

    fn resume(&self, _: ControlPlanePlan) -> BoxFuture<'static, Result<Running, Fault>> {
        done(Ok(running()))
    }

    fn stop(&self, plan: ControlPlanePlan) -> BoxFuture<'static, Result<(), Fault>> {
        self.seen(|seen| seen.clusters.remove(&plan.id));
        done(Ok(()))
    }

    fn start_node(&self, plan: NodePlan) -> BoxFuture<'static, Result<RunningNode, Fault>> {
        done(self.seen(|seen| {
            if seen.broken {
                return Err(Fault::new("no room"));
            }
            seen.nodes.insert(plan.id.clone());
            seen.started += 1;
            let address = [10, 0, 0, 10 + seen.started].into();
            Ok(RunningNode { instance: InstanceId::from_random(7), address, name: plan.id })
        }))
    }

    fn stop_node(
        &self,
        _: String,
        node: String,
        _: Option<RunningNode>,
    ) -> BoxFuture<'static, Result<(), Fault>> {
        self.seen(|seen| seen.nodes.remove(&node));
        done(Ok(()))
    }

    fn get(&self, _: String, path: String) -> BoxFuture<'static, Result<Option<Value>, Fault>> {
        let node = path.rsplit('/').next().unwrap_or_default().to_owned();
        let (is_there, status) = self.seen(|seen| {
            seen.looks += 1;
            (seen.nodes.contains(&node), if seen.unready { "False" } else { "True" })
        });
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        done(Ok(is_there.then_some(ready)))
    }

    fn apply(&self, _: String, _: String, _: Value) -> BoxFuture<'static, Result<(), Fault>> {
        done(Ok(()))
    }

    fn merge(&self, _: String, _: String, _: Value) -> BoxFuture<'static, Result<(), Fault>> {
        done(Ok(()))
    }
}

pub(crate) struct World {
    frame: Frame,
    pub(crate) store: Store,
    pub(crate) machine: Pretended,
    /// Seconds that its clock is ahead.
    pub(crate) ahead: Arc<AtomicI64>,
    _dir: TempDir,
}

pub(crate) fn home() -> Home {
    Home { account: ACCOUNT.parse().unwrap(), region: "us-east-1".parse().unwrap() }
}

fn now(ahead: &AtomicI64) -> jiff::Timestamp {
    jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead.load(Ordering::Relaxed))
}

pub(crate) fn subnet_id(number: u64) -> String {
    SubnetId::from_random(number).to_string()
}

impl World {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (machine, machines) = (Pretended::default(), Machines::default());
        machines.set(Arc::new(machine.clone()));
        let ahead = Arc::new(AtomicI64::new(0));
        let seconds = ahead.clone();
        let config = Config {
            access_key_id: KEY_ID.into(),
            secret_access_key: SECRET.to_owned().into(),
            extensions: Extensions::default().with(machines),
            clock: Clock::new(move || now(&seconds)),
            ..Config::default()
        };
        let frame = Frame::start(store.clone(), SERVICES, config).await.unwrap();
        let world = Self { frame, store, machine, ahead, _dir: dir };
        world.put("ec2", "vpc", VpcId::from_random(1), &vpc()).await;
        for (number, zone) in [(1, Zone::A), (2, Zone::B), (3, Zone::A)] {
            world.put("ec2", "subnet", SubnetId::from_random(number), &subnet(number, zone)).await;
        }
        let role = Role {
            account: home().account,
            path: "/".into(),
            name: "eks".into(),
            id: "AROA".into(),
            created_at: jiff::Timestamp::UNIX_EPOCH.into(),
            description: None,
            trust_policy: "{}".into(),
            max_session_duration: 3600,
            permissions: Permissions::default(),
            linked_to: None,
        };
        let at = key::Scope::new(iam::SERVICE, &key::global(&home().account)).record(iam::ROLE, "eks");
        world.write(at, &role).await;
        world
    }

    pub(crate) async fn put(
        &self,
        service: &'static str,
        kind: &'static str,
        id: impl ToString,
        value: &impl serde::Serialize,
    ) {
        self.write(key::Scope::new(service, &home()).record(kind, id.to_string()), value).await;
    }

    async fn write(&self, key: String, value: &impl serde::Serialize) {
        let value = serde_json::to_value(value).unwrap();
        let put = move |tx: &mut trellis_store::Transaction<'_>| {
            record::put(tx, &key, &value);
            Ok::<_, Refusal>(())
        };
        self.store.transact(put).await.unwrap();
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = Bytes::from(if body.is_null() { String::new() } else { body.to_string() });
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut headers =
            vec![("host", "127.0.0.1:4560".to_owned()), ("content-type", "application/json".to_owned())];
        let credentials = Credentials {
            access_key_id: KEY_ID.parse().unwrap(),
            secret_key: SecretKey::new(SECRET).unwrap(),
            session_token: None,
        };
        let lines: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let unsigned = SignedRequest { method, path, query, headers: &lines, payload: Payload::Body(&body) };
        let scope = Scope { region: "us-east-1", service: "eks" };
        let signed = sign(&unsigned, &credentials, scope, now(&self.ahead), &SignOptions::default()).unwrap();
        headers.extend(signed);
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = self.frame.serve(request.body(body).unwrap()).await;
        let status = response.status().as_u16();
        let text = String::from_utf8(response.into_body()).unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The answer of a call that is to succeed.
    pub(crate) async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// The message of a call that is to be refused so.
    pub(crate) async fn refused(&self, method: &str, path: &str, body: Value, status: u16) -> String {
        let (found, answer) = self.call(method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        answer["message"].as_str().unwrap_or_default().to_owned()
    }

    /// What is at `path` once its status is no longer one of the way.
    pub(crate) async fn settled(&self, path: &str, member: &str) -> Value {
        loop {
            let answer = self.done("GET", path, Value::Null).await[member].take();
            let status = answer["status"].as_str().unwrap_or_default();
            if !matches!(status, "CREATING" | "UPDATING" | "InProgress") {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until nodes have been looked at once more.
    pub(crate) async fn looked(&self) {
        let before = self.machine.seen(|seen| seen.looks);
        while self.machine.seen(|seen| seen.looks) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn gone(&self, path: &str) {
        while self.call("GET", path, Value::Null).await.0 != 404 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn cluster(&self) -> Value {
        self.done("POST", "/clusters", cluster()).await;
        self.settled("/clusters/one", "cluster").await
    }
}

fn vpc() -> Vpc {
    Vpc {
        id: VpcId::from_random(1),
        home: home(),
        cidr: "10.0.0.0/16".parse().unwrap(),
        ipv6: None,
        state: VpcState::Available,
        dns_support: true,
        dns_hostnames: true,
        address_usage_metrics: false,
        default_security_group: SecurityGroupId::from_random(1),
        created_at: jiff::Timestamp::UNIX_EPOCH.into(),
    }
}

fn subnet(number: u64, zone: Zone) -> Subnet {
    Subnet {
        id: SubnetId::from_random(number),
        home: home(),
        vpc: VpcId::from_random(1),
        cidr: format!("10.0.{number}.0/24").parse().unwrap(),
        ipv6: None,
        assign_ipv6: false,
        zone,
        map_public_ip: false,
        created_at: jiff::Timestamp::UNIX_EPOCH.into(),
    }
}

pub(crate) fn cluster() -> Value {
    json!({
        "name": "one",
        "roleArn": ROLE,
        "resourcesVpcConfig": {"subnetIds": [subnet_id(1), subnet_id(2)]},
        "accessConfig": {"authenticationMode": "API"},
        "tags": {"team": "a"},
    })
}

pub(crate) fn nodegroup(desired: u8) -> Value {
    json!({
        "nodegroupName": "web",
        "nodeRole": ROLE,
        "subnets": [subnet_id(1)],
        "scalingConfig": {"minSize": 0, "maxSize": 5, "desiredSize": desired},
    })
}
