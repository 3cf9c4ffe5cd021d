//! The few bytes of a DNS message that are read or rewritten without decoding it: the header, the
//! one question, and where a reply must be cut to fit.

/// The longest reply sent over UDP, whatever a client says it can take. Also the payload size we
/// announce. A longer one is cut and the client comes back over TCP.
pub const MAX_UDP_REPLY: usize = 4096;

/// What a client without EDNS can take.
const PLAIN_UDP_REPLY: usize = 512;

const HEADER: usize = 12;

/// The twelve bytes every message begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header([u8; HEADER]);

impl Header {
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        message.first_chunk().copied().map(Self)
    }

    fn word(self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    pub(crate) fn id(self) -> u16 {
        self.word(0)
    }

    pub(crate) fn is_response(self) -> bool {
        self.0[2] & 0x80 != 0
    }

    pub(crate) fn opcode(self) -> u8 {
        (self.0[2] >> 3) & 0x0f
    }

    pub(crate) fn is_truncated(self) -> bool {
        self.0[2] & 0x02 != 0
    }

    pub(crate) fn rcode(self) -> u8 {
        self.0[3] & 0x0f
    }

    pub(crate) fn questions(self) -> u16 {
        self.word(4)
    }
}

/// A reply of a header alone, for what could not be read further.
pub(crate) fn bare_error(header: Header, rcode: u8) -> Vec<u8> {
    let mut reply = vec![0; HEADER];
    reply[..2].copy_from_slice(&header.0[..2]);
    // QR, the opcode and RD as they came; RA and the code.
    reply[2] = 0x80 | (header.0[2] & 0x79);
    reply[3] = 0x80 | (rcode & 0x0f);
    reply
}

/// A reply of header and question, for a question nobody could answer.
pub fn error_reply(query: &[u8], rcode: u8) -> Option<Vec<u8>> {
    let mut reply = bare_error(Header::read(query)?, rcode);
    reply[5] = 1;
    reply.extend_from_slice(query.get(HEADER..question_end(query)?)?);
    append_opt(&mut reply, query);
    Some(reply)
}

/// Where the first question ends. `None` when it runs past the message, has a compressed or an
/// over-long name, or there is none.
pub fn question_end(message: &[u8]) -> Option<usize> {
    if Header::read(message)?.questions() == 0 {
        return None;
    }
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        if length > 63 {
            return None;
        }
        at += 1 + length;
        if length == 0 {
            break;
        }
    }
    let end = at + 4;
    (at - HEADER <= 255 && end <= message.len()).then_some(end)
}

/// Whether `reply` answers `query`, sent with `id`: the same id and the same question, the case of
/// letters in the name aside.
pub fn is_reply_to(reply: &[u8], query: &[u8], id: u16) -> bool {
    let Some(header) = Header::read(reply) else { return false };
    if !header.is_response() || header.id() != id || header.opcode() != 0 || header.questions() != 1 {
        return false;
    }
    let (Some(theirs), Some(ours)) = (question_end(reply), question_end(query)) else { return false };
    theirs == ours
        && reply[HEADER..theirs - 4].eq_ignore_ascii_case(&query[HEADER..ours - 4])
        && reply[theirs - 4..theirs] == query[ours - 4..ours]
}

/// Gives `reply` the id and the spelling of `query`. Both have passed [`is_reply_to`].
pub fn adopt(reply: &mut [u8], query: &[u8]) {
    if let Some(end) = question_end(query)
        && let (Some(to), Some(from)) = (reply.get_mut(HEADER..end), query.get(HEADER..end))
    {
        to.copy_from_slice(from);
    }
    set_id(reply, Header::read(query).map_or(0, Header::id));
}

pub fn set_id(message: &mut [u8], id: u16) {
    if let Some(place) = message.first_chunk_mut() {
        *place = id.to_be_bytes();
    }
}

/// The longest UDP reply the sender of `query` takes.
pub fn udp_limit(query: &[u8]) -> usize {
    announced_payload(query)
        .map_or(PLAIN_UDP_REPLY, |size| usize::from(size).clamp(PLAIN_UDP_REPLY, MAX_UDP_REPLY))
}

/// Cuts a reply down to header, question and OPT with TC set when it is longer than `limit`;
/// returns whether it did.
pub fn truncate(reply: &mut Vec<u8>, query: &[u8], limit: usize) -> bool {
    if reply.len() <= limit {
        return false;
    }
    reply.truncate(question_end(reply).unwrap_or(HEADER));
    if reply.len() < HEADER {
        return true;
    }
    reply[2] |= 0x02;
    let questions = u8::from(reply.len() > HEADER);
    reply[4..HEADER].copy_from_slice(&[0, questions, 0, 0, 0, 0, 0, 0]);
    append_opt(reply, query);
    true
}

