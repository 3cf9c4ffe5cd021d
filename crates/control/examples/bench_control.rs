//! What calls of the control plane cost while there is little and while there is much: `make bench-control`.
//!
//! A service, its listener and its association with a network that a VPC is in are made until there are as many as the
//! sizes given; at each size some more are measured: calls a second and CPU a call for those that make, for reads and for
//! changes, and how long a changed rule takes until it is published. The data plane is one that applies what comes.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use trellis_auth::Scope;
use trellis_control::{Config, Control, FrameConfig};
use trellis_model::snapshot::{Action, Snapshot};
use trellis_store::Store;

#[allow(dead_code)]
#[path = "../tests/shared/client.rs"]
mod client;

use client::{KEY_ID, REGION, SECRET, signed};

/// Services made, read and changed at each size.
const SAMPLE: usize = 100;

/// Clock ticks a second, of `/proc/self/stat`: 100 on every Linux.
const TICKS: u64 = 100;

/// Services per region, and associations per network.
const QUOTAS: [&str; 2] = ["L-620C821E", "L-75D4A19E"];

#[tokio::main]
async fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100, 10_000, 100_000] } else { sizes };
    let dir = tempfile::tempdir().expect("a directory for the state");
    let store = Store::open(dir.path()).expect("a new store opens");
    let frame = FrameConfig {
        access_key_id: KEY_ID.into(),
        secret_access_key: SECRET.into(),
        quotas: QUOTAS.iter().map(|code| ((*code).to_owned(), 10_000_000)).collect(),
        ..FrameConfig::default()
    };
    let control = Control::start(store, Config { frame, ..Config::default() }).await.expect("it starts");
    tokio::spawn(apply(control.clone()));
    let bench = Bench { control, made: 0, network: String::new() };
    bench.run(&sizes).await;
}

/// Acts on every Snapshot and plan at once.
async fn apply(control: Control) {
    let (mut snapshots, mut plans) = (control.snapshots(), control.fabric_plans());
    loop {
        control.data_plane_applied(snapshots.borrow_and_update().revision);
        control.kernel_applied(plans.borrow_and_update().revision);
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            changed = plans.changed() => if changed.is_err() { return },
        }
    }
}

struct Bench {
    control: Control,
    made: usize,
    network: String,
}

/// A service and its listener.
struct Made {
    service: String,
    listener: String,
    domain: String,
}

impl Bench {
    async fn run(mut self, sizes: &[usize]) {
        let vpc = self.vpc().await;
        let network = self.call("POST", "/servicenetworks", json!({"name": "shop"})).await;
        self.network = id(&network);
        let association = json!({"serviceNetworkIdentifier": self.network, "vpcIdentifier": vpc});
        self.call("POST", "/servicenetworkvpcassociations", association).await;
        say(
            "services | make: calls/s, CPU a call | read: calls/s, CPU a call | change: calls/s, CPU a call | to effect",
        );
        for &size in sizes {
            while self.made + SAMPLE < size {
                self.service().await;
            }
            let mut some = Vec::new();
            let makes = Meter::start();
            for _ in 0..SAMPLE {
                some.push(self.service().await);
            }
            let makes = makes.stop(3 * SAMPLE);
            let reads = Meter::start();
            for made in &some {
                self.call("GET", &format!("/services/{}", made.service), Value::Null).await;
            }
            let reads = reads.stop(SAMPLE);
            let changes = Meter::start();
            let mut effects = Vec::new();
            for (number, made) in some.iter().enumerate() {
                effects.push(self.change(made, number).await);
            }
            let changes = changes.stop(SAMPLE);
            effects.sort_unstable();
            let (median, worst) = (effects[effects.len() / 2], effects[effects.len() * 99 / 100]);
            say(&format!(
                "{:>8} | {makes} | {reads} | {changes} | {:.1} ms, p99 {:.1} ms",
                self.made,
                median.as_secs_f64() * 1e3,
                worst.as_secs_f64() * 1e3
            ));
        }
        self.control.stop().await;
    }

    async fn vpc(&self) -> String {
        let body = "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0%2F16";
        let text = self.send("ec2", "POST", "/", "application/x-www-form-urlencoded", body.into()).await;
        let (_, rest) = text.split_once("<vpcId>").expect("a VPC has an id");
        rest.split('<').next().unwrap_or_default().to_owned()
    }

    /// Three calls.
    async fn service(&mut self) -> Made {
        self.made += 1;
        let name = format!("service-{}", self.made);
        let service = self.call("POST", "/services", json!({"name": name})).await;
        let domain = service["dnsEntry"]["domainName"].as_str().expect("a service has a name").to_owned();
        let service = id(&service);
        let listener = json!({
            "name": "http", "protocol": "HTTP", "port": 80,
            "defaultAction": {"fixedResponse": {"statusCode": 404}},
        });
        let listener = id(&self.call("POST", &format!("/services/{service}/listeners"), listener).await);
        let association = json!({"serviceNetworkIdentifier": self.network, "serviceIdentifier": service});
        self.call("POST", "/servicenetworkserviceassociations", association).await;
        Made { service, listener, domain }
    }

    /// Changes what a listener answers; how long until it is published.
    async fn change(&self, made: &Made, number: usize) -> Duration {
        let mut snapshots = self.control.snapshots();
        let path = format!("/services/{}/listeners/{}", made.service, made.listener);
        let status = 400 + (number % 100) as u16;
        let action = json!({"defaultAction": {"fixedResponse": {"statusCode": status}}});
        let begun = Instant::now();
        self.call("PATCH", &path, action).await;
        let is_there = |snapshot: &Arc<Snapshot>| {
            let found =
                snapshot.ingresses.values().find_map(|ingress| ingress.network.hosts.get(&*made.domain));
            let mut listeners = found.into_iter().flat_map(|service| &service.listeners);
            listeners.any(
                |listener| matches!(listener.default_action, Action::FixedResponse(found) if found == status),
            )
        };
        snapshots.wait_for(is_there).await.expect("it goes on publishing");
        begun.elapsed()
    }

    async fn call(&self, method: &str, path: &str, input: Value) -> Value {
        let body = if input.is_null() { Bytes::new() } else { input.to_string().into() };
        let text = self.send("vpc-lattice", method, path, "application/json", body).await;
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn send(&self, service: &str, method: &str, path: &str, kind: &str, body: Bytes) -> String {
        let scope = Scope { region: REGION, service };
        let headers = vec![("content-type", kind.to_owned())];
        let request =
            signed((KEY_ID, SECRET), scope, jiff::Timestamp::now(), (method, path, ""), headers, body);
        let response = self.control.serve(request).await;
        let is_ok = response.status().is_success();
        let text = String::from_utf8_lossy(response.body()).into_owned();
        assert!(is_ok, "{method} {path}: {text}");
        text
    }
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().expect("an answer has an id").to_owned()
}

/// Time and CPU of the whole process.
struct Meter {
    begun: Instant,
    ticks: u64,
}

impl Meter {
    fn start() -> Self {
        Self { begun: Instant::now(), ticks: ticks() }
    }

    fn stop(self, calls: usize) -> String {
        let (calls, cpu) = (calls as f64, (ticks() - self.ticks) as f64 / TICKS as f64);
        let each = cpu / calls * 1e3;
        format!("{:>6.0}/s {each:>6.2} ms", calls / self.begun.elapsed().as_secs_f64())
    }
}

/// Fields 14 and 15 of proc_pid_stat(5), behind a name that may have spaces.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").expect("stdout is there");
}
