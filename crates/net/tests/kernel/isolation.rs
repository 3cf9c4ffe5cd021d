//! Who reaches whom, and who does not.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use trellis_model::id::InstanceId;

use crate::entry::SELF;
use crate::machine::Machine;
use crate::plan::{add_host, add_server, fabric, make_privileged, vpc, vpc_id};

/// Every IPv4 address of the machine itself.
fn machine_addresses() -> Vec<Ipv4Addr> {
    let addresses = nix::ifaddrs::getifaddrs().unwrap();
    addresses.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip())).collect()
}

#[test]
fn hosts_of_a_vpc_reach_each_other_within_and_across_subnets() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let client = add_host(&mut plan, 1, "10.0.1.10", &[]);
    let neighbour = add_server(&mut plan, 2, "10.0.1.11");
    add_server(&mut plan, 3, "10.0.2.10");
    machine.apply(fabric(1, [plan]));
    let name = |id: u64| format!("host-{id:08x}");
    assert_eq!(
        machine.answer(&client, "10.0.1.11:8080"),
        format!("{} answers 10.0.1.10 at 10.0.1.11", name(2))
    );
    assert_eq!(
        machine.answer(&client, "10.0.2.10:8080"),
        format!("{} answers 10.0.1.10 at 10.0.2.10", name(3))
    );
    assert_eq!(
        machine.answer(&neighbour, "10.0.2.10:8080"),
        format!("{} answers 10.0.1.11 at 10.0.2.10", name(3))
    );
    for address in ["10.0.1.1", "10.0.1.11", "10.0.2.10", "10.0.0.2", "169.254.169.253"] {
        assert_eq!(machine.tool(&client, &["ping", address]).code, Some(0), "{address}");
    }
}

#[test]
fn nothing_passes_between_vpcs_of_the_same_block() {
    let mut machine = Machine::start();
    let mut first = vpc(1);
    let client = add_host(&mut first, 1, "10.0.1.10", &[]);
    let mut second = vpc(2);
    let inhabitant = add_host(&mut second, 2, "10.0.1.10", &[]);
    add_server(&mut second, 3, "10.0.1.20");
    add_server(&mut second, 4, "10.0.2.20");
    machine.apply(fabric(1, [first, second]));
    // They are there, for those who live there.
    assert!(machine.answer(&inhabitant, "10.0.1.20:8080").contains("answers 10.0.1.10 at 10.0.1.20"));
    assert!(machine.answer(&inhabitant, "10.0.2.20:8080").contains("at 10.0.2.20"));
    for address in ["10.0.1.20", "10.0.2.20"] {
        let ran = machine.tool(&client, &["connect", &format!("{address}:8080")]);
        assert_ne!(ran.code, Some(0), "{ran:?}");
        assert_ne!(machine.tool(&client, &["ping", address]).code, Some(0), "{address}");
    }
}

#[test]
fn a_vpc_of_another_block_is_out_of_reach() {
    let mut machine = Machine::start();
    let mut first = vpc(1);
    let client = add_host(&mut first, 1, "10.0.1.10", &[]);
    let mut second = vpc(2);
    second.cidrs = vec!["172.20.0.0/16".parse().unwrap()];
    for (third, subnet) in second.subnets.values_mut().enumerate() {
        subnet.cidr = format!("172.20.{third}.0/24").parse().unwrap();
    }
    add_server(&mut second, 2, "172.20.0.20");
    machine.apply(fabric(1, [first, second]));
    let ran = machine.tool(&client, &["connect", "172.20.0.20:8080"]);
    assert!(ran.text.contains("No route to host"), "the router says so at once: {ran:?}");
    for address in ["172.20.0.20", "172.20.0.1", "172.20.0.2"] {
        assert_ne!(machine.tool(&client, &["ping", address]).code, Some(0), "{address}");
        let ran = machine.tool(&client, &["connect", &format!("{address}:8080")]);
        assert_ne!(ran.code, Some(0), "{ran:?}");
    }
}

