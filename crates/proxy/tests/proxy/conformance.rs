//! What RFC 9110 and 9112 ask of who passes messages on, where no other test shows it.

use std::sync::Arc;

use crate::secure::*;
use crate::support::*;

#[test]
fn every_form_of_a_request_target_reaches_the_target_or_is_refused() {
    let target = TestTarget::saying("x");
    let identity = identity(&["a.test"]);
    let mut plain = service("a", forward(&group(1, &[target.address])));
    plain.custom_domain = Some("b");
    let secure = https("a.test", &identity, forward(&group(1, &[target.address])));
    let fixture = Fixture::new(world(vec![plain, secure]));
    for (request, status, arrives) in [
        ("GET /p?q HTTP/1.1\r\nHost: a\r\n\r\n", 200, "GET /p?q HTTP/1.1\r\nHost: a\r\n"),
        ("GET http://a/p?q HTTP/1.1\r\nHost: b\r\n\r\n", 200, "GET /p?q HTTP/1.1\r\nHost: a\r\n"),
        ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 200, "GET / HTTP/1.1\r\nHost: a\r\n"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200, "OPTIONS * HTTP/1.1\r\nHost: a\r\n"),
        ("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", 200, "OPTIONS * HTTP/1.1\r\nHost: a\r\n"),
        ("PROPFIND /p HTTP/1.1\r\nHost: a\r\n\r\n", 200, "PROPFIND /p HTTP/1.1\r\nHost: a\r\n"),
        // What is for https has no place on a connection without TLS.
        ("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, ""),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400, ""),
        ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, ""),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, ""),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400, ""),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, ""),
    ] {
        let before = target.requests.lock().unwrap().len();
        assert_eq!(fixture.client().call(request).status(), status, "{request:?}");
        let seen = target.requests.lock().unwrap();
        assert_eq!(seen.len() - before, usize::from(status == 200), "{request:?}");
        let arrived = seen.last().filter(|_| status == 200).map_or("", |request| &request.head);
        assert!(arrived.starts_with(arrives), "{request:?} came as {arrived:?}");
    }
    let config = Arc::new(trusting(&[&identity], &[]));
    for scheme in ["https", "http"] {
        let mut client = Wire::secure(fixture.secure_port(), "a.test", &config).unwrap();
        let answer = client.call(format!("GET {scheme}://a.test/p HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(answer.status(), 200, "{scheme}");
        assert!(target.last_request().head.starts_with("GET /p HTTP/1.1\r\nHost: a.test\r\n"), "{scheme}");
    }
}

#[test]
fn options_that_may_go_no_further_and_echoes_are_answered_here() {
    let target = TestTarget::saying("x");
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    let options =
        |forwards: &str| format!("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {forwards}\r\n\r\n");
    assert_eq!(client.call(options("0")).text(), "OK");
    assert!(target.requests.lock().unwrap().is_empty());
    assert_eq!(client.call(options("1")).text(), "x");
    assert_eq!(target.last_request().header("max-forwards").as_deref(), Some("0"));
    let refused = client.call("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n");
    assert_eq!((refused.status(), refused.head.contains("\r\nallow: \r\n")), (405, true), "{}", refused.head);
    assert_eq!(target.requests.lock().unwrap().len(), 1);
}

#[test]
fn fields_a_proxy_has_no_use_for_cross_unchanged_and_in_order() {
    let of_a_request = "Authorization: Basic YTpi\r\nX-One: 1\r\nVia: 1.0 earlier\r\nX-One: 2\r\n\
                        Cache-Control: no-transform\r\nRange: bytes=0-3\r\nIf-None-Match: \"a\"\r\n\
                        Accept-Encoding: gzip;q=0.5\r\nForwarded: for=9.9.9.9\r\nX-Latin: caf\u{e9}\r\nX-Empty:\r\n";
    const OF_AN_ANSWER: &str = "WWW-Authenticate: Basic realm=\"a, b\"\r\nX-One: 1\r\nVia: 1.1 later\r\n\
                                X-One: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Encoding: gzip\r\n\
                                ETag: \"a\"\r\nAge: 3\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Empty:\r\n";
    let target = TestTarget::answering(|_| {
        format!("HTTP/1.1 401 As Said\r\n{OF_AN_ANSWER}Content-Length: 4\r\n\r\n\u{1f}\0\u{7f}x")
    });
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    let answer = client.call(format!("GET /%7ea/../b?c=%2F HTTP/1.1\r\nHost: a\r\n{of_a_request}\r\n"));
    let arrived = target.last_request().head;
    let expected = format!("GET /%7ea/../b?c=%2F HTTP/1.1\r\nHost: a\r\n{of_a_request}");
    assert!(arrived.starts_with(&expected), "{arrived}");
    let expected = format!("HTTP/1.1 401 As Said\r\n{OF_AN_ANSWER}Content-Length: 4\r\n");
    assert!(answer.head.starts_with(&expected), "{}", answer.head);
    assert_eq!(answer.text(), "\u{1f}\0\u{7f}x");
}

#[test]
fn what_an_answer_may_not_say_of_its_body_is_not_passed_on() {
    let target = TestTarget::answering(|request| match request.head.split(' ').nth(1).unwrap() {
        "/204" => "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        "/103" => format!("HTTP/1.1 103 Hints\r\nContent-Length: 3\r\n\r\n{}", ok("x")),
        _ => "HTTP/1.1 200 OK\r\nX-Blank \t: 1\r\nTransfer-Encoding : chunked\r\n\r\n\
              1\r\nx\r\n0\r\nX-Sum : 1\r\n\r\n"
            .into(),
    });
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    assert_eq!(client.get("a", "/204").header("transfer-encoding"), None);
    client.send("GET /103 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_until("\r\n\r\n").unwrap(), "HTTP/1.1 103 Hints\r\n\r\n");
    assert_eq!(client.read_message().unwrap().text(), "x");
    let answer = client.get("a", "/");
    assert_eq!((answer.header("x-blank").as_deref(), answer.text().as_str()), (Some("1"), "x"));
    assert_eq!(answer.trailers, "X-Sum: 1\r\n");
}

#[test]
fn names_with_underscores_that_mean_something_with_dashes_reach_no_target() {
    let target = TestTarget::saying("x");
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let answer = fixture.client().call(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent_Length: 9\r\nX_Api_Key: kept\r\n\
         Proxy_Connection: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent_Length: 9\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    let seen = target.last_request();
    for name in ["transfer_encoding", "content_length", "proxy_connection"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!((seen.header("x_api_key").as_deref(), seen.trailers.as_str()), (Some("kept"), "X-Sum: 1\r\n"));
}
