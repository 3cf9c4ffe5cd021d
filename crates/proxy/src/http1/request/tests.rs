use trellis_model::matching::RequestHead as _;

use super::super::{Framing, HeadError, MAX_HEAD, Version, storage};
use super::parse;

/// `Err` for a refused head, `Ok(None)` for an incomplete one, else what a target would get.
fn forwarded(text: &[u8]) -> Result<Option<String>, HeadError> {
    let mut storage = storage();
    Ok(parse(text, &mut storage)?.map(|head| {
        let mut out = Vec::new();
        head.write_for_target(&mut out, [b"x-added: 1\r\n", b""], b"10.0.0.9", b"some-id");
        String::from_utf8_lossy(&out).into_owned()
    }))
}

fn refusal(text: &str) -> Option<HeadError> {
    forwarded(text.as_bytes()).err()
}

#[test]
fn an_ordinary_request_passes_as_it_is_with_the_fields_of_the_proxy() {
    let sent = "GET /a/b?c=d HTTP/1.1\r\nHost: Cart.Example:8080\r\nAccept: */*\r\nX-A: 1\r\nX-A: 2\r\n\r\n";
    let expected = "GET /a/b?c=d HTTP/1.1\r\nHost: Cart.Example:8080\r\nAccept: */*\r\nX-A: 1\r\nX-A: 2\r\n\
                    x-added: 1\r\nx-amzn-requestid: some-id\r\nx-forwarded-for: 10.0.0.9\r\n\r\n";
    assert_eq!(forwarded(sent.as_bytes()).unwrap().unwrap(), expected);
    for cut in 0..sent.len() {
        assert_eq!(forwarded(&sent.as_bytes()[..cut]), Ok(None), "cut at {cut}");
    }
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    use HeadError::*;
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    for (text, expected) in [
        // Framing: the classic ways to smuggle a request past a proxy.
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), LengthAndEncoding),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), LengthAndEncoding),
        (post("Content-Length: 5\r\nContent-Length: 5\r\n"), ContentLengthRepeated),
        (post("Content-Length: 5\r\nContent-Length: 6\r\n"), ContentLengthRepeated),
        (post("Content-Length: 5, 5\r\n"), ContentLength),
        (post("Content-Length: +5\r\n"), ContentLength),
        (post("Content-Length: -5\r\n"), ContentLength),
        (post("Content-Length: 0x5\r\n"), ContentLength),
        (post("Content-Length: 5 5\r\n"), ContentLength),
        (post("Content-Length:\r\n"), ContentLength),
        (post("Content-Length: 99999999999999999999\r\n"), ContentLength),
        (post("Transfer-Encoding: gzip, chunked\r\n"), TransferEncoding),
        (post("Trailer: X-A, content-length\r\nTransfer-Encoding: chunked\r\n"), Trailer),
        (post("Transfer-Encoding: chunked, chunked\r\n"), TransferEncoding),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), TransferEncoding),
        (post("Transfer-Encoding: identity\r\n"), TransferEncoding),
        (post("Transfer-Encoding: xchunked\r\n"), TransferEncoding),
        (post("Transfer-Encoding: \"chunked\"\r\n"), TransferEncoding),
        (post("Transfer-Encoding:\r\n"), TransferEncoding),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(), EncodingInHttp10),
        // Line ends.
        ("GET / HTTP/1.1\nHost: a\r\n\r\n".into(), BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n".into(), BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n".into(), BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n".into(), BareLineFeed),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), BareLineFeed),
        // Host.
        ("GET / HTTP/1.1\r\n\r\n".into(), HostMissing),
        ("GET http://a/ HTTP/1.1\r\n\r\n".into(), HostMissing),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), HostRepeated),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n".into(), HostRepeated),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: []\r\n\r\n".into(), Host),
        // Targets.
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n".into(), Target),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n".into(), Target),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".into(), Target),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".into(), Target),
        ("GET https:/a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), Target),
        ("GET httpss://a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), Target),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), Target),
        ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n".into(), Target),
        ("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), Host),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n".into(), Target),
    ] {
        assert_eq!(refusal(&text), Some(expected), "{text:?}");
    }
}

