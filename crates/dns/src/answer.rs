//! What a query deserves: our own answer, the machine's resolvers, or nothing.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use trellis_model::VpcId;
use trellis_model::snapshot::{Network, SERVICE_VIP, Snapshot};

use crate::wire;

#[cfg(test)]
mod tests;

/// Seconds a service's address may be cached.
pub const SERVICE_TTL: u32 = 60;

/// Seconds the absence of a service may be cached: short, because the next thing a user does after
/// a look-up that failed is to make the association that was missing.
pub const NEGATIVE_TTL: u32 = 5;

/// What is done with one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Send these bytes. They may be longer than the client's UDP limit.
    Reply(Vec<u8>),
    /// A sound question about a name that is not ours: ask the machine's resolvers.
    Forward,
    /// Too short to be answered, or not a query at all.
    Drop,
}

/// Answers `query`, which came from a host of `vpc`, from what `snapshot` says that VPC can reach.
///
/// Names below `vpc-lattice-svcs.<region>.on.aws` are ours whatever the region: one that belongs to
/// a service of the VPC's network has an A record, any other does not exist. Never panics and
/// never forwards such a name, however it is spelt.
pub fn answer(snapshot: &Snapshot, vpc: &VpcId, query: &[u8]) -> Answer {
    let Some(header) = wire::Header::read(query) else { return Answer::Drop };
    if header.is_response() {
        return Answer::Drop;
    }
    if header.opcode() != u8::from(OpCode::Query) {
        return Answer::Reply(wire::bare_error(header, ResponseCode::NotImp.low()));
    }
    // Checked before decoding, which would make room for as many questions as the header claims.
    // A compressed name in the one question could only point into the header.
    if header.questions() != 1 || wire::question_end(query).is_none() {
        return Answer::Reply(wire::bare_error(header, ResponseCode::FormErr.low()));
    }
    let Ok(message) = Message::from_vec(query) else {
        return Answer::Reply(wire::bare_error(header, ResponseCode::FormErr.low()));
    };
    let [question] = message.queries.as_slice() else { return Answer::Drop };

    // RFC 6891, 6.1.3: a version not implemented is answered with BADVERS.
    if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return reply(&message, question, ResponseCode::BADVERS, None);
    }
    if question.query_class != DNSClass::IN || is_refused_type(question.query_type) {
        return reply(&message, question, ResponseCode::Refused, None);
    }
    match Zone::of(&question.name) {
        Some(zone) => {
            let network = snapshot.ingresses.get(vpc).map(|ingress| &*ingress.network);
            let found = zone.look_up(network, question.query_type);
            let code = if found == Found::NoName { ResponseCode::NXDomain } else { ResponseCode::NoError };
            reply(&message, question, code, Some((zone, found)))
        }
        None => Answer::Forward,
    }
}

/// Zone transfers, ANY and the other meta types: nothing a host of a VPC has to ask here.
fn is_refused_type(kind: RecordType) -> bool {
    // 249 TKEY, 250 TSIG, 251 IXFR, 252 AXFR, 253 MAILB, 254 MAILA, 255 ANY; 41 is OPT.
    matches!(u16::from(kind), 41 | 249..=255)
}

/// What there is under a name of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Address,
    /// The zone's own name, asked for its SOA.
    Authority,
    /// The name exists without a record of that type.
    NoData,
    NoName,
}

/// The zone `vpc-lattice-svcs.<region>.on.aws` a name is in.
struct Zone {
    apex: Name,
    /// The whole name, lower case, dots between labels. `None` when a label has a byte no
    /// generated name has; a dot inside a label would otherwise read as two labels.
    name: Option<String>,
    /// Labels in front of the apex.
    depth: usize,
}

const ZONE_LABELS: usize = 4;

impl Zone {
    fn of(name: &Name) -> Option<Self> {
        let labels: Vec<&[u8]> = name.iter().collect();
        let depth = labels.len().checked_sub(ZONE_LABELS)?;
        let [first, _region, third, fourth] = labels.get(depth..)? else { return None };
        let same = first.eq_ignore_ascii_case(b"vpc-lattice-svcs")
            && third.eq_ignore_ascii_case(b"on")
            && fourth.eq_ignore_ascii_case(b"aws");
        same.then(|| Self { apex: name.trim_to(ZONE_LABELS), name: host_text(&labels), depth })
    }

    fn look_up(&self, network: Option<&Network>, kind: RecordType) -> Found {
        let of_type = |wanted, found| if kind == wanted { found } else { Found::NoData };
        if self.depth == 0 {
            return of_type(RecordType::SOA, Found::Authority);
        }
        let (Some(network), Some(name)) = (network, self.name.as_deref()) else { return Found::NoName };
        // A custom domain is in `hosts` too; only the generated name is the resolver's to answer.
        if network.hosts.get(name).is_some_and(|service| &*service.dns_name == name) {
            return of_type(RecordType::A, Found::Address);
        }
        // RFC 8020: a name with names below it exists. Here that is the partition label alone.
        let below = |service: &str| service.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        if self.depth == 1 && network.hosts.values().any(|service| below(&service.dns_name)) {
            return Found::NoData;
        }
        Found::NoName
    }

    fn authority(&self) -> Record {
        let mailbox = self.apex.prepend_label("hostmaster").unwrap_or_else(|_| self.apex.clone());
        let data = SOA::new(self.apex.clone(), mailbox, 1, 7200, 900, 1_209_600, NEGATIVE_TTL);
        Record::from_rdata(self.apex.clone(), NEGATIVE_TTL, RData::SOA(data))
    }
}

fn host_text(labels: &[&[u8]]) -> Option<String> {
    let mut text = String::with_capacity(255);
    for label in labels {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in *label {
            let lower = byte.to_ascii_lowercase();
            if !(lower.is_ascii_alphanumeric() || matches!(lower, b'-' | b'_')) {
                return None;
            }
            text.push(char::from(lower));
        }
    }
    Some(text)
}

fn reply(query: &Message, question: &Query, code: ResponseCode, found: Option<(Zone, Found)>) -> Answer {
    let mut reply = Message::new(query.id, MessageType::Response, OpCode::Query);
    reply.metadata.response_code = code;
    reply.metadata.recursion_desired = query.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.metadata.checking_disabled = query.checking_disabled;
    // The question goes back byte for byte, so a client that mixed the case of its letters to make
    // forged answers harder (0x20) sees its own spelling.
    reply.add_query(question.clone());
    if let Some((zone, found)) = found {
        reply.metadata.authoritative = true;
        match found {
            Found::Address => {
                let data = RData::A(A(SERVICE_VIP));
                reply.add_answer(Record::from_rdata(question.name.clone(), SERVICE_TTL, data));
            }
            Found::Authority => {
                reply.add_answer(zone.authority());
            }
            Found::NoData | Found::NoName => {
                reply.add_authority(zone.authority());
            }
        }
    }
    if let Some(asked) = &query.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(wire::MAX_UDP_REPLY as u16);
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        edns.set_rcode_high(code.high());
        reply.set_edns(edns);
    }
    match reply.to_vec() {
        Ok(bytes) => Answer::Reply(bytes),
        Err(_) => Answer::Drop,
    }
}
