//! Clients that mean harm: what they may cost is bounded, and others are served meanwhile.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field as HPACK has it without indexing and without Huffman's code.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, name.len() as u8];
    field.extend(name.bytes());
    field.push(value.len() as u8);
    field.extend(value.bytes());
    field
}

fn head() -> Vec<u8> {
    // :method GET, :scheme https, :path / of the static table, and :authority a.
    let mut head = vec![0x82, 0x87, 0x84];
    head.extend(literal(":authority", "a"));
    head
}

/// Sends `flood` again and again until the proxy ends the connection; what its GOAWAY says, which may be
/// lost where it still has unread bytes.
async fn until_ended(fixture: &Fixture, mut flood: impl FnMut(u32) -> Vec<u8>) -> Option<(u32, String)> {
    let (mut from, mut to) = tokio::io::split(dial(fixture).await);
    to.write_all(PREFACE).await.unwrap();
    to.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    let flooding = async {
        for n in 0..2_000_000 {
            if to.write_all(&flood(n)).await.is_err() {
                return;
            }
        }
        panic!("nothing stops the client");
    };
    let reading = async {
        let mut code = None;
        let mut header = [0; 9];
        while from.read_exact(&mut header).await.is_ok() {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let mut payload = vec![0; length];
            if from.read_exact(&mut payload).await.is_err() {
                break;
            }
            if header[3] == GOAWAY {
                let words = String::from_utf8_lossy(&payload[8..]).into_owned();
                code = Some((u32::from_be_bytes(payload[4..8].try_into().unwrap()), words));
            }
        }
        code
    };
    let mut flooding = std::pin::pin!(flooding);
    tokio::select! {
        biased;
        code = reading => code,
        () = &mut flooding => None,
    }
}

/// Others are served while `attack` lasts.
async fn meanwhile<T>(fixture: &Fixture, attack: impl Future<Output = T>) -> T {
    let mut client = Http2::connect(fixture).await;
    let mut attack = std::pin::pin!(attack);
    loop {
        tokio::select! {
            biased;
            ended = &mut attack => {
                assert_eq!(client.get("/").await.status, 200);
                return ended;
            }
            answer = client.get("/") => assert_eq!(answer.status, 200),
        }
    }
}

#[test]
fn floods_of_frames_that_carry_nothing_end_the_connection() {
    let target = TestTarget::saying("x");
    let fixture = before(&target);
    run(async {
        for (kind, payload, words) in [
            (PING, &[0; 8][..], "PINGs"),
            (SETTINGS, &[], "SETTINGS"),
            (2, &[0; 5], "PRIORITYs"),
            (0xee, &[], "without a meaning"),
        ] {
            let attack =
                until_ended(&fixture, |_| frame(kind, 0, u32::from(kind == 2) * 101, payload).repeat(100));
            let end = meanwhile(&fixture, attack).await;
            assert_calm(end, words);
        }
    });
    eventually("they are gone", || fixture.metric("trellis_proxy_connections_open") == 0.0);
    assert_eq!(fixture.metric("trellis_unrouted_failures_total{reason=\"ClientRateLimited\"}"), 4.0);
}

/// The end of a flood says which bound was reached, and speaks of no error.
fn assert_calm(end: Option<(u32, String)>, words: &str) {
    if let Some((code, said)) = end {
        assert_eq!(code, ENHANCE_YOUR_CALM, "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn frames_of_nothing_but_padding_end_the_connection() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_to_end();
    });
    let mut fixture = before(&target);
    run(async {
        let attack = until_ended(&fixture, |n| match n {
            0 => frame(HEADERS, 0x4, 1, &head()),
            _ => frame(0, 0x8, 1, &[0]).repeat(100),
        });
        assert_calm(attack.await, "empty DATA");
    });
    assert_eq!(
        reasons(&mut fixture),
        [(0, "ClientRateLimited".to_owned())],
        "it is no error of the protocol"
    );
}