#[test]
fn what_is_no_http_1_head_is_refused() {
    for text in [
        "GET /\r\n\r\n",
        "GET / HTTP/0.9\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x03\x03",
        "G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\u{b}: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n",
    ] {
        assert!(refusal(text).is_some(), "{text:?}");
    }
}

#[test]
fn limits_of_a_head_are_sixty_kilobytes_and_a_hundred_fields() {
    let with = |fields: usize| {
        let mut text = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
        for n in 1..fields {
            text += &format!("X-{n}: y\r\n");
        }
        text + "\r\n"
    };
    assert!(forwarded(with(100).as_bytes()).unwrap().is_some());
    assert_eq!(refusal(&with(101)), Some(HeadError::Syntax(httparse::Error::TooManyHeaders)));

    let of_size = |size: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "y".repeat(size - start.len() - 4))
    };
    assert!(forwarded(of_size(MAX_HEAD).as_bytes()).unwrap().is_some());
    assert_eq!(refusal(&of_size(MAX_HEAD + 1)), Some(HeadError::TooLarge));
    assert_eq!(refusal(&of_size(MAX_HEAD + 9)[..MAX_HEAD + 1]), Some(HeadError::TooLarge));
}

#[test]
fn fields_for_the_next_hop_only_and_forged_ones_do_not_pass() {
    let sent = "GET / HTTP/1.1\r\nKeep-Alive: 5\r\nHost: a\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n\
                Upgrade: websocket\r\nHTTP2-Settings: x\r\nProxy-Authorization: x\r\nProxy-Connection: x\r\n\
                TE: gzip, trailers\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Port: 1\r\nx-forwarded-proto: x\r\n\
                X-Amzn-Lattice-Identity: forged\r\nx_amzn_lattice_target: forged\r\nX-Amzn-Source-Vpc: forged\r\n\
                X-Forwarded-For: 5.6.7.8\r\nX-Amzn-RequestId: mine\r\nX-Last: z\r\n\r\n";
    let expected = "GET / HTTP/1.1\r\nHost: a\r\nX-Last: z\r\nx-added: 1\r\nx-amzn-requestid: some-id\r\n\
                    x-forwarded-for: 1.2.3.4, 5.6.7.8, 10.0.0.9\r\nte: trailers\r\nconnection: te\r\n\r\n";
    assert_eq!(forwarded(sent.as_bytes()).unwrap().unwrap(), expected);
}

#[test]
fn connection_cannot_take_away_fields_that_mean_something() {
    let sent =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close, host, content-length\r\n\r\n";
    let passed = forwarded(sent.as_bytes()).unwrap().unwrap();
    assert!(passed.contains("Host: a\r\nContent-Length: 3\r\n"), "{passed}");
}

#[test]
fn the_absolute_form_overrides_host() {
    for (target, origin, authority) in
        [("http://b:81/p?q", "/p?q", "b:81"), ("HTTP://b", "/", "b"), ("https://b?q", "/?q", "b")]
    {
        let text = format!("GET {target} HTTP/1.1\r\nX: 1\r\nHost: a\r\nY: 2\r\n\r\n");
        let mut storage = storage();
        let head = parse(text.as_bytes(), &mut storage).unwrap().unwrap();
        assert_eq!(head.authority, authority.as_bytes());
        assert_eq!(head.path, origin.split('?').next().unwrap().as_bytes());
        let passed = forwarded(text.as_bytes()).unwrap().unwrap();
        let expected =
            format!("GET {origin} HTTP/1.1\r\nHost: {authority}\r\nX: 1\r\nY: 2\r\nx-added: 1\r\n");
        assert!(passed.starts_with(&expected), "{passed}");
    }
}

