//! IPv6: within a VPC, not between VPCs, to services and the resolver, under security groups.

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use trellis_model::fabric::{Firewall, FirewallRule, FirewallTraffic, GatewayPlan, VpcPlan};
use trellis_model::id::{InstanceId, ResourceGatewayId};
use trellis_net::FabricEvent;

use crate::machine::Machine;
use crate::plan::{add_dualstack, add_host, dualstack_vpc, fabric, make_privileged, vpc, vpc_id};

const VIP: &str = "[fd00:ec2:80::a9fe:ab01]:80";
const SOURCE: &str = "fd00:ec2:80::a9fe:ab02";
const RESOLVER: &str = "[fd00:ec2::253]:53";

/// The address of the host 10.0.`subnet`.`host`.
fn address(subnet: u8, host: u8) -> String {
    format!("fd12:3456:789a:{subnet}::{host}")
}

fn server(subnet: u8, host: u8) -> String {
    format!("[{}]:8080", address(subnet, host))
}

fn rule(traffic: FirewallTraffic, peers: &[&str]) -> FirewallRule {
    FirewallRule { traffic, peers: peers.iter().map(|peer| peer.parse().unwrap()).collect() }
}

fn everywhere() -> FirewallRule {
    rule(FirewallTraffic::All, &["0.0.0.0/0", "::/0"])
}

fn reaches(machine: &Machine, host: &InstanceId, to: &str) -> bool {
    machine.tool(host, &["connect", to]).code == Some(0)
}

fn pings(machine: &Machine, host: &InstanceId, to: &str) -> bool {
    machine.tool(host, &["ping", to]).code == Some(0)
}

fn wait_for_servers(machine: &Machine, hosts: &[&InstanceId]) {
    for host in hosts {
        assert!(machine.answer(host, "[::1]:8080").contains("answers"));
    }
}

#[test]
fn hosts_reach_each_other_by_ipv6_within_and_across_subnets_and_by_ipv4_as_before() {
    let mut machine = Machine::start();
    let mut plan = dualstack_vpc(1);
    let client = add_dualstack(&mut plan, 1, 1, 10);
    let near = add_dualstack(&mut plan, 2, 1, 11);
    let far = add_dualstack(&mut plan, 3, 2, 10);
    let without = add_host(&mut plan, 4, "10.0.1.12", &[]);
    machine.apply(fabric(1, [plan]));
    wait_for_servers(&machine, &[&near, &far]);
    for (subnet, host, id) in [(1, 11, 2), (2, 10, 3)] {
        let told = machine.answer(&client, &server(subnet, host));
        let (us, them) = (address(1, 10), address(subnet, host));
        assert_eq!(told, format!("host-{id:08x} answers {us} at {them}"));
        let told = machine.answer(&client, &format!("10.0.{subnet}.{host}:8080"));
        assert_eq!(told, format!("host-{id:08x} answers 10.0.1.10 at 10.0.{subnet}.{host}"));
        assert!(pings(&machine, &client, &them));
    }
    for router in ["fd12:3456:789a:1::1", "fd12:3456:789a:2::1", "fd00:ec2::253"] {
        assert!(pings(&machine, &client, router), "{router}");
    }
    let resolvers = machine.run(&client, &["cat", "/etc/resolv.conf"]).text;
    assert!(resolvers.contains("nameserver fd00:ec2::253"), "{resolvers}");
    // A host without an address of it has no IPv6, and what nobody has is said to be nobody's.
    assert!(!reaches(&machine, &without, &server(1, 11)));
    assert!(!reaches(&machine, &client, &server(1, 99)));
    let ran = machine.tool(&client, &["connect", "[fd99::1]:80"]);
    assert!(ran.code != Some(0) && !ran.text.contains("timed out"), "the router says so at once: {ran:?}");
}

