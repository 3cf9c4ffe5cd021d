use super::super::{Framing, HeadError, storage};
use super::{Delivery, parse};

const STAY: Delivery = Delivery { chunked: false, close: false, http10: false };

fn delivered(text: &str, delivery: Delivery) -> String {
    let mut storage = storage();
    let head = parse(text.as_bytes(), &mut storage, false).unwrap().unwrap();
    let mut out = Vec::new();
    head.write_for_client(&mut out, delivery, b"some-id", b"date: now\r\n");
    String::from_utf8(out).unwrap()
}

#[test]
fn a_response_passes_as_it_is_with_the_id_of_its_request() {
    let sent = "HTTP/1.1 200 Fine Indeed\r\nDate: then\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 3\r\n\r\nabc";
    let expected = "HTTP/1.1 200 Fine Indeed\r\nDate: then\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 3\r\n\
                    x-amzn-requestid: some-id\r\n\r\n";
    assert_eq!(delivered(sent, STAY), expected);
}

#[test]
fn fields_for_the_next_hop_only_do_not_pass_and_a_missing_date_is_added() {
    let sent = "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nX-B: 2\r\n\
                Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nX-Amzn-RequestId: forged\r\n\r\n";
    let expected = "HTTP/1.1 200 OK\r\nX-B: 2\r\ndate: now\r\nx-amzn-requestid: some-id\r\n\
                    transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    assert_eq!(delivered(sent, Delivery { chunked: true, close: true, http10: false }), expected);
}

#[test]
fn lines_that_end_in_a_bare_line_feed_are_written_again_properly() {
    let sent = "HTTP/1.0 404 No\nX-A:  1 \nContent-Length: 0\n\n";
    let expected = "HTTP/1.1 404 No\r\nX-A: 1\r\nContent-Length: 0\r\ndate: now\r\n\
                    x-amzn-requestid: some-id\r\nconnection: keep-alive\r\n\r\n";
    assert_eq!(delivered(sent, Delivery { chunked: false, close: false, http10: true }), expected);
}

#[test]
fn blanks_before_a_colon_are_removed() {
    let sent =
        "HTTP/1.1 200 OK\r\nX-Space : 1\r\nX-Tab\t : 2\r\nContent-Length : 0\r\nDate: then\r\nX-A: 3\r\n\r\n";
    let expected = "HTTP/1.1 200 OK\r\nX-Space: 1\r\nX-Tab: 2\r\nContent-Length: 0\r\nDate: then\r\nX-A: 3\r\n\
                    x-amzn-requestid: some-id\r\n\r\n";
    assert_eq!(delivered(sent, STAY), expected);
    let mut storage = storage();
    assert_eq!(parse(sent.as_bytes(), &mut storage, false).unwrap().unwrap().framing, Framing::Length(0));
}

#[test]
fn the_end_of_a_body_follows_status_method_and_fields() {
    let cases: [(&str, bool, Framing, bool); 13] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", false, Framing::Length(3), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", true, Framing::None, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", false, Framing::Length(0), true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", false, Framing::Chunked, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", true, Framing::None, true),
        ("HTTP/1.1 200 OK\r\n", false, Framing::UntilClose, false),
        ("HTTP/1.1 200 OK\r\n", true, Framing::None, true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n", false, Framing::None, true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n", false, Framing::None, true),
        ("HTTP/1.1 100 Continue\r\n", false, Framing::None, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n", false, Framing::Length(3), false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n", false, Framing::Length(3), false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n",
            false,
            Framing::Length(3),
            true,
        ),
    ];
    for (head, to_head, framing, keep_alive) in cases {
        let text = format!("{head}\r\n");
        let mut storage = storage();
        let parsed = parse(text.as_bytes(), &mut storage, to_head).unwrap().unwrap();
        assert_eq!((parsed.framing, parsed.keep_alive), (framing, keep_alive), "{text:?} {to_head}");
    }
}

#[test]
fn a_204_loses_the_length_it_must_not_have_and_a_304_keeps_it() {
    let length = |status: &str| {
        delivered(&format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\n"), STAY).contains("Content-Length")
    };
    assert!(!length("204 No Content") && length("304 Not Modified"));
}

#[test]
fn what_does_not_end_for_certain_or_is_not_http_1_is_refused() {
    use HeadError::*;
    for (text, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", LengthAndEncoding),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", ContentLengthRepeated),
        ("HTTP/1.1 200 OK\r\nContent-Length: three\r\n\r\n", ContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", TransferEncoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", EncodingInHttp10),
        ("HTTP/1.1 099 Low\r\n\r\n", Status),
        ("HTTP/1.1 600 High\r\n\r\n", Status),
    ] {
        let mut storage = storage();
        assert_eq!(parse(text.as_bytes(), &mut storage, false).err(), Some(expected), "{text:?}");
    }
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\x15\x03\x01\x00\x02",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX y: z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n",
        "<html>",
    ] {
        let mut storage = storage();
        assert!(parse(text.as_bytes(), &mut storage, false).is_err(), "{text:?}");
    }
}
