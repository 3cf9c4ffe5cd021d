//! What the fabric costs on this machine: `cargo run --release -p trellis-net --example costs`.
//!
//! Needs what the fabric needs and the `nft` program. Figures are medians, in microseconds, and
//! mean something only relative to each other on a quiet machine.

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use trellis_model::fabric::{
    FabricPlan, Firewall, FirewallRule, FirewallTraffic, HostPlan, SubnetPlan, VpcPlan,
};
use trellis_model::id::{InstanceId, SubnetId, VpcId};
use trellis_net::{Fabric, FabricEvent, FabricOptions, host, user_namespace};

const VIP: &str = "169.254.171.1:80";
/// Things made for one median.
const ROUNDS: u64 = 40;
/// Round trips over one connection for one median.
const TRIPS: usize = 20_000;

/// The revision of the newest plan.
static LAST: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    host::init_if_asked();
    user_namespace::enter_if_needed()?;
    if std::env::args().nth(1).as_deref() == Some("ping-pong") {
        println!("{:.2}", ping_pong(&VIP.parse()?)?);
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let started = Instant::now();
    let (fabric, mut events) =
        Fabric::start(FabricOptions::new(directory.path().join("run"), directory.path().join("logs")))?;
    row("start, probe included", started.elapsed());
    making(&fabric, &mut events);
    dialling(&fabric)?;
    round_trips(&fabric, &mut events)?;
    let started = Instant::now();
    fabric.shutdown();
    row("end of everything", started.elapsed());
    Ok(())
}