#[test]
fn nothing_passes_between_vpcs_of_the_same_ipv6_block_or_of_others() {
    let mut machine = Machine::start();
    let mut first = dualstack_vpc(1);
    let client = add_dualstack(&mut first, 1, 1, 10);
    make_privileged(&mut first, &client);
    let mut second = dualstack_vpc(2);
    let inhabitant = add_dualstack(&mut second, 2, 1, 10);
    let far = add_dualstack(&mut second, 3, 2, 20);
    let mut third = dualstack_vpc(3);
    third.ipv6_cidr = Some("fd99::/56".parse().unwrap());
    for (number, subnet) in third.subnets.values_mut().enumerate() {
        subnet.ipv6_cidr = Some(format!("fd99:0:0:{number}::/64").parse().unwrap());
    }
    let stranger = add_dualstack(&mut third, 4, 1, 30);
    let theirs = third.subnets[&third.hosts[&stranger].subnet].ipv6_cidr.unwrap().network();
    let theirs = Ipv6Addr::from_bits(theirs.to_bits() + 0x30);
    third.hosts.get_mut(&stranger).unwrap().ipv6_address = Some(theirs);
    machine.apply(fabric(1, [first, second, third]));
    wait_for_servers(&machine, &[&far, &stranger]);
    assert!(reaches(&machine, &inhabitant, &server(2, 20)), "it is there, for those who live there");
    let link_local = "fe80::474:aff:fe00:214";
    let out_of_reach = [address(2, 20), theirs.to_string(), link_local.into(), "ff02::1".into()];
    for script in [
        "",
        // Routes of one's own, and a link-local address.
        "ip -6 route add fd99::/56 via fd12:3456:789a:1::1; ip -6 addr add fe80::1234/64 dev eth0 nodad;",
        // A neighbour's place, and somebody else's address.
        "ip -6 addr add fd12:3456:789a:2::21/64 dev eth0 nodad;",
        "ip -6 addr add fd99::31/64 dev eth0 nodad;",
    ] {
        machine.run(&client, &["sh", "-c", script]);
        for to in &out_of_reach {
            assert!(!reaches(&machine, &client, &format!("[{to}]:8080")), "{script} {to}");
            if to.starts_with("fd") {
                assert!(!pings(&machine, &client, to), "{script} {to}");
            }
        }
    }
}

#[test]
fn of_the_router_hosts_reach_services_and_the_resolver_by_ipv6_only() {
    let mut machine = Machine::start();
    let mut plan = dualstack_vpc(1);
    let client = add_dualstack(&mut plan, 1, 1, 10);
    machine.apply(fabric(1, [plan]));
    let sockets = machine.fabric.sockets();
    let open = |port: u16| {
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let listener = sockets.listen(&vpc_id(1), everywhere, false).unwrap();
        listener.set_nonblocking(false).unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let local = stream.local_addr().unwrap();
                let _ = write!(stream, "accepted at {local}");
            }
        });
    };
    open(80);
    open(53);
    for to in [VIP, "[fd00:ec2:80::a9fe:ab4d]:80", RESOLVER] {
        assert_eq!(machine.tool(&client, &["connect", to]).text, format!("accepted at {to}"));
    }
    for to in ["[fd12:3456:789a:1::1]:80", "[fd12:3456:789a:2::1]:53", "[fd00:ec2::253]:80"] {
        let ran = machine.tool(&client, &["connect", to]);
        assert_eq!(ran.code, Some(1), "{to} {ran:?}");
        assert!(ran.text.contains("refused"), "{to} {ran:?}");
    }
}

#[test]
fn a_forged_ipv6_source_goes_nowhere_not_even_a_neighbours() {
    let mut machine = Machine::start();
    let mut plan = dualstack_vpc(1);
    let client = add_dualstack(&mut plan, 1, 1, 10);
    add_dualstack(&mut plan, 2, 1, 11);
    machine.apply(fabric(1, [plan]));
    let socket = machine.fabric.sockets().bind_udp(&vpc_id(1), RESOLVER.parse().unwrap()).unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for forged in [&address(1, 11), &address(2, 10), "2001:db8::1", SOURCE, "fe80::1"] {
        machine.tool(&client, &["send", forged, RESOLVER, "forged"]);
    }
    // Packets of one host keep their order, so those before would have come first.
    assert_eq!(machine.tool(&client, &["send", &address(1, 10), RESOLVER, "honest"]).code, Some(0));
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from.ip().to_string()), (&b"honest"[..], address(1, 10)));
}

