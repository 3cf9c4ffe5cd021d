//! Names of ours, names of others, and what bounds both.

use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::sync::watch;
use trellis_dns::{Client, Resolved, Server, ServerOptions, Upstreams};
use trellis_model::VpcId;
use trellis_model::snapshot::{AddressFamily, SERVICE_VIP, SERVICE_VIP_IPV6, Snapshot};

use crate::world::*;

#[test]
fn a_service_name_is_answered_here_and_follows_the_snapshot() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let upstream = resolver(
        move |query| {
            counter.fetch_add(1, Ordering::SeqCst);
            vec![bytes(&reply_to(query, 9))]
        },
        |_| None,
    );
    let world = world(vec![upstream]);
    let (reply, _) = ask_udp(world.address, &query(CART, RecordType::A));
    assert_eq!(address_in(&reply), Some(SERVICE_VIP.octets()));

    let other = VpcId::from_random(2);
    let elsewhere = add(&world.server, &other);
    let (reply, _) = ask_udp(elsewhere, &query(CART, RecordType::A));
    assert_eq!(reply.response_code, ResponseCode::NXDomain, "not associated");

    world.snapshots.send(Arc::new(Snapshot::default())).unwrap();
    let (reply, _) = ask_udp(world.address, &query(CART, RecordType::A));
    assert_eq!(reply.response_code, ResponseCode::NXDomain, "no longer associated");
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody else was asked");
}

#[test]
fn other_names_go_to_the_resolver_and_come_back_with_the_clients_id_and_spelling() {
    let upstream = resolver(
        |query| {
            let mut reply = reply_to(query, 1);
            reply.queries[0].name = reply.queries[0].name.to_lowercase();
            vec![bytes(&reply)]
        },
        |_| None,
    );
    let world = world(vec![upstream]);
    let (reply, _) = ask_udp(world.address, &query("WWW.eXample.com.", RecordType::A));
    assert_eq!((reply.id, address_in(&reply)), (77, Some([192, 0, 2, 1])));
    assert_eq!(reply.queries[0].name.to_ascii(), "WWW.eXample.com.");
    let text = world.server.render_metrics();
    assert!(text.contains("trellis_dns_outcomes_total{outcome=\"forwarded\"} 1\n"), "{text}");
    assert!(text.contains("trellis_dns_queries_total{transport=\"udp\"} 1\n"), "{text}");
}

#[test]
fn forged_replies_are_passed_over_for_the_true_one() {
    let upstream = resolver(
        |query| {
            let mut wrong_id = reply_to(query, 66);
            wrong_id.metadata.id = query.id.wrapping_add(1);
            let mut wrong_question = reply_to(query, 66);
            wrong_question.queries[0].name = Name::from_ascii("evil.example.").unwrap();
            let mut a_query = reply_to(query, 66);
            a_query.metadata.message_type = MessageType::Query;
            vec![
                bytes(&wrong_id),
                bytes(&wrong_question),
                bytes(&a_query),
                vec![1, 2],
                bytes(&reply_to(query, 1)),
            ]
        },
        |_| None,
    );
    let world = world(vec![upstream]);
    let (reply, _) = ask_udp(world.address, &query("www.example.com.", RecordType::A));
    assert_eq!(address_in(&reply), Some([192, 0, 2, 1]));
}

