//! The real thing: Trellis makes a VPC with a client host and an upstream host in two subnets,
//! listens in the VPC's router, and its peers run in that same router.
//!
//! Every candidate then has the same road: client host, link, router, link, upstream host.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use trellis_model::snapshot::{SERVICE_VIP, SOURCE_IP};

use super::{Cores, Subject, Topology, Trellis, launcher};
use crate::aws::{Client, Endpoint, element, member};
use crate::candidates::Extent;
use crate::cases::{host_name, rule_prefix};
use crate::clocks::Counted;
use crate::interrupt::Interrupt;
use crate::process::{self, Process, this_program};

const VPC_CIDR: &str = "10.0.0.0/16";
const CLIENT_SUBNET: &str = "10.0.1.0/24";
const UPSTREAM_SUBNET: &str = "10.0.2.0/24";
const UPSTREAM: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 2, 10), 9000);
/// The port of every service's listener.
const LISTENER_PORT: u16 = 80;
/// How long Trellis may take to be ready, and every status to become ACTIVE.
const PATIENCE: Duration = Duration::from_secs(120);
/// Connections that make services side by side.
const MAKERS: usize = 16;
/// Quotas of a real account that this many services exceed: services, target groups, services in
/// one service network, rules of one listener.
const QUOTAS: [(&str, usize); 4] =
    [("L-620C821E", 4000), ("L-BB11C6B9", 4000), ("L-75D4A19E", 4000), ("L-CF78395E", 100)];

/// Starts Trellis with everything `extent` asks for, ready to be measured.
pub(crate) fn start(
    trellis: &Path,
    dir: &Path,
    cores: Cores,
    extent: Extent,
    interrupt: &Interrupt,
) -> anyhow::Result<Topology> {
    ensure!(
        trellis.is_file(),
        "{} is not there: `cargo build --release -p trellis`, or name it with --trellis",
        trellis.display()
    );
    let version = process::output(Command::new(trellis).arg("--version"))?;
    let data = dir.join("data");
    eprintln!("Starting {version}");
    let (server, url) = up(trellis, dir, &data, cores, extent, interrupt)?;

    let endpoint = Endpoint::new(&url, &data.join("credentials"))?;
    let mut api = endpoint.connect()?;
    let vpc = element(&api.ec2("CreateVpc", &[("CidrBlock", VPC_CIDR)])?, "vpcId")?.to_owned();
    let mut subnet = |cidr: &str| {
        let answer = api.ec2("CreateSubnet", &[("VpcId", &vpc), ("CidrBlock", cidr)])?;
        anyhow::Ok(element(&answer, "subnetId")?.to_owned())
    };
    let (client_subnet, upstream_subnet) = (subnet(CLIENT_SUBNET)?, subnet(UPSTREAM_SUBNET)?);

    let this = this_program()?;
    let host = |name: &str, subnet: &str, more: &[&str], words: Vec<OsString>| {
        let mut command = Command::new(trellis);
        command.args(["run", "-d", "--data-dir"]).arg(&data).args(["--subnet", subnet, "--name", name]);
        // This program runs in them, as at its peers: what is measured is the network.
        command.args(["--share-filesystem", "--privileged", "--memory", "16384", "--open-files", "1048576"]);
        command.args(more).arg("--").args(words);
        process::output(&mut command).with_context(|| format!("the {name} host"))
    };
    host("client", &client_subnet, &[], vec!["sleep".into(), "infinity".into()])?;
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, UPSTREAM.1));
    let mut words = launcher(&this, cores.load, None);
    words.extend([this.clone().into(), "upstream".into(), listen.to_string().into()]);
    host("upstream", &upstream_subnet, &["--ip", &UPSTREAM.0.to_string()], words)?;

    eprintln!("Making {} services with {} rules each", extent.hosts, extent.rules);
    make_services(&endpoint, &vpc, extent, interrupt)?;

    let enter = |place: &[&str], cpu: usize| {
        let mut words: Vec<OsString> =
            vec![trellis.into(), "exec".into(), "--data-dir".into(), data.clone().into()];
        words.extend(place.iter().map(Into::into));
        words.push("--".into());
        words.extend(launcher(&this, cpu, None));
        words
    };
    Ok(Topology {
        description: "client and upstream are hosts in two subnets of one VPC; Trellis and its peers run in \
                      that VPC's router",
        at_client: enter(&["client"], cores.load),
        at_proxy: enter(&["--vpc", &vpc], cores.proxy),
        front: IpAddr::V4(SERVICE_VIP),
        upstream: SocketAddr::from(UPSTREAM),
        // What the router lets answers to come in on.
        source: Some(IpAddr::V4(SOURCE_IP)),
        subject: Subject::Trellis(Trellis {
            version,
            address: SocketAddr::from((SERVICE_VIP, LISTENER_PORT)),
            // Not its children: those are the hosts.
            counted: Counted(vec![server.pid()]),
            access_logs: data.join("access-logs"),
        }),
        processes: vec![server],
    })
}

