//! What targets send: RFC 9113 as it is asked of the side that asks.

use super::*;

fn status(fields: &[(&str, &str)]) -> Vec<u8> {
    block(&[&[(":status", "200")], fields].concat())
}

/// A client whose one request is under way.
fn asking() -> (Codec, Slot) {
    let mut codec = client();
    let (slot, id) = ask(&mut codec);
    assert_eq!(id, 1);
    (codec, slot)
}

/// A client whose one request has begun and has not ended.
fn begun() -> (Codec, Slot) {
    let mut codec = client();
    let slot = codec.begin(false).unwrap();
    let mut head = codec.write_head(slot).unwrap();
    GET.iter().for_each(|(name, value)| head.pseudo(name.as_bytes(), value.as_bytes()));
    head.finish(false);
    said(&mut codec);
    (codec, slot)
}

#[test]
fn what_breaks_the_protocol_ends_a_targets_connection_with_the_code_of_the_rfc() {
    let head = sent(HEADERS, END_HEADERS, 1, &status(&[]));
    let whole = sent(HEADERS, END_HEADERS | END_STREAM, 1, &status(&[]));
    let behind = |frame: Vec<u8>| [head.clone(), frame].concat();
    let behind_all = |frame: Vec<u8>| [whole.clone(), frame].concat();
    for (what, bytes, expected) in [
        ("DATA on the connection", sent(DATA, 0, 0, b"x"), Reason::PROTOCOL_ERROR),
        ("DATA on an idle stream", sent(DATA, 0, 3, b"x"), Reason::PROTOCOL_ERROR),
        ("DATA of nothing but padding", behind(sent(DATA, PADDED, 1, &[1])), Reason::PROTOCOL_ERROR),
        ("DATA behind the end", behind_all(sent(DATA, 0, 1, b"x")), Reason::STREAM_CLOSED),
        ("HEADERS behind the end", behind_all(head.clone()), Reason::STREAM_CLOSED),
        ("HEADERS on the connection", sent(HEADERS, END_HEADERS, 0, &status(&[])), Reason::PROTOCOL_ERROR),
        ("HEADERS on an idle stream", sent(HEADERS, END_HEADERS, 3, &status(&[])), Reason::PROTOCOL_ERROR),
        (
            "HEADERS on a stream of its own",
            sent(HEADERS, END_HEADERS, 2, &status(&[])),
            Reason::PROTOCOL_ERROR,
        ),
        ("padding beyond a head", sent(HEADERS, PADDED | END_HEADERS, 1, &[9, 0]), Reason::PROTOCOL_ERROR),
        ("half a priority", sent(HEADERS, PRIORITISED, 1, &[0; 4]), Reason::FRAME_SIZE_ERROR),
        ("PRIORITY on the connection", sent(PRIORITY, 0, 0, &[0; 5]), Reason::PROTOCOL_ERROR),
        ("RST_STREAM on the connection", sent(RST_STREAM, 0, 0, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("RST_STREAM on an idle stream", sent(RST_STREAM, 0, 3, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("a long RST_STREAM", sent(RST_STREAM, 0, 1, &[0; 5]), Reason::FRAME_SIZE_ERROR),
        ("SETTINGS on a stream", sent(SETTINGS, 0, 1, &[]), Reason::PROTOCOL_ERROR),
        ("SETTINGS of a fraction", sent(SETTINGS, 0, 0, &[0; 5]), Reason::FRAME_SIZE_ERROR),
        ("SETTINGS with ACK and more", sent(SETTINGS, ACK, 0, &[0; 6]), Reason::FRAME_SIZE_ERROR),
        ("ENABLE_PUSH", sent(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1]), Reason::PROTOCOL_ERROR),
        ("ENABLE_PUSH of 2", sent(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), Reason::PROTOCOL_ERROR),
        ("a window too large", sent(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), Reason::FLOW_CONTROL_ERROR),
        ("frames too small", sent(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]), Reason::PROTOCOL_ERROR),
        ("frames too large", sent(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]), Reason::PROTOCOL_ERROR),
        ("PUSH_PROMISE", sent(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), Reason::PROTOCOL_ERROR),
        ("PING on a stream", sent(PING, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("a short PING", sent(PING, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        ("GOAWAY on a stream", sent(GOAWAY, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("a short GOAWAY", sent(GOAWAY, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        ("WINDOW_UPDATE by nothing", sent(WINDOW_UPDATE, 0, 0, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("WINDOW_UPDATE on an idle stream", sent(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1]), Reason::PROTOCOL_ERROR),
        ("a long WINDOW_UPDATE", sent(WINDOW_UPDATE, 0, 0, &[0; 5]), Reason::FRAME_SIZE_ERROR),
        ("CONTINUATION on the connection", sent(CONTINUATION, END_HEADERS, 0, &[]), Reason::PROTOCOL_ERROR),
        ("CONTINUATION of nothing", sent(CONTINUATION, END_HEADERS, 1, &[]), Reason::PROTOCOL_ERROR),
        (
            "CONTINUATION of a whole head",
            behind(sent(CONTINUATION, END_HEADERS, 1, &[])),
            Reason::PROTOCOL_ERROR,
        ),
        (
            "CONTINUATION behind DATA",
            behind([sent(DATA, 0, 1, b"x"), sent(CONTINUATION, END_HEADERS, 1, &[])].concat()),
            Reason::PROTOCOL_ERROR,
        ),
        ("a block that is not HPACK", sent(HEADERS, END_HEADERS, 1, &[0x80]), Reason::COMPRESSION_ERROR),
        ("half a block", sent(HEADERS, END_HEADERS, 1, &[0, 5, b'x']), Reason::COMPRESSION_ERROR),
        (
            "a table larger than announced",
            sent(HEADERS, END_HEADERS, 1, &[0x3f, 0xe2, 0x1f, 0x88]),
            Reason::COMPRESSION_ERROR,
        ),
        ("a frame too large", vec![0, 0x40, 1, 0, 0, 0, 0, 0, 1], Reason::FRAME_SIZE_ERROR),
    ] {
        let (mut codec, _) = asking();
        give(&mut codec, &bytes);
        let last = said(&mut codec).pop().expect(what);
        assert_eq!(codec.violation().map(|violation| violation.reason), Some(expected), "{what}");
        assert_eq!((last.0, number(&last.3[4..])), (GOAWAY, Some(expected.0)), "{what}");
        assert_eq!(codec.receive(&head), 0, "{what}: nothing more is listened to");
        assert!(codec.is_finished() && !codec.may_begin() && codec.begin(false).is_none(), "{what}");
    }
}

#[test]
fn settings_of_a_target_come_first() {
    for early in [sent(PING, 0, 0, &[0; 8]), sent(SETTINGS, ACK, 0, &[]), sent(0xee, 0, 0, &[])] {
        let mut codec = Codec::client(BOUNDS);
        give(&mut codec, &early);
        assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::PROTOCOL_ERROR));
    }
}

#[test]
fn settings_and_pings_of_a_target_are_acknowledged_and_what_is_unknown_is_not() {
    let (mut codec, slot) = asking();
    // Kinds, flags, settings and codes that nobody knows, and the reserved bit.
    give(&mut codec, &[sent(0xee, 0xff, 1, b"what"), sent(PRIORITY, 0, 9, &[0; 5])].concat());
    assert_eq!(said(&mut codec), []);
    give(&mut codec, &sent(SETTINGS, 0, 0, &[0xff, 0xff, 0, 0, 0, 1]));
    give(&mut codec, &sent(PING, 0xf0, 0, b"01234567"));
    give(&mut codec, &sent(PING, ACK, 0, b"01234567"));
    assert_eq!(said(&mut codec), [(SETTINGS, ACK, 0, vec![]), (PING, ACK, 0, b"01234567".to_vec())]);
    give(&mut codec, &sent(HEADERS, END_HEADERS | 0xc2, 0x8000_0001, &status(&[])));
    assert_eq!(codec.take_head(slot).unwrap().status(), 200);
    give(&mut codec, &sent(RST_STREAM, 0, 1, &[0xff; 4]));
    assert_eq!(codec.lost(slot), Some(Lost::Reset(Reason(u32::MAX))));
    give(&mut codec, &sent(GOAWAY, 0, 0, &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]));
    assert_eq!((codec.violation(), said(&mut codec)), (None, vec![]), "no reset is answered by another");
}

#[test]
fn settings_of_a_target_count_in_their_order() {
    let mut codec = client();
    let windows = |sizes: &[u32]| {
        let setting = |size: &u32| [&[0, 4][..], &size.to_be_bytes()].concat();
        sent(SETTINGS, 0, 0, &sizes.iter().map(setting).collect::<Vec<_>>().concat())
    };
    give(&mut codec, &windows(&[9, 2]));
    said(&mut codec);
    let slot = codec.begin(false).unwrap();
    let mut head = codec.write_head(slot).unwrap();
    GET.iter().for_each(|(name, value)| head.pseudo(name.as_bytes(), value.as_bytes()));
    head.finish(false);
    assert_eq!(codec.send(slot, b"abcdef", false), Ok(2), "the last one counts");
    // Below nothing: what was sent is owed.
    give(&mut codec, &windows(&[0]));
    give(&mut codec, &sent(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 2]));
    assert_eq!(codec.send(slot, b"cdef", false), Ok(0), "it is owed two");
    give(&mut codec, &sent(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]));
    assert_eq!(codec.send(slot, b"cdef", false), Ok(1));
}

#[test]
fn nothing_comes_between_the_parts_of_an_answers_head() {
    let (begin, end) = (status(&[]), block(&[("x", "y")]));
    let parts = [sent(HEADERS, END_STREAM, 1, &begin), sent(CONTINUATION, END_HEADERS, 1, &end)];
    let (mut codec, slot) = asking();
    give(&mut codec, &parts.concat());
    assert_eq!(text(&codec.take_head(slot).unwrap()), ["x: y"]);
    assert!(codec.is_received(slot));
    for between in [
        sent(PING, 0, 0, &[0; 8]),
        sent(0xee, 0, 0, &[]),
        sent(PRIORITY, 0, 1, &[0; 5]),
        sent(DATA, 0, 1, b"x"),
        sent(HEADERS, END_HEADERS, 1, &begin),
        sent(CONTINUATION, END_HEADERS, 3, &end),
    ] {
        let (mut codec, _) = asking();
        give(&mut codec, &[parts[0].clone(), between, parts[1].clone()].concat());
        assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::PROTOCOL_ERROR));
    }
}

#[test]
fn malformed_answers_cost_their_stream() {
    for (what, fields) in [
        ("upper case", status(&[("X-Upper", "y")])),
        ("no name", status(&[("", "y")])),
        ("a name with a space", status(&[("a b", "y")])),
        ("a name with a colon", status(&[("a:b", "y")])),
        ("a name beyond ASCII", status(&[("é", "y")])),
        ("a line break", status(&[("x", "a\r\nb")])),
        ("a line feed", status(&[("x", "a\nb")])),
        ("a NUL", status(&[("x", "a\0b")])),
        ("connection", status(&[("connection", "close")])),
        ("keep-alive", status(&[("keep-alive", "1")])),
        ("proxy-connection", status(&[("proxy-connection", "close")])),
        ("transfer-encoding", status(&[("transfer-encoding", "chunked")])),
        ("upgrade", status(&[("upgrade", "websocket")])),
        ("te", status(&[("te", "gzip")])),
        ("an unknown pseudo-header", status(&[(":x", "y")])),
        ("a pseudo-header of requests", status(&[(":path", "/")])),
        (":status twice", status(&[(":status", "200")])),
        (":status behind a field", block(&[("x", "y"), (":status", "200")])),
        ("no :status", block(&[("x", "y")])),
        ("a status of two digits", block(&[(":status", "20")])),
        ("a status below 100", block(&[(":status", "099")])),
        ("an interim answer at the end", block(&[(":status", "103")])),
        ("a length without a body", status(&[("content-length", "1")])),
    ] {
        let (mut codec, slot) = asking();
        give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &fields));
        assert_eq!(resets(&mut codec), [(1, Reason::PROTOCOL_ERROR)], "{what}");
        assert_eq!(codec.lost(slot), Some(Lost::Violated { connection: false }), "{what}");
        assert!(codec.take_head(slot).is_none(), "{what}: nothing of it is passed on");
        assert!(codec.violation().is_none() && codec.begin(false).is_some(), "{what}");
    }
}

#[test]
fn blanks_around_a_value_are_taken_off_answers_and_trailers() {
    let (mut codec, slot) = asking();
    let fields = status(&[("x", " a b\t "), ("content-length", " 3")]);
    give(&mut codec, &sent(HEADERS, END_HEADERS, 1, &fields));
    assert_eq!(text(&codec.take_head(slot).unwrap()), ["x: a b", "content-length: 3"]);
    give(&mut codec, &sent(DATA, 0, 1, b"abc"));
    give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("y", "\t"), ("z", "c ")])));
    assert_eq!(text(&codec.take_trailers(slot).unwrap()), ["y: ", "z: c"]);
    let mut codec = server();
    let slot = open(&mut codec, 1, false);
    give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("z", " c")])));
    assert_eq!(text(&codec.take_trailers(slot).unwrap()), ["z: c"]);
}