#[test]
fn a_silent_a_dead_and_an_unwilling_resolver_are_followed_by_the_next() {
    let silent = resolver(|_| vec![], |_| None);
    let dead = free_address();
    let unwilling = resolver(
        |query| {
            let mut reply = reply_to(query, 66);
            reply.answers.clear();
            reply.metadata.response_code = ResponseCode::Refused;
            vec![bytes(&reply)]
        },
        |_| None,
    );
    let willing = resolver(|query| vec![bytes(&reply_to(query, 1))], |_| None);
    let options = |servers| ServerOptions {
        upstreams: Upstreams::Fixed(servers),
        upstream_timeout: Duration::from_millis(200),
        ..ServerOptions::default()
    };
    let asked = query("www.example.com.", RecordType::A);
    let patient = world_with(options(vec![silent, dead, unwilling, willing]));
    let (reply, _) = ask_udp(patient.address, &asked);
    assert_eq!(address_in(&reply), Some([192, 0, 2, 1]));

    let refused = world_with(options(vec![silent, unwilling]));
    assert_eq!(ask_udp(refused.address, &asked).0.response_code, ResponseCode::Refused);

    for servers in [vec![], vec![dead], vec![silent]] {
        let world = world_with(options(servers));
        let (reply, _) = ask_udp(world.address, &asked);
        assert_eq!(reply.response_code, ResponseCode::ServFail);
        assert_eq!(reply.queries[0].name.to_ascii(), "www.example.com.");
        let text = world.server.render_metrics();
        assert!(text.contains("trellis_dns_upstream_failures_total 1\n"), "{text}");
    }
}

#[test]
fn a_reply_too_long_for_the_client_is_cut_and_comes_whole_over_tcp() {
    // Sends 3 KB whatever the query allows, and 20 KB over TCP.
    let upstream = resolver(
        |query| {
            let mut reply = big(query, 12);
            reply.metadata.truncation = query.edns.is_some();
            vec![bytes(&reply)]
        },
        |query| Some(big(query, 80)),
    );
    let world = world(vec![upstream]);
    let mut asked = query("big.example.com.", RecordType::TXT);
    let (reply, length) = ask_udp(world.address, &asked);
    assert!(reply.truncation && reply.answers.is_empty() && length <= 512);

    asked.set_edns(Edns::new());
    let mut stream = connect(world.address);
    stream.write_all(&frame(&asked)).unwrap();
    let reply = read_frame(&mut stream).unwrap();
    assert!(!reply.truncation && bytes(&reply).len() > 20_000);
    assert_eq!(reply.id, 77);
}

#[test]
fn a_udp_reply_over_our_own_limit_tells_the_client_to_use_tcp() {
    let upstream = resolver(|query| vec![bytes(&big(query, 40))], |query| Some(big(query, 40)));
    let world = world(vec![upstream]);
    let mut asked = query("big.example.com.", RecordType::TXT);
    let mut edns = Edns::new();
    edns.set_max_payload(65535);
    asked.set_edns(edns);
    let (reply, _) = ask_udp(world.address, &asked);
    assert!(reply.truncation && reply.answers.is_empty() && reply.edns.is_some());
    let mut stream = connect(world.address);
    stream.write_all(&frame(&asked)).unwrap();
    assert!(bytes(&read_frame(&mut stream).unwrap()).len() > 10_000);
}

#[test]
fn queries_on_one_connection_are_answered_as_they_are_ready() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let upstream = resolver(
        move |query| {
            let _ = gate.recv_timeout(PATIENCE);
            vec![bytes(&reply_to(query, 1))]
        },
        |_| None,
    );
    let options = ServerOptions {
        upstreams: Upstreams::Fixed(vec![upstream]),
        upstream_timeout: PATIENCE,
        ..ServerOptions::default()
    };
    let world = world_with(options);
    let mut stream = connect(world.address);
    let mut slow = query("www.example.com.", RecordType::A);
    slow.metadata.id = 1;
    let mut quick = query(CART, RecordType::A);
    quick.metadata.id = 2;
    let both = [frame(&slow), frame(&quick)].concat();
    // In two pieces that part the second query in the middle.
    let (head, tail) = both.split_at(both.len() - 9);
    stream.write_all(head).unwrap();
    stream.flush().unwrap();
    stream.write_all(tail).unwrap();
    assert_eq!(read_frame(&mut stream).unwrap().id, 2);
    release.send(()).unwrap();
    let reply = read_frame(&mut stream).unwrap();
    assert_eq!((reply.id, address_in(&reply)), (1, Some([192, 0, 2, 1])));
}

