use super::*;

#[test]
fn more_streams_than_announced_are_refused_and_others_go_on() {
    let mut codec = server();
    let slots: Vec<_> = (0..4).map(|n| open(&mut codec, 2 * n + 1, true)).collect();
    give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 9, &block(GET)));
    assert_eq!(resets(&mut codec), [(9, Reason::REFUSED_STREAM)]);
    assert_eq!(codec.next_opened(), None);
    codec.send_last(slots[0], b"").unwrap();
    open(&mut codec, 11, true);
    assert_eq!(codec.violation(), None);
}

#[test]
fn streams_reset_at_once_do_not_pile_up() {
    let mut codec = server();
    let mut refused = 0;
    for n in 0..1000 {
        give(&mut codec, &sent(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &block(GET)));
        give(&mut codec, &sent(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]));
        refused += resets(&mut codec).len();
    }
    assert_eq!(codec.taken(), 8, "nobody has let them go");
    assert_eq!(refused, 992);
}

#[test]
fn a_stream_the_client_has_ended_takes_nothing_more() {
    for frame in [sent(DATA, 0, 1, b"x"), sent(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", "y")]))] {
        let mut codec = server();
        let slot = open(&mut codec, 1, true);
        give(&mut codec, &frame);
        assert_eq!(resets(&mut codec), [(1, Reason::STREAM_CLOSED)]);
        assert_eq!(codec.lost(slot), Some(Lost::Violated { connection: false }));

        let mut codec = server();
        let slot = open(&mut codec, 1, true);
        codec.send_last(slot, b"x").unwrap();
        give(&mut codec, &frame);
        assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::STREAM_CLOSED));
        assert_eq!(codec.lost(slot), None, "it had ended well");
    }
}

#[test]
fn what_was_on_its_way_to_a_stream_that_was_reset_is_ignored() {
    let mut codec = server();
    let slot = open(&mut codec, 1, false);
    codec.reset(slot, Reason::INTERNAL_ERROR);
    codec.reset(slot, Reason::CANCEL);
    assert_eq!(resets(&mut codec), [(1, Reason::INTERNAL_ERROR)], "once");
    for frame in [
        sent(DATA, 0, 1, b"x"),
        sent(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 0]),
        sent(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", "y")])),
        sent(RST_STREAM, 0, 1, &[0; 4]),
        sent(PRIORITY, 0, 1, &[0; 5]),
    ] {
        give(&mut codec, &frame);
    }
    assert_eq!((said(&mut codec), codec.violation()), (vec![], None));
    codec.let_go(slot);
    assert_eq!(codec.taken(), 0);
}

#[test]
fn a_reset_is_heard_and_nothing_can_be_said_any_more() {
    let mut codec = server();
    let slot = open(&mut codec, 1, false);
    give(&mut codec, &sent(DATA, 0, 1, b"half"));
    give(&mut codec, &sent(RST_STREAM, 0, 1, &[0, 0, 0xff, 0xff]));
    assert_eq!(codec.lost(slot), Some(Lost::Reset(Reason(0xffff))));
    assert!(codec.write_head(slot).is_none());
    assert_eq!(codec.send_last(slot, b"x"), Err(Lost::Reset(Reason(0xffff))));
    codec.let_go(slot);
    assert_eq!((said(&mut codec), codec.taken()), (vec![], 0));
}

#[test]
fn letting_a_stream_go_ends_it_as_it_stands() {
    for (ended_by_client, answered, expected) in [
        (true, true, None),
        (false, true, Some(Reason::NO_ERROR)),
        (true, false, Some(Reason::CANCEL)),
        (false, false, Some(Reason::CANCEL)),
    ] {
        let mut codec = server();
        let slot = open(&mut codec, 1, ended_by_client);
        if answered {
            codec.send_last(slot, b"done").unwrap();
        }
        codec.let_go(slot);
        let resets: Vec<_> = resets(&mut codec).into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(resets, Vec::from_iter(expected), "{ended_by_client} {answered}");
        assert_eq!(codec.taken(), 0);
    }
}

#[test]
fn data_comes_to_whoever_holds_the_stream_and_to_nobody_else() {
    let mut codec = server();
    let slots = [open(&mut codec, 1, false), open(&mut codec, 3, false)];
    give(&mut codec, &[sent(DATA, 0, 3, b"three"), sent(DATA, 0, 1, b"one")].concat());
    give(&mut codec, &sent(DATA, END_STREAM, 3, b"!"));
    assert_eq!((codec.data(slots[0]), codec.data(slots[1])), (&b"one"[..], &b"three!"[..]));
    assert_eq!(slots.map(|slot| codec.is_received(slot)), [false, true]);
    codec.consume(slots[1], 5);
    assert_eq!(codec.data(slots[1]), b"!");
    let mut kept = b"kept ".to_vec();
    codec.take_data(slots[1], &mut kept);
    assert_eq!(kept, b"kept !");
}