#[test]
fn a_head_of_an_answer_that_depends_on_itself_costs_its_stream() {
    let (mut codec, slot) = asking();
    let prioritised = [&[0, 0, 0, 1, 0][..], &status(&[])].concat();
    give(&mut codec, &sent(HEADERS, END_HEADERS | PRIORITISED, 1, &prioritised));
    assert_eq!(resets(&mut codec), [(1, Reason::PROTOCOL_ERROR)]);
    assert_eq!(codec.lost(slot), Some(Lost::Violated { connection: false }));
}

#[test]
fn lengths_of_answers_are_kept_to() {
    for (length, pieces, fine) in [
        ("3", &[&b"abc"[..]][..], true),
        ("3", &[b"a", b"bc"], true),
        ("3", &[b"ab"], false),
        ("3", &[b"abcd"], false),
        ("0", &[b"a"], false),
        ("0", &[b""], true),
    ] {
        let (mut codec, slot) = asking();
        give(&mut codec, &sent(HEADERS, END_HEADERS, 1, &status(&[("content-length", length)])));
        for (index, piece) in pieces.iter().enumerate() {
            let flags = if index + 1 == pieces.len() { END_STREAM } else { 0 };
            give(&mut codec, &sent(DATA, flags, 1, piece));
        }
        assert_eq!(codec.lost(slot).is_none(), fine, "{length} {pieces:?}");
        assert_eq!(codec.violation(), None);
    }
}

