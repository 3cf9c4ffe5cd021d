//! A user's own names that are aliases of ours.

use std::io::Write;

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use trellis_model::VpcId;
use trellis_model::snapshot::{AddressFamily, SERVICE_VIP, SERVICE_VIP_IPV6};

use crate::world::*;

const APP: &str = "app.corp.test.";

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn alias(from: &str, to: &str) -> Record {
    Record::from_rdata(name(from), 300, RData::CNAME(CNAME(name(to))))
}

/// A resolver that says the same of every name: that code and those aliases, and for what they lead to an
/// address that is a lie.
fn saying(code: ResponseCode, aliases: Vec<Record>) -> World {
    let said = move |query: &Message| {
        let mut reply = reply_to(query, 66);
        let lies = std::mem::take(&mut reply.answers);
        reply.metadata.response_code = code;
        reply.answers = aliases.clone();
        if code == ResponseCode::NoError {
            reply.answers.extend(lies);
        }
        reply
    };
    let over_tcp = said.clone();
    world(vec![resolver(move |query| vec![bytes(&said(query))], move |query| Some(over_tcp(query)))])
}

fn shown(reply: &Message) -> Vec<String> {
    let text = |record: &Record| match &record.data {
        RData::CNAME(target) => format!("{} -> {}", record.name, target.0),
        RData::A(address) => format!("{} {}", record.name, address.0),
        RData::AAAA(address) => format!("{} {}", record.name, address.0),
        other => format!("{} {other:?}", record.name),
    };
    reply.answers.iter().map(text).collect()
}

#[test]
fn an_alias_of_a_generated_name_gets_our_addresses_whatever_the_resolver_says_of_it() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError, ResponseCode::ServFail] {
        let world = saying(code, vec![alias(APP, CART)]);
        for (kind, address) in
            [(RecordType::A, SERVICE_VIP.to_string()), (RecordType::AAAA, SERVICE_VIP_IPV6.to_string())]
        {
            let (reply, _) = ask_udp(world.address, &query(APP, kind));
            assert_eq!((reply.id, reply.response_code), (77, ResponseCode::NoError), "{code}");
            assert!(reply.recursion_available && !reply.authoritative && reply.authorities.is_empty());
            assert_eq!(shown(&reply), [format!("{APP} -> {CART}"), format!("{CART} {address}")], "{code}");
        }
        let (reply, _) = ask_udp(world.address, &query(APP, RecordType::HTTPS));
        assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::NoError, 1));
        assert_eq!(reply.authorities.len(), 1, "there is no such record, and how long that holds is said");
        let text = world.server.render_metrics();
        assert!(text.contains("trellis_dns_aliased_total 3\n"), "{text}");
    }
}

#[test]
fn a_chain_of_aliases_in_mixed_case_is_kept_as_it_was_spelt_over_udp_tcp_and_with_edns() {
    let spelt = CART.to_uppercase();
    let aliases = vec![
        alias("B.corp.test.", "c.Other.test."),
        alias(APP, "b.Corp.test."),
        alias("C.other.test.", &spelt),
    ];
    let world = saying(ResponseCode::NXDomain, aliases);
    let mut asked = query("aPP.corp.TEST.", RecordType::A);
    let expected = [
        format!("{APP} -> b.Corp.test."),
        "B.corp.test. -> c.Other.test.".to_owned(),
        format!("C.other.test. -> {spelt}"),
        format!("{spelt} {SERVICE_VIP}"),
    ];
    let check = |reply: &Message| {
        assert_eq!((reply.response_code, shown(reply)), (ResponseCode::NoError, expected.to_vec()));
        assert_eq!(reply.queries[0].name.to_ascii(), "aPP.corp.TEST.");
    };
    check(&ask_udp(world.address, &asked).0);
    asked.set_edns(Edns::new());
    let (reply, _) = ask_udp(world.address, &asked);
    check(&reply);
    assert_eq!(reply.edns.as_ref().map(|edns| edns.max_payload()), Some(4096));
    let mut stream = connect(world.address);
    stream.write_all(&frame(&asked)).unwrap();
    check(&read_frame(&mut stream).unwrap());
}

#[test]
fn the_data_plane_is_led_through_aliases_as_hosts_are() {
    let world = saying(ResponseCode::NXDomain, vec![alias(APP, CART)]);
    let vpc = VpcId::from_random(1);
    let found = world.runtime.block_on(world.server.resolve(&vpc, APP, AddressFamily::Ipv4)).unwrap();
    assert_eq!(found.addresses, [std::net::IpAddr::from(SERVICE_VIP)]);
}

