//! Security groups in force: what passes, what is dropped, and what a change of rules does to both.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use trellis_model::fabric::{Firewall, FirewallRule, FirewallTraffic, VpcPlan};
use trellis_model::id::InstanceId;
use trellis_net::FabricEvent;

use crate::entry::SELF;
use crate::machine::Machine;
use crate::plan::{add_host, add_server, fabric, vpc, vpc_id};

const SERVER_PORT: FirewallTraffic = FirewallTraffic::Tcp { first: 8080, last: 8080 };
const PING: FirewallTraffic = FirewallTraffic::Icmp { kind: Some(8), code: None };

fn rule(traffic: FirewallTraffic, peers: &[&str]) -> FirewallRule {
    FirewallRule { traffic, peers: peers.iter().map(|peer| peer.parse().unwrap()).collect() }
}

fn everywhere() -> Vec<FirewallRule> {
    vec![rule(FirewallTraffic::All, &["0.0.0.0/0"])]
}

/// The host at `address` admits what `ingress` allows and may reach everything.
fn admit(plan: &mut VpcPlan, address: &str, ingress: Vec<FirewallRule>) {
    let firewall = Firewall { ingress, egress: everywhere() };
    plan.firewalls.insert(address.parse().unwrap(), Arc::new(firewall));
}

/// The host at `address` reaches what `egress` allows; all may reach it.
fn confine(plan: &mut VpcPlan, address: &str, egress: Vec<FirewallRule>) {
    let firewall = Firewall { ingress: everywhere(), egress };
    plan.firewalls.insert(address.parse().unwrap(), Arc::new(firewall));
}

fn reaches(machine: &Machine, host: &InstanceId, to: &str) -> bool {
    let ran = machine.tool(host, &["connect", to]);
    if ran.code != Some(0) {
        // Nobody says no: the attempt just gets no answer.
        assert!(ran.text.contains("timed out"), "dropped, not refused: {ran:?}");
    }
    ran.code == Some(0)
}

fn pings(machine: &Machine, host: &InstanceId, to: &str) -> bool {
    machine.tool(host, &["ping", to]).code == Some(0)
}

/// Hosts at .10, .11 and across at 10.0.2.10, all serving on 8080.
fn three() -> (VpcPlan, [InstanceId; 3]) {
    let mut plan = vpc(1);
    let hosts = [(1, "10.0.1.10"), (2, "10.0.1.11"), (3, "10.0.2.10")];
    let hosts = hosts.map(|(id, address)| add_server(&mut plan, id, address));
    (plan, hosts)
}

/// Waits until every server serves, which a host can always ask itself.
fn wait_for_servers(machine: &Machine, hosts: &[InstanceId]) {
    for host in hosts {
        assert!(machine.answer(host, "127.0.0.1:8080").contains("answers"));
    }
}

#[test]
fn only_those_a_rule_names_get_in_within_and_across_subnets() {
    let mut machine = Machine::start();
    let (mut plan, hosts) = three();
    admit(&mut plan, "10.0.1.10", vec![rule(SERVER_PORT, &["10.0.1.11/32"])]);
    machine.apply(fabric(1, [plan.clone()]));
    wait_for_servers(&machine, &hosts);
    let [target, neighbour, far] = &hosts;
    assert!(reaches(&machine, neighbour, "10.0.1.10:8080"));
    assert!(!reaches(&machine, far, "10.0.1.10:8080"));
    assert!(!pings(&machine, neighbour, "10.0.1.10"), "another protocol");
    // It reaches everybody, and their answers reach it, though no rule admits them.
    for to in ["10.0.1.11", "10.0.2.10"] {
        assert!(reaches(&machine, target, &format!("{to}:8080")));
        assert!(pings(&machine, target, to));
    }
    // Those in no group are not concerned.
    assert!(reaches(&machine, neighbour, "10.0.2.10:8080"));

    admit(
        &mut plan,
        "10.0.1.10",
        vec![rule(SERVER_PORT, &["10.0.2.0/24", "10.0.2.128/25"]), rule(PING, &["0.0.0.0/0"])],
    );
    machine.apply(fabric(2, [plan]));
    assert!(!reaches(&machine, neighbour, "10.0.1.10:8080"));
    assert!(reaches(&machine, far, "10.0.1.10:8080"));
    assert!(pings(&machine, neighbour, "10.0.1.10"));
    let made = machine.seen.iter().filter(|event| matches!(event, FabricEvent::HostReady { .. })).count();
    assert_eq!(made, 3, "no host was touched: {:?}", machine.seen);
}

