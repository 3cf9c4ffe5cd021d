//! EKS on a frame of its own: calls as clients send them, with a machine that only keeps count.

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
const ROLE: &str = "arn:aws:iam::111122223333:role/eks";

/// What a machine was asked for.
#[derive(Default)]
struct Seen {
    clusters: BTreeSet<String>,
    nodes: BTreeSet<String>,
    started: u8,
    broken: bool,
    /// Nodes that are there are not Ready.
    unready: bool,
    /// How often it was asked for an object.
    looks: u32,
}

/// Makes nothing, at once.
#[derive(Clone, Default)]
struct Pretended(Arc<Mutex<Seen>>);

fn done<T: Send + 'static>(value: Result<T, Fault>) -> BoxFuture<'static, Result<T, Fault>> {
    Box::pin(std::future::ready(value))
}

impl Pretended {
    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
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

struct World {
    frame: Frame,
    store: Store,
    machine: Pretended,
    /// Seconds that its clock is ahead.
    ahead: Arc<AtomicI64>,
    _dir: TempDir,
}

fn home() -> Home {
    Home { account: ACCOUNT.parse().unwrap(), region: "us-east-1".parse().unwrap() }
}

fn now(ahead: &AtomicI64) -> jiff::Timestamp {
    jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead.load(Ordering::Relaxed))
}

fn subnet_id(number: u64) -> String {
    SubnetId::from_random(number).to_string()
}

