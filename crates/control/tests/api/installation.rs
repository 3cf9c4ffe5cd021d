//! One control plane on a directory of its own, and calls of VPC Lattice and its neighbours.

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
use trellis_control::{Config, Control, RunInstance, TxtLookup};
use trellis_lattice::Settings;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{
    HostedDatabase, Instance, InstanceState, SecurityGroup, Subnet, Vpc, VpcState, Zone,
};
use trellis_model::snapshot::Snapshot;
use trellis_model::{InstanceId, SecurityGroupId, SubnetId, VpcId};
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

    pub(crate) async fn network(&self) -> Value {
        let name = format!("network-{}", self.next());
        self.ok("CreateServiceNetwork", json!({"name": name})).await
    }

    /// An ACTIVE service.
    pub(crate) async fn service(&self) -> Value {
        self.service_with(json!({})).await
    }

    pub(crate) async fn service_with(&self, more: Value) -> Value {
        let mut input = json!({"name": format!("service-{}", self.next())});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let service = self.ok("CreateService", input).await;
        self.wait_status("GetService", json!({"serviceIdentifier": service["id"]}), "ACTIVE").await
    }

    /// An ACTIVE HTTP group of type IP on port 8080.
    pub(crate) async fn group(&self, vpc: &VpcId) -> Value {
        self.group_with("IP", json!({"port": 8080, "protocol": "HTTP", "vpcIdentifier": vpc})).await
    }

    pub(crate) async fn group_with(&self, kind: &str, config: Value) -> Value {
        let name = format!("group-{}", self.next());
        let mut input = json!({"name": name, "type": kind});
        if !config.is_null() {
            input["config"] = config;
        }
        let group = self.ok("CreateTargetGroup", input).await;
        self.wait_status("GetTargetGroup", json!({"targetGroupIdentifier": group["id"]}), "ACTIVE").await
    }

    /// An HTTP listener that answers 404.
    pub(crate) async fn listener(&self, service: &Value) -> Value {
        let input = json!({
            "serviceIdentifier": service["id"],
            "name": format!("port-{}", self.next()),
            "protocol": "HTTP",
            "defaultAction": {"fixedResponse": {"statusCode": 404}},
        });
        self.ok("CreateListener", input).await
    }

    /// From now on the listener forwards everything to `group`.
    pub(crate) async fn forward_all(&self, service: &Value, listener: &Value, group: &Value) {
        let update = json!({
            "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"],
            "defaultAction": forward(group),
        });
        self.ok("UpdateListener", update).await;
    }

    /// An ACTIVE HTTP group of type IP on port 8080 that a service of its own forwards everything to.
    pub(crate) async fn used_group(&self) -> Value {
        let group = self.group(&self.vpc(0).await).await;
        let service = self.service().await;
        let listener = self.listener(&service).await;
        self.forward_all(&service, &listener, &group).await;
        group
    }

    /// Waits until no target of `group` is left, not even a draining one.
    pub(crate) async fn wait_no_targets(&self, group: &Value) {
        let is_empty =
            |answer: &Result<Value, Fault>| answer.as_ref().is_ok_and(|answer| answer["items"] == json!([]));
        let all = json!({"targetGroupIdentifier": group["id"]});
        self.wait("ListTargets", all, is_empty).await.unwrap();
    }

    pub(crate) fn home(&self) -> Home {
        Home { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() }
    }

    fn now(&self) -> Moment {
        self.config.frame.clock.now().into()
    }

    /// Both DNS attributes of the VPC are on.
    pub(crate) async fn allow_private_names(&self, vpc: &VpcId) {
        let key = format!("lattice/{ACCOUNT}/{REGION}/private-names/{vpc}");
        self.store
            .transact(move |tx| {
                tx.put(&key, b"true".to_vec());
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
    }

    async fn store_record(&self, kind: &str, id: &str, record: Value) {
        self.store_record_of(&self.home(), kind, id, record).await;
    }

    async fn store_record_of(&self, home: &Home, kind: &str, id: &str, record: Value) {
        let key = format!("ec2/{}/{}/{kind}/{id}", home.account, home.region);
        self.store
            .transact(move |tx| {
                tx.put(&key, record.to_string().into_bytes());
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
    }

    /// Takes a record of EC2 away, as if nothing had seen to it.
    pub(crate) async fn remove(&self, kind: &str, id: &str) {
        let key = format!("ec2/{ACCOUNT}/{REGION}/{kind}/{id}");
        self.store
            .transact(move |tx| {
                tx.delete(&key);
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
    }

    /// Puts a resource into a status that is otherwise over before a client can look.
    pub(crate) async fn set_status(&self, kind: &str, resource: &Value, status: &str) {
        let key = format!("lattice/{ACCOUNT}/{REGION}/{kind}/{}", resource["id"].as_str().unwrap());
        let status = status.to_owned();
        self.store
            .transact(move |tx| {
                let entry = tx.get(&key).unwrap().unwrap();
                let mut record: Value = serde_json::from_slice(&entry.value).unwrap();
                record["status"] = status.clone().into();
                tx.put(&key, record.to_string().into_bytes());
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
    }

    /// A VPC 10.`second`.0.0/16 with the subnet 10.`second`.1.0/24.
    pub(crate) async fn vpc(&self, second: u8) -> VpcId {
        self.vpc_of(&self.home(), second).await
    }

    pub(crate) async fn vpc_of(&self, home: &Home, second: u8) -> VpcId {
        let id = VpcId::from_random(self.next());
        let vpc = Vpc {
            id: id.clone(),
            home: home.clone(),
            cidr: format!("10.{second}.0.0/16").parse().unwrap(),
            ipv6: None,
            state: VpcState::Available,
            dns_support: true,
            dns_hostnames: false,
            address_usage_metrics: false,
            default_security_group: SecurityGroupId::from_random(self.next()),
            created_at: self.now(),
        };
        self.store_record_of(home, "vpc", id.as_str(), serde_json::to_value(vpc).unwrap()).await;
        let subnet = Subnet {
            id: SubnetId::from_random(self.next()),
            home: home.clone(),
            vpc: id.clone(),
            cidr: format!("10.{second}.1.0/24").parse().unwrap(),
            ipv6: None,
            assign_ipv6: false,
            zone: Zone::A,
            map_public_ip: false,
            created_at: self.now(),
        };
        self.store_record_of(home, "subnet", subnet.id.as_str(), serde_json::to_value(&subnet).unwrap())
            .await;
        id
    }

    /// The same with fd12:0:0:`second`00::/56, and fd12:0:0:`second`01::/64 in the subnet.
    pub(crate) async fn dualstack_vpc(&self, second: u8) -> VpcId {
        let id = self.vpc(second).await;
        let subnet = self.subnets(&id).remove(0);
        let change = |kind: &str, id: &str, association: &str, cidr: String| {
            let key = format!("ec2/{ACCOUNT}/{REGION}/{kind}/{id}");
            let entry = self.store.read().unwrap().get(&key).unwrap().unwrap();
            let mut record: Value = serde_json::from_slice(&entry.value).unwrap();
            record["ipv6"] = json!({"association": association, "cidr": cidr});
            record
        };
        let vpc = change("vpc", id.as_str(), "vpc-cidr-assoc-1", format!("fd12:0:0:{second}00::/56"));
        self.store_record("vpc", id.as_str(), vpc).await;
        let cidr = format!("fd12:0:0:{second}01::/64");
        let record = change("subnet", subnet.as_str(), "subnet-cidr-assoc-1", cidr);
        self.store_record("subnet", subnet.as_str(), record).await;
        id
    }

    /// The subnets of `vpc`.
    pub(crate) fn subnets(&self, vpc: &VpcId) -> Vec<SubnetId> {
        let prefix = format!("ec2/{ACCOUNT}/{REGION}/subnet/");
        let entries = self.store.read().unwrap().scan(&prefix, None, 100).unwrap();
        let subnets = entries.iter().map(|entry| serde_json::from_slice::<Subnet>(&entry.value).unwrap());
        subnets.filter(|subnet| subnet.vpc == *vpc).map(|subnet| subnet.id).collect()
    }

    /// An ACTIVE resource gateway in every subnet of `vpc`.
    pub(crate) async fn gateway(&self, vpc: &VpcId) -> Value {
        self.gateway_with(vpc, json!({})).await
    }

    pub(crate) async fn gateway_with(&self, vpc: &VpcId, more: Value) -> Value {
        let name = format!("gateway-{}", self.next());
        let mut input = json!({"name": name, "vpcIdentifier": vpc, "subnetIds": self.subnets(vpc)});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let gateway = self.ok("CreateResourceGateway", input).await;
        let by = json!({"resourceGatewayIdentifier": gateway["id"]});
        self.wait_status("GetResourceGateway", by, "ACTIVE").await
    }

    /// A host in the one subnet of `vpc` that is the database at `arn`.
    pub(crate) async fn database(&self, vpc: &VpcId, arn: &str, port: u16) -> Instance {
        self.host(vpc, Some(HostedDatabase { arn: arn.parse().unwrap(), port })).await
    }

    /// A host in the one subnet of `vpc`, pending.
    pub(crate) async fn host(&self, vpc: &VpcId, database: Option<HostedDatabase>) -> Instance {
        let subnet = self.subnets(vpc).remove(0);
        let key = format!("place/{subnet}");
        self.store
            .transact(move |tx| {
                tx.put(&key, format!("{ACCOUNT}/{REGION}").into_bytes());
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
        let host = RunInstance {
            subnet: subnet.to_string(),
            name: format!("host-{}", self.next()),
            ip: None,
            ipv6: None,
            security_groups: Vec::new(),
            command: Vec::new(),
            detached: true,
            sandbox: Default::default(),
            database,
            instance_profile: None,
        };
        self.control.run_instance(host).await.unwrap()
    }

    /// An ACTIVE resource configuration of the type `kind`.
    pub(crate) async fn resource(&self, kind: &str, more: Value) -> Value {
        let mut input = json!({"name": format!("resource-{}", self.next()), "type": kind});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let resource = self.ok("CreateResourceConfiguration", input).await;
        let by = json!({"resourceConfigurationIdentifier": resource["id"]});
        self.wait_status("GetResourceConfiguration", by, "ACTIVE").await
    }

    pub(crate) async fn instance(&self, vpc: &VpcId, address: &str, state: InstanceState) -> InstanceId {
        let instance = Instance {
            id: InstanceId::from_random(self.next()),
            home: self.home(),
            name: format!("host-{}", self.next()),
            vpc: vpc.clone(),
            subnet: SubnetId::from_random(1),
            address: address.parse().unwrap(),
            ipv6_address: None,
            secondary_addresses: Default::default(),
            security_groups: Vec::new(),
            command: Vec::new(),
            detached: false,
            sandbox: Default::default(),
            database: None,
            profile: None,
            metadata: Default::default(),
            state,
            launched_at: self.now(),
            terminated_at: None,
            reason: None,
        };
        self.store_record("instance", instance.id.as_str(), serde_json::to_value(&instance).unwrap()).await;
        instance.id
    }

    pub(crate) async fn security_group(&self, vpc: &VpcId) -> SecurityGroupId {
        let group = SecurityGroup {
            id: SecurityGroupId::from_random(self.next()),
            home: self.home(),
            vpc: vpc.clone(),
            name: "web".into(),
            description: "web".into(),
            rules: Vec::new(),
            created_at: self.now(),
        };
        self.store_record("security-group", group.id.as_str(), serde_json::to_value(&group).unwrap()).await;
        group.id
    }

    /// How many entries the store has under `prefix`.
    pub(crate) fn entries(&self, prefix: &str) -> Vec<String> {
        let entries = self.store.read().unwrap().scan(prefix, None, 10_000).unwrap();
        entries.into_iter().map(|entry| entry.key).collect()
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
