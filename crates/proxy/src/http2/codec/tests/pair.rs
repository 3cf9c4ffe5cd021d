//! A client's and a server's codec, one against the other.

use super::*;

fn pair() -> (Codec, Codec) {
    let (mut client, mut server) = (Codec::client(BOUNDS), Codec::server(BOUNDS));
    assert_eq!(client.peers_streams(), None);
    exchange(&mut client, &mut server, usize::MAX);
    assert_eq!(client.peers_streams(), Some(BOUNDS.streams));
    (client, server)
}

fn ask(client: &mut Codec, to_head: bool, end: bool) -> Slot {
    let slot = client.begin(to_head).unwrap();
    let mut head = client.write_head(slot).unwrap();
    for (name, value) in GET {
        head.pseudo(name.as_bytes(), value.as_bytes());
    }
    head.field_in_any_case(b"X-Kept", b"yes");
    head.finish(end);
    slot
}

fn answer(server: &mut Codec, slot: Slot, status: u16, fields: &[(&str, &str)], end: bool) {
    let mut head = server.write_head(slot).unwrap();
    head.status(status);
    fields.iter().for_each(|(name, value)| head.field(name.as_bytes(), value.as_bytes()));
    head.finish(end);
}

#[test]
fn a_call_with_trailers_crosses_however_the_bytes_are_cut() {
    for cut in 1..60 {
        let (mut client, mut server) = pair();
        let asked = ask(&mut client, false, false);
        client.send(asked, b"ping", false).unwrap();
        let mut trailers = client.write_head(asked).unwrap();
        trailers.field(b"x-sum", b"1");
        trailers.finish(true);
        exchange(&mut client, &mut server, cut);
        let slot = server.next_opened().unwrap();
        assert_eq!(text(&server.take_head(slot).unwrap()), ["x-kept: yes"]);
        assert_eq!((server.data(slot), server.is_received(slot)), (&b"ping"[..], true));
        assert_eq!(text(&server.take_trailers(slot).unwrap()), ["x-sum: 1"]);
        answer(&mut server, slot, 103, &[("link", "a")], false);
        answer(&mut server, slot, 200, &[("grpc", "yes")], false);
        server.send(slot, b"pong", false).unwrap();
        let mut trailers = server.write_head(slot).unwrap();
        trailers.field(b"grpc-status", b"0");
        trailers.finish(true);
        server.let_go(slot);
        exchange(&mut client, &mut server, cut);
        let statuses: Vec<_> =
            std::iter::from_fn(|| client.take_head(asked)).map(|head| head.status()).collect();
        assert_eq!(statuses, [103, 200]);
        assert_eq!(client.data(asked), b"pong");
        assert_eq!(text(&client.take_trailers(asked).unwrap()), ["grpc-status: 0"]);
        client.let_go(asked);
        exchange(&mut client, &mut server, cut);
        assert_eq!((client.taken(), server.taken()), (0, 0));
        assert_eq!((client.violation(), server.violation()), (None, None));
    }
}

#[test]
fn a_large_body_crosses_as_its_reader_makes_room() {
    let (mut client, mut server) = pair();
    let asked = ask(&mut client, false, false);
    exchange(&mut client, &mut server, 5000);
    let slot = server.next_opened().unwrap();
    let body: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut sent, mut read) = (0, Vec::new());
    while !server.is_received(slot) {
        sent += client.send(asked, &body[sent..], true).unwrap();
        exchange(&mut client, &mut server, 5000);
        assert!(server.data(slot).len() <= BOUNDS.stream_window as usize);
        let count = server.data(slot).len();
        server.take_data(slot, &mut read);
        server.release(slot, count);
        exchange(&mut client, &mut server, 5000);
    }
    assert!(read == body);
}

