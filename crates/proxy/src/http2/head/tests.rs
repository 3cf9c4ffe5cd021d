use super::super::codec::{Bounds, Codec};
use super::*;
use crate::hpack::Decoder;
use trellis_model::matching::RequestHead as _;

/// The head of a request for a URI, or for a path alone.
fn fields(method: &str, uri: &str, fields: &[(&str, &str)]) -> Fields {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("https", uri));
    let at = if rest.len() < uri.len() { rest.find('/').unwrap_or(rest.len()) } else { 0 };
    let (authority, path) = rest.split_at(at);
    let mut all = vec![(":method", method), (":scheme", scheme), (":path", path)];
    if !authority.is_empty() {
        all.push((":authority", authority));
    }
    all.extend(fields);
    Fields::of_request(&all)
}

fn refusal(method: &str, uri: &str, with: &[(&str, &str)]) -> Option<HeadError> {
    Checked::new(&fields(method, uri, with)).err()
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    let large = "y".repeat(MAX_HEAD);
    let many: Vec<(&str, &str)> = (0..=MAX_HEADERS).map(|_| ("x-many", "y")).collect();
    for (method, uri, with, expected) in [
        ("GET", "https://a/", &[("x-large", large.as_str())][..], HeadError::TooLarge),
        ("GET", "https://a/", &many[..], HeadError::TooLarge),
        ("GET", "gopher://a/", &[], HeadError::Scheme),
        ("GET", "*", &[("host", "a")], HeadError::Path),
        ("GET", "https://a/b c", &[], HeadError::Path),
        ("GET", "https://a/b#c", &[], HeadError::Path),
        ("GET", "b", &[("host", "a")], HeadError::Path),
        ("GET", "/", &[], HeadError::Authority),
        ("POST", "/", &[("host", "a"), ("trailer", "x-a,Transfer-Encoding")], HeadError::Trailer),
        ("GET", "https://user@a/", &[], HeadError::Authority),
        ("GET", "https://a/", &[("host", "b")], HeadError::Authority),
        ("GET", "https://a/", &[("host", "a"), ("host", "a")], HeadError::Authority),
        ("GET", "/", &[("host", "a b")], HeadError::Authority),
        ("GET", "/", &[("host", "")], HeadError::Authority),
        ("GET", "https://a/", &[("x", " y")], HeadError::WhiteSpace),
        ("GET", "https://a/", &[("x", "y\t")], HeadError::WhiteSpace),
        ("POST", "https://a/", &[("content-length", "+1")], HeadError::ContentLength),
        ("POST", "https://a/", &[("content-length", "1"), ("content-length", "1")], HeadError::ContentLength),
    ] {
        assert_eq!(refusal(method, uri, with), Some(expected), "{method} {uri}");
    }
    for (method, uri, with) in [
        ("GET", "https://a/", &[][..]),
        ("GET", "https://a:8443/b?c", &[("host", "A:8443")]),
        ("OPTIONS", "*", &[("host", "a")]),
        ("GET", "/b", &[("host", "[::1]:80")]),
    ] {
        assert_eq!(refusal(method, uri, with), None, "{method} {uri}");
    }
}

fn added() -> Added<'static> {
    Added {
        lines: [b"x-forwarded-port: 443\r\n", b""],
        fields: [&[]; 2],
        request_id: b"id",
        client: b"10.0.0.1",
    }
}

#[test]
fn a_head_for_http1_has_one_cookie_and_nothing_of_this_hop() {
    let fields = fields(
        "POST",
        "https://cart.example:443/a?b=c",
        &[
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("te", "trailers"),
            ("x-forwarded-for", "9.9.9.9"),
            ("x-amzn-lattice-identity", "forged"),
            ("x-kept", "yes"),
        ],
    );
    let mut out = Vec::new();
    Checked::new(&fields).unwrap().write_for_http1(&mut out, &added(), true);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "POST /a?b=c HTTP/1.1\r\nhost: cart.example:443\r\nx-kept: yes\r\ncookie: a=1; b=2\r\n\
         x-forwarded-port: 443\r\nx-amzn-requestid: id\r\nx-forwarded-for: 9.9.9.9, 10.0.0.1\r\n\
         transfer-encoding: chunked\r\nte: trailers\r\nconnection: te\r\n\r\n"
    );
}

#[test]
fn max_forwards_of_options_counts_this_hop_over_http2_too() {
    for (method, expected) in [("OPTIONS", "max-forwards: 4\r\n"), ("GET", "max-forwards: 5\r\n")] {
        let fields = fields(method, "https://a/", &[("max-forwards", "5")]);
        let mut out = Vec::new();
        Checked::new(&fields).unwrap().write_for_http1(&mut out, &added(), false);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(expected) && text.matches("max-forwards").count() == 1, "{text}");
    }
}

#[test]
fn a_head_for_http2_keeps_the_authority_and_te() {
    let fields = fields("POST", "/p.S/M", &[("host", "grpc.example"), ("te", "trailers"), ("x-kept", "yes")]);
    let mut target = Codec::client(Bounds { streams: 0, stream_window: 65_535, connection_window: 65_535 });
    let slot = target.begin(false).unwrap();
    target.wrote(target.output().len());
    let mut out = target.write_head(slot).unwrap();
    Checked::new(&fields).unwrap().write_for_http2(&mut out, &added(), false);
    out.finish(true);
    let mut decoded = Vec::new();
    let block = &target.output()[9..];
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Decoder::new(4096)
        .decode(block, |name, value, _| {
            decoded.push(format!("{}: {}", text(name), text(value)));
            Ok::<_, ()>(())
        })
        .unwrap();
    assert_eq!(
        decoded,
        [
            ":method: POST",
            ":scheme: http",
            ":authority: grpc.example",
            ":path: /p.S/M",
            "te: trailers",
            "x-kept: yes",
            "x-amzn-requestid: id",
            "x-forwarded-for: 10.0.0.1",
        ]
    );
}

#[test]
fn rules_see_the_authority_as_host_and_repeated_fields_joined() {
    let fields = fields("GET", "https://a.example/x", &[("x-stage", "blue"), ("x-stage", "green")]);
    let head = Checked::new(&fields).unwrap();
    for (name, value, expected) in [
        ("Host", "a.example", true),
        ("X-Stage", "green", true),
        ("x-stage", "blue, green", true),
        ("x-stage", "red", false),
        ("x-amzn-lattice-target", "", false),
    ] {
        assert_eq!(head.any_header(name, &mut |found| found == value.as_bytes()), expected, "{name} {value}");
    }
}

#[test]
fn only_a_post_of_grpc_is_grpc() {
    let speaks = |method: &str, content_type: &str| {
        Checked::new(&fields(method, "https://a/p.S/M", &[("content-type", content_type)])).unwrap().speaks
    };
    assert_eq!(speaks("POST", "application/grpc"), Speaks::Grpc);
    assert_eq!(speaks("POST", "application/grpc+proto"), Speaks::Grpc);
    assert_eq!(speaks("POST", "application/json"), Speaks::Http2);
    assert_eq!(speaks("GET", "application/grpc"), Speaks::Http2);
}