#[test]
fn ports_outside_the_range_are_dropped() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let server = add_server(&mut plan, 1, "10.0.1.10");
    let client = add_host(&mut plan, 2, "10.0.1.11", &[]);
    for (revision, first, last, passes) in
        [(1, 8000, 8079, false), (2, 8081, 9000, false), (3, 8080, 8081, true), (4, 0, 65535, true)]
    {
        admit(&mut plan, "10.0.1.10", vec![rule(FirewallTraffic::Tcp { first, last }, &["10.0.0.0/16"])]);
        machine.apply(fabric(revision, [plan.clone()]));
        wait_for_servers(&machine, std::slice::from_ref(&server));
        assert_eq!(reaches(&machine, &client, "10.0.1.10:8080"), passes, "{first}-{last}");
    }
    // The same ports of another protocol.
    admit(&mut plan, "10.0.1.10", vec![rule(FirewallTraffic::Udp { first: 0, last: 65535 }, &["0.0.0.0/0"])]);
    machine.apply(fabric(5, [plan]));
    assert!(!reaches(&machine, &client, "10.0.1.10:8080"));
}

#[test]
fn a_connection_outlives_the_rule_that_let_it_begin() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    add_host(&mut plan, 1, "10.0.1.10", &[SELF, "tool", "echo", "7000"]);
    let client = add_host(&mut plan, 2, "10.0.1.11", &[]);
    let port = FirewallTraffic::Tcp { first: 7000, last: 7000 };
    admit(&mut plan, "10.0.1.10", vec![rule(port, &["10.0.1.11/32"])]);
    machine.apply(fabric(1, [plan.clone()]));
    let mut connect = machine.entering(&client, &[SELF, "tool", "send-on-lines", "10.0.1.10:7000"]);
    let mut child = loop {
        let mut child = connect.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        if line == "connected\n" {
            break (child, output);
        }
        // The server was not listening yet.
        child.wait().unwrap();
    };
    let mut exchange = |text: &str| {
        let (child, output) = &mut child;
        writeln!(child.stdin.as_mut().unwrap(), "{text}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(exchange("before"), "before\n");
    admit(&mut plan, "10.0.1.10", Vec::new());
    machine.apply(fabric(2, [plan]));
    assert_eq!(exchange("after"), "after\n");
    assert!(!reaches(&machine, &client, "10.0.1.10:7000"), "a new one does not begin");
    drop(child.0.stdin.take());
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn egress_rules_hold_a_host_back_but_not_its_answers() {
    let mut machine = Machine::start();
    let (mut plan, hosts) = three();
    confine(&mut plan, "10.0.1.10", vec![rule(SERVER_PORT, &["10.0.2.0/24"])]);
    machine.apply(fabric(1, [plan]));
    wait_for_servers(&machine, &hosts);
    let [confined, neighbour, _] = &hosts;
    assert!(reaches(&machine, confined, "10.0.2.10:8080"));
    assert!(!reaches(&machine, confined, "10.0.1.11:8080"));
    assert!(!pings(&machine, confined, "10.0.2.10"));
    assert!(reaches(&machine, neighbour, "10.0.1.10:8080"), "what it answers passes");
}

#[test]
fn a_forged_source_of_the_same_subnet_gets_past_no_rule() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let receiver = add_host(
        &mut plan,
        1,
        "10.0.1.10",
        &[
            "python3",
            "-u",
            "-c",
            "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 9000)); print('ready'); [print(*reversed(s.recvfrom(99))) for _ in iter(int, 1)]",
        ],
    );
    let friend = add_host(&mut plan, 2, "10.0.1.11", &[]);
    let stranger = add_host(&mut plan, 3, "10.0.1.12", &[]);
    let port = FirewallTraffic::Udp { first: 9000, last: 9000 };
    admit(&mut plan, "10.0.1.10", vec![rule(port, &["10.0.1.11/32"])]);
    machine.apply(fabric(1, [plan]));
    let log = || machine.log(&format!("host-{}", &receiver.suffix()[9..]));
    let wait_for = |word: &str| {
        while !log().contains(word) {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for("ready");
    for from in ["10.0.1.12", "10.0.1.11", "10.0.1.10"] {
        machine.tool(&stranger, &["send", from, "10.0.1.10:9000", "stranger"]);
    }
    assert_eq!(machine.tool(&friend, &["send", "10.0.1.11", "10.0.1.10:9000", "friend"]).code, Some(0));
    wait_for("friend");
    assert!(!log().contains("stranger"), "{}", log());
}

/// Answers every connection to a service address with one word.
fn serve(machine: &Machine, port: u16) {
    let address: SocketAddr = format!("169.254.171.1:{port}").parse().unwrap();
    let listener = machine.fabric.sockets().listen(&vpc_id(1), address, false).unwrap();
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(b"service");
        }
    });
}

