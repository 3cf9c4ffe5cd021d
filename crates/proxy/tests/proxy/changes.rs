//! Configuration that changes under traffic, and the end of the proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use trellis_model::snapshot::{Action, Target};
use trellis_proxy::Limits;

use crate::support::*;

#[test]
fn the_next_request_on_an_open_connection_follows_the_new_configuration() {
    let [old, new] = ["old", "new"].map(TestTarget::saying);
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[old.address])))]));
    let mut client = fixture.client();
    assert_eq!(client.get("a", "/").text(), "old");
    fixture.change(world(vec![service("a", forward(&group(2, &[new.address])))]));
    assert_eq!(client.get("a", "/").text(), "new");
    fixture.change(world(vec![service("b", forward(&group(2, &[new.address])))]));
    assert_eq!((client.get("a", "/").status(), client.get("b", "/").status()), (404, 200));
}

#[test]
fn a_request_in_flight_ends_with_the_configuration_it_began_with() {
    let gate = Arc::new(AtomicBool::new(false));
    let open = gate.clone();
    let target = TestTarget::answering(move |_| {
        eventually("the gate opens", || open.load(Ordering::SeqCst));
        ok("finished")
    });
    let used = group(1, &[target.address]);
    let health = used.targets[0].health.clone();
    let fixture = Fixture::new(world(vec![service("a", forward(&used))]));
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the target is at work", || health.in_flight() == 1);
    // Deregistered, then even the service network goes.
    fixture.change(world(vec![service("a", forward(&group(1, &[])))]));
    assert_eq!(fixture.client().get("a", "/").status(), 503);
    fixture.change(World { vpcs: vec![], ..world(vec![]) });
    assert_eq!(health.in_flight(), 1, "still draining");
    gate.store(true, Ordering::SeqCst);
    assert_eq!(client.read_message().unwrap().text(), "finished");
    eventually("the target is idle", || health.in_flight() == 0);
    assert!(client.is_closed(), "nothing leads here any more");
}

#[test]
fn listeners_come_and_go_with_the_configuration() {
    let target = TestTarget::saying("x");
    let at = |port: u16| {
        let mut spec = service("a", forward(&group(1, &[target.address])));
        spec.port = port;
        world(vec![spec])
    };
    let fixture = Fixture::new(at(80));
    let mut idle = fixture.client();
    assert_eq!(idle.get("a", "/").status(), 200);
    fixture.change(at(81));
    assert!(idle.is_closed(), "idle connections of a listener that is gone are closed");
    let refused = std::net::TcpStream::connect(fixture.network.entrance(&vpc(1), 80));
    assert!(refused.is_err(), "its port is closed");
    assert_eq!(Client::connect(fixture.network.entrance(&vpc(1), 81)).get("a", "/").status(), 200);
    fixture.change(at(80));
    assert_eq!(fixture.client().get("a", "/").status(), 200);
}

#[test]
fn a_vpc_with_ipv6_is_served_on_it_and_targets_and_the_log_are_told_its_address() {
    let target = TestTarget::saying("x");
    let with =
        |has_ipv6| World { has_ipv6, ..world(vec![service("a", forward(&group(1, &[target.address])))]) };
    let mut fixture = Fixture::new(with(false));
    let entrance = fixture.network.ipv6_entrance(&vpc(1), 80);
    assert!(std::net::TcpStream::connect(entrance).is_err(), "nobody listens");
    fixture.change(with(true));
    let mut client = Client::connect(entrance);
    assert_eq!(client.get("a", "/").status(), 200);
    assert_eq!(target.last_request().header("x-forwarded-for"), Some("::1".into()));
    assert_eq!(fixture.client().get("a", "/").status(), 200, "IPv4 is served as before");
    fixture.change(with(false));
    assert!(client.is_closed() && std::net::TcpStream::connect(entrance).is_err());
    let lines = fixture.log_lines();
    let sources: Vec<&str> = lines.iter().filter_map(|line| line["sourceIpPort"].as_str()).collect();
    assert!(sources.iter().any(|source| source.starts_with("[::1]:")), "{sources:?}");
}

