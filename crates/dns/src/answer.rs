//! What a query deserves: our own answer, the machine's resolvers, or nothing.

mod hosted;
mod public;
mod zone;

use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use trellis_model::VpcId;
use trellis_model::fabric::{FabricPlan, VpcPlan};
use trellis_model::snapshot::names::Zones;
use trellis_model::snapshot::{Ingress, Snapshot};

use crate::alias::{Chain, Loop};
use crate::wire;
use hosted::{Hosted, Said};
pub use public::answer_public;
use zone::{Found, Zone};
pub use zone::{NEGATIVE_TTL, SERVICE_TTL};

#[cfg(test)]
mod tests;

/// What is done with one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Send these bytes. They may be longer than the client's UDP limit.
    Reply(Vec<u8>),
    /// A sound question about a name that is not ours: ask the machine's resolvers.
    Forward,
    /// Aliases of a hosted zone lead to a name that is not ours: ask the machine's resolvers for that.
    Follow(Chain),
    /// Too short to be answered, or not a query at all.
    Drop,
}

/// What the resolver of one VPC knows.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What its hosts can reach; `None` where nothing is associated with it.
    pub ingress: Option<&'a Ingress>,
    /// Its hosts.
    pub plan: Option<&'a VpcPlan>,
    /// The hosted zones associated with it; `None` where there are none.
    pub zones: Option<&'a Zones>,
}

impl<'a> View<'a> {
    pub fn of(vpc: &VpcId, snapshot: &'a Snapshot, plan: &'a FabricPlan) -> Self {
        Self {
            ingress: snapshot.ingresses.get(vpc).map(Arc::as_ref),
            plan: plan.vpcs.get(vpc).map(Arc::as_ref),
            zones: snapshot.names.vpcs.get(vpc).map(Arc::as_ref),
        }
    }

    /// Whether nobody else is asked for `name`.
    pub(crate) fn owns(self, name: &Name) -> bool {
        Authority::of(name, self).is_some()
    }
}

/// Whose word on a name is the last.
enum Authority<'a> {
    BuiltIn(Zone),
    Hosted(Hosted<'a>),
}

impl<'a> Authority<'a> {
    /// "The most specific match": of a hosted zone and the domain of the VPC's hosts, the one with more labels. Generated
    /// names, and the private names of resources, are no user's to give away.
    fn of(name: &Name, view: View<'a>) -> Option<Self> {
        if let Some(zone) = Zone::generated(name, view) {
            return Some(Self::BuiltIn(zone));
        }
        let hosted = view.zones.and_then(|zones| Hosted::of(name, zones));
        match (hosted, Zone::of_hosts(name, view)) {
            (Some(hosted), Some(zone)) if hosted.labels() < zone.labels() => Some(Self::BuiltIn(zone)),
            (Some(hosted), _) => Some(Self::Hosted(hosted)),
            (None, zone) => zone.map(Self::BuiltIn),
        }
    }
}

/// Answers `query`, which came from a host of the VPC whose view this is.
///
/// Names below `vpc-lattice-svcs.<region>.on.aws` and `vpc-lattice-rsc.<region>.on.aws` are ours
/// whatever the region: one that belongs to a service or a resource of the VPC's network has an A
/// record, and that of a service an AAAA record, whether the VPC has IPv6 or not; any other does not
/// exist. Never panics and never forwards such a name, however it is spelt. The private DNS name of a
/// resource is a zone of its own, of that name alone. The private DNS names of the VPC's hosts, and its
/// block backwards, have the hosts there are. Hosted zones of the VPC have what their owners put in; where an alias in
/// one leads to another name of ours, the answer goes on there.
pub fn answer(view: View<'_>, query: &[u8]) -> Answer {
    let message = match read(query) {
        Ok(message) => message,
        Err(answer) => return answer,
    };
    let [question] = message.queries.as_slice() else { return Answer::Drop };
    let mut chain = Chain::new(question.name.clone());
    match ours(view, &message, question, &mut chain) {
        Some(reply) => encode(&reply),
        None if chain.aliases().is_empty() => Answer::Forward,
        None => Answer::Follow(chain),
    }
}