#[test]
fn the_groups_of_a_vpc_association_choose_the_clients_of_services() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let client = add_host(&mut plan, 1, "10.0.1.10", &[]);
    let other = add_host(&mut plan, 2, "10.0.2.10", &[]);
    let web = FirewallTraffic::Tcp { first: 80, last: 80 };
    plan.service_clients = Some([rule(web, &["10.0.1.0/24"])].into());
    machine.apply(fabric(1, [plan.clone()]));
    serve(&machine, 80);
    serve(&machine, 81);
    assert!(reaches(&machine, &client, "169.254.171.1:80"));
    assert!(!reaches(&machine, &client, "169.254.171.1:81"), "no rule for the port");
    assert!(!reaches(&machine, &other, "169.254.171.1:80"));
    // The resolver is for everybody.
    let resolver: SocketAddr = "169.254.169.253:53".parse().unwrap();
    let listener = machine.fabric.sockets().listen(&vpc_id(1), resolver, false).unwrap();
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"resolver").unwrap());
    assert!(reaches(&machine, &other, "169.254.169.253:53"));
    plan.service_clients = None;
    machine.apply(fabric(2, [plan]));
    assert!(reaches(&machine, &other, "169.254.171.1:81"));
}

#[test]
fn groups_of_hosts_are_in_force_towards_services_and_the_proxy() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let target = add_server(&mut plan, 1, "10.0.1.10");
    let neighbour = add_host(&mut plan, 2, "10.0.1.11", &[]);
    admit(&mut plan, "10.0.1.10", vec![rule(SERVER_PORT, &["169.254.171.0/24"])]);
    confine(&mut plan, "10.0.1.11", Vec::new());
    machine.apply(fabric(1, [plan.clone()]));
    wait_for_servers(&machine, std::slice::from_ref(&target));
    serve(&machine, 80);
    let dial = |machine: &Machine| {
        let sockets = machine.fabric.sockets();
        std::thread::spawn(move || {
            let source: IpAddr = "169.254.171.2".parse().unwrap();
            let to = "10.0.1.10:8080".parse().unwrap();
            let stream = sockets.dial(&vpc_id(1), source, to).unwrap();
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut &stream, &mut text).map(|_| text)
        })
        .join()
        .unwrap()
    };
    assert!(dial(&machine).unwrap().contains("answers 169.254.171.2"));
    assert!(reaches(&machine, &target, "169.254.171.1:80"), "a target may be a client as well");
    assert!(!reaches(&machine, &neighbour, "169.254.171.1:80"), "no egress, no services");
    assert!(!reaches(&machine, &neighbour, "10.0.1.10:8080"));

    admit(&mut plan, "10.0.1.10", vec![rule(SERVER_PORT, &["10.0.0.0/16"])]);
    confine(&mut plan, "10.0.1.11", vec![rule(FirewallTraffic::All, &["169.254.171.0/24", "10.0.1.10/32"])]);
    machine.apply(fabric(2, [plan]));
    let dialled = dial(&machine);
    assert!(dialled.is_err(), "its rules admit the VPC, not the proxy: {dialled:?}");
    assert!(reaches(&machine, &neighbour, "169.254.171.1:80"));
    assert!(reaches(&machine, &neighbour, "10.0.1.10:8080"));
}

#[test]
fn a_thousand_scattered_addresses_are_put_in_force() {
    let mut machine = Machine::start();
    let (mut plan, hosts) = three();
    let peers: Vec<String> =
        (0..1000).map(|n| format!("10.100.{}.{}/32", n / 100, 1 + 2 * (n % 100))).collect();
    let peers: Vec<&str> = peers.iter().map(String::as_str).chain(["10.0.2.10/32"]).collect();
    admit(&mut plan, "10.0.1.10", vec![rule(SERVER_PORT, &peers)]);
    machine.apply(fabric(1, [plan]));
    wait_for_servers(&machine, &hosts);
    assert!(reaches(&machine, &hosts[2], "10.0.1.10:8080"));
    assert!(!reaches(&machine, &hosts[1], "10.0.1.10:8080"));
}