#[test]
fn a_request_crosses_from_one_vpc_to_the_same_ipv6_address_in_another() {
    let mut machine = Machine::start();
    let mut first = dualstack_vpc(1);
    let client = add_dualstack(&mut first, 1, 1, 10);
    let mut second = dualstack_vpc(2);
    let target = add_dualstack(&mut second, 2, 1, 10);
    machine.apply(fabric(1, [first, second]));
    wait_for_servers(&machine, &[&target]);
    let listener = machine.fabric.sockets().listen(&vpc_id(1), VIP.parse().unwrap(), true).unwrap();
    listener.set_nonblocking(false).unwrap();
    let text = machine.dial(2, SOURCE, &server(1, 10)).unwrap();
    assert_eq!(text, format!("host-00000002 answers {SOURCE} at {}", address(1, 10)));
    let proxy = thread::spawn(move || {
        let (mut accepted, peer) = listener.accept().unwrap();
        write!(accepted, "for {}: {text}", peer.ip()).unwrap();
    });
    let told = machine.tool(&client, &["connect", VIP]).text;
    proxy.join().unwrap();
    assert!(told.starts_with(&format!("for {}: host-00000002", address(1, 10))), "{told}");
}

#[test]
fn security_groups_hold_for_ipv6_apart_from_ipv4() {
    let mut machine = Machine::start();
    let mut plan = dualstack_vpc(1);
    let guarded = add_dualstack(&mut plan, 1, 1, 10);
    let near = add_dualstack(&mut plan, 2, 1, 11);
    let far = add_dualstack(&mut plan, 3, 2, 10);
    let port = FirewallTraffic::Tcp { first: 8080, last: 8080 };
    let echo = FirewallTraffic::Icmpv6 { kind: Some(128), code: None };
    let guard = |plan: &mut VpcPlan, ingress: Vec<FirewallRule>| {
        let firewall = Arc::new(Firewall { ingress, egress: vec![everywhere()] });
        plan.firewalls.insert("10.0.1.10".parse().unwrap(), firewall.clone());
        plan.firewalls.insert(address(1, 10).parse().unwrap(), firewall);
    };
    guard(&mut plan, vec![rule(port, &["fd12:3456:789a:1::/64", "10.0.2.0/24"])]);
    machine.apply(fabric(1, [plan.clone()]));
    wait_for_servers(&machine, &[&guarded, &near, &far]);
    assert!(reaches(&machine, &near, &server(1, 10)) && !reaches(&machine, &near, "10.0.1.10:8080"));
    assert!(!reaches(&machine, &far, &server(1, 10)) && reaches(&machine, &far, "10.0.1.10:8080"));
    assert!(!pings(&machine, &near, &address(1, 10)), "another protocol");
    let ran = machine.tool(&far, &["connect", &server(1, 10)]);
    assert!(ran.text.contains("timed out"), "dropped, not refused: {ran:?}");
    // What it begins itself comes back.
    assert!(reaches(&machine, &guarded, &server(2, 10)) && pings(&machine, &guarded, &address(1, 11)));
    // Proxies are not in the rules, so they do not get in either.
    assert!(machine.dial(1, SOURCE, &server(1, 10)).is_err());

    guard(&mut plan, vec![rule(echo, &["::/0"]), rule(port, &["fd00:ec2:80::/64"])]);
    machine.apply(fabric(2, [plan.clone()]));
    assert!(!reaches(&machine, &near, &server(1, 10)));
    assert!(pings(&machine, &far, &address(1, 10)) && !pings(&machine, &far, "10.0.1.10"));
    assert!(machine.dial(1, SOURCE, &server(1, 10)).is_ok());

    // Egress, to hosts and to services.
    let firewall =
        Firewall { ingress: vec![everywhere()], egress: vec![rule(port, &["fd12:3456:789a:2::/64"])] };
    plan.firewalls = [(address(1, 10).parse().unwrap(), Arc::new(firewall))].into();
    plan.service_clients = Some([rule(FirewallTraffic::All, &["fd12:3456:789a:1::10/127"])].into());
    machine.apply(fabric(3, [plan]));
    assert!(reaches(&machine, &guarded, &server(2, 10)) && !reaches(&machine, &guarded, &server(1, 11)));
    let listener = machine.fabric.sockets().listen(&vpc_id(1), VIP.parse().unwrap(), true).unwrap();
    listener.set_nonblocking(false).unwrap();
    thread::spawn(move || while listener.accept().is_ok() {});
    assert!(!reaches(&machine, &guarded, VIP), "not allowed by its own rules");
    assert!(reaches(&machine, &near, VIP));
    assert!(!reaches(&machine, &far, VIP), "not allowed by the association's");
}

