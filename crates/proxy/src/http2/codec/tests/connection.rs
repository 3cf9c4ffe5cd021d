use super::*;

#[test]
fn what_breaks_the_protocol_ends_the_connection_with_the_code_of_the_rfc() {
    let headers = |id| sent(HEADERS, END_HEADERS, id, &block(GET));
    let first = headers(1);
    let after_first = |frame: Vec<u8>| [first.clone(), frame].concat();
    let ended = sent(HEADERS, END_HEADERS | END_STREAM, 1, &block(GET));
    for (what, bytes, expected) in [
        ("DATA on the connection", sent(DATA, 0, 0, b"x"), Reason::PROTOCOL_ERROR),
        ("DATA on an idle stream", sent(DATA, 0, 1, b"x"), Reason::PROTOCOL_ERROR),
        ("DATA of nothing but padding", after_first(sent(DATA, PADDED, 1, &[1])), Reason::PROTOCOL_ERROR),
        ("HEADERS on the connection", headers(0), Reason::PROTOCOL_ERROR),
        ("a stream of the server's", headers(2), Reason::PROTOCOL_ERROR),
        ("padding beyond a head", sent(HEADERS, PADDED | END_HEADERS, 1, &[9, 0]), Reason::PROTOCOL_ERROR),
        ("half a priority", sent(HEADERS, PRIORITISED, 1, &[0; 4]), Reason::FRAME_SIZE_ERROR),
        ("PRIORITY on the connection", sent(PRIORITY, 0, 0, &[0; 5]), Reason::PROTOCOL_ERROR),
        ("PRIORITY on itself", sent(PRIORITY, 0, 7, &[0, 0, 0, 7, 0]), Reason::PROTOCOL_ERROR),
        ("RST_STREAM on the connection", sent(RST_STREAM, 0, 0, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("RST_STREAM on an idle stream", sent(RST_STREAM, 0, 1, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("a long RST_STREAM", after_first(sent(RST_STREAM, 0, 1, &[0; 5])), Reason::FRAME_SIZE_ERROR),
        ("SETTINGS on a stream", sent(SETTINGS, 0, 1, &[]), Reason::PROTOCOL_ERROR),
        ("SETTINGS of a fraction", sent(SETTINGS, 0, 0, &[0; 5]), Reason::FRAME_SIZE_ERROR),
        ("SETTINGS with ACK and more", sent(SETTINGS, ACK, 0, &[0; 6]), Reason::FRAME_SIZE_ERROR),
        ("ENABLE_PUSH of 2", sent(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), Reason::PROTOCOL_ERROR),
        ("a window too large", sent(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), Reason::FLOW_CONTROL_ERROR),
        ("frames too small", sent(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]), Reason::PROTOCOL_ERROR),
        ("frames too large", sent(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]), Reason::PROTOCOL_ERROR),
        ("PUSH_PROMISE", sent(PUSH_PROMISE, 0, 1, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("PING on a stream", sent(PING, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("a short PING", sent(PING, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        ("GOAWAY on a stream", sent(GOAWAY, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("a short GOAWAY", sent(GOAWAY, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        ("WINDOW_UPDATE by nothing", sent(WINDOW_UPDATE, 0, 0, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("WINDOW_UPDATE on an idle stream", sent(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), Reason::PROTOCOL_ERROR),
        ("a long WINDOW_UPDATE", sent(WINDOW_UPDATE, 0, 0, &[0; 5]), Reason::FRAME_SIZE_ERROR),
        ("CONTINUATION of nothing", sent(CONTINUATION, END_HEADERS, 1, &[]), Reason::PROTOCOL_ERROR),
        ("CONTINUATION of a whole head", after_first(sent(CONTINUATION, 4, 1, &[])), Reason::PROTOCOL_ERROR),
        ("a block that is not HPACK", sent(HEADERS, END_HEADERS, 1, &[0x80]), Reason::COMPRESSION_ERROR),
        ("half a block", sent(HEADERS, END_HEADERS, 1, &[0, 5, b'x']), Reason::COMPRESSION_ERROR),
        ("a frame too large", vec![0, 0x40, 1, 0, 0, 0, 0, 0, 1], Reason::FRAME_SIZE_ERROR),
        ("an older stream than the last", [headers(5), headers(3)].concat(), Reason::STREAM_CLOSED),
        (
            "a stream id with the reserved bit is itself",
            after_first(sent(DATA, 0, 0x8000_0003, b"")),
            Reason::PROTOCOL_ERROR,
        ),
        (
            "DATA behind the end, and again",
            [ended, sent(DATA, 0, 1, b"x"), sent(PING, 0, 0, &[])].concat(),
            Reason::FRAME_SIZE_ERROR,
        ),
    ] {
        let mut codec = server();
        give(&mut codec, &bytes);
        let last = said(&mut codec).pop().expect(what);
        assert_eq!(codec.violation().map(|violation| violation.reason), Some(expected), "{what}");
        assert_eq!((last.0, number(&last.3[4..])), (GOAWAY, Some(expected.0)), "{what}");
        assert_eq!(codec.receive(&headers(101)), 0, "{what}: nothing more is listened to");
        assert!(codec.is_finished() && !codec.may_begin());
    }
}

#[test]
fn settings_come_first() {
    for early in [sent(PING, 0, 0, &[0; 8]), sent(SETTINGS, ACK, 0, &[]), sent(0xee, 0, 0, &[])] {
        let mut codec = Codec::server(BOUNDS);
        give(&mut codec, &early);
        assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::PROTOCOL_ERROR));
    }
}

#[test]
fn settings_and_pings_are_acknowledged_and_what_is_unknown_is_not() {
    let mut codec = server();
    let unknown = [sent(0xee, 0xff, 3, b"what"), sent(PRIORITY, 0, 9, &[0; 5])].concat();
    give(&mut codec, &unknown);
    assert_eq!(said(&mut codec), []);
    give(&mut codec, &sent(SETTINGS, 0, 0, &[0xff, 0xff, 0, 0, 0, 1]));
    give(&mut codec, &sent(PING, 0, 0, b"01234567"));
    give(&mut codec, &sent(PING, ACK, 0, b"01234567"));
    assert_eq!(said(&mut codec), [(SETTINGS, ACK, 0, vec![]), (PING, ACK, 0, b"01234567".to_vec())]);
}

#[test]
fn nothing_comes_between_the_parts_of_a_head() {
    let (begin, end) = (block(GET), block(&[("x", "y")]));
    let parts = [sent(HEADERS, END_STREAM, 1, &begin), sent(CONTINUATION, END_HEADERS, 1, &end)];
    let mut codec = server();
    give(&mut codec, &parts.concat());
    let slot = codec.next_opened().unwrap();
    assert_eq!(text(&codec.take_head(slot).unwrap()), ["x: y"]);
    assert!(codec.is_received(slot));
    for between in [
        sent(PING, 0, 0, &[0; 8]),
        sent(0xee, 0, 0, &[]),
        sent(DATA, 0, 1, b"x"),
        sent(HEADERS, END_HEADERS, 3, &begin),
        sent(CONTINUATION, END_HEADERS, 3, &end),
    ] {
        let mut codec = server();
        give(&mut codec, &[parts[0].clone(), between, parts[1].clone()].concat());
        assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::PROTOCOL_ERROR));
    }
}

#[test]
fn a_head_in_too_many_parts_or_too_large_ends_the_connection() {
    for part in [vec![], vec![0x82; MAX_PAYLOAD]] {
        let mut codec = server();
        give(&mut codec, &sent(HEADERS, 0, 1, &block(GET)));
        for _ in 0..33 {
            give(&mut codec, &sent(CONTINUATION, 0, 1, &part));
        }
        assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::ENHANCE_YOUR_CALM));
    }
}

#[test]
fn a_server_that_goes_says_so_twice_and_serves_what_it_has_seen() {
    let mut codec = server();
    let first = open(&mut codec, 1, true);
    codec.go_away();
    codec.go_away();
    let words = said(&mut codec);
    assert_eq!(words.iter().map(|word| word.0).collect::<Vec<_>>(), [GOAWAY, PING]);
    assert_eq!(number(&words[0].3), Some(window::LARGEST));
    let second = open(&mut codec, 3, true);
    give(&mut codec, &sent(PING, ACK, 0, &words[1].3));
    let words = said(&mut codec);
    assert_eq!((words[0].0, number(&words[0].3)), (GOAWAY, Some(3)));
    give(&mut codec, &sent(HEADERS, END_HEADERS, 5, &block(GET)));
    give(&mut codec, &sent(DATA, END_STREAM, 5, b"x"));
    assert!(codec.next_opened().is_none() && codec.violation().is_none(), "it is not looked at");
    for slot in [first, second] {
        assert!(!codec.is_finished());
        codec.send_last(slot, b"").unwrap();
        codec.let_go(slot);
    }
    assert!(codec.is_finished());
}

#[test]
fn output_nobody_takes_stops_the_reading() {
    let mut codec = server();
    let pings = sent(PING, 0, 0, &[0; 8]).repeat(100_000);
    let taken = codec.receive(&pings);
    assert!(codec.is_choked() && taken < pings.len());
    assert!(codec.output().len() <= TOO_MUCH_OUTPUT + 17);
    assert_eq!(codec.receive(&pings[taken..]), 0);
    codec.wrote(codec.output().len());
    assert!(codec.receive(&pings[taken..]) > 0);
}

#[test]
fn a_connection_that_breaks_ends_every_stream() {
    let mut codec = server();
    let slots = [open(&mut codec, 1, true), open(&mut codec, 3, false)];
    codec.disconnect();
    for slot in slots {
        assert_eq!(codec.lost(slot), Some(Lost::Disconnected));
        assert_eq!(codec.send(slot, b"x", true), Err(Lost::Disconnected));
        codec.let_go(slot);
    }
    assert_eq!(codec.taken(), 0);
}

#[test]
fn errors_without_end_end_the_connection() {
    let mut codec = server();
    let mut errors = 0;
    while codec.violation().is_none() {
        give(&mut codec, &sent(HEADERS, END_HEADERS, 2 * errors + 1, &block(&[("x", "y")])));
        said(&mut codec);
        errors += 1;
        assert!(errors < 2000, "nothing ends it");
    }
    assert!(errors > 256, "a few of them are nobody's bad will");
    assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::ENHANCE_YOUR_CALM));
    assert_eq!(codec.take_malformed(), errors);
}