/// Starts the server on its core and waits until it is ready; it and its endpoint.
fn up(
    trellis: &Path,
    dir: &Path,
    data: &PathBuf,
    cores: Cores,
    extent: Extent,
    interrupt: &Interrupt,
) -> anyhow::Result<(Process, String)> {
    let mut command = process::command(&launcher(&this_program()?, cores.proxy, None), [trellis]);
    command.args(["up", "--workers", "1", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(data);
    for (code, least) in QUOTAS {
        command.arg("--quota").arg(format!("{code}={}", least.max(2 * extent.hosts)));
    }
    let mut server = Process::start("trellis", command, dir, true)?.ends_its_own();
    server.prefer();
    let output = server.child().stdout.take().context("the output of trellis")?;
    let (sender, lines) = sync_channel(16);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // After the line that matters nobody listens, and the pipe is still emptied.
            let _ = sender.try_send(line);
        }
    });
    let deadline = Instant::now() + PATIENCE;
    loop {
        interrupt.check()?;
        server.check_alive()?;
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                if let Some(url) = line.strip_prefix("trellis is ready: ") {
                    return Ok((server, url.to_owned()));
                }
            }
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(100)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        ensure!(Instant::now() < deadline, "trellis is not ready after {PATIENCE:?}{}", server.log_end());
    }
}

/// One service network, associated with the VPC, and all services in it.
fn make_services(
    endpoint: &Endpoint,
    vpc: &str,
    extent: Extent,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let mut api = endpoint.connect()?;
    let network = api.lattice("POST", "/servicenetworks", Some(&json!({ "name": "bench" })))?;
    let network = member(&network, "id")?;
    let association = json!({ "serviceNetworkIdentifier": network, "vpcIdentifier": vpc });
    let association = api.lattice("POST", "/servicenetworkvpcassociations", Some(&association))?;
    let association = member(&association, "id")?;
    await_active(&mut api, &format!("/servicenetworkvpcassociations/{association}"), interrupt)?;

    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let maker = || -> anyhow::Result<()> {
        let mut api = endpoint.connect()?;
        loop {
            interrupt.check()?;
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= extent.hosts {
                return Ok(());
            }
            make_service(&mut api, network, vpc, n, extent.rules, interrupt)
                .with_context(|| format!("service {n}"))?;
            if (n + 1).is_multiple_of(250) {
                eprintln!("  {} services after {:.1} s", n + 1, began.elapsed().as_secs_f64());
            }
        }
    };
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(maker)).collect();
        makers.into_iter().try_for_each(|maker| match maker.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("a thread that makes services panicked"),
        })
    })
}

/// A service as a user makes it: target group with health checks, listener, rules, association.
fn make_service(
    api: &mut Client,
    network: &str,
    vpc: &str,
    n: usize,
    rules: usize,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let group = json!({
        "name": format!("bench-{n:04}"),
        "type": "IP",
        "config": { "port": UPSTREAM.1, "protocol": "HTTP", "vpcIdentifier": vpc },
    });
    let group = api.lattice("POST", "/targetgroups", Some(&group))?;
    let group = member(&group, "id")?;
    let service = json!({ "name": format!("bench-{n:04}"), "customDomainName": host_name(n) });
    let service = api.lattice("POST", "/services", Some(&service))?;
    let service = member(&service, "id")?;
    await_active(api, &format!("/targetgroups/{group}"), interrupt)?;
    await_active(api, &format!("/services/{service}"), interrupt)?;

    let targets = json!({ "targets": [{ "id": UPSTREAM.0.to_string(), "port": UPSTREAM.1 }] });
    let registered =
        api.lattice("POST", &format!("/targetgroups/{group}/registertargets"), Some(&targets))?;
    let refused = registered["unsuccessful"].as_array().is_some_and(|refused| !refused.is_empty());
    ensure!(!refused, "the upstream was not registered: {registered}");

    let listener = json!({
        "name": "http",
        "protocol": "HTTP",
        "port": LISTENER_PORT,
        "defaultAction": { "fixedResponse": { "statusCode": 404 } },
    });
    let listener = api.lattice("POST", &format!("/services/{service}/listeners"), Some(&listener))?;
    let path = format!("/services/{service}/listeners/{}/rules", member(&listener, "id")?);
    for rule in 0..rules {
        api.lattice("POST", &path, Some(&rule_of(rule, group)))?;
    }
    let association = json!({ "serviceNetworkIdentifier": network, "serviceIdentifier": service });
    let association = api.lattice("POST", "/servicenetworkserviceassociations", Some(&association))?;
    let path = format!("/servicenetworkserviceassociations/{}", member(&association, "id")?);
    await_active(api, &path, interrupt)
}

fn rule_of(rule: usize, group: &str) -> Value {
    json!({
        "name": format!("rule{rule}"),
        "priority": rule + 1,
        "match": { "httpMatch": { "pathMatch": { "match": { "prefix": rule_prefix(rule) } } } },
        "action": { "forward": { "targetGroups": [{ "targetGroupIdentifier": group }] } },
    })
}

/// Polls as every client does: nothing in this API waits.
fn await_active(api: &mut Client, path: &str, interrupt: &Interrupt) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        interrupt.check()?;
        let found = api.lattice("GET", path, None)?;
        match member(&found, "status")? {
            "ACTIVE" => return Ok(()),
            status if status.ends_with("_FAILED") => bail!("{path} is {status}: {found}"),
            status => ensure!(Instant::now() < deadline, "{path} is still {status}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