/// RFC 6891: a query with OPT gets a reply with OPT.
fn append_opt(reply: &mut Vec<u8>, query: &[u8]) {
    if announced_payload(query).is_some() {
        let [high, low] = (MAX_UDP_REPLY as u16).to_be_bytes();
        reply.extend_from_slice(&[0, 0, 41, high, low, 0, 0, 0, 0, 0, 0]);
        reply[11] = 1;
    }
}

/// The payload size in the OPT record of a query. Looks only where a query has it: among the
/// additional records, with nothing in the two sections before. Anything else counts as no EDNS.
fn announced_payload(query: &[u8]) -> Option<u16> {
    let header = Header::read(query)?;
    if header.word(6) != 0 || header.word(8) != 0 {
        return None;
    }
    let mut at = question_end(query)?;
    for _ in 0..header.word(10).min(8) {
        let root = *query.get(at)? == 0;
        at = name_end(query, at)?;
        let fixed: &[u8; 10] = query.get(at..)?.first_chunk()?;
        if root && fixed[..2] == [0, 41] {
            return Some(u16::from_be_bytes([fixed[2], fixed[3]]));
        }
        at += 10 + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    }
    None
}

fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0..=0xff => return Some(at + 2),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for `a.b` of type A with id 0x1234, RD set, and `tail` appended.
    fn query(additionals: u8, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, additionals];
        bytes.extend_from_slice(b"\x01a\x01b\x00\x00\x01\x00\x01");
        bytes.extend_from_slice(tail);
        bytes
    }

    fn opt(size: u16) -> Vec<u8> {
        let [high, low] = size.to_be_bytes();
        vec![0, 0, 41, high, low, 0, 0, 0, 0, 0, 0]
    }

    #[test]
    fn the_question_ends_after_its_class_and_nowhere_else() {
        assert_eq!(question_end(&query(0, &[])), Some(21));
        let whole = query(0, &[]);
        for cut in 0..whole.len() {
            assert_eq!(question_end(&whole[..cut]), None, "{cut}");
        }
        let mut compressed = whole;
        compressed[12] = 0xc0;
        assert_eq!(question_end(&compressed), None);
        let mut long = query(0, &[])[..12].to_vec();
        for _ in 0..5 {
            long.push(63);
            long.extend_from_slice(&[b'x'; 63]);
        }
        long.extend_from_slice(&[0, 0, 1, 0, 1]);
        assert_eq!(question_end(&long), None);
    }

    #[test]
    fn the_udp_limit_is_512_without_edns_and_what_the_client_says_within_bounds_with_it() {
        assert_eq!(udp_limit(&query(0, &[])), 512);
        for (announced, expected) in [(0, 512), (1232, 1232), (4096, 4096), (65535, 4096)] {
            assert_eq!(udp_limit(&query(1, &opt(announced))), expected, "{announced}");
        }
        assert_eq!(udp_limit(&query(1, &opt(4096)[..5])), 512);
    }

    #[test]
    fn a_long_reply_is_cut_to_its_question_and_marked() {
        let query = query(1, &opt(512));
        let mut reply = query.clone();
        reply[2] |= 0x80;
        reply[7] = 9;
        reply.extend_from_slice(&[0; 600]);
        assert!(truncate(&mut reply, &query, 512));
        assert_eq!(reply.len(), 21 + 11);
        let header = Header::read(&reply).unwrap();
        assert!(header.is_truncated() && header.is_response());
        assert_eq!((header.questions(), header.word(6), header.word(10)), (1, 0, 1));
        let mut short = query.clone();
        assert!(!truncate(&mut short, &query, 512));
        assert_eq!(short, query);
    }

    #[test]
    fn a_reply_with_another_id_or_another_question_is_not_the_reply() {
        let sent = query(0, &[]);
        let mut reply = sent.clone();
        reply[2] |= 0x80;
        assert!(is_reply_to(&reply, &sent, 0x1234));
        assert!(!is_reply_to(&sent, &sent, 0x1234), "a query is not a reply");
        assert!(!is_reply_to(&reply, &sent, 0x1235));
        reply[13] = b'A';
        assert!(is_reply_to(&reply, &sent, 0x1234), "case is no difference");
        adopt(&mut reply, &sent);
        assert_eq!(reply[13], b'a');
        reply[13] = b'c';
        assert!(!is_reply_to(&reply, &sent, 0x1234));
        reply[13] = b'a';
        reply[18] = 28;
        assert!(!is_reply_to(&reply, &sent, 0x1234));
    }

    #[test]
    fn an_error_reply_repeats_the_question() {
        let reply = error_reply(&query(1, &opt(1232)), 2).unwrap();
        let header = Header::read(&reply).unwrap();
        assert!(is_reply_to(&reply, &query(0, &[]), 0x1234));
        assert_eq!((header.rcode(), header.word(10), reply.len()), (2, 1, 32));
    }
}