#[test]
fn the_machine_and_its_loopback_are_out_of_reach() {
    let loopback = TcpListener::bind("127.0.0.1:0").unwrap();
    let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let client = add_host(&mut plan, 1, "10.0.1.10", &[]);
    machine.apply(fabric(1, [plan]));
    for listener in [&loopback, &everywhere] {
        let port = listener.local_addr().unwrap().port();
        for address in machine_addresses().into_iter().chain([Ipv4Addr::LOCALHOST]) {
            let ran = machine.tool(&client, &["connect", &format!("{address}:{port}")]);
            assert_ne!(ran.code, Some(0), "{address}:{port} {ran:?}");
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody came");
    }
    for address in machine_addresses().into_iter().filter(|address| !address.is_loopback()) {
        assert_ne!(machine.tool(&client, &["ping", &address.to_string()]).code, Some(0), "{address}");
    }
}

#[test]
fn of_the_router_hosts_reach_services_and_the_resolver_only() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let client = add_host(&mut plan, 1, "10.0.1.10", &[]);
    machine.apply(fabric(1, [plan]));
    let sockets = machine.fabric.sockets();
    // One listener on every address: what the rules let through would be accepted.
    let open = |port: u16| {
        let listener = sockets.listen(&vpc_id(1), SocketAddr::from(([0, 0, 0, 0], port)), false).unwrap();
        listener.set_nonblocking(false).unwrap();
        std::thread::spawn(move || {
            use std::io::Write;
            while let Ok((mut stream, _)) = listener.accept() {
                let local = stream.local_addr().unwrap();
                let _ = write!(stream, "accepted at {local}");
            }
        });
    };
    open(80);
    open(53);
    let reaches = |address: &str| machine.tool(&client, &["connect", address]);
    for address in ["169.254.171.1:80", "169.254.171.77:80", "10.0.0.2:53", "169.254.169.253:53"] {
        assert_eq!(reaches(address).text, format!("accepted at {address}"));
    }
    for address in ["10.0.1.1:80", "10.0.2.1:80", "10.0.1.1:53", "10.0.0.2:80", "169.254.169.253:80"] {
        let ran = reaches(address);
        assert_eq!(ran.code, Some(1), "{address} {ran:?}");
        assert!(ran.text.contains("refused"), "{address} {ran:?}");
    }
}

#[test]
fn a_forged_source_goes_nowhere() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let client = add_host(&mut plan, 1, "10.0.1.10", &[]);
    add_host(&mut plan, 2, "10.0.1.11", &[]);
    machine.apply(fabric(1, [plan]));
    let resolver = "169.254.169.253:53";
    let socket = machine.fabric.sockets().bind_udp(&vpc_id(1), resolver.parse().unwrap()).unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // Of its own subnet, too: a neighbour's, nobody's and the router's.
    for forged in
        ["10.0.2.10", "192.0.2.1", "169.254.171.2", "10.0.0.2", "10.0.1.11", "10.0.1.99", "10.0.1.1"]
    {
        let ran = machine.tool(&client, &["send", forged, resolver, "forged"]);
        assert_eq!(ran.code, Some(0), "{forged} {ran:?}");
    }
    // Packets of one host keep their order, so those before would have come first.
    assert_eq!(machine.tool(&client, &["send", "10.0.1.10", resolver, "honest"]).code, Some(0));
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from.ip()), (&b"honest"[..], "10.0.1.10".parse().unwrap()));
}

#[test]
fn a_host_cannot_take_its_neighbours_place_on_the_wire() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let thief = add_host(&mut plan, 1, "10.0.1.10", &[]);
    make_privileged(&mut plan, &thief);
    let client = add_host(&mut plan, 2, "10.0.1.11", &[]);
    machine.apply(fabric(1, [plan]));
    assert_eq!(machine.tool(&thief, &["ping", "10.0.1.1"]).code, Some(0));
    // With another Ethernet address than the one it was given, nothing of it passes its port.
    assert_eq!(machine.tool(&thief, &["set-mac", "06:74:0a:00:01:0b"]).text, "");
    assert_ne!(machine.tool(&thief, &["ping", "10.0.1.1"]).code, Some(0));
    assert_eq!(machine.tool(&client, &["ping", "10.0.1.1"]).code, Some(0));
}

#[test]
fn a_host_has_no_power_over_its_router() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let client = add_host(&mut plan, 1, "10.0.1.10", &[]);
    make_privileged(&mut plan, &client);
    machine.apply(fabric(1, [plan]));
    // The kernel lets a host name the namespace at the other end of eth0; it must not let it act there.
    let ran = machine.tool(&client, &["make-bridge-next-door", "intruder"]);
    assert!(ran.text.contains("not permitted"), "{ran:?}");
    let path = machine.fabric.vpc_netns_path(&vpc_id(1)).unwrap();
    let links = std::process::Command::new(SELF)
        .args(["tool", "enter-network", &std::process::id().to_string(), path.to_str().unwrap()])
        .args(["cat", "/proc/net/dev"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&links.stdout);
    assert!(text.contains("b-") && text.contains("h-"), "{text}");
    assert!(!text.contains("intruder"), "{text}");
}

/// What becomes of `address` when `thief` claims it by ARP while `client` sends to it.
fn claimed(machine: &Machine, thief: &InstanceId, client: &InstanceId, address: &str) -> String {
    let mut claiming = machine.entering(thief, &[SELF, "tool", "claim", address]);
    let mut claiming = claiming.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(claiming.stdout.take().unwrap()).lines();
    assert_eq!(output.next().unwrap().unwrap(), "claiming");
    for _ in 0..5 {
        machine.tool(client, &["send", "10.0.1.11", &format!("{address}:9"), "for its owner"]);
    }
    let said = output.next().unwrap().unwrap();
    claiming.wait().unwrap();
    said
}