fn row(what: &str, took: Duration) {
    println!("{what:<52} {:>10.1} us", took.as_secs_f64() * 1e6);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn plan(vpcs: u64, hosts: u64) -> Arc<FabricPlan> {
    let vpc = |number| {
        let subnet = SubnetPlan {
            id: SubnetId::from_random(number),
            cidr: "10.0.0.0/24".parse().expect("a block"),
            ipv6_cidr: None,
        };
        let host = |host: u64| HostPlan {
            id: InstanceId::from_random(host),
            name: format!("host{host}"),
            subnet: subnet.id.clone(),
            address: [10, 0, 0, 9 + host as u8].into(),
            ipv6_address: None,
            command: Vec::new(),
            sandbox: Default::default(),
        };
        let hosts = if number == 1 { hosts } else { 0 };
        Arc::new(VpcPlan {
            id: VpcId::from_random(number),
            cidrs: vec!["10.0.0.0/16".parse().expect("a block")],
            ipv6_cidr: None,
            private_dns_domain: "ec2.internal".into(),
            subnets: [(subnet.id.clone(), subnet.clone())].into(),
            hosts: (1..=hosts).map(|number| (InstanceId::from_random(number), host(number))).collect(),
            secondary_addresses: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            service_clients: None,
            resources: Default::default(),
            gateways: Default::default(),
        })
    };
    Arc::new(FabricPlan {
        revision: LAST.fetch_add(1, Ordering::Relaxed) + 1,
        vpcs: (1..=vpcs).map(|number| (VpcId::from_random(number), vpc(number))).collect(),
    })
}

/// The plan of one VPC and one host, which security groups let reach services and nothing else.
fn restricted_plan() -> Arc<FabricPlan> {
    let mut plan = Arc::unwrap_or_clone(plan(1, 1));
    let block = "169.254.171.0/24".parse().expect("a block");
    let rule = FirewallRule { traffic: FirewallTraffic::Tcp { first: 80, last: 80 }, peers: [block].into() };
    let firewall = Arc::new(Firewall { ingress: vec![rule.clone()], egress: vec![rule] });
    for vpc in plan.vpcs.values_mut().map(Arc::make_mut) {
        vpc.firewalls = vpc.hosts.values().map(|host| (host.address.into(), firewall.clone())).collect();
    }
    Arc::new(plan)
}

fn apply(fabric: &Fabric, events: &mut Receiver<FabricEvent>, plan: Arc<FabricPlan>) -> Duration {
    let started = Instant::now();
    let revision = plan.revision;
    fabric.apply(plan);
    while events.blocking_recv().expect("the fabric runs") != (FabricEvent::Converged { revision }) {}
    started.elapsed()
}

fn making(fabric: &Fabric, events: &mut Receiver<FabricEvent>) {
    let vpcs = (1..=ROUNDS).map(|vpcs| apply(fabric, events, plan(vpcs, 0))).collect();
    row("a VPC with a subnet", median(vpcs));
    let hosts = (1..=ROUNDS).map(|hosts| apply(fabric, events, plan(ROUNDS, hosts))).collect();
    row("a host", median(hosts));
    let together = apply(fabric, events, plan(ROUNDS, 4 * ROUNDS)) / (3 * ROUNDS as u32);
    row("a host, of 120 made together", together);
}

/// What a dial costs the thread that asks: to a closed port, so that nothing else is measured.
fn dialling(fabric: &Fabric) -> io::Result<()> {
    let sockets = fabric.sockets();
    let vpcs = [1, 2].map(VpcId::from_random);
    let source: IpAddr = [169, 254, 171, 2].into();
    let listeners = vpcs.each_ref().map(|vpc| sockets.listen(vpc, VIP.parse().expect("an address"), true));
    let listen = median(
        (0..ROUNDS)
            .map(|_| {
                let started = Instant::now();
                let _ = sockets.listen(&vpcs[0], VIP.parse().expect("an address"), true);
                started.elapsed()
            })
            .collect(),
    );
    row("listen, by the VPC's thread", listen);
    let destination: SocketAddr = VIP.parse().expect("an address");
    std::thread::spawn(move || {
        for (what, step) in
            [("dial, thread in the VPC already (loopback included)", 0), ("dial, other VPC each time", 1)]
        {
            let mut times = Vec::new();
            for round in 0..2_000 {
                let started = Instant::now();
                let stream = sockets.dial(&vpcs[round * step % 2], source, destination);
                times.push(started.elapsed());
                drop(stream);
            }
            row(what, median(times));
        }
        drop(listeners);
    })
    .join()
    .map_err(|_| io::ErrorKind::Other.into())
}

/// 64 bytes to and fro between a host and the address of services, with the firewall and without.
fn round_trips(
    fabric: &Fabric,
    events: &mut Receiver<FabricEvent>,
) -> Result<(), Box<dyn std::error::Error>> {
    let vpc = VpcId::from_random(1);
    let listener = fabric.sockets().listen(&vpc, "0.0.0.0:80".parse()?, true)?;
    listener.set_nonblocking(false)?;
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.set_nodelay(true);
            let mut buffer = [0; 64];
            while stream.read_exact(&mut buffer).and_then(|()| stream.write_all(&buffer)).is_ok() {}
        }
    });
    apply(fabric, events, plan(1, 0));
    fabric.apply(plan(1, 1));
    let pid = loop {
        if let FabricEvent::HostReady { pid, .. } = events.blocking_recv().ok_or("the fabric ended")? {
            break pid;
        }
    };
    let namespace = fabric.vpc_netns_path(&vpc).ok_or("no such VPC")?;
    let own = std::process::id();
    for what in ["with the firewall", "with the firewall, again"] {
        print!("round trip host to service address, {what}: us ");
        io::stdout().flush()?;
        host::enter(pid, &["/proc/self/exe", "ping-pong"], &[])?;
    }
    row("a change of rules", apply(fabric, events, restricted_plan()));
    for what in ["with a security group that restricts", "with it, again"] {
        print!("round trip host to service address, {what}: us ");
        io::stdout().flush()?;
        host::enter(pid, &["/proc/self/exe", "ping-pong"], &[])?;
    }
    host::enter_network(own, &namespace, &["nft", "delete", "table", "inet", "trellis"])?;
    for what in ["without", "without, again"] {
        print!("round trip host to service address, {what}: us ");
        io::stdout().flush()?;
        host::enter(pid, &["/proc/self/exe", "ping-pong"], &[])?;
    }
    Ok(())
}

/// The median round trip in microseconds.
fn ping_pong(to: &SocketAddr) -> io::Result<f64> {
    let mut stream = TcpStream::connect_timeout(to, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    let mut buffer = [7; 64];
    let mut times = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        let started = Instant::now();
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        times.push(started.elapsed());
    }
    Ok(median(times).as_secs_f64() * 1e6)
}