#[test]
fn requests_reset_as_soon_as_they_are_made_end_the_connection() {
    let target = TestTarget::saying("x");
    let fixture = before(&target);
    run(async {
        let reset = |n: u32, flags, head: &[u8], body: &[u8]| {
            let stream = 2 * n + 1;
            let mut all = frame(HEADERS, flags, stream, head);
            for _ in 0..body.len() {
                all.extend(frame(0, 0x8, stream, &[0]));
            }
            all.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
            all
        };
        let large = [head(), literal("x", &"y".repeat(120)).repeat(40)].concat();
        for (what, flags, head, body) in [
            ("alone", 0x5, head(), &[][..]),
            ("with 22 empty DATA", 0x4, head(), &[0; 22][..]),
            ("with heads of 5 KiB", 0x5, large, &[][..]),
        ] {
            let attack = until_ended(&fixture, |n| reset(n, flags, &head, body));
            let end = meanwhile(&fixture, attack).await;
            assert!(end.as_ref().is_none_or(|(code, _)| *code == ENHANCE_YOUR_CALM), "{what}: {end:?}");
        }
    });
    eventually("nothing is left of them", || {
        fixture.metric("trellis_service_active_requests{service=\"svc-00000000000000001\"}") == 0.0
    });
    assert!(target.connections() < 5_000, "{} connections to the target", target.connections());
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let target = TestTarget::saying("x");
    let fixture = before(&target);
    run(async {
        let attack = until_ended(&fixture, |n| match n {
            0 => frame(HEADERS, 0, 1, &head()),
            _ => frame(CONTINUATION, 0, 1, &[]).repeat(50),
        });
        meanwhile(&fixture, attack).await;
        let attack = until_ended(&fixture, |n| match n {
            0 => frame(HEADERS, 0, 1, &head()),
            _ => frame(CONTINUATION, 0, 1, &literal("x", &"y".repeat(120)).repeat(100)),
        });
        meanwhile(&fixture, attack).await;
    });
}

#[test]
fn a_small_head_that_grows_large_is_refused() {
    let target = TestTarget::saying("x");
    let fixture = before(&target);
    run(async {
        // One field of 4,000 bytes goes into the table and is named a thousand times.
        let attack = until_ended(&fixture, |n| {
            let mut bomb = head();
            let value = "y".repeat(3_900);
            bomb.extend([0x40, 1, b'x', 0x7f]);
            let mut rest = value.len() - 127;
            while rest >= 128 {
                bomb.push((rest % 128) as u8 | 0x80);
                rest /= 128;
            }
            bomb.push(rest as u8);
            bomb.extend(value.bytes());
            bomb.extend([0xbe].repeat(4_000));
            frame(HEADERS, 0x5, 2 * n + 1, &bomb)
        });
        meanwhile(&fixture, attack).await;
    });
    assert_eq!(target.last_request().header("x"), None);
}

#[test]
fn more_streams_than_announced_are_refused() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_to_end();
    });
    let fixture = before(&target);
    run(async {
        let (mut from, mut to) = tokio::io::split(dial(&fixture).await);
        let mut all = PREFACE.to_vec();
        all.extend(frame(SETTINGS, 0, 0, &[]));
        for n in 0..200 {
            all.extend(frame(HEADERS, 0x5, 2 * n + 1, &head()));
        }
        to.write_all(&all).await.unwrap();
        let mut refused = 0;
        while refused < 72 {
            let mut header = [0; 9];
            from.read_exact(&mut header).await.unwrap();
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let mut payload = vec![0; length];
            from.read_exact(&mut payload).await.unwrap();
            refused += usize::from(header[3] == RST_STREAM && payload == 7u32.to_be_bytes());
        }
        eventually("128 are under way", || target.connections() == 128);
        // While the client is still there: its streams end with it.
        let active = "trellis_service_active_requests{service=\"svc-00000000000000001\"}";
        assert_eq!(fixture.metric(active), 128.0);
    });
}

#[test]
fn streams_beyond_what_a_worker_serves_are_refused() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_to_end();
    });
    let limits = Limits { http2_streams_per_worker: 2, ..Limits::default() };
    let spec = spec("a", forward(&group(1, &[target.address])));
    let fixture = Fixture::with(world(vec![spec]), limits);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let _first = client.begin(request("POST", "a", "/")).await;
        let _second = client.begin(request("POST", "a", "/")).await;
        let error = client.call(get("a", "/")).await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
    });
    let series = "trellis_unrouted_failures_total{reason=\"ClientRateLimited\"}";
    assert_eq!(fixture.metric(series), 1.0);
}