#[test]
fn trailers_of_an_answer_end_it_and_have_no_pseudo_header() {
    for (flags, fields, fine) in [
        (END_HEADERS | END_STREAM, &[("x-sum", "7")][..], true),
        (END_HEADERS, &[("x-sum", "7")], false),
        (END_HEADERS | END_STREAM, &[(":status", "200")], false),
        (END_HEADERS | END_STREAM, &[("X", "7")], false),
        (END_HEADERS | END_STREAM, &[("connection", "close")], false),
    ] {
        let (mut codec, slot) = asking();
        give(&mut codec, &sent(HEADERS, END_HEADERS, 1, &status(&[])));
        give(&mut codec, &sent(DATA, 0, 1, b"abc"));
        give(&mut codec, &sent(HEADERS, flags, 1, &block(fields)));
        assert_eq!(codec.lost(slot).is_none(), fine, "{fields:?}");
        assert_eq!(codec.take_trailers(slot).is_some(), fine, "{fields:?}");
    }
}

#[test]
fn a_stream_the_target_has_ended_takes_nothing_more() {
    for frame in [sent(DATA, 0, 1, b"x"), sent(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", "y")]))] {
        // The request is not whole yet: the stream is half closed.
        let (mut codec, slot) = begun();
        give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &status(&[])));
        give(&mut codec, &sent(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]));
        give(&mut codec, &sent(PRIORITY, 0, 1, &[0; 5]));
        assert_eq!((codec.lost(slot), resets(&mut codec)), (None, vec![]), "these may still come");
        give(&mut codec, &frame);
        assert_eq!(resets(&mut codec), [(1, Reason::STREAM_CLOSED)]);
    }
}