/// A sound question about names, or what is done with anything else.
fn read(query: &[u8]) -> Result<Message, Answer> {
    let Some(header) = wire::Header::read(query) else { return Err(Answer::Drop) };
    if header.is_response() {
        return Err(Answer::Drop);
    }
    if header.opcode() != u8::from(OpCode::Query) {
        return Err(Answer::Reply(wire::bare_error(header, ResponseCode::NotImp.low())));
    }
    let malformed = || Answer::Reply(wire::bare_error(header, ResponseCode::FormErr.low()));
    // Checked before decoding, which would make room for as many questions as the header claims.
    // A compressed name in the one question could only point into the header.
    if header.questions() != 1 || wire::question_end(query).is_none() {
        return Err(malformed());
    }
    let message = Message::from_vec(query).map_err(|_| malformed())?;
    let [question] = message.queries.as_slice() else { return Err(Answer::Drop) };
    // RFC 6891, 6.1.3: a version not implemented is answered with BADVERS.
    if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Err(encode(&reply_to(&message, question, ResponseCode::BADVERS)));
    }
    if question.query_class != DNSClass::IN || is_refused_type(question.query_type) {
        return Err(encode(&reply_to(&message, question, ResponseCode::Refused)));
    }
    Ok(message)
}

/// What we say of `question` where `chain` leads from its name to a name of ours, and on from there. `None`: it ends
/// at one that is not ours.
///
/// RFC 6604, 3: the code is that of the last name, whatever was said of it elsewhere.
pub(crate) fn ours(view: View<'_>, query: &Message, question: &Query, chain: &mut Chain) -> Option<Message> {
    loop {
        let authority = Authority::of(chain.end(), view)?;
        let said = match &authority {
            Authority::BuiltIn(zone) => built_in(zone, view, chain.end(), question.query_type),
            Authority::Hosted(hosted) => hosted.say(view, chain.end(), question.query_type),
        };
        let (code, records, authority) = match said {
            Said::Alias(record, target) => match chain.push(record, target) {
                Ok(()) => continue,
                Err(Loop) => return Some(reply_to(query, question, ResponseCode::ServFail)),
            },
            Said::Records(records) => (ResponseCode::NoError, records, None),
            Said::NoData(authority) => (ResponseCode::NoError, Vec::new(), authority),
            Said::NoName(authority) => (ResponseCode::NXDomain, Vec::new(), authority),
        };
        let mut reply = reply_to(query, question, code);
        // Of a chain, only the end is our word.
        reply.metadata.authoritative = chain.aliases().is_empty();
        reply.add_answers(chain.aliases().iter().cloned());
        reply.add_answers(records);
        reply.add_authorities(authority);
        return Some(reply);
    }
}

/// What a zone that no user made says of `name`.
fn built_in(zone: &Zone, view: View<'_>, name: &Name, kind: RecordType) -> Said {
    let found = zone.look_up(view, kind);
    match (found.record(name), found) {
        (Some(record), _) => Said::Records(vec![record]),
        (None, Found::Authority) => Said::Records(vec![zone.authority()]),
        (None, Found::NoName) => Said::NoName(Some(zone.authority())),
        (None, _) => Said::NoData(Some(zone.authority())),
    }
}

/// Zone transfers, ANY and the other meta types: nothing a host of a VPC has to ask here.
fn is_refused_type(kind: RecordType) -> bool {
    // 249 TKEY, 250 TSIG, 251 IXFR, 252 AXFR, 253 MAILB, 254 MAILA, 255 ANY; 41 is OPT.
    matches!(u16::from(kind), 41 | 249..=255)
}

/// A reply that has nothing but the question and a code yet.
pub(crate) fn reply_to(query: &Message, question: &Query, code: ResponseCode) -> Message {
    let mut reply = Message::new(query.id, MessageType::Response, OpCode::Query);
    reply.metadata.response_code = code;
    reply.metadata.recursion_desired = query.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.metadata.checking_disabled = query.checking_disabled;
    // The question goes back byte for byte, so a client that mixed the case of its letters to make
    // forged answers harder (0x20) sees its own spelling.
    reply.add_query(question.clone());
    if let Some(asked) = &query.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(wire::MAX_UDP_REPLY as u16);
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        edns.set_rcode_high(code.high());
        reply.set_edns(edns);
    }
    reply
}

fn encode(reply: &Message) -> Answer {
    reply.to_vec().map_or(Answer::Drop, Answer::Reply)
}
