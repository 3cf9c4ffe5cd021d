//! What a peer may make the codec do for nothing, and what it never has to do without.

use super::*;

/// A flood has to end within so many rounds.
const ROUNDS: u32 = 100_000;

/// Gives `flood` again and again until the codec ends the connection; in whose words it does.
fn until_ended(codec: &mut Codec, mut flood: impl FnMut(&mut Codec, u32) -> Vec<u8>) -> &'static str {
    for n in 0..ROUNDS {
        let bytes = flood(codec, n);
        give(codec, &bytes);
        let words = said(codec);
        if let Some(violation) = codec.violation() {
            assert_eq!(violation.reason, Reason::ENHANCE_YOUR_CALM, "{violation}");
            let (kind, _, _, payload) = words.last().unwrap();
            assert_eq!(
                (*kind, &payload[8..]),
                (GOAWAY, violation.what.as_bytes()),
                "the peer is told which bound"
            );
            return violation.what;
        }
    }
    panic!("nothing ends it");
}

#[test]
fn each_flood_ends_in_the_words_of_its_bound() {
    let head = |n: u32, fields: &[u8]| sent(HEADERS, END_HEADERS, 2 * n + 3, fields);
    let reset = |stream| sent(RST_STREAM, 0, stream, &8u32.to_be_bytes());
    for (words, frame) in [
        ("PINGs", sent(PING, 0, 0, &[0; 8])),
        ("PINGs", sent(PING, ACK, 0, &[0; 8])),
        ("SETTINGS", sent(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0].repeat(100))),
        ("PRIORITYs", sent(PRIORITY, 0, 101, &[0; 5])),
        ("WINDOW_UPDATEs", sent(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("empty DATA", sent(DATA, 0, 1, b"")),
        ("empty DATA", sent(DATA, PADDED, 1, &[0])),
        ("without a meaning", sent(0xee, 0, 0, b"")),
    ] {
        let mut codec = server();
        let slot = open(&mut codec, 1, false);
        let said = until_ended(&mut codec, |_, _| frame.clone());
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(codec.lost(slot), Some(Lost::TooMuch), "it is no error of the protocol");
    }

    // Streams that are over.
    for (frame, words) in
        [(sent(DATA, 0, 1, b"late"), "streams that are over"), (reset(1), "streams that are over")]
    {
        let mut codec = server();
        let slot = open(&mut codec, 1, false);
        codec.let_go(slot);
        assert!(until_ended(&mut codec, |_, _| frame.clone()).contains(words));
    }

    // Requests that break the protocol, and those beyond what is announced.
    let mut codec = server();
    let broken = block(&[("x", "y")]);
    assert!(until_ended(&mut codec, |_, n| head(n, &broken)).contains("errors"));
    let mut codec = server();
    let fine = block(GET);
    assert!(until_ended(&mut codec, |_, n| head(n, &fine)).contains("refused"));
}

#[test]
fn neither_padding_nor_heads_pay_for_requests_reset_at_once() {
    let fill = "y".repeat(120);
    let large: Vec<_> = (0..40).map(|_| ("x-large", fill.as_str())).collect();
    for (what, block, padding) in [("padding", block(GET), 22), ("large heads", get_with(&large), 0)] {
        let mut codec = server();
        let mut rounds = 0;
        let words = until_ended(&mut codec, |codec, n| {
            while let Some(slot) = codec.next_opened() {
                codec.let_go(slot);
                codec.was_in_vain(0);
            }
            rounds = n;
            let stream = 2 * n + 1;
            let mut bytes = sent(HEADERS, END_HEADERS, stream, &block);
            bytes.extend(sent(DATA, PADDED, stream, &[0]).repeat(padding));
            bytes.extend(sent(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
            bytes
        });
        assert!(rounds < 1100, "{what}: {rounds} rounds, {words}");
    }
}

#[test]
fn what_clients_send_around_calls_never_ends_a_connection() {
    for parallel in [1, 4] {
        let mut codec = server();
        let mut id = 1;
        for _ in 0..5_000 / parallel {
            let slots: Vec<_> = (0..parallel).map(|n| open(&mut codec, id + 2 * n, false)).collect();
            for (n, slot) in slots.iter().enumerate() {
                let stream = id + 2 * n as u32;
                give(&mut codec, &sent(DATA, 0, stream, b"\0\0\0\0\x02hi"));
                give(&mut codec, &sent(DATA, END_STREAM, stream, b""));
                let mut head = codec.write_head(*slot).unwrap();
                head.status(200);
                head.finish(false);
                codec.send(*slot, b"\0\0\0\0\x02hi", false).unwrap();
                let mut trailers = codec.write_head(*slot).unwrap();
                trailers.field(b"grpc-status", b"0");
                trailers.finish(true);
                codec.let_go(*slot);
                for frame in [
                    sent(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 7]),
                    sent(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 7]),
                    sent(PING, 0, 0, &[0; 8]),
                    sent(RST_STREAM, 0, stream, &[0; 4]),
                    sent(PRIORITY, 0, stream, &[0; 5]),
                ] {
                    give(&mut codec, &frame);
                }
            }
            said(&mut codec);
            assert_eq!(codec.violation(), None);
            id += 2 * parallel;
        }
    }
}

#[test]
fn a_stream_of_small_messages_is_never_cut() {
    let mut codec = server();
    let slot = open(&mut codec, 1, false);
    for _ in 0..20_000 {
        give(&mut codec, &sent(DATA, 0, 1, b"\0\0\0\0\x02hi"));
        codec.consume(slot, 7);
        assert_eq!(codec.send(slot, b"\0\0\0\0\x02hi", false), Ok(7));
        give(&mut codec, &sent(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 7]));
        give(&mut codec, &sent(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 7]));
        give(&mut codec, &sent(PING, 0, 0, &[0; 8]));
        said(&mut codec);
    }
    assert_eq!(codec.violation(), None);
}

