use super::*;

#[test]
fn malformed_requests_cost_their_stream() {
    let large = "y".repeat(120);
    let _ = &large;
    for (what, fields) in [
        ("upper case", get_with(&[("X-Upper", "y")])),
        ("no name", get_with(&[("", "y")])),
        ("a name with a space", get_with(&[("a b", "y")])),
        ("a line break", get_with(&[("x", "a\r\nb")])),
        ("a NUL", get_with(&[("x", "a\0b")])),
        ("connection", get_with(&[("connection", "close")])),
        ("keep-alive", get_with(&[("keep-alive", "1")])),
        ("proxy-connection", get_with(&[("proxy-connection", "close")])),
        ("transfer-encoding", get_with(&[("transfer-encoding", "chunked")])),
        ("upgrade", get_with(&[("upgrade", "websocket")])),
        ("te", get_with(&[("te", "gzip")])),
        ("an unknown pseudo-header", get_with(&[(":x", "y")])),
        (":status", get_with(&[(":status", "200")])),
        (":protocol", get_with(&[(":protocol", "websocket")])),
        (":method twice", get_with(&[(":method", "GET")])),
        (":path behind a field", block(&[&GET[..2], &[("x", "y")], &GET[2..]].concat())),
        ("no :method", block(&GET[1..])),
        ("no :scheme", block(&[GET[0], GET[2], GET[3]])),
        ("no :path", block(&[GET[0], GET[1], GET[3]])),
        ("an empty :path", block(&[GET[0], GET[1], (":path", ""), GET[3]])),
        ("a method with a space", block(&[(":method", "G T"), GET[1], GET[2]])),
        ("CONNECT with a path", block(&[(":method", "CONNECT"), GET[2], GET[3]])),
        ("CONNECT to nowhere", block(&[(":method", "CONNECT")])),
        ("a length without a body", get_with(&[("content-length", "1")])),
    ] {
        let mut codec = server();
        give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &fields));
        assert_eq!(resets(&mut codec), [(1, Reason::PROTOCOL_ERROR)], "{what}");
        assert_eq!((codec.next_opened(), codec.take_malformed()), (None, 1), "{what}");
        assert_eq!(codec.violation(), None, "{what}");
        open(&mut codec, 3, true);
    }
}

#[test]
fn a_head_that_depends_on_itself_costs_its_stream() {
    let mut codec = server();
    let mut prioritised = vec![0, 0, 0, 1, 0];
    prioritised.extend(block(GET));
    give(&mut codec, &sent(HEADERS, END_HEADERS | PRIORITISED, 1, &prioritised));
    assert_eq!(resets(&mut codec), [(1, Reason::PROTOCOL_ERROR)]);
    prioritised[3] = 9;
    give(&mut codec, &sent(HEADERS, END_HEADERS | PRIORITISED | END_STREAM, 3, &prioritised));
    assert!(codec.next_opened().is_some(), "on another it may");
}

#[test]
fn a_head_is_read_as_it_was_sent() {
    let mut codec = server();
    let mut padded = vec![3];
    padded.extend(get_with(&[("te", "trailers"), ("x", "a\tb"), ("proxy-authorization", "c")]));
    padded.extend([0; 3]);
    give(&mut codec, &sent(HEADERS, END_HEADERS | PADDED, 1, &padded));
    let slot = codec.next_opened().unwrap();
    let head = codec.take_head(slot).unwrap();
    assert_eq!(text(&head), ["te: trailers", "x: a\tb", "proxy-authorization: c"]);
    assert_eq!((head.pseudo(Pseudo::Method), head.pseudo(Pseudo::Authority)), (&b"GET"[..], &b"a"[..]));
    assert_eq!(head.lines_size(), "te: trailers\r\nx: a\tb\r\nproxy-authorization: c\r\n".len());
    let mut lines = Vec::new();
    head.copy_lines(&mut lines, |_, name| name != b"x");
    assert_eq!(lines, b"te: trailers\r\nproxy-authorization: c\r\n");
}

