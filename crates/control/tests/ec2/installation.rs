//! One control plane on a directory of its own, and calls of EC2 and its neighbours.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use tempfile::TempDir;
use trellis_auth::Scope;
use trellis_control::{Config, Control, HostError, Instance, RunInstance};
use trellis_model::fabric::FabricPlan;
use trellis_store::Store;

pub(crate) use crate::client::{ACCOUNT, KEY_ID, REGION};
use crate::client::{ESCAPED, SECRET, signed};
use crate::process::{self, Ahead};
use crate::xml::Node;

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

pub(crate) struct Installation {
    pub(crate) control: Control,
    store: Store,
    dir: TempDir,
    config: Config,
    ahead: Ahead,
}

impl Installation {
    pub(crate) async fn new() -> Self {
        Self::with_quotas(&[]).await
    }

    pub(crate) async fn with_quotas(quotas: &[(&str, u64)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ahead = Ahead::default();
        let config = process::config(quotas, &ahead);
        let store = Store::open(dir.path()).unwrap();
        let control = Control::start(store.clone(), config.clone()).await.unwrap();
        Self { control, store, dir, config, ahead }
    }

    /// Ends the control plane and starts another on the same directory.
    pub(crate) async fn restart(self) -> Self {
        let Self { control, store, dir, config, ahead } = self;
        control.stop().await;
        drop((control, store));
        let store = process::reopen(dir.path()).await;
        let control = Control::start(store.clone(), config.clone()).await.unwrap();
        Self { control, store, dir, config, ahead }
    }

    pub(crate) fn advance_clock(&self, by: Duration) {
        self.ahead.advance(by);
    }

    async fn send(
        &self,
        service: &str,
        region: &str,
        path: &str,
        typed: (&str, Option<&str>),
        body: String,
    ) -> (u16, Vec<u8>) {
        let (content_type, target) = typed;
        let mut headers = vec![("content-type", content_type.to_owned())];
        headers.extend(target.map(|target| ("x-amz-target", target.to_owned())));
        let (scope, now) = (Scope { region, service }, self.config.frame.clock.now());
        let request = signed((KEY_ID, SECRET), scope, now, ("POST", path, ""), headers, body.into());
        let response = self.control.serve(request).await;
        (response.status().as_u16(), response.into_body())
    }

    async fn form(
        &self,
        (service, version): (&str, &str),
        region: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> (u16, Node) {
        let mut body = format!("Action={action}&Version={version}");
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={}", utf8_percent_encode(value, ESCAPED)));
        }
        let typed = ("application/x-www-form-urlencoded; charset=utf-8", None);
        let (status, body) = self.send(service, region, "/", typed, body).await;
        (status, Node::parse(&body))
    }

    pub(crate) async fn ec2_in(
        &self,
        region: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Node, Fault> {
        let (status, answer) = self.form(("ec2", "2016-11-15"), region, action, parameters).await;
        if status == 200 {
            assert_eq!(answer.name, format!("{action}Response"));
            return Ok(answer);
        }
        let error = answer.at("Errors/Error");
        Err(Fault { status, code: error.text("Code"), message: error.text("Message") })
    }

    pub(crate) async fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Node, Fault> {
        self.ec2_in(REGION, action, parameters).await
    }

    /// A call that must succeed.
    pub(crate) async fn ok(&self, action: &str, parameters: &[(&str, &str)]) -> Node {
        match self.ec2(action, parameters).await {
            Ok(answer) => answer,
            Err(fault) => panic!("{action} {parameters:?}: {fault:?}"),
        }
    }

    /// A call that must be refused with status 400; its code and message.
    pub(crate) async fn refused(&self, action: &str, parameters: &[(&str, &str)]) -> (String, String) {
        match self.ec2(action, parameters).await {
            Ok(answer) => panic!("{action} {parameters:?} was accepted: {answer:?}"),
            Err(fault) => {
                assert_eq!(fault.status, 400, "{action} {parameters:?}: {fault:?}");
                (fault.code, fault.message)
            }
        }
    }

    /// The same, with the code alone.
    pub(crate) async fn refusal(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.refused(action, parameters).await.0
    }

    pub(crate) async fn sts(&self, action: &str) -> (u16, Node) {
        self.form(("sts", "2011-06-15"), REGION, action, &[]).await
    }

    pub(crate) async fn tagging(&self, action: &str, input: Value) -> Result<Value, Fault> {
        let target = format!("ResourceGroupsTaggingAPI_20170126.{action}");
        let typed = ("application/x-amz-json-1.1", Some(target.as_str()));
        let (status, body) = self.send("tagging", REGION, "/", typed, input.to_string()).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        if status == 200 {
            return Ok(body);
        }
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let message = text("message") + &text("Message");
        Err(Fault { status, code: text("__type"), message })
    }

    /// A VPC Lattice create.
    pub(crate) async fn lattice(&self, path: &str, input: Value) -> Value {
        let typed = ("application/json", None);
        let (status, body) = self.send("vpc-lattice", REGION, path, typed, input.to_string()).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(status < 300, "{path} {input}: {status} {body}");
        body
    }

    // === what most tests need ===

    pub(crate) async fn vpc(&self, cidr: &str) -> String {
        self.ok("CreateVpc", &[("CidrBlock", cidr)]).await.text("vpc/vpcId")
    }

    pub(crate) async fn subnet(&self, vpc: &str, cidr: &str) -> String {
        let answer = self.ok("CreateSubnet", &[("VpcId", vpc), ("CidrBlock", cidr)]).await;
        answer.text("subnet/subnetId")
    }

    pub(crate) async fn group(&self, vpc: &str, name: &str) -> String {
        let parameters = [("VpcId", vpc), ("GroupName", name), ("GroupDescription", "made by a test")];
        self.ok("CreateSecurityGroup", &parameters).await.text("groupId")
    }

    pub(crate) async fn run(&self, subnet: &str, name: &str) -> Result<Instance, HostError> {
        self.control.hosts().run(host(subnet, name)).await
    }

    /// The plan of the newest state: waits until `is_there` holds.
    pub(crate) async fn plan(&self, is_there: impl Fn(&FabricPlan) -> bool) -> Arc<FabricPlan> {
        let mut plans = self.control.fabric_plans();
        let plan = plans.wait_for(|plan| is_there(plan)).await.unwrap();
        plan.clone()
    }
}

/// A host that outlives its maker and runs nothing.
pub(crate) fn host(subnet: &str, name: &str) -> RunInstance {
    RunInstance {
        subnet: subnet.into(),
        name: name.into(),
        ip: None,
        ipv6: None,
        security_groups: Vec::new(),
        command: Vec::new(),
        detached: true,
        sandbox: Default::default(),
        database: None,
        instance_profile: None,
    }
}