#[test]
fn what_was_on_its_way_from_a_target_when_its_stream_was_reset_still_counts() {
    let (mut codec, slot) = asking();
    codec.reset(slot, Reason::CANCEL);
    codec.let_go(slot);
    assert_eq!(resets(&mut codec), [(1, Reason::CANCEL)]);
    // A field goes into the table, which the next answer names.
    let indexed = [&[0x88, 0x40, 1, b'x', 1][..], b"y"].concat();
    give(&mut codec, &sent(HEADERS, END_HEADERS, 1, &indexed));
    // Room on the connection is given again.
    for _ in 0..20 {
        give(&mut codec, &sent(DATA, 0, 1, &[0; 16_000]));
    }
    give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("z", "z")])));
    give(&mut codec, &sent(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 0]));
    give(&mut codec, &sent(RST_STREAM, 0, 1, &[0; 4]));
    let words = said(&mut codec);
    assert!(words.iter().all(|word| word.0 == WINDOW_UPDATE && word.2 == 0), "{words:?}");
    assert!(!words.is_empty());
    let (slot, id) = ask(&mut codec);
    give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, id, &[0x88, 0xbe]));
    assert_eq!(text(&codec.take_head(slot).unwrap()), ["x: y"]);
    assert_eq!(codec.violation(), None);
}

