//! What a query deserves: our own answer, the machine's resolvers, or nothing.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use trellis_model::VpcId;
use trellis_model::snapshot::{Ingress, SERVICE_VIP, SERVICE_VIP_IPV6, Snapshot};

use crate::wire;

#[cfg(test)]
mod tests;

/// Seconds the address of a service or a resource may be cached.
pub const SERVICE_TTL: u32 = 60;

/// Seconds the absence of a service or a resource may be cached: short, because the next thing a user does after
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
/// Names below `vpc-lattice-svcs.<region>.on.aws` and `vpc-lattice-rsc.<region>.on.aws` are ours
/// whatever the region: one that belongs to a service or a resource of the VPC's network has an A
/// record, and that of a service an AAAA record, whether the VPC has IPv6 or not; any other does not exist. Never panics and never forwards such a name, however it is
/// spelt. The private DNS name of a resource is a zone of its own, of that name alone.
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
    let ingress = snapshot.ingresses.get(vpc).map(|ingress| &**ingress);
    match Zone::of(&question.name).or_else(|| Zone::private(&question.name, ingress?)) {
        Some(zone) => {
            let found = zone.look_up(ingress, question.query_type);
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
    Address(IpAddr),
    /// The zone's own name, asked for its SOA.
    Authority,
    /// The name exists without a record of that type.
    NoData,
    NoName,
}

/// A zone of ours that a name is in: `vpc-lattice-svcs.<region>.on.aws`, `vpc-lattice-rsc.<region>.on.aws`, or a
/// private DNS name.
struct Zone {
    kind: Kind,
    apex: Name,
    /// The whole name, lower case, dots between labels. `None` when a label has a byte no
    /// generated name has; a dot inside a label would otherwise read as two labels.
    name: Option<String>,
    /// Labels in front of the apex.
    depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Services,
    Resources,
    Private(Ipv4Addr),
}

const ZONE_LABELS: usize = 4;

impl Zone {
    fn of(name: &Name) -> Option<Self> {
        let labels: Vec<&[u8]> = name.iter().collect();
        let depth = labels.len().checked_sub(ZONE_LABELS)?;
        let [first, _region, third, fourth] = labels.get(depth..)? else { return None };
        if !third.eq_ignore_ascii_case(b"on") || !fourth.eq_ignore_ascii_case(b"aws") {
            return None;
        }
        let kind = match first {
            first if first.eq_ignore_ascii_case(b"vpc-lattice-svcs") => Kind::Services,
            first if first.eq_ignore_ascii_case(b"vpc-lattice-rsc") => Kind::Resources,
            _ => return None,
        };
        Some(Self { kind, apex: name.trim_to(ZONE_LABELS), name: host_text(&labels), depth })
    }

    /// The zone of a private name that the VPC has.
    fn private(name: &Name, ingress: &Ingress) -> Option<Self> {
        if ingress.resources.is_empty() {
            return None;
        }
        let labels: Vec<&[u8]> = name.iter().collect();
        let text = host_text(&labels)?;
        let address = ingress.resources.named(&text)?.address;
        Some(Self { kind: Kind::Private(address), apex: name.clone(), name: Some(text), depth: 0 })
    }

    fn look_up(&self, ingress: Option<&Ingress>, kind: RecordType) -> Found {
        let of_type = |wanted, found| if kind == wanted { found } else { Found::NoData };
        if kind == RecordType::SOA && self.depth == 0 {
            return Found::Authority;
        }
        if let Kind::Private(address) = self.kind {
            return of_type(RecordType::A, Found::Address(address.into()));
        }
        if self.depth == 0 {
            return Found::NoData;
        }
        let (Some(ingress), Some(name)) = (ingress, self.name.as_deref()) else { return Found::NoName };
        // RFC 8020: a name with names below it exists.
        let below = |known: &str| known.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        let exists = match self.kind {
            Kind::Resources => {
                if let Some(resource) = ingress.resources.named(name) {
                    return of_type(RecordType::A, Found::Address(resource.address.into()));
                }
                // Here that is the partition label, and the resource configuration's in front of it.
                self.depth <= 2
                    && ingress.resources.iter().flat_map(|resource| &resource.names).any(|known| below(known))
            }
            _ => {
                // A custom domain is in `hosts` too; only the generated name is the resolver's to answer.
                let hosts = &ingress.network.hosts;
                if hosts.get(name).is_some_and(|service| &*service.dns_name == name) {
                    // "A and AAAA are both returned for services."
                    return match kind {
                        RecordType::A => Found::Address(SERVICE_VIP.into()),
                        RecordType::AAAA => Found::Address(SERVICE_VIP_IPV6.into()),
                        _ => Found::NoData,
                    };
                }
                // Here that is the partition label alone.
                self.depth == 1 && hosts.values().any(|service| below(&service.dns_name))
            }
        };
        if exists { Found::NoData } else { Found::NoName }
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
            Found::Address(address) => {
                let data = match address {
                    IpAddr::V4(address) => RData::A(A(address)),
                    IpAddr::V6(address) => RData::AAAA(AAAA(address)),
                };
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