#[test]
fn the_address_of_a_host_that_went_is_answered_by_nobody_and_receives_nothing() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let thief = add_host(&mut plan, 1, "10.0.1.10", &[]);
    let client = add_host(&mut plan, 2, "10.0.1.11", &[]);
    let gone = add_server(&mut plan, 3, "10.0.1.12");
    let neighbour = add_server(&mut plan, 4, "10.0.1.13");
    machine.apply(fabric(1, [plan.clone()]));
    assert!(machine.answer(&client, "10.0.1.12:8080").contains("at 10.0.1.12"));
    assert!(machine.answer(&client, "10.0.1.13:8080").contains("at 10.0.1.13"));
    assert_eq!(claimed(&machine, &thief, &client, "10.0.1.10"), "received", "its own address is its own");
    plan.hosts.remove(&gone);
    machine.apply(fabric(2, [plan]));
    // That of a neighbour, of the one that went, and one that never was anybody's.
    for address in ["10.0.1.13", "10.0.1.12", "10.0.1.99"] {
        assert_eq!(claimed(&machine, &thief, &client, address), "nothing", "{address}");
    }
    assert!(
        machine.answer(&client, "10.0.1.13:8080").contains(&format!("host-{}", &neighbour.suffix()[9..]))
    );
    assert_ne!(machine.tool(&client, &["connect", "10.0.1.99:8080"]).code, Some(0));
    let known = machine.run(&client, &["cat", "/proc/net/arp"]).text;
    let answered = |line: &str| line.starts_with("10.0.1.99 ") && !line.contains("00:00:00:00:00:00");
    assert!(!known.lines().any(answered), "nobody answers for it: {known}");
}

#[test]
fn a_host_that_runs_others_sends_from_the_addresses_assigned_to_it_and_no_others() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let node = add_host(&mut plan, 1, "10.0.1.10", &[]);
    make_privileged(&mut plan, &node);
    let client = add_host(&mut plan, 2, "10.0.1.11", &[]);
    add_server(&mut plan, 3, "10.0.1.12");
    let pod: Ipv4Addr = "10.0.1.140".parse().unwrap();
    plan.secondary_addresses.insert(node.clone(), [pod].into());
    machine.apply(fabric(1, [plan]));
    assert_eq!(claimed(&machine, &node, &client, "10.0.1.140"), "received");
    for (address, whose) in [("10.0.1.12", "its neighbour's"), ("10.0.1.141", "nobody's")] {
        assert_eq!(claimed(&machine, &node, &client, address), "nothing", "{whose}");
    }
    let resolver = "169.254.169.253:53";
    let socket = machine.fabric.sockets().bind_udp(&vpc_id(1), resolver.parse().unwrap()).unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for source in ["10.0.1.12", "10.0.1.1", "10.0.2.10", "10.0.1.141", "10.0.1.140"] {
        machine.tool(&node, &["send", source, resolver, "from a pod"]);
    }
    let (_, from) = socket.recv_from(&mut [0; 64]).unwrap();
    assert_eq!(from.ip(), pod);
}

#[test]
fn an_address_that_goes_from_one_host_to_another_leads_there_and_both_go_on() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let node = add_host(&mut plan, 1, "10.0.1.10", &[]);
    make_privileged(&mut plan, &node);
    let client = add_host(&mut plan, 2, "10.0.1.11", &[]);
    let server = add_server(&mut plan, 3, "10.0.1.12");
    let address: Ipv4Addr = "10.0.1.140".parse().unwrap();
    plan.secondary_addresses.insert(node.clone(), [address].into());
    machine.apply(fabric(1, [plan.clone()]));
    let first_process = |machine: &Machine, host| machine.run(host, &["cat", "/proc/1/stat"]).text;
    let before = [first_process(&machine, &node), first_process(&machine, &server)];
    let holder = |machine: &Machine| machine.answer(&client, "10.0.1.140:8080");

    // Back and forth: whoever comes first in the plan.
    for revision in [2, 4] {
        plan.secondary_addresses = [(server.clone(), [address].into())].into();
        machine.apply(fabric(revision, [plan.clone()]));
        assert!(holder(&machine).contains("at 10.0.1.140"), "{}", holder(&machine));
        assert_eq!(claimed(&machine, &node, &client, "10.0.1.140"), "nothing");
        plan.secondary_addresses = [(node.clone(), [address].into())].into();
        machine.apply(fabric(revision + 1, [plan.clone()]));
        assert_eq!(claimed(&machine, &node, &client, "10.0.1.140"), "received");
    }
    plan.secondary_addresses.clear();
    machine.apply(fabric(6, [plan]));
    assert_eq!(claimed(&machine, &node, &client, "10.0.1.140"), "nothing");
    assert_eq!(
        [first_process(&machine, &node), first_process(&machine, &server)],
        before,
        "neither was made anew"
    );
}