#[test]
fn an_alias_of_a_generated_name_that_is_not_there_does_not_exist_whatever_the_resolver_says() {
    let gone = CART.replace("cart", "gone");
    let lie = Record::from_rdata(name(&gone), 300, RData::A(A([192, 0, 2, 66].into())));
    let world = saying(ResponseCode::NoError, vec![alias(APP, &gone), lie]);
    let (reply, _) = ask_udp(world.address, &query(APP, RecordType::A));
    assert_eq!(reply.response_code, ResponseCode::NXDomain);
    assert_eq!(shown(&reply), [format!("{APP} -> {gone}")]);
    assert_eq!(reply.authorities.len(), 1);
}

#[test]
fn loops_of_aliases_end_in_servfail() {
    for aliases in [
        vec![alias(APP, APP)],
        vec![alias(APP, "b.corp.test."), alias("b.corp.test.", APP)],
        vec![alias(APP, "b.corp.test."), alias("b.corp.test.", "b.corp.test.")],
    ] {
        let world = saying(ResponseCode::NoError, aliases);
        let (reply, _) = ask_udp(world.address, &query(APP, RecordType::A));
        assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::ServFail, 0));
    }
}

/// A resolver that serves two zones and follows nothing: each name has its own alias, or what `last` says.
fn not_following(aliases: &'static [(&'static str, &'static str)], code: ResponseCode) -> World {
    let said = move |query: &Message| {
        let mut reply = reply_to(query, 1);
        let question = &query.queries[0];
        let known = aliases.iter().find(|(from, _)| name(from) == question.name);
        match known {
            Some((from, to)) if code == ResponseCode::NoError || question.query_type == RecordType::CNAME => {
                reply.answers = vec![alias(from, to)];
            }
            Some(_) => {
                reply.answers.clear();
                reply.metadata.response_code = code;
            }
            None if question.query_type == RecordType::CNAME => reply.answers.clear(),
            None => {}
        }
        reply
    };
    world(vec![resolver(move |query| vec![bytes(&said(query))], |_| None)])
}

#[test]
fn a_resolver_that_does_not_follow_or_fails_in_it_is_asked_for_what_comes_next() {
    for code in [ResponseCode::NoError, ResponseCode::ServFail] {
        let world = not_following(&[(APP, "b.other.test."), ("b.other.test.", CART)], code);
        let (reply, _) = ask_udp(world.address, &query(APP, RecordType::A));
        assert_eq!(reply.response_code, ResponseCode::NoError, "{code}");
        let expected = [
            format!("{APP} -> b.other.test."),
            format!("b.other.test. -> {CART}"),
            format!("{CART} {SERVICE_VIP}"),
        ];
        assert_eq!(shown(&reply), expected, "{code}");
        // Those that lead elsewhere come whole as well.
        let world = not_following(&[(APP, "b.other.test.")], code);
        let (reply, _) = ask_udp(world.address, &query(APP, RecordType::A));
        let expected = [format!("{APP} -> b.other.test."), "b.other.test. 192.0.2.1".to_owned()];
        assert_eq!(
            (reply.response_code, shown(&reply)),
            (ResponseCode::NoError, expected.to_vec()),
            "{code}"
        );

        let world = not_following(&[(APP, "b.other.test."), ("b.other.test.", APP)], code);
        let (reply, _) = ask_udp(world.address, &query(APP, RecordType::A));
        assert_eq!(reply.response_code, ResponseCode::ServFail, "{code}");
    }
}

#[test]
fn an_alias_of_anybody_elses_name_comes_as_the_resolver_says_it() {
    let soa = SOA::new(name("corp.test."), name("admin.corp.test."), 1, 2, 3, 4, 5);
    let authority = Record::from_rdata(name("corp.test."), 5, RData::SOA(soa));
    let world = world(vec![resolver(
        move |query| {
            let mut reply = reply_to(query, 1);
            reply.answers = vec![alias(APP, "www.example.com.")];
            reply.add_authority(authority.clone());
            vec![bytes(&reply)]
        },
        |_| None,
    )]);
    let (reply, _) = ask_udp(world.address, &query(APP, RecordType::A));
    assert_eq!(shown(&reply), [format!("{APP} -> www.example.com.")]);
    assert_eq!((reply.response_code, reply.authorities.len()), (ResponseCode::NoError, 1));
    // An alias asked for itself is not followed.
    let world = saying(ResponseCode::NoError, vec![alias(APP, CART)]);
    let (reply, _) = ask_udp(world.address, &query(APP, RecordType::CNAME));
    assert_eq!(shown(&reply)[0], format!("{APP} -> {CART}"));
}