#[test]
fn neighbours_are_found_whatever_the_security_groups_say() {
    let mut machine = Machine::start();
    let mut plan = dualstack_vpc(1);
    let client = add_dualstack(&mut plan, 1, 1, 10);
    make_privileged(&mut plan, &client);
    let echo = FirewallTraffic::Icmpv6 { kind: Some(128), code: None };
    let only_echo = Firewall { ingress: Vec::new(), egress: vec![rule(echo, &["::/0"])] };
    plan.firewalls = [(address(1, 10).parse().unwrap(), Arc::new(only_echo))].into();
    machine.apply(fabric(1, [plan]));
    let router = "fd12:3456:789a:1::1";
    assert!(pings(&machine, &client, router));
    // It was told where its router is; now it has to ask.
    let forget = machine.run(&client, &["ip", "-6", "neigh", "del", router, "dev", "eth0"]);
    assert_eq!(forget.code, Some(0), "{forget:?}");
    assert!(pings(&machine, &client, router));
    let known = machine.run(&client, &["ip", "-6", "neigh", "show", router]).text;
    assert!(known.contains("lladdr") && !known.contains("PERMANENT"), "{known}");
}

#[test]
fn a_vpc_gets_and_loses_ipv6_and_its_hosts_stay() {
    let mut machine = Machine::start();
    let mut plain = vpc(1);
    let old = add_host(&mut plain, 1, "10.0.1.10", &[]);
    machine.apply(fabric(1, [plain.clone()]));
    let mut dual = dualstack_vpc(1);
    dual.hosts = plain.hosts.clone();
    let new = add_dualstack(&mut dual, 2, 2, 11);
    machine.apply(fabric(2, [dual]));
    wait_for_servers(&machine, &[&new]);
    assert!(reaches(&machine, &old, "10.0.2.11:8080"));
    assert!(pings(&machine, &new, "fd12:3456:789a:2::1"));
    machine.apply(fabric(3, [plain]));
    let ready = machine
        .seen
        .iter()
        .filter(|event| matches!(event, FabricEvent::HostReady { instance, .. } if *instance == old));
    assert_eq!(ready.count(), 1, "the first host was not touched: {:?}", machine.seen);
    assert!(pings(&machine, &old, "10.0.2.1"));
    let path = machine.fabric.vpc_netns_path(&vpc_id(1)).unwrap();
    let addresses = std::process::Command::new(crate::entry::SELF)
        .args(["tool", "enter-network", &std::process::id().to_string(), path.to_str().unwrap()])
        .args(["cat", "/proc/net/if_inet6"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&addresses.stdout).into_owned();
    assert_eq!(text.lines().count(), 1, "the loopback alone: {text}");
}

#[test]
fn resources_see_a_gateways_ipv6_address_and_its_groups_decide_what_it_begins() {
    let mut machine = Machine::start();
    let mut plan = dualstack_vpc(1);
    let near = add_dualstack(&mut plan, 1, 1, 10);
    let far = add_dualstack(&mut plan, 2, 2, 10);
    let gateway = "fd12:3456:789a:1:ffff:ffff:ffff:fffe";
    let with = |plan: &mut VpcPlan, egress: FirewallRule| {
        let addresses = vec![gateway.parse().unwrap(), "10.0.1.254".parse().unwrap()];
        let plan_of_it = GatewayPlan { addresses, egress: vec![egress] };
        plan.gateways = [(ResourceGatewayId::from_random(1), plan_of_it)].into();
    };
    with(&mut plan, everywhere());
    machine.apply(fabric(1, [plan.clone()]));
    wait_for_servers(&machine, &[&near, &far]);
    for (subnet, host) in [(1, 10), (2, 10)] {
        let text = machine.dial(1, gateway, &server(subnet, host)).unwrap();
        assert!(text.contains(&format!("answers {gateway} at {}", address(subnet, host))), "{text}");
    }
    let ran = machine.tool(&near, &["connect", &format!("[{gateway}]:8080")]);
    assert!(ran.text.contains("timed out"), "a gateway takes no connections: {ran:?}");
    with(&mut plan, rule(FirewallTraffic::All, &["fd12:3456:789a:2::/64", "0.0.0.0/0"]));
    machine.apply(fabric(2, [plan]));
    assert!(machine.dial(1, gateway, &server(1, 10)).is_err());
    assert!(machine.dial(1, gateway, &server(2, 10)).is_ok());
}
