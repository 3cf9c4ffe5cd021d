//! Questions of our own: where the name of a resource leads, and which TXT records a domain has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::metrics::Metrics;
use crate::upstream::{Transport, Upstream, Upstreams};

/// Addresses and strings taken from one reply, at most.
const MAX_RECORDS: usize = 64;

/// Questions of one client that may wait for resolvers at a time.
const MAX_IN_FLIGHT: usize = 32;

/// Who asks, where nobody in a VPC does: it is compared with the source of our own queries, and is none of them.
pub(crate) const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// In the order of the reply; none: the name has no address of the family asked for, or does not exist.
    pub addresses: Vec<IpAddr>,
    /// How long that holds: the shortest of the records' times.
    pub ttl: Duration,
}

/// Asks the machine's resolvers for itself, as the servers inside VPCs do for hosts: from a fresh port, with a random
/// id, over UDP and, where a reply is cut, TCP. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    upstream: Arc<Upstream>,
}

impl Client {
    /// `timeout` is what one resolver may take before the next is asked.
    pub fn new(upstreams: Upstreams, timeout: Duration) -> Self {
        let upstream = Upstream::new(upstreams, timeout, MAX_IN_FLIGHT, Arc::new(Metrics::default()));
        Self { upstream: Arc::new(upstream) }
    }

    /// The TXT records of `name`, each record's strings put together; bytes that are not UTF-8 are replaced. Empty when
    /// there are none or no such name.
    ///
    /// # Errors
    /// `InvalidInput` for what is no name; else nobody answered, or with a failure.
    pub async fn txt(&self, name: &str) -> io::Result<Vec<String>> {
        let query = question(name, RecordType::TXT)?;
        let reply = self.upstream.ask_all(&query, NOBODY, Transport::Tcp).await;
        let reply = read(reply)?;
        let text = |data: &RData| match data {
            RData::TXT(txt) => {
                let bytes: Vec<u8> = txt.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => None,
        };
        Ok(reply.answers.iter().filter_map(|record| text(&record.data)).take(MAX_RECORDS).collect())
    }
}

/// A query for the records of `kind` that `name` has.
pub(crate) fn question(name: &str, kind: RecordType) -> io::Result<Vec<u8>> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let mut name = Name::from_ascii(name).map_err(invalid)?;
    name.set_fqdn(true);
    query(Query::query(name, kind))
}

/// A query with that question.
pub(crate) fn query(question: Query) -> io::Result<Vec<u8>> {
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(question);
    message.to_vec().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// A reply that says something: records, or that there are none.
pub(crate) fn read(reply: Option<Vec<u8>>) -> io::Result<Message> {
    let reply = reply.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "no resolver answers"))?;
    let malformed = |_| io::Error::new(io::ErrorKind::InvalidData, "the reply cannot be read");
    let message = Message::from_vec(&reply).map_err(malformed)?;
    match message.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(message),
        code => Err(io::Error::other(format!("the resolvers answer {code}"))),
    }
}

/// The addresses in a reply. What a resolver answers for an alias has the alias's target with it.
pub(crate) fn addresses(reply: &Message) -> Resolved {
    let mut ttl = u32::MAX;
    let mut addresses = Vec::new();
    for record in &reply.answers {
        match &record.data {
            RData::A(address) if addresses.len() < MAX_RECORDS => addresses.push(address.0.into()),
            RData::AAAA(address) if addresses.len() < MAX_RECORDS => addresses.push(address.0.into()),
            RData::CNAME(_) => {}
            _ => continue,
        }
        ttl = ttl.min(record.ttl);
    }
    let ttl = if addresses.is_empty() { 0 } else { ttl };
    Resolved { addresses, ttl: Duration::from_secs(ttl.into()) }
}