#[test]
fn answers_that_break_the_protocol_cost_their_stream() {
    for (fields, end) in [
        (&[(":status", "200"), (":status", "200")][..], true),
        (&[("x", "y")], true),
        (&[(":status", "20")], true),
        (&[(":status", "099")], true),
        (&[(":status", "2xx")], true),
        (&[(":status", "200"), (":path", "/")], true),
        (&[(":status", "100")], true),
        (&[(":status", "200"), ("connection", "close")], true),
        (&[(":status", "200"), ("content-length", "1")], true),
        (&[(":status", "200"), ("content-length", "x")], false),
        (&[(":status", "200"), ("content-length", "1"), ("content-length", "1")], false),
    ] {
        let (mut client, mut server) = pair();
        let asked = ask(&mut client, false, true);
        exchange(&mut client, &mut server, usize::MAX);
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        give(&mut client, &sent(HEADERS, flags, 1, &block(fields)));
        assert_eq!(client.lost(asked), Some(Lost::Violated { connection: false }), "{fields:?}");
        assert_eq!(resets(&mut client), [(1, Reason::PROTOCOL_ERROR)]);
    }
}

#[test]
fn an_answer_to_head_has_a_length_and_no_body() {
    for (to_head, status, fine) in [(true, 200, true), (false, 304, true), (false, 200, false)] {
        let (mut client, mut server) = pair();
        let asked = ask(&mut client, to_head, true);
        exchange(&mut client, &mut server, usize::MAX);
        let slot = server.next_opened().unwrap();
        answer(&mut server, slot, status, &[("content-length", "9")], true);
        exchange(&mut client, &mut server, usize::MAX);
        assert_eq!(client.lost(asked).is_none(), fine, "{to_head} {status}");
    }
}

#[test]
fn data_before_a_head_costs_the_stream() {
    let (mut client, mut server) = pair();
    let asked = ask(&mut client, false, true);
    exchange(&mut client, &mut server, usize::MAX);
    give(&mut client, &sent(DATA, 0, 1, b"early"));
    assert_eq!(client.lost(asked), Some(Lost::Violated { connection: false }));
}

#[test]
fn what_only_a_server_may_not_do_ends_its_connection() {
    for (what, frame) in [
        ("push", sent(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a stream of its own", sent(HEADERS, END_HEADERS, 2, &block(&[(":status", "200")]))),
        ("an answer to nothing", sent(HEADERS, END_HEADERS, 3, &block(&[(":status", "200")]))),
        ("ENABLE_PUSH", sent(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1])),
    ] {
        let (mut client, mut server) = pair();
        let asked = ask(&mut client, false, true);
        exchange(&mut client, &mut server, usize::MAX);
        give(&mut client, &frame);
        assert_eq!(
            client.violation().map(|violation| violation.reason),
            Some(Reason::PROTOCOL_ERROR),
            "{what}"
        );
        assert_eq!(client.lost(asked), Some(Lost::Violated { connection: true }));
    }
}

#[test]
fn a_goaway_names_what_was_not_looked_at() {
    let (mut client, mut server) = pair();
    let (first, second) = (ask(&mut client, false, true), ask(&mut client, false, true));
    exchange(&mut client, &mut server, usize::MAX);
    give(&mut client, &sent(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]));
    assert_eq!((client.lost(first), client.lost(second)), (None, Some(Lost::Unseen)));
    assert!(!client.may_begin() && client.begin(false).is_none());
    give(&mut client, &sent(GOAWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 0]));
    give(&mut client, &sent(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":status", "200")])));
    assert_eq!(client.take_head(first).unwrap().status(), 200);
}

#[test]
fn windows_of_both_sides_are_as_announced() {
    let (mut client, mut server) = pair();
    let asked = ask(&mut client, false, false);
    let body = vec![0; 200_000];
    let mut sent = 0;
    for _ in 0..10 {
        sent += client.send(asked, &body[sent..], false).unwrap();
        exchange(&mut client, &mut server, usize::MAX);
    }
    assert_eq!(sent, BOUNDS.stream_window as usize);
}