#[test]
fn what_a_target_sends_beyond_a_window_is_refused() {
    let head = |id| sent(HEADERS, END_HEADERS, id, &status(&[]));
    let full = |id| sent(DATA, 0, id, &[0; 10_000]);
    let (mut codec, slot) = asking();
    give(&mut codec, &head(1));
    give(&mut codec, &full(1).repeat(7));
    assert_eq!(codec.lost(slot), None);
    give(&mut codec, &sent(DATA, 0, 1, b"x"));
    assert_eq!(resets(&mut codec), [(1, Reason::FLOW_CONTROL_ERROR)]);
    let (_, id) = ask(&mut codec);
    give(&mut codec, &head(id));
    give(&mut codec, &full(id).repeat(3));
    assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::FLOW_CONTROL_ERROR));
}

#[test]
fn a_window_that_a_target_opens_too_far_costs_the_stream_or_the_connection() {
    let update = |id, by: u32| sent(WINDOW_UPDATE, 0, id, &by.to_be_bytes());
    let (mut codec, slot) = begun();
    give(&mut codec, &update(1, window::LARGEST - 65_535));
    assert_eq!(codec.lost(slot), None);
    give(&mut codec, &update(1, 1));
    assert_eq!(resets(&mut codec), [(1, Reason::FLOW_CONTROL_ERROR)]);

    let (mut codec, _) = begun();
    give(&mut codec, &update(1, 0));
    assert_eq!(resets(&mut codec), [(1, Reason::PROTOCOL_ERROR)]);

    let (mut codec, _) = begun();
    give(&mut codec, &update(0, window::LARGEST));
    assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::FLOW_CONTROL_ERROR));

    let (mut codec, _) = begun();
    give(&mut codec, &update(1, 1));
    give(&mut codec, &sent(SETTINGS, 0, 0, &[&[0, 4][..], &window::LARGEST.to_be_bytes()].concat()));
    assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::FLOW_CONTROL_ERROR));
}

#[test]
fn a_priority_of_another_size_costs_its_stream() {
    let (mut codec, slot) = asking();
    give(&mut codec, &sent(PRIORITY, 0, 1, &[0; 4]));
    assert_eq!(resets(&mut codec), [(1, Reason::FRAME_SIZE_ERROR)]);
    assert_eq!(codec.lost(slot), Some(Lost::Violated { connection: false }));
}

#[test]
fn numbers_of_streams_are_used_once_and_end_the_connection_when_they_run_out() {
    let mut codec = client();
    let ids: Vec<u32> = (0..3).map(|_| ask(&mut codec).1).collect();
    assert_eq!(ids, [1, 3, 5]);
    codec.next = window::LARGEST;
    let (_, last) = ask(&mut codec);
    assert_eq!(last, window::LARGEST);
    assert!(!codec.may_begin() && codec.begin(false).is_none());
    assert_eq!(codec.violation(), None);
}

#[test]
fn a_field_never_to_be_indexed_is_passed_on_as_one() {
    // The name in full, and one of the static table; never indexed, and without indexing.
    let never = [&[0x10, 1, b'x', 1][..], b"y", &[0x1f, 16, 1], b"z"].concat();
    let without = [&[0x00, 1, b'x', 1][..], b"y", &[0x0f, 16, 1], b"z"].concat();
    for (fields, first_octets) in [(never, [0x10, 0x1f]), (without, [0x40, 0x5f])] {
        let mut from = server();
        give(&mut from, &sent(HEADERS, END_HEADERS, 1, &[block(GET), fields.clone()].concat()));
        give(&mut from, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &fields));
        let slot = from.next_opened().unwrap();
        let (head, trailers) = (from.take_head(slot).unwrap(), from.take_trailers(slot).unwrap());
        let (mut answering, asked) = asking();
        give(&mut answering, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &[vec![0x88], fields].concat()));
        for list in [head, trailers, answering.take_head(asked).unwrap()] {
            for (field, octet) in list.crossing().zip(first_octets) {
                let mut to = client();
                let slot = to.begin(false).unwrap();
                let mut out = to.write_head(slot).unwrap();
                out.pass(field.1, field.2, field.3);
                out.finish(true);
                assert_eq!(said(&mut to)[0].3[0], octet, "{:?}", String::from_utf8_lossy(field.1));
            }
            assert_eq!(list.crossing().count(), 2);
        }
    }
}