#[test]
fn a_listener_that_cannot_be_opened_yet_is_tried_again() {
    let target = TestTarget::saying("x");
    let network = LoopbackNetwork::default();
    network.refusals.store(5, Ordering::SeqCst);
    let world = world(vec![service("a", forward(&group(1, &[target.address])))]);
    // Returns once the revision is applied, which waits for the listeners.
    let fixture = Fixture::on(network, world, Limits::default());
    assert_eq!(fixture.client().get("a", "/").status(), 200);
    assert_eq!(fixture.metric("trellis_proxy_listen_errors_total"), 5.0);
}

#[test]
fn changes_under_load_fail_no_request() {
    let targets: Vec<_> = (0..4).map(|_| TestTarget::saying("x")).collect();
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let make = |step: usize| {
        // Targets come and go, groups change their ids, rules are added, other ports open and close.
        let some: Vec<_> = (0..=step % 3).map(|n| addresses[(step + n) % 4]).collect();
        let mut spec = service("a", forward(&group(1 + step as u64 % 2, &some)));
        spec.rules = (0..step % 5).map(|_| (prefix("/never"), Action::FixedResponse(500))).collect();
        let mut other = service("b", Action::FixedResponse(404));
        other.port = 8080 + step as u16 % 2;
        world(vec![spec, other])
    };
    let fixture = Fixture::new(make(0));
    let done = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (fixture, done, served) = (&fixture, &done, &served);
            scope.spawn(move || {
                let mut client = fixture.client();
                while !done.load(Ordering::SeqCst) {
                    let answer = if n % 2 == 0 {
                        client.get("a", "/")
                    } else {
                        client.call("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
                    };
                    assert_eq!(answer.status(), 200);
                    if n >= 2 {
                        client = fixture.client();
                    }
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for step in 1..150 {
            fixture.publish(make(step));
            std::thread::sleep(Duration::from_millis(5));
        }
        eventually("there was some traffic", || served.load(Ordering::SeqCst) > 50);
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_deregistered_target_loses_its_idle_connections() {
    let target = TestTarget::saying("x");
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    assert_eq!(fixture.client().get("a", "/").status(), 200);
    let open = "trellis_target_group_connections_open{target_group=\"tg-00000000000000001\"}";
    assert_eq!(fixture.metric(open), 1.0);
    let other = Target { address: nobody(), ..healthy(target.address) };
    fixture.change(world(vec![service("a", forward(&group_of(1, None, vec![other])))]));
    eventually("the connection is closed", || fixture.metric(open) == 0.0);
}

#[test]
fn draining_finishes_what_is_under_way_and_nothing_else() {
    let gate = Arc::new(AtomicBool::new(false));
    let open = gate.clone();
    let target = TestTarget::answering(move |_| {
        eventually("the gate opens", || open.load(Ordering::SeqCst));
        ok("finished")
    });
    let used = group(1, &[target.address]);
    let health = used.targets[0].health.clone();
    let mut fixture = Fixture::new(world(vec![service("a", forward(&used))]));
    let mut busy = fixture.client();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the target is at work", || health.in_flight() == 1);
    let mut idle = fixture.client();
    let entrance = fixture.network.entrance(&vpc(1), 80);
    let opener = std::thread::spawn(move || {
        assert!(idle.is_closed(), "an idle connection is closed at once");
        assert!(std::net::TcpStream::connect(entrance).is_err(), "nothing is accepted");
        gate.store(true, Ordering::SeqCst);
        busy.read_message().unwrap()
    });
    fixture.drain(PATIENCE);
    let answer = opener.join().unwrap();
    assert_eq!((answer.text().as_str(), answer.header("connection").as_deref()), ("finished", Some("close")));
}

#[test]
fn draining_cuts_what_is_not_done_by_its_deadline_and_records_it() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_message();
        wire.read_to_end();
    });
    let used = group(1, &[target.address]);
    let health = used.targets[0].health.clone();
    let mut fixture = Fixture::new(world(vec![service("a", forward(&used))]));
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the target is at work", || health.in_flight() == 1);
    fixture.drain(Duration::from_millis(50));
    assert_eq!(client.read_message().unwrap().status(), 503);
}
