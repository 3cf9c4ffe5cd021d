//! Public hosted zones, to whoever asks: an authority that looks nothing up for anybody.

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::Record;
use trellis_model::snapshot::names::Zones;

use super::hosted::{Hosted, Said};
use super::{Answer, View, encode, read, reply_to};
use crate::alias::{Chain, Loop};

/// Answers `query` from `zones` alone.
///
/// A name in none of them is refused. Names below an NS record within a zone are referred to the servers it names. Where
/// an alias leads out of the zones the answer ends there: the client's resolver goes on. Never panics.
pub fn answer_public(zones: &Zones, query: &[u8]) -> Answer {
    let message = match read(query) {
        Ok(message) => message,
        Err(answer) => return answer,
    };
    let [question] = message.queries.as_slice() else { return Answer::Drop };
    let mut reply = said(zones, &message, question);
    // RFC 1035, 4.1.1: recursion is not available here.
    reply.metadata.recursion_available = false;
    encode(&reply)
}

fn said(zones: &Zones, query: &Message, question: &Query) -> Message {
    let view = View { ingress: None, plan: None, zones: Some(zones) };
    let mut chain = Chain::new(question.name.clone());
    let (code, records, authority): (_, Vec<Record>, Vec<Record>) = loop {
        let Some(hosted) = Hosted::of(chain.end(), zones) else {
            if chain.aliases().is_empty() {
                return reply_to(query, question, ResponseCode::Refused);
            }
            break (ResponseCode::NoError, Vec::new(), Vec::new());
        };
        if let Some((servers, addresses)) = hosted.delegation(question.query_type) {
            let mut reply = reply_to(query, question, ResponseCode::NoError);
            // RFC 1034, 4.3.2: what is below the cut is another's word.
            reply.metadata.authoritative = !chain.aliases().is_empty();
            reply.add_answers(chain.aliases().iter().cloned());
            reply.add_authorities(servers);
            reply.add_additionals(addresses);
            return reply;
        }
        break match hosted.say(view, chain.end(), question.query_type) {
            Said::Alias(record, target) => match chain.push(record, target) {
                Ok(()) => continue,
                Err(Loop) => return reply_to(query, question, ResponseCode::ServFail),
            },
            Said::Records(records) => (ResponseCode::NoError, records, Vec::new()),
            Said::NoData(authority) => (ResponseCode::NoError, Vec::new(), authority.into_iter().collect()),
            Said::NoName(authority) => (ResponseCode::NXDomain, Vec::new(), authority.into_iter().collect()),
        };
    };
    let mut reply = reply_to(query, question, code);
    reply.metadata.authoritative = true;
    reply.add_answers(chain.aliases().iter().cloned());
    reply.add_answers(records);
    reply.add_authorities(authority);
    reply
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hickory_proto::op::{MessageType, OpCode};
    use hickory_proto::rr::{Name, RecordType};
    use trellis_model::snapshot::names::{Data, RecordSet, Routing, Zone};

    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
        labels.chain([0]).collect()
    }

    fn set(kind: u16, value: &[u8]) -> RecordSet {
        let data = Data::Records([value.into()].into());
        RecordSet { kind, id: "".into(), ttl: 300, routing: Routing::Simple, data, check: None }
    }

    fn zones() -> Zones {
        let mut zone = Zone::new("example.com");
        let soa = [wire("ns.test"), wire("mail.test"), vec![0; 20]].concat();
        for (name, set) in [
            ("example.com", set(6, &soa)),
            ("example.com", set(2, &wire("ns.test"))),
            ("www.example.com", set(1, &[192, 0, 2, 1])),
            ("here.example.com", set(5, &wire("www.example.com"))),
            ("there.example.com", set(5, &wire("www.example.org"))),
            ("sub.example.com", set(2, &wire("ns.sub.example.com"))),
            ("ns.sub.example.com", set(1, &[192, 0, 2, 53])),
        ] {
            zone.put(name, set);
        }
        [Arc::new(zone)].into_iter().collect()
    }

    fn ask(name: &str, kind: RecordType) -> Message {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let Answer::Reply(bytes) = answer_public(&zones(), &query.to_vec().unwrap()) else {
            panic!("no reply to {name}")
        };
        let reply = Message::from_vec(&bytes).unwrap();
        assert!(!reply.metadata.recursion_available);
        reply
    }

    #[test]
    fn a_public_zone_is_answered_with_authority_and_nothing_is_looked_up() {
        for (name, kind, code, answers, authorities) in [
            ("www.example.com.", RecordType::A, ResponseCode::NoError, 1, 0),
            ("www.example.com.", RecordType::AAAA, ResponseCode::NoError, 0, 1),
            ("no.example.com.", RecordType::A, ResponseCode::NXDomain, 0, 1),
            ("here.example.com.", RecordType::A, ResponseCode::NoError, 2, 0),
            ("there.example.com.", RecordType::A, ResponseCode::NoError, 1, 0),
            ("example.com.", RecordType::NS, ResponseCode::NoError, 1, 0),
        ] {
            let reply = ask(name, kind);
            let seen = (reply.response_code, reply.answers.len(), reply.authorities.len());
            assert_eq!(seen, (code, answers, authorities), "{name} {kind}");
            assert!(reply.authoritative, "{name} {kind}");
        }
        for name in ["example.org.", "com.", ".", "a.vpc-lattice-svcs.us-east-1.on.aws."] {
            let reply = ask(name, RecordType::A);
            assert_eq!((reply.response_code, reply.authoritative), (ResponseCode::Refused, false), "{name}");
        }
    }

    #[test]
    fn what_is_below_a_cut_is_referred_to_its_servers() {
        for (name, kind) in [
            ("sub.example.com.", RecordType::NS),
            ("sub.example.com.", RecordType::A),
            ("a.b.sub.example.com.", RecordType::A),
            ("ns.sub.example.com.", RecordType::A),
        ] {
            let reply = ask(name, kind);
            assert!(!reply.authoritative && reply.answers.is_empty(), "{name} {kind}");
            assert_eq!(reply.authorities[0].name.to_ascii(), "sub.example.com.");
            assert_eq!(reply.additionals[0].name.to_ascii(), "ns.sub.example.com.");
        }
        // RFC 4035, 3.1.4.1: the parent answers for DS.
        let reply = ask("sub.example.com.", RecordType::DS);
        assert!(reply.authoritative && reply.authorities.len() == 1);
    }
}
