use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use trellis_model::VpcId;
use trellis_model::fabric::FabricPlan;
use trellis_model::snapshot::Snapshot;
use trellis_model::snapshot::names::{Names, Routing};

use super::super::{Answer, answer};
use super::*;

const A: u16 = 1;
const AAAA: u16 = 28;
const TXT: u16 = 16;

fn set(kind: u16, data: Data) -> RecordSet {
    RecordSet { kind, id: "".into(), ttl: 300, routing: Routing::Simple, data, check: None }
}

fn alias_to(name: &str) -> RecordSet {
    set(A, Data::Alias { name: name.into(), evaluates: false })
}

fn values<const N: usize>(kind: u16, values: [&[u8]; N]) -> RecordSet {
    set(kind, Data::Records(values.map(Into::into).into()))
}

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

fn zone(name: &str, sets: Vec<(&str, RecordSet)>) -> Arc<Zone> {
    let mut zone = Zone::new(name);
    let authority = [
        wire("ns.test"),
        wire("mail.test"),
        vec![0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 9],
    ];
    zone.put(name, values(SOA_TYPE, [&authority.concat()]));
    for (name, set) in sets {
        zone.put(name, set);
    }
    Arc::new(zone)
}

/// VPC 1 has `example.com` and, within it, `a.example.com`; VPC 2 has no zones.
fn snapshot() -> Snapshot {
    let alias = |target: &str| values(CNAME_TYPE, [&wire(target)]);
    let zones: Zones = [
        zone(
            "example.com",
            vec![
                ("www.example.com", values(A, [&[10, 0, 0, 1], &[10, 0, 0, 2]])),
                (r"\052.wild.example.com", values(TXT, [b"\x02hi"])),
                ("deep.wild.example.com", values(TXT, [b"\x02no"])),
                ("hidden.a.example.com", values(A, [&[10, 0, 0, 9]])),
                ("to-inner.example.com", alias("x.a.example.com")),
                ("out.example.com", alias("www.elsewhere.test")),
                ("loop.example.com", alias("pool.example.com")),
                ("pool.example.com", alias("LOOP.example.com")),
                ("self.example.com", alias_to("self.example.com")),
                ("same.example.com", alias_to("www.example.com")),
                ("lost.example.com", alias_to("elsewhere.test")),
            ],
        ),
        zone("a.example.com", vec![("x.a.example.com", values(A, [&[10, 0, 0, 3]]))]),
    ]
    .into_iter()
    .collect();
    let vpcs = [(VpcId::from_random(1), Arc::new(zones))].into_iter().collect();
    Snapshot { revision: 1, names: Arc::new(Names { vpcs, ..Names::default() }), ..Snapshot::default() }
}

fn ask_in(vpc: u64, name: &str, kind: u16) -> Answer {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::from(kind)));
    let (snapshot, plan) = (snapshot(), FabricPlan::default());
    answer(View::of(&VpcId::from_random(vpc), &snapshot, &plan), &message.to_vec().unwrap())
}

fn ask(name: &str, kind: u16) -> Message {
    let Answer::Reply(bytes) = ask_in(1, name, kind) else { panic!("no reply to {name}") };
    Message::from_vec(&bytes).unwrap()
}

fn addresses(reply: &Message) -> Vec<Ipv4Addr> {
    let mut addresses: Vec<_> = reply
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
        .collect();
    addresses.sort_unstable();
    addresses
}

#[test]
fn a_record_answers_in_the_vpcs_of_its_zone_alone_in_the_spelling_asked() {
    let reply = ask("WWW.Example.com.", A);
    assert_eq!((reply.response_code, reply.authoritative), (ResponseCode::NoError, true));
    assert_eq!(addresses(&reply), [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]);
    assert!(
        reply.answers.iter().all(|record| record.ttl == 300 && record.name.to_ascii() == "WWW.Example.com.")
    );
    assert_eq!(ask_in(2, "www.example.com.", A), Answer::Forward);
    assert_eq!(ask_in(1, "www.example.org.", A), Answer::Forward);
    assert_eq!(ask_in(1, "com.", A), Answer::Forward);
}

#[test]
fn what_is_not_there_has_the_soa_of_the_most_specific_zone() {
    for (name, kind, code, apex) in [
        ("www.example.com.", AAAA, ResponseCode::NoError, "example.com."),
        ("no.example.com.", A, ResponseCode::NXDomain, "example.com."),
        ("wild.example.com.", A, ResponseCode::NoError, "example.com."),
        ("x.wild.example.com.", A, ResponseCode::NoError, "example.com."),
        ("x.deep.wild.example.com.", TXT, ResponseCode::NXDomain, "example.com."),
        // The outer zone has it, and is not asked.
        ("hidden.a.example.com.", A, ResponseCode::NXDomain, "a.example.com."),
        ("lost.example.com.", A, ResponseCode::NoError, "example.com."),
        ("self.example.com.", A, ResponseCode::NoError, "example.com."),
        ("same.example.com.", AAAA, ResponseCode::NoError, "example.com."),
    ] {
        let reply = ask(name, kind);
        assert_eq!((reply.response_code, reply.answers.len()), (code, 0), "{name}");
        let [authority] = &reply.authorities[..] else { panic!("{name} {reply}") };
        // The lesser of the record's TTL and the MINIMUM field.
        assert_eq!((authority.name.to_ascii().as_str(), authority.ttl), (apex, 9), "{name}");
        assert!(matches!(authority.data, RData::SOA(_)));
    }
}

#[test]
fn a_wildcard_answers_with_the_name_that_was_asked() {
    let reply = ask("any.wild.example.com.", TXT);
    let [record] = &reply.answers[..] else { panic!("{reply}") };
    assert_eq!(
        (record.name.to_ascii().as_str(), record.record_type()),
        ("any.wild.example.com.", RecordType::TXT)
    );
    assert_eq!(ask(r"\*.wild.example.com.", TXT).answers.len(), 1);
}

#[test]
fn aliases_lead_through_the_zones_of_the_vpc_and_out_of_them() {
    let reply = ask("to-inner.example.com.", A);
    assert_eq!((reply.answers.len(), addresses(&reply)), (2, vec![Ipv4Addr::new(10, 0, 0, 3)]));
    assert!(!reply.authoritative);
    // Its own type is answered with the alias itself.
    let reply = ask("to-inner.example.com.", CNAME_TYPE);
    assert!(matches!(reply.answers[..], [Record { data: RData::CNAME(_), .. }]), "{reply}");
    let Answer::Follow(chain) = ask_in(1, "out.example.com.", A) else { panic!("not followed") };
    assert_eq!((chain.end().to_ascii().as_str(), chain.aliases().len()), ("www.elsewhere.test.", 1));
    assert_eq!(ask("loop.example.com.", A).response_code, ResponseCode::ServFail);
    let reply = ask("same.example.com.", A);
    assert_eq!((reply.answers.len(), reply.answers[0].name.to_ascii().as_str()), (2, "same.example.com."));
}

#[test]
fn names_are_the_same_to_zones_and_messages() {
    for kept in ["www.example.com", r"\052.example.com", r"a\056b\000\377.x_y-z"] {
        assert_eq!(text(&name(kept).unwrap()), kept);
    }
}