#[test]
fn a_list_too_large_is_cut_and_one_far_too_large_ends_the_connection() {
    // One field of 4,000 bytes goes into the table and is named again and again.
    let bomb = |times: usize| {
        let mut bomb = block(GET);
        bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        bomb.extend([b'y'; 127 + 0x21 + 0x1e * 128]);
        bomb.extend(vec![0xbe; times]);
        bomb
    };
    let mut codec = server();
    give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &bomb(40)));
    let slot = codec.next_opened().unwrap();
    let head = codec.take_head(slot).unwrap();
    assert!(head.is_too_large() && head.bytes().len() <= fields::MAX_LIST);
    assert_eq!(codec.lost(slot), None);
    give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 3, &bomb(200)));
    assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::ENHANCE_YOUR_CALM));
}

#[test]
fn lengths_are_kept_to() {
    for (length, pieces, fine) in [
        ("3", &[&b"abc"[..]][..], true),
        ("3", &[b"a", b"bc"], true),
        ("3", &[b"ab"], false),
        ("3", &[b"abcd"], false),
        ("3", &[b"ab", b"cd"], false),
        ("0", &[b"a"], false),
        ("0", &[b""], true),
    ] {
        let mut codec = server();
        give(&mut codec, &sent(HEADERS, END_HEADERS, 1, &get_with(&[("content-length", length)])));
        let slot = codec.next_opened().unwrap();
        for (index, piece) in pieces.iter().enumerate() {
            let flags = if index + 1 == pieces.len() { END_STREAM } else { 0 };
            give(&mut codec, &sent(DATA, flags, 1, piece));
        }
        assert_eq!(codec.lost(slot).is_none(), fine, "{length} {pieces:?}");
        assert_eq!(codec.violation(), None);
    }
}

#[test]
fn trailers_end_a_stream_and_have_no_pseudo_header() {
    for (flags, fields, fine) in [
        (END_HEADERS | END_STREAM, &[("x-sum", "7")][..], true),
        (END_HEADERS, &[("x-sum", "7")], false),
        (END_HEADERS | END_STREAM, &[(":path", "/")], false),
        (END_HEADERS | END_STREAM, &[("X", "7")], false),
        (END_HEADERS | END_STREAM, &[("connection", "close")], false),
    ] {
        let mut codec = server();
        let slot = open(&mut codec, 1, false);
        give(&mut codec, &sent(DATA, 0, 1, b"abc"));
        give(&mut codec, &sent(HEADERS, flags, 1, &block(fields)));
        assert_eq!(codec.lost(slot).is_none(), fine, "{fields:?}");
        assert_eq!(codec.take_trailers(slot).map(|trailers| text(&trailers)).is_some(), fine);
        assert_eq!(codec.data(slot), b"abc");
    }
}

#[test]
fn a_head_larger_than_a_frame_is_continued() {
    let mut client = Codec::client(BOUNDS);
    let mut server = Codec::server(BOUNDS);
    exchange(&mut client, &mut server, 1000);
    let asked = client.begin(false).unwrap();
    let long = "z".repeat(50_000);
    let mut head = client.write_head(asked).unwrap();
    for (name, value) in GET {
        head.pseudo(name.as_bytes(), value.as_bytes());
    }
    head.field(b"x-long", long.as_bytes());
    head.finish(true);
    let kinds: Vec<_> = frames(client.output()).iter().map(|frame| (frame.0, frame.1)).collect();
    assert_eq!(kinds[0], (HEADERS, END_STREAM));
    assert_eq!(*kinds.last().unwrap(), (CONTINUATION, END_HEADERS));
    exchange(&mut client, &mut server, 1000);
    let slot = server.next_opened().unwrap();
    assert_eq!(server.take_head(slot).unwrap().values(b"x-long").next(), Some(long.as_bytes()));
}