#[test]
fn options_about_a_server_as_a_whole_reach_it_as_an_asterisk() {
    for target in ["*", "http://a", "https://a"] {
        let passed = forwarded(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert!(passed.unwrap().unwrap().starts_with("OPTIONS * HTTP/1.1\r\n"), "{target}");
    }
    let passed = forwarded(b"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().unwrap();
    assert!(passed.starts_with("OPTIONS / HTTP/1.1\r\n"), "{passed}");
}

#[test]
fn max_forwards_of_options_counts_this_hop() {
    for (method, value, expected) in [
        ("OPTIONS", "5", "max-forwards: 4\r\n"),
        ("OPTIONS", "1", "max-forwards: 0\r\n"),
        ("OPTIONS", "99999999999", "max-forwards: 4294967294\r\n"),
        ("OPTIONS", "many", "Max-Forwards: many\r\n"),
        ("GET", "5", "Max-Forwards: 5\r\n"),
    ] {
        let text = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n");
        let passed = forwarded(text.as_bytes()).unwrap().unwrap();
        assert!(passed.contains(expected), "{passed}");
        assert_eq!(passed.to_lowercase().matches("max-forwards").count(), 1, "{passed}");
    }
}

#[test]
fn the_name_of_a_service_is_the_host_without_port_and_final_dot() {
    for (host, expected) in [
        ("a", "a"),
        ("A.b:80", "A.b"),
        ("a.b.", "a.b"),
        ("a.b.:80", "a.b"),
        ("a:", "a"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut storage = storage();
        let head = parse(text.as_bytes(), &mut storage).unwrap().unwrap();
        assert_eq!(head.host(), expected.as_bytes(), "{host}");
    }
}

#[test]
fn framing_and_persistence_follow_version_and_fields() {
    let cases: [(&str, &str, Framing, bool); 9] = [
        ("1.1", "", Framing::None, true),
        ("1.1", "Connection: close\r\n", Framing::None, false),
        ("1.1", "Connection: Keep-Alive\r\n", Framing::None, true),
        ("1.0", "", Framing::None, false),
        ("1.0", "Connection: Keep-Alive\r\n", Framing::None, true),
        ("1.0", "Connection: keep-alive\r\nConnection: close\r\n", Framing::None, false),
        ("1.1", "Content-Length: 0\r\n", Framing::None, true),
        ("1.1", "Content-Length: 7\r\n", Framing::Length(7), true),
        ("1.1", "Transfer-Encoding: Chunked\r\n", Framing::Chunked, true),
    ];
    for (version, fields, framing, keep_alive) in cases {
        let text = format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let mut storage = storage();
        let head = parse(text.as_bytes(), &mut storage).unwrap().unwrap();
        assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{text:?}");
        assert_eq!(head.version == Version::Http11, version == "1.1");
    }
}

#[test]
fn an_expectation_counts_only_where_there_is_something_to_wait_for() {
    for (text, expected) in [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n", true),
        ("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false),
    ] {
        let mut storage = storage();
        let head = parse(text.as_bytes(), &mut storage).unwrap().unwrap();
        assert_eq!(head.expects_continue, expected, "{text:?}");
    }
}

#[test]
fn rules_see_every_value_and_the_joined_one_but_no_forged_fields() {
    let text = b"GET /p?q HTTP/1.1\r\nHost: a\r\nX-A: one\r\nx-a: two\r\nX-Amzn-Lattice-Identity: me\r\n\r\n";
    let mut storage = storage();
    let head = parse(text, &mut storage).unwrap().unwrap();
    assert_eq!((head.method(), head.path()), (&b"GET"[..], &b"/p"[..]));
    let mut seen = Vec::new();
    assert!(!head.any_header("X-a", &mut |value| {
        seen.push(value.to_vec());
        false
    }));
    assert_eq!(seen, [&b"one"[..], b"two", b"one, two"]);
    assert!(!head.any_header("x-amzn-lattice-identity", &mut |_| true));
    assert!(!head.any_header("x-b", &mut |_| true));
}

#[test]
fn blank_lines_before_a_request_are_skipped() {
    let passed = forwarded(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().unwrap();
    assert!(passed.starts_with("GET / HTTP/1.1\r\nHost: a\r\n"), "{passed}");
}
