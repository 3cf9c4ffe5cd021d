//! Any bytes as what a resolver of the machine's says to a query of a host's: what is taken for the
//! reply answers that very question, and what goes on to the host fits and has the host's own id.
//!
//! The first two bytes are the length of the query; the reply follows it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trellis_dns::wire;

const ID: u16 = 0x4711;

fuzz_target!(|input: &[u8]| {
    let Some((length, bytes)) = input.split_first_chunk() else { return };
    let Some((query, reply)) = bytes.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
        return;
    };
    let mut reply = reply.to_vec();
    wire::set_id(&mut reply, ID);
    if wire::is_reply_to(&reply, query, ID) {
        let end = wire::question_end(query).expect("a reply to a question");
        wire::adopt(&mut reply, query);
        assert_eq!((&reply[..2], &reply[12..end]), (&query[..2], &query[12..end]));
    }
    let limit = wire::udp_limit(query);
    assert!((512..=wire::MAX_UDP_REPLY).contains(&limit));
    let whole = reply.len();
    let cut = wire::truncate(&mut reply, query, limit);
    assert_eq!(cut, whole > limit);
    assert!(reply.len() <= limit);
    if let Some(error) = wire::error_reply(query, 2) {
        assert!(error.len() <= limit && error[..2] == query[..2] && error[2] & 0x80 != 0);
    }
});
