//! What one client or VPC holds, and that others notice nothing of it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};
use trellis_model::snapshot::TargetProtocol;
use trellis_proxy::Limits;

use crate::secure::{hello, https, identity, passthrough, trusting};
use crate::support::*;

const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A connection from another address of this machine.
pub(crate) fn from(address: Ipv4Addr, to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    connect(socket, address, to)
}

/// The same, where the kernel takes little that nobody reads.
fn from_small(address: Ipv4Addr, to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    connect(socket, address, to)
}

fn connect(socket: Socket, address: Ipv4Addr, to: SocketAddr) -> Client {
    socket.bind(&SocketAddr::new(address.into(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    Client::over(TcpStream::from(socket))
}

/// Has an answer, or finds that it is refused.
pub(crate) fn is_served(client: &mut Client) -> bool {
    let asked = client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    match client.read_message().map(|answer| answer.status()) {
        Some(200) => true,
        Some(503) | None => false,
        Some(other) => panic!("{other}, {asked:?}"),
    }
}

pub(crate) fn two_vpcs(target: &TestTarget) -> World {
    let mut world = world(vec![service("a", forward(&group(1, &[target.address])))]);
    world.vpcs.push(vpc(2));
    world
}

#[test]
fn a_client_that_holds_too_many_connections_is_told_so_and_nobody_else_notices() {
    let target = TestTarget::saying("x");
    let limits = Limits { connections_per_worker: 60, ..Limits::default() };
    let fixture = Fixture::with(two_vpcs(&target), limits);
    let door = fixture.network.entrance(&vpc(1), 80);
    let mut greedy: Vec<Client> = (0..300).map(|_| Client::connect(door)).collect();
    let served: Vec<usize> = (0..300).filter(|n| is_served(&mut greedy[*n])).collect();
    assert!((10..=60).contains(&served.len()), "a third of what there is: {}", served.len());
    let refused = fixture.metric("trellis_proxy_connections_refused_total");
    assert_eq!(refused as usize, 300 - served.len());

    // Its neighbour, and a client of another VPC.
    assert!(is_served(&mut from(Ipv4Addr::new(127, 0, 0, 2), door)));
    assert!(is_served(&mut Client::connect(fixture.network.entrance(&vpc(2), 80))));
    // What it gives back it may have again.
    drop(greedy);
    eventually("its connections are over", || fixture.metric("trellis_proxy_connections_open") < 20.0);
    assert!(is_served(&mut Client::connect(door)));
}

#[test]
fn unfinished_heads_and_bodies_hold_no_more_memory_than_their_client_may() {
    let target = TestTarget::saying("x");
    // Of which a worker has half: 100 buffers, and a client a third of that.
    let limits = Limits { client_memory: 200 * 32 * 1024, ..Limits::default() };
    for unfinished in [
        "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ".to_owned(),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n{}", "x".repeat(100)),
    ] {
        let mut fixture = Fixture::with(two_vpcs(&target), limits.clone());
        let door = fixture.network.entrance(&vpc(1), 80);
        let mut greedy: Vec<Client> = (0..300).map(|_| Client::connect(door)).collect();
        for client in &mut greedy {
            client.send(&unfinished);
        }
        let limited = |fixture: &Fixture| {
            let text = fixture.metrics();
            let of_services = "trellis_service_failures_total{service=\"svc-00000000000000001\",reason=\"ClientRateLimited\"}";
            metric(&text, of_services)
                + metric(&text, "trellis_unrouted_failures_total{reason=\"ClientRateLimited\"}")
        };
        eventually("most are refused", || limited(&fixture) >= 200.0);
        assert!(limited(&fixture) < 280.0, "what there is room for goes on");
        let last = greedy.iter_mut().map(|client| {
            client.stream.set_nonblocking(true).unwrap();
            let came = client.stream.peek(&mut [0]).is_ok();
            client.stream.set_nonblocking(false).unwrap();
            if came { client.read_message().map(|answer| answer.status()) } else { None }
        });
        assert!(last.flatten().all(|status| status == 503));
        assert!(is_served(&mut from(Ipv4Addr::new(127, 0, 0, 2), door)));
        let mut other = Client::connect(fixture.network.entrance(&vpc(2), 80));
        other.send(&unfinished);
        other.finish_sending();
        assert_ne!(other.read_message().map(|answer| answer.status()), Some(503), "another VPC has its own");
        drop(greedy);
        fixture.drain(std::time::Duration::ZERO);
    }
}

#[test]
fn requests_that_wait_for_a_silent_target_hold_no_more_memory_than_their_client_may() {
    let silent = TestTarget::new(|mut wire, _| drop(wire.read_to_end()));
    let target = TestTarget::saying("x");
    // Of which a worker has half: 100 buffers, and a client a third of that.
    let limits = Limits { client_memory: 200 * 32 * 1024, ..Limits::default() };
    let mut spec = service("a", forward(&group(1, &[target.address])));
    spec.rules = vec![(prefix("/silent"), forward(&group(2, &[silent.address])))];
    let fixture = Fixture::with(world(vec![spec]), limits);
    let door = fixture.network.entrance(&vpc(1), 80);
    let mut greedy: Vec<Client> = (0..200).map(|_| Client::connect(door)).collect();
    for client in &mut greedy {
        client.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let limited =
        "trellis_service_failures_total{service=\"svc-00000000000000001\",reason=\"ClientRateLimited\"}";
    eventually("most are refused", || fixture.metric(limited) >= 120.0);
    assert!(fixture.metric(limited) < 180.0, "what there is room for goes on");
    let told = greedy.iter_mut().filter_map(|client| {
        client.stream.set_nonblocking(true).unwrap();
        let came = client.stream.peek(&mut [0]).is_ok();
        client.stream.set_nonblocking(false).unwrap();
        came.then(|| client.read_message().map(|answer| answer.status())).flatten()
    });
    let told: Vec<u16> = told.collect();
    assert!(told.len() >= 120 && told.iter().all(|status| *status == 503), "{told:?}");
    assert!(is_served(&mut from(Ipv4Addr::new(127, 0, 0, 2), door)));
    drop(greedy);
    eventually("they are over", || fixture.metric("trellis_proxy_connections_open") < 5.0);
    assert!(is_served(&mut Client::connect(door)));
}

/// A service over TLS, and a client's settings that trust it.
fn secure_world(target: &TestTarget) -> (World, Arc<ClientConfig>) {
    let identity = identity(&["a"]);
    let world = world(vec![https("a", &identity, forward(&group(1, &[target.address])))]);
    (world, Arc::new(trusting(&[&identity], &[])))
}

#[test]
fn handshakes_that_do_not_go_on_hold_no_more_memory_than_their_client_may() {
    let target = TestTarget::saying("x");
    let (world, config) = secure_world(&target);
    // Of which a worker has half, and a client a third of that: eleven handshakes.
    let limits = Limits { client_memory: 200 * 32 * 1024, ..Limits::default() };
    let fixture = Fixture::with(world, limits);
    let door = fixture.secure_port();
    let begun = &hello("a")[..20];
    let mut greedy: Vec<Client> = (0..200).map(|_| Client::connect(door)).collect();
    for client in &mut greedy {
        // It may have been reset already.
        let _ = client.stream.write_all(begun);
    }
    let refused = "trellis_proxy_connections_refused_total";
    eventually("most are refused", || fixture.metric(refused) >= 150.0);
    assert!(fixture.metric(refused) < 190.0, "what there is room for goes on");
    let mut neighbour = from(NEIGHBOUR, door).shake_hands("a", &config).unwrap();
    assert_eq!(neighbour.get("a", "/").text(), "x");
    drop(greedy);
    eventually("they are over", || fixture.metric("trellis_proxy_connections_open") < 2.0);
    assert_eq!(Wire::secure(door, "a", &config).unwrap().get("a", "/").text(), "x");
}

#[test]
fn idle_tls_sessions_hold_no_more_memory_than_their_client_may() {
    let target = TestTarget::saying("x");
    let (world, config) = secure_world(&target);
    // Of which a worker has half, and a client a third of that: 33 sessions, and a handshake takes three more.
    let limits = Limits { client_memory: 200 * 32 * 1024, ..Limits::default() };
    let fixture = Fixture::with(world, limits);
    let door = fixture.secure_port();
    let held: Vec<Wire> = (0..100).filter_map(|_| Wire::secure(door, "a", &config).ok()).collect();
    assert!((20..=70).contains(&held.len()), "{}", held.len());
    let mut neighbour = from(NEIGHBOUR, door).shake_hands("a", &config).unwrap();
    assert_eq!(neighbour.get("a", "/").text(), "x");
}

#[test]
fn what_waits_in_pipes_for_clients_that_do_not_read_is_theirs() {
    let target = TestTarget::new(|mut wire, _| {
        let _ = wire.read_until("begin now");
        while wire.write(&[b'x'; 65536]).is_ok() {}
    });
    let group = Arc::into_inner(group(1, &[target.address])).unwrap();
    let group = Arc::new(trellis_model::snapshot::TargetGroup { protocol: TargetProtocol::Tcp, ..group });
    let spec = passthrough("a.lattice", "tls.test", forward(&group));
    // Of which a worker has half, and a client a third of that: 64 KiB for each of 40 connections.
    let limits = Limits { client_memory: 6 * 40 * 64 * 1024, ..Limits::default() };
    let fixture = Fixture::with(world(vec![spec]), limits);
    let door = fixture.secure_port();
    let greeting = hello("tls.test");
    let open = |address| {
        let mut client = from_small(address, door);
        // It may have been reset already.
        let _ = client.stream.write_all(&greeting);
        client
    };
    let mut greedy = Vec::new();
    for count in 1..=120 {
        greedy.push(open(Ipv4Addr::LOCALHOST));
        eventually("it is relayed", || target.connections() == count);
    }
    for client in &mut greedy {
        let _ = client.stream.write_all(b"begin now");
    }
    let limited =
        "trellis_service_failures_total{service=\"svc-00000000000000001\",reason=\"ClientRateLimited\"}";
    let told = || fixture.metric(limited) + fixture.metric("trellis_proxy_connections_refused_total");
    eventually("some are ended", || fixture.metric(limited) >= 20.0);
    let mut neighbour = open(NEIGHBOUR);
    neighbour.send_raw(b"begin now");
    assert_eq!(neighbour.read_exactly(8 << 20).len(), 8 << 20, "as much as it likes");
    assert!(told() < 100.0, "what there is room for goes on: {}", told());
    drop(greedy);
}