#[test]
fn a_window_that_stays_shut_costs_its_stream_after_the_idle_timeout() {
    let target = TestTarget::answering(|_| ok(&"x".repeat(200_000)));
    let mut spec = spec("a", forward(&group(1, &[target.address])));
    spec.idle_timeout = Duration::from_millis(300);
    let mut fixture = Fixture::new(world(vec![spec]));
    run(async {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        let mut client = Http2::with(&fixture, &builder).await;
        assert_eq!(client.call(get("a", "/")).await.unwrap_err().reason(), Some(h2::Reason::CANCEL));
    });
    assert_eq!(reasons(&mut fixture), [(200, "ClientConnectionClosed".to_owned())]);
}

#[test]
fn a_connection_that_never_says_what_it_wants_ends() {
    let target = TestTarget::saying("x");
    let limits = Limits { head_timeout: Duration::from_millis(100), ..Limits::default() };
    let spec = spec("a", forward(&group(1, &[target.address])));
    let fixture = Fixture::with(world(vec![spec]), limits);
    run(async {
        let mut silent = dial(&fixture).await;
        silent.write_all(&PREFACE[..10]).await.unwrap();
        let mut rest = Vec::new();
        let _ = silent.read_to_end(&mut rest).await;
    });
}

#[test]
fn a_stream_that_breaks_the_protocol_leaves_a_line() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_to_end();
    });
    let mut fixture = before(&target);
    run(async {
        let (mut from, mut to) = tokio::io::split(dial(&fixture).await);
        let mut all = PREFACE.to_vec();
        all.extend(frame(SETTINGS, 0, 0, &[]));
        let with = |name: &str, value: &str| [head(), literal(name, value)].concat();
        // Malformed from the start; more data than its length says; trailers that are none.
        all.extend(frame(HEADERS, 0x5, 1, &with("X-Upper", "y")));
        all.extend(frame(HEADERS, 0x4, 3, &with("content-length", "1")));
        all.extend(frame(0, 0, 3, b"two"));
        all.extend(frame(HEADERS, 0x4, 5, &head()));
        all.extend(frame(HEADERS, 0x5, 5, &literal(":path", "/")));
        to.write_all(&all).await.unwrap();
        let mut reset = Vec::new();
        while reset.len() < 3 {
            let mut header = [0; 9];
            from.read_exact(&mut header).await.unwrap();
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let mut payload = vec![0; length];
            from.read_exact(&mut payload).await.unwrap();
            if header[3] == RST_STREAM {
                assert_eq!(payload, 1u32.to_be_bytes(), "PROTOCOL_ERROR");
                reset.push(header[8]);
            }
        }
        reset.sort_unstable();
        assert_eq!(reset, [1, 3, 5]);
    });
    eventually("all have ended", || {
        fixture.metric("trellis_service_active_requests{service=\"svc-00000000000000001\"}") == 0.0
    });
    let lines = fixture.log_lines();
    let mut hosts: Vec<_> = lines.iter().map(|line| line["hostHeader"].as_str().unwrap()).collect();
    hosts.sort_unstable();
    assert_eq!(hosts, ["-", "a", "a"]);
    for line in &lines {
        assert_eq!((line["responseCode"].as_u64(), line["protocol"].as_str()), (Some(0), Some("HTTP/2")));
        assert_eq!(line["failureReason"], "ClientProtocolError");
    }
}

#[test]
fn a_head_above_what_is_announced_is_a_431() {
    let target = TestTarget::saying("fine");
    let mut fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let mut asked = get("a", "/");
        for _ in 0..4 {
            asked.headers_mut().append("x-large", "y".repeat(40_000).parse().unwrap());
        }
        assert_eq!(client.call(asked).await.unwrap().status, 431);
        assert_eq!(client.get("/").await.text(), "fine");
    });
    let expected = [(200, "-"), (431, "ClientProtocolError")];
    assert_eq!(reasons(&mut fixture), expected.map(|(status, reason)| (status, reason.to_owned())));
}