#[test]
fn pings_of_an_idle_connection_are_paid_for_by_time() {
    let mut codec = server();
    for second in 0..20_000 {
        codec.pass_time(1000 * second);
        give(&mut codec, &sent(PING, 0, 0, &[0; 8]).repeat(10));
        said(&mut codec);
    }
    assert_eq!(codec.violation(), None);
}

#[test]
fn servers_are_bound_alike() {
    let mut codec = client();
    let (slot, _) = ask(&mut codec);
    assert!(until_ended(&mut codec, |_, _| sent(PING, 0, 0, &[0; 8])).contains("PINGs"));
    assert_eq!(codec.lost(slot), Some(Lost::TooMuch));

    let mut codec = client();
    for _ in 0..20_000 {
        let (slot, id) = ask(&mut codec);
        give(&mut codec, &sent(HEADERS, END_HEADERS, id, &block(&[(":status", "200")])));
        give(&mut codec, &sent(DATA, 0, id, b"hi"));
        give(&mut codec, &sent(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 7]).repeat(2));
        give(&mut codec, &sent(PING, 0, 0, &[0; 8]));
        give(&mut codec, &sent(DATA, END_STREAM, id, b""));
        codec.let_go(slot);
        said(&mut codec);
    }
    assert_eq!(codec.violation(), None);
}

#[test]
fn answers_that_break_the_protocol_cost_their_streams_alone() {
    let mut codec = client();
    for _ in 0..5_000 {
        let (slot, id) = ask(&mut codec);
        give(&mut codec, &sent(HEADERS, END_HEADERS, id, &block(&[(":status", "2000")])));
        assert_eq!(codec.lost(slot), Some(Lost::Violated { connection: false }));
        codec.let_go(slot);
        said(&mut codec);
    }
    assert_eq!(codec.violation(), None);
}

/// A request with a body.
fn post(codec: &mut Codec) -> Slot {
    let slot = codec.begin(false).unwrap();
    let mut head = codec.write_head(slot).unwrap();
    GET.iter().for_each(|(name, value)| head.pseudo(name.as_bytes(), value.as_bytes()));
    head.finish(false);
    slot
}

#[test]
fn a_body_nobody_reads_leaves_a_quarter_of_the_window_to_others() {
    let mut codec = client();
    let (stuck, other) = (post(&mut codec), post(&mut codec));
    // The window of the stream is larger than that of the connection.
    give(&mut codec, &sent(SETTINGS, 0, 0, &[0, 4, 0, 0x10, 0, 0]));
    let body = vec![b'x'; 1_100_000];
    let mut sent_of_stuck = 0;
    loop {
        match codec.send(stuck, &body, true).unwrap() {
            0 => break,
            count => sent_of_stuck += count,
        }
        said(&mut codec);
    }
    assert!((48_000..=49_152).contains(&sent_of_stuck), "{sent_of_stuck}");
    assert!(!codec.is_open(), "no other body shall begin here");
    // What the other sends is read: its room comes back, and it never waits.
    for _ in 0..100 {
        assert_eq!(codec.send(other, &[0; 5_000], false), Ok(5_000));
        said(&mut codec);
        give(&mut codec, &sent(WINDOW_UPDATE, 0, 0, &5_000u32.to_be_bytes()));
        give(&mut codec, &sent(WINDOW_UPDATE, 0, 3, &5_000u32.to_be_bytes()));
    }
    // The first is read at last.
    give(&mut codec, &sent(WINDOW_UPDATE, 0, 0, &40_000u32.to_be_bytes()));
    assert!(codec.is_open());
    assert!(codec.send(stuck, &body, true).unwrap() > 10_000);
}

#[test]
fn a_server_that_speaks_of_the_connections_window_alone_is_sent_all_the_same() {
    let mut codec = client();
    let slot = post(&mut codec);
    give(&mut codec, &sent(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    let mut left = 1_000_000;
    while left > 0 {
        let count = codec.send(slot, &vec![0; left], true).unwrap();
        assert!(count > 0, "{left} are left");
        left -= count;
        said(&mut codec);
        give(&mut codec, &sent(WINDOW_UPDATE, 0, 0, &(count as u32).to_be_bytes()));
    }
}