impl World {
    async fn start() -> Self {
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

    async fn put(
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

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
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
    async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// The message of a call that is to be refused so.
    async fn refused(&self, method: &str, path: &str, body: Value, status: u16) -> String {
        let (found, answer) = self.call(method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        answer["message"].as_str().unwrap_or_default().to_owned()
    }

    /// What is at `path` once its status is no longer one of the way.
    async fn settled(&self, path: &str, member: &str) -> Value {
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
    async fn looked(&self) {
        let before = self.machine.seen(|seen| seen.looks);
        while self.machine.seen(|seen| seen.looks) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn gone(&self, path: &str) {
        while self.call("GET", path, Value::Null).await.0 != 404 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn cluster(&self) -> Value {
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

fn cluster() -> Value {
    json!({
        "name": "one",
        "roleArn": ROLE,
        "resourcesVpcConfig": {"subnetIds": [subnet_id(1), subnet_id(2)]},
        "accessConfig": {"authenticationMode": "API"},
        "tags": {"team": "a"},
    })
}

fn nodegroup(desired: u8) -> Value {
    json!({
        "nodegroupName": "web",
        "nodeRole": ROLE,
        "subnets": [subnet_id(1)],
        "scalingConfig": {"minSize": 0, "maxSize": 5, "desiredSize": desired},
    })
}

#[tokio::test]
async fn a_cluster_becomes_active_and_goes_with_all_that_is_kept_under_its_name() {
    let world = World::start().await;
    let made = world.cluster().await;
    assert_eq!(
        (made["status"].as_str(), made["endpoint"].as_str()),
        (Some("ACTIVE"), Some("https://127.0.0.1:1"))
    );
    assert_eq!(made["resourcesVpcConfig"]["clusterSecurityGroupId"], "sg-00000000000000001");
    assert_eq!(made["tags"], json!({"team": "a"}));
    world.done("POST", "/clusters/one/addons", json!({"addonName": "vpc-cni"})).await;
    let association = json!({"namespace": "a", "serviceAccount": "b", "roleArn": ROLE});
    world.done("POST", "/clusters/one/pod-identity-associations", association).await;
    world.done("DELETE", "/clusters/one", Value::Null).await;
    world.gone("/clusters/one").await;
    assert!(world.machine.seen(|seen| seen.clusters.is_empty()));
    // The next of that name begins with nothing.
    world.cluster().await;
    let addons = world.done("GET", "/clusters/one/addons", Value::Null).await;
    assert_eq!(addons["addons"], json!([]));
}

#[tokio::test]
async fn a_cluster_that_cannot_be_made_says_why_and_can_be_deleted() {
    let world = World::start().await;
    world.machine.seen(|seen| seen.broken = true);
    let made = world.cluster().await;
    assert_eq!(made["status"], "FAILED");
    assert_eq!(made["health"]["issues"][0]["message"], "no programs");
    world.done("DELETE", "/clusters/one", Value::Null).await;
    world.gone("/clusters/one").await;
}

#[tokio::test]
async fn what_cannot_be_a_cluster_is_refused() {
    let world = World::start().await;
    let with = |path: &str, value: Value| {
        let mut asked = cluster();
        let (member, inner) = path.split_once('.').unwrap_or((path, ""));
        if inner.is_empty() {
            asked[member] = value;
        } else {
            asked[member][inner] = value;
        }
        asked
    };
    for (asked, what) in [
        (with("version", json!("1.20")), "unsupported Kubernetes version"),
        (with("roleArn", json!("arn:aws:iam::111122223333:role/other")), "could not be assumed"),
        (with("roleArn", json!("arn:aws:iam::444455556666:role/eks")), "Cross-account"),
        (with("resourcesVpcConfig.subnetIds", json!([subnet_id(1), subnet_id(3)])), "two different AZs"),
        (with("resourcesVpcConfig.subnetIds", json!([subnet_id(9)])), "does not exist"),
        (with("resourcesVpcConfig.securityGroupIds", json!(["sg-0123"])), "does not exist"),
        (with("kubernetesNetworkConfig", json!({"serviceIpv4Cidr": "10.0.1.0/24"})), "overlap"),
        (with("kubernetesNetworkConfig", json!({"serviceIpv4Cidr": "8.8.0.0/16"})), "private"),
        (with("kubernetesNetworkConfig", json!({"ipFamily": "ipv6"})), "not supported"),
        (with("computeConfig", json!({"enabled": true})), "Auto Mode"),
    ] {
        let message = world.refused("POST", "/clusters", asked, 400).await;
        assert!(message.contains(what), "{message}");
    }
    world.cluster().await;
    world.refused("POST", "/clusters", with("tags", json!({"team": "b"})), 409).await;
    world.refused("GET", "/clusters/two", Value::Null, 404).await;
}

#[tokio::test]
async fn a_node_group_has_as_many_nodes_as_it_is_told_and_keeps_its_cluster() {
    let world = World::start().await;
    world.cluster().await;
    world.done("POST", "/clusters/one/node-groups", nodegroup(2)).await;
    let group = world.settled("/clusters/one/node-groups/web", "nodegroup").await;
    assert_eq!(group["status"], "ACTIVE", "{group}");
    assert_eq!(world.machine.seen(|seen| seen.nodes.len()), 2);
    let message = world.refused("DELETE", "/clusters/one", Value::Null, 409).await;
    assert!(message.contains("nodegroups attached"), "{message}");

    let change = json!({"scalingConfig": {"desiredSize": 1}, "labels": {"addOrUpdateLabels": {"a": "b"}}});
    let update = world.done("POST", "/clusters/one/node-groups/web/update-config", change).await;
    let id = update["update"]["id"].as_str().unwrap().to_owned();
    let path = format!("/clusters/one/updates/{id}?nodegroupName=web");
    assert_eq!(world.settled(&path, "update").await["status"], "Successful");
    assert_eq!(world.machine.seen(|seen| seen.nodes.len()), 1);
    let group = world.settled("/clusters/one/node-groups/web", "nodegroup").await;
    assert_eq!(group["labels"], json!({"a": "b"}));
    for (change, what) in [
        (json!({"scalingConfig": {"desiredSize": 9}}), "max size"),
        (json!({"scalingConfig": {"minSize": 3}}), "desired size"),
        (json!({"labels": {"addOrUpdateLabels": {"a,b": "c"}}}), "label"),
        (json!({"labels": {"addOrUpdateLabels": {"node.kubernetes.io/x": "c"}}}), "label"),
        (json!({}), "nothing to change"),
    ] {
        let message = world.refused("POST", "/clusters/one/node-groups/web/update-config", change, 400).await;
        assert!(message.contains(what), "{message}");
    }
    world.done("DELETE", "/clusters/one/node-groups/web", Value::Null).await;
    world.gone("/clusters/one/node-groups/web").await;
    assert_eq!(world.machine.seen(|seen| seen.nodes.len()), 0);
}

#[tokio::test]
async fn a_node_that_cannot_be_made_fails_its_group() {
    let world = World::start().await;
    world.cluster().await;
    world.machine.seen(|seen| seen.broken = true);
    world.done("POST", "/clusters/one/node-groups", nodegroup(1)).await;
    let group = world.settled("/clusters/one/node-groups/web", "nodegroup").await;
    assert_eq!(group["status"], "CREATE_FAILED");
    assert_eq!(group["health"]["issues"][0]["message"], "no room");
}

#[tokio::test]
async fn an_old_node_has_time_to_be_ready_after_each_change_of_its_group() {
    const PATH: &str = "/clusters/one/node-groups/web";
    let world = World::start().await;
    world.cluster().await;
    world.done("POST", "/clusters/one/node-groups", nodegroup(1)).await;
    world.settled(PATH, "nodegroup").await;
    world.ahead.fetch_add(3600, Ordering::Relaxed);
    world.machine.seen(|seen| seen.unready = true);
    let change = json!({"labels": {"addOrUpdateLabels": {"a": "b"}}});
    world.done("POST", &format!("{PATH}/update-config"), change.clone()).await;
    world.looked().await;
    world.machine.seen(|seen| seen.unready = false);
    let group = world.settled(PATH, "nodegroup").await;
    assert_eq!(group["status"], "ACTIVE", "{group}");
    // Not for ever.
    world.machine.seen(|seen| seen.unready = true);
    world.done("POST", &format!("{PATH}/update-config"), change).await;
    world.looked().await;
    world.ahead.fetch_add(301, Ordering::Relaxed);
    assert_eq!(world.settled(PATH, "nodegroup").await["status"], "DEGRADED");
}

#[tokio::test]
async fn access_entries_take_no_groups_and_names_that_are_the_clusters_own() {
    let world = World::start().await;
    world.cluster().await;
    let place = "/clusters/one/access-entries";
    let entry = |more: Value| {
        let mut entry = json!({"principalArn": ROLE});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    for wrong in [
        json!({"kubernetesGroups": ["system:masters"]}),
        json!({"kubernetesGroups": ["eks:access-policy:AmazonEKSClusterAdminPolicy"]}),
        json!({"username": "system:admin"}),
        json!({"type": "HYBRID_LINUX"}),
        json!({"principalArn": "arn:aws:sts::111122223333:assumed-role/eks/x"}),
    ] {
        world.refused("POST", place, entry(wrong), 400).await;
    }
    let made = world.done("POST", place, entry(json!({"kubernetesGroups": ["team"]}))).await;
    let name = made["accessEntry"]["username"].as_str().unwrap();
    assert_eq!(name, "arn:aws:sts::111122223333:assumed-role/eks/{{SessionName}}");
    world.refused("POST", place, entry(json!({"kubernetesGroups": ["other"]})), 409).await;

    let cluster =
        trellis_eks::find_cluster(&mut world.store.read().unwrap(), &home(), "one").unwrap().unwrap();
    let user =
        |arn: &str| trellis_eks::access::user(&mut world.store.read().unwrap(), &cluster, arn).unwrap();
    let known = user("arn:aws:sts::111122223333:assumed-role/eks/me@x").unwrap();
    assert_eq!(known.name, "arn:aws:sts::111122223333:assumed-role/eks/me-x");
    assert_eq!(known.groups, ["team"]);
    for stranger in ["arn:aws:sts::111122223333:assumed-role/other/me", "arn:aws:iam::444455556666:root", ""]
    {
        assert_eq!(user(stranger), None, "{stranger}");
    }
    // Who made the cluster is its administrator.
    let creator = user("arn:aws:iam::111122223333:user/admin").unwrap();
    assert_eq!(creator.groups, ["eks:access-policy:AmazonEKSClusterAdminPolicy"]);
}

#[tokio::test]
async fn an_endpoint_has_one_access_at_least_whichever_call_said_so() {
    const PATH: &str = "/clusters/one/update-config";
    let world = World::start().await;
    let access = |public: Option<bool>, private: Option<bool>| {
        let mut network = json!({});
        if let Some(public) = public {
            network["endpointPublicAccess"] = public.into();
        }
        if let Some(private) = private {
            network["endpointPrivateAccess"] = private.into();
        }
        json!({"resourcesVpcConfig": network})
    };
    let mut without = cluster();
    without["resourcesVpcConfig"]["endpointPublicAccess"] = false.into();
    let message = world.refused("POST", "/clusters", without, 400).await;
    assert!(message.contains("cannot both be false"), "{message}");
    world.cluster().await;
    world.refused("POST", PATH, access(Some(false), None), 400).await;
    world.done("POST", PATH, access(None, Some(true))).await;
    world.done("POST", PATH, access(Some(false), None)).await;
    world.refused("POST", PATH, access(None, Some(false)), 400).await;
    let seen = world.settled("/clusters/one", "cluster").await;
    let network = &seen["resourcesVpcConfig"];
    assert_eq!(network["endpointPublicAccess"], false);
    assert_eq!(network["endpointPrivateAccess"], true);
    let wrong = json!({"resourcesVpcConfig": {"publicAccessCidrs": ["everywhere"]}});
    world.refused("POST", PATH, wrong, 400).await;
}

#[tokio::test]
async fn addons_versions_and_updates_answer() {
    let world = World::start().await;
    world.cluster().await;
    let versions = world.done("GET", "/cluster-versions", Value::Null).await;
    assert_eq!(versions["clusterVersions"][0]["clusterVersion"], "1.35");
    let offers = world.done("GET", "/addons/supported-versions?addonName=vpc-cni", Value::Null).await;
    let version = offers["addons"][0]["addonVersions"][0]["addonVersion"].clone();
    let addon = json!({"addonName": "vpc-cni", "addonVersion": version});
    let made = world.done("POST", "/clusters/one/addons", addon).await;
    assert_eq!(made["addon"]["status"], "ACTIVE");
    world.refused("POST", "/clusters/one/addons", json!({"addonName": "nonsense"}), 400).await;
    let change = json!({"logging": {"clusterLogging": [{"types": ["api"], "enabled": true}]}});
    let update = world.done("POST", "/clusters/one/update-config", change).await;
    assert_eq!(update["update"]["type"], "LoggingUpdate");
    let seen = world.settled("/clusters/one", "cluster").await;
    assert_eq!(seen["logging"]["clusterLogging"][0], json!({"types": ["api"], "enabled": true}));
    let message = world.refused("POST", "/clusters/one/update-config", json!({}), 400).await;
    assert!(message.contains("nothing to change"), "{message}");
    let back = json!({"accessConfig": {"authenticationMode": "CONFIG_MAP"}});
    world.refused("POST", "/clusters/one/update-config", back, 400).await;
    let arn = seen["arn"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F");
    world.done("POST", &format!("/tags/{arn}"), json!({"tags": {"x": "y"}})).await;
    let tags = world.done("GET", &format!("/tags/{arn}"), Value::Null).await;
    assert_eq!(tags["tags"], json!({"team": "a", "x": "y"}));
}