#[test]
fn a_connection_without_a_whole_query_is_let_go_and_frees_its_place() {
    let options = ServerOptions {
        upstreams: Upstreams::Fixed(vec![]),
        tcp_idle_timeout: Duration::from_millis(100),
        max_connections_per_vpc: 1,
        ..ServerOptions::default()
    };
    let world = world_with(options);
    let mut idle = connect(world.address);
    idle.write_all(&[0, 40, 1, 2, 3]).unwrap();
    // The second connection waits in the kernel until the first is gone.
    let mut second = connect(world.address);
    second.write_all(&frame(&query(CART, RecordType::A))).unwrap();
    assert_eq!(address_in(&read_frame(&mut second).unwrap()), Some(SERVICE_VIP.octets()));
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn more_queries_than_may_wait_fail_at_once() {
    let silent = resolver(|_| vec![], |_| None);
    let options = ServerOptions {
        upstreams: Upstreams::Fixed(vec![silent]),
        upstream_timeout: PATIENCE,
        max_in_flight_per_vpc: 2,
        ..ServerOptions::default()
    };
    let world = world_with(options);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(world.address).unwrap();
    // Two of these are kept waiting by the silent resolver; the others are turned away.
    for _ in 0..20 {
        socket.send(&bytes(&query("www.example.com.", RecordType::A))).unwrap();
    }
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).unwrap();
    let reply = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(reply.response_code, ResponseCode::ServFail);
    // Names of ours are still answered.
    let (reply, _) = ask_udp(world.address, &query(CART, RecordType::A));
    assert_eq!(address_in(&reply), Some(SERVICE_VIP.octets()));
}

