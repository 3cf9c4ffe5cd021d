//! Resources: their addresses in a client's VPC, and the resource gateway in the other.

use std::io::Write;
use std::thread;

use trellis_model::fabric::{FirewallRule, FirewallTraffic, GatewayPlan, VpcPlan};
use trellis_model::id::{InstanceId, ResourceGatewayId};

use crate::machine::Machine;
use crate::plan::{add_host, add_server, fabric, vpc, vpc_id};

const GATEWAY: &str = "10.0.1.254";

fn rule(traffic: FirewallTraffic, peers: &[&str]) -> FirewallRule {
    FirewallRule { traffic, peers: peers.iter().map(|peer| peer.parse().unwrap()).collect() }
}

/// Serves every connection that comes to the VPC's resource addresses: says who came and what for.
fn serve(machine: &Machine, number: u64) {
    let listener = machine.fabric.sockets().listen_resources(&vpc_id(number)).unwrap();
    listener.set_nonblocking(false).unwrap();
    thread::spawn(move || {
        while let Ok((mut accepted, peer)) = listener.accept() {
            let _ = write!(accepted, "{} asks for {}", peer.ip(), accepted.local_addr().unwrap());
        }
    });
}

fn connect(machine: &Machine, host: &InstanceId, to: &str) -> (bool, String) {
    let ran = machine.tool(host, &["connect", to]);
    (ran.code == Some(0), ran.text)
}

#[test]
fn every_port_of_a_resource_comes_to_one_socket_and_other_ports_are_refused() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let near = add_host(&mut plan, 1, "10.0.1.10", &[]);
    let far = add_host(&mut plan, 2, "10.0.2.10", &[]);
    plan.resources = [
        ([129, 224, 0, 7].into(), [80..=99, 5432..=5432].into()),
        ([129, 224, 100, 200].into(), [1..=65535].into()),
    ]
    .into();
    machine.apply(fabric(1, [plan.clone()]));
    serve(&machine, 1);
    for (host, source) in [(&near, "10.0.1.10"), (&far, "10.0.2.10")] {
        for to in ["129.224.0.7:5432", "129.224.0.7:80", "129.224.0.7:99", "129.224.100.200:22"] {
            assert_eq!(connect(&machine, host, to), (true, format!("{source} asks for {to}")));
        }
        for to in ["129.224.0.7:5433", "129.224.0.7:100", "129.224.0.8:5432", "129.224.0.7:15001"] {
            let (came, text) = connect(&machine, host, to);
            assert!(!came && text.contains("refused"), "{to}: {text}");
        }
    }
    // Nobody comes to the socket by its own address.
    assert!(!connect(&machine, &near, "10.0.1.1:15001").0);
    plan.resources.remove(&[129, 224, 0, 7].into());
    machine.apply(fabric(2, [plan.clone()]));
    assert!(!connect(&machine, &near, "129.224.0.7:5432").0);
    assert!(connect(&machine, &near, "129.224.100.200:5432").0);
    plan.resources.clear();
    machine.apply(fabric(3, [plan]));
    assert!(!connect(&machine, &near, "129.224.100.200:5432").0);
}

#[test]
fn the_groups_of_an_association_choose_the_clients_of_resources() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let chosen = add_host(&mut plan, 1, "10.0.1.10", &[]);
    let other = add_host(&mut plan, 2, "10.0.2.10", &[]);
    plan.resources = [([129, 224, 0, 7].into(), [5432..=5432].into())].into();
    let traffic = FirewallTraffic::Tcp { first: 5432, last: 5432 };
    plan.service_clients = Some([rule(traffic, &["10.0.1.0/24"])].into());
    machine.apply(fabric(1, [plan.clone()]));
    serve(&machine, 1);
    assert!(connect(&machine, &chosen, "129.224.0.7:5432").0);
    let (came, text) = connect(&machine, &other, "129.224.0.7:5432");
    assert!(!came && text.contains("timed out"), "dropped, not refused: {text}");
    plan.service_clients = None;
    machine.apply(fabric(2, [plan]));
    assert!(connect(&machine, &other, "129.224.0.7:5432").0);
}

fn with_gateway(plan: &mut VpcPlan, egress: Vec<FirewallRule>) {
    let addresses = vec![GATEWAY.parse().unwrap(), "10.0.2.254".parse().unwrap()];
    plan.gateways = [(ResourceGatewayId::from_random(1), GatewayPlan { addresses, egress })].into();
}

#[test]
fn resources_see_a_gateways_address_and_its_groups_decide_what_it_begins() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let near = add_server(&mut plan, 1, "10.0.1.10");
    let far = add_server(&mut plan, 2, "10.0.2.10");
    with_gateway(&mut plan, vec![rule(FirewallTraffic::All, &["0.0.0.0/0"])]);
    machine.apply(fabric(1, [plan.clone()]));
    for host in [&near, &far] {
        assert!(machine.answer(host, "127.0.0.1:8080").contains("answers"));
    }
    // From either subnet into either, and the answers come back.
    for source in [GATEWAY, "10.0.2.254"] {
        for to in ["10.0.1.10", "10.0.2.10"] {
            let text = machine.dial(1, source, &format!("{to}:8080")).unwrap();
            assert!(text.contains(&format!("answers {source} at {to}")), "{text}");
        }
    }
    // A gateway takes no connections.
    let (came, text) = connect(&machine, &near, &format!("{GATEWAY}:8080"));
    assert!(!came && text.contains("timed out"), "{text}");

    let server = FirewallTraffic::Tcp { first: 8080, last: 8080 };
    with_gateway(&mut plan, vec![rule(server, &["10.0.1.0/24"])]);
    machine.apply(fabric(2, [plan.clone()]));
    assert!(machine.dial(1, GATEWAY, "10.0.1.10:8080").is_ok());
    assert!(machine.dial(1, GATEWAY, "10.0.2.10:8080").is_err(), "no rule for that subnet");
    // The proxy's own dials to targets are none of the gateway's.
    assert!(machine.dial(1, "169.254.171.2", "10.0.2.10:8080").is_ok());

    plan.gateways.clear();
    machine.apply(fabric(3, [plan]));
    assert!(machine.dial(1, GATEWAY, "10.0.1.10:8080").is_err(), "the address is nobody's any more");
}
