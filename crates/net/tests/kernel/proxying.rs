//! Sockets inside VPCs, used as the data plane uses them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use trellis_net::Sockets;

use crate::machine::Machine;
use crate::plan::{add_host, add_server, fabric, vpc, vpc_id};

const VIP: &str = "169.254.171.1:80";
const SOURCE: &str = "169.254.171.2";

/// Dials and waits until connected.
fn dial(sockets: &Sockets, vpc: u64, to: &str) -> io::Result<TcpStream> {
    let source: IpAddr = SOURCE.parse().unwrap();
    let stream = sockets.dial(&vpc_id(vpc), source, to.parse().unwrap())?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    // A write waits for the connection on a blocking socket.
    (&stream).write_all(b"")?;
    Ok(stream)
}

#[test]
fn a_request_crosses_from_one_vpc_to_the_same_address_in_another() {
    let mut machine = Machine::start();
    let mut first = vpc(1);
    let client = add_host(&mut first, 1, "10.0.1.10", &[]);
    let mut second = vpc(2);
    let target = add_server(&mut second, 2, "10.0.1.10");
    machine.apply(fabric(1, [first, second]));
    // The target is up.
    assert!(machine.answer(&target, "127.0.0.1:8080").contains("answers"));
    let sockets = machine.fabric.sockets();
    let listener = sockets.listen(&vpc_id(1), VIP.parse().unwrap(), true).unwrap();
    listener.set_nonblocking(false).unwrap();
    let proxy = thread::spawn(move || {
        let (mut accepted, peer) = listener.accept().unwrap();
        let mut text = String::new();
        let mut dialed = dial(&sockets, 2, "10.0.1.10:8080").unwrap();
        dialed.read_to_string(&mut text).unwrap();
        for stream in [&accepted, &dialed] {
            // 8500 bytes, without the headers and the time stamps of IPv4 and TCP.
            assert_eq!(socket2::SockRef::from(stream).tcp_mss().unwrap(), 8500 - 40 - 12);
        }
        write!(accepted, "for {}: {text}", peer.ip()).unwrap();
    });
    let ran = machine.tool(&client, &["connect", VIP]);
    proxy.join().unwrap();
    assert_eq!(ran.text, format!("for 10.0.1.10: host-00000002 answers {SOURCE} at 10.0.1.10"));
}

#[test]
fn one_thread_dials_into_many_vpcs_in_turn() {
    let mut machine = Machine::start();
    let plans: Vec<_> = (1..=3)
        .map(|number| {
            let mut plan = vpc(number);
            add_server(&mut plan, number, "10.0.1.10");
            plan
        })
        .collect();
    machine.apply(fabric(1, plans));
    for number in 1..=3 {
        assert!(machine.answer(&crate::plan::instance_id(number), "127.0.0.1:8080").contains("answers"));
    }
    let sockets = machine.fabric.sockets();
    thread::spawn(move || {
        for number in [1, 2, 2, 3, 1] {
            let mut text = String::new();
            dial(&sockets, number, "10.0.1.10:8080").unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("host-{number:08x} answers {SOURCE} at 10.0.1.10"));
        }
    })
    .join()
    .unwrap();
}

#[test]
fn listeners_on_one_address_share_it_only_when_they_agree() {
    let mut machine = Machine::start();
    machine.apply(fabric(1, [vpc(1), vpc(2)]));
    let sockets = machine.fabric.sockets();
    let vip: SocketAddr = VIP.parse().unwrap();
    let _shared = [(); 2].map(|()| sockets.listen(&vpc_id(1), vip, true).unwrap());
    assert_eq!(sockets.listen(&vpc_id(1), vip, false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let _elsewhere = sockets.listen(&vpc_id(2), vip, false).unwrap();
}

#[test]
fn an_unknown_vpc_and_mixed_families_are_errors() {
    let mut machine = Machine::start();
    machine.apply(fabric(1, [vpc(1)]));
    let sockets = machine.fabric.sockets();
    let vip: SocketAddr = VIP.parse().unwrap();
    let source: IpAddr = SOURCE.parse().unwrap();
    assert_eq!(sockets.listen(&vpc_id(9), vip, true).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(sockets.bind_udp(&vpc_id(9), vip).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(sockets.dial(&vpc_id(9), source, vip).unwrap_err().kind(), io::ErrorKind::NotFound);
    let sixth: SocketAddr = "[::1]:80".parse().unwrap();
    assert_eq!(sockets.dial(&vpc_id(1), source, sixth).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    machine.apply(fabric(2, []));
    assert_eq!(sockets.listen(&vpc_id(1), vip, true).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn the_thread_that_asks_for_a_listener_stays_where_it_is() {
    let mut machine = Machine::start();
    machine.apply(fabric(1, [vpc(1)]));
    let place = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let before = place();
    machine.fabric.sockets().listen(&vpc_id(1), VIP.parse().unwrap(), true).unwrap();
    assert_eq!(place(), before);
}