#[test]
fn a_resolver_that_is_ourselves_ends_in_servfail_and_not_in_a_loop() {
    let address = free_address();
    let (_snapshots, receiver) = watch::channel(Arc::new(snapshot()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = {
        let _context = runtime.enter();
        let upstreams = Upstreams::Fixed(vec![address]);
        Server::start(ServerOptions { upstreams, ..ServerOptions::default() }, receiver, plans(), Loopback)
    };
    server.add_vpc(&VpcId::from_random(1), &[address]).unwrap();
    let (reply, _) = ask_udp(address, &query("www.example.com.", RecordType::A));
    assert_eq!(reply.response_code, ResponseCode::ServFail);
    let text = server.render_metrics();
    // The question, and the one whether its name is an alias.
    assert!(text.contains("trellis_dns_outcomes_total{outcome=\"loop\"} 2\n"), "{text}");
}

#[test]
fn removing_a_vpc_closes_its_sockets_and_adding_it_again_serves_it() {
    let world = world(vec![]);
    let vpc = VpcId::from_random(1);
    assert!(world.server.add_vpc(&vpc, &[world.address]).is_ok(), "already served");
    assert!(world.server.is_resolver(&vpc, world.address.ip()));
    assert!(!world.server.is_resolver(&VpcId::from_random(2), world.address.ip()));
    let mut stream = connect(world.address);
    stream.write_all(&frame(&query(CART, RecordType::A))).unwrap();
    read_frame(&mut stream).unwrap();

    world.runtime.block_on(world.server.remove_vpc(&vpc));
    assert!(world.server.vpcs().is_empty());
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "open connections end");
    drop(UdpSocket::bind(world.address).expect("the UDP socket is closed"));

    // Only a TIME_WAIT connection may still be there, which std's listeners ignore.
    world.server.add_vpc(&vpc, &[world.address]).unwrap();
    let (reply, _) = ask_udp(world.address, &query(CART, RecordType::A));
    assert_eq!(address_in(&reply), Some(SERVICE_VIP.octets()));

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let error = world.server.add_vpc(&VpcId::from_random(3), &[taken.local_addr().unwrap()]).unwrap_err();
    assert!(error.to_string().contains("UDP resolver socket"), "{error}");
    assert_eq!(world.server.vpcs(), [vpc]);
}

#[test]
fn the_data_plane_is_told_what_hosts_of_a_vpc_would_be() {
    let upstream = resolver(
        |query| {
            let name = query.queries[0].name.to_ascii();
            let mut reply = reply_to(query, 7);
            let (alias, target) =
                (query.queries[0].name.clone(), Name::from_ascii("target.example.com.").unwrap());
            match name.as_str() {
                "alias.example.com." => {
                    let address = |last| RData::A(A([192, 0, 2, last].into()));
                    reply.answers = vec![
                        Record::from_rdata(alias, 9, RData::CNAME(CNAME(target.clone()))),
                        Record::from_rdata(target.clone(), 40, address(1)),
                        Record::from_rdata(target, 40, address(2)),
                    ];
                }
                "none.example.com." => {
                    reply.answers.clear();
                    reply.metadata.response_code = ResponseCode::NXDomain;
                }
                _ => reply.metadata.response_code = ResponseCode::ServFail,
            }
            vec![bytes(&reply)]
        },
        |_| None,
    );
    let world = world(vec![upstream]);
    let resolve_of = |vpc: u64, name: &str, family| {
        world.runtime.block_on(world.server.resolve(&VpcId::from_random(vpc), name, family))
    };
    let resolve = |vpc: u64, name: &str| resolve_of(vpc, name, AddressFamily::Ipv4);
    let found = |addresses: &[[u8; 4]], seconds| Resolved {
        addresses: addresses.iter().map(|octets| (*octets).into()).collect(),
        ttl: Duration::from_secs(seconds),
    };
    assert_eq!(resolve(1, "alias.example.com").unwrap(), found(&[[192, 0, 2, 1], [192, 0, 2, 2]], 9));
    assert_eq!(resolve(1, "none.example.com").unwrap(), found(&[], 0));
    assert_eq!(resolve(1, CART).unwrap(), found(&[SERVICE_VIP.octets()], 60));
    let of_ipv6 = resolve_of(1, CART, AddressFamily::Ipv6).unwrap();
    assert_eq!(of_ipv6.addresses, [std::net::IpAddr::from(SERVICE_VIP_IPV6)]);
    assert!(resolve(1, "broken.example.com").is_err());
    assert_eq!(resolve(1, "a..b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(resolve(9, "alias.example.com").unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn txt_records_are_put_together_also_those_that_only_tcp_can_carry() {
    let upstream = resolver(
        |query| {
            let mut reply = reply_to(query, 1);
            reply.answers.clear();
            match query.queries[0].name.to_ascii().as_str() {
                "none.example.com." => reply.metadata.response_code = ResponseCode::NXDomain,
                "broken.example.com." => reply.metadata.response_code = ResponseCode::ServFail,
                _ => reply.metadata.truncation = true,
            }
            let mut forged = reply.clone();
            forged.metadata.id = reply.id.wrapping_add(1);
            let text = TXT::new(vec!["forged".into()]);
            forged.add_answer(Record::from_rdata(query.queries[0].name.clone(), 30, RData::TXT(text)));
            vec![bytes(&forged), bytes(&reply)]
        },
        |query| {
            let mut reply = reply_to(query, 1);
            let record = |strings: &[&str]| {
                let text = TXT::new(strings.iter().map(ToString::to_string).collect());
                Record::from_rdata(query.queries[0].name.clone(), 30, RData::TXT(text))
            };
            reply.answers = vec![record(&["v=spf1"]), record(&["vpc-lattice", ":token"])];
            Some(reply)
        },
    );
    let world = world(Vec::new());
    let client = Client::new(Upstreams::Fixed(vec![upstream]), Duration::from_secs(5));
    let txt = |name: &str| world.runtime.block_on(client.txt(name));
    assert_eq!(txt("_token.example.com").unwrap(), ["v=spf1", "vpc-lattice:token"]);
    assert!(txt("none.example.com").unwrap().is_empty());
    assert!(txt("broken.example.com").is_err());
    let nobody = Client::new(Upstreams::Fixed(Vec::new()), Duration::from_secs(5));
    assert!(world.runtime.block_on(nobody.txt("example.com")).is_err());
}
