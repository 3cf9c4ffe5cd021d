use super::*;

/// SETTINGS_INITIAL_WINDOW_SIZE.
fn initial_window(size: u32) -> Vec<u8> {
    let mut setting = vec![0, 4];
    setting.extend(size.to_be_bytes());
    sent(SETTINGS, 0, 0, &setting)
}

fn update(stream: u32, by: u32) -> Vec<u8> {
    sent(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// Bytes of DATA in what the codec has to say, by stream.
fn data(codec: &mut Codec) -> Vec<(u32, usize)> {
    let data = |(kind, _, stream, payload): (u8, u8, u32, Vec<u8>)| {
        (kind == DATA).then_some((stream, payload.len()))
    };
    said(codec).into_iter().filter_map(data).collect()
}

#[test]
fn no_more_is_sent_than_the_windows_allow_in_frames_that_are_not_too_large() {
    let mut codec = server();
    let slot = open(&mut codec, 1, true);
    let body = vec![b'x'; 200_000];
    assert_eq!(codec.send(slot, &body, true), Ok(65_535));
    assert_eq!(data(&mut codec), [(1, 16_384), (1, 16_384), (1, 16_384), (1, 16_383)]);
    assert_eq!(codec.send(slot, &body, true), Ok(0));
    give(&mut codec, &update(1, 10));
    assert_eq!(codec.send(slot, &body, true), Ok(0), "the connection has no room");
    give(&mut codec, &update(0, 4));
    assert_eq!(codec.send(slot, &body, true), Ok(4));
    assert_eq!(codec.send(slot, b"", true), Ok(0), "an end needs no room");
    assert_eq!(said(&mut codec).pop().unwrap().1, END_STREAM);
}

#[test]
fn a_smaller_initial_window_makes_room_negative_and_a_larger_one_gives_it_back() {
    let mut codec = server();
    let slot = open(&mut codec, 1, true);
    codec.send(slot, &[0; 60_000], false).unwrap();
    data(&mut codec);
    give(&mut codec, &initial_window(10));
    assert_eq!(codec.send(slot, b"x", false), Ok(0));
    give(&mut codec, &update(1, 59_990));
    assert_eq!(codec.send(slot, b"x", false), Ok(0), "now it is zero");
    give(&mut codec, &initial_window(13));
    assert_eq!(codec.send(slot, b"12345", false), Ok(3));
    assert_eq!(data(&mut codec), [(1, 3)]);
}

#[test]
fn a_window_above_the_largest_costs_the_stream_or_the_connection() {
    let mut codec = server();
    let slot = open(&mut codec, 1, true);
    give(&mut codec, &update(1, window::LARGEST - 65_535));
    assert_eq!(codec.lost(slot), None);
    give(&mut codec, &update(1, 1));
    assert_eq!(resets(&mut codec), [(1, Reason::FLOW_CONTROL_ERROR)]);
    assert_eq!(codec.lost(slot), Some(Lost::Violated { connection: false }));

    open(&mut codec, 3, true);
    give(&mut codec, &update(3, 1));
    give(&mut codec, &initial_window(window::LARGEST));
    assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::FLOW_CONTROL_ERROR));

    let mut codec = server();
    give(&mut codec, &update(0, window::LARGEST));
    assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::FLOW_CONTROL_ERROR));
}

#[test]
fn a_stream_window_opened_by_nothing_costs_the_stream() {
    let mut codec = server();
    open(&mut codec, 1, true);
    give(&mut codec, &update(1, 0));
    assert_eq!(resets(&mut codec), [(1, Reason::PROTOCOL_ERROR)]);
}

#[test]
fn what_comes_beyond_a_window_is_refused() {
    let full = |stream| sent(DATA, 0, stream, &[0; 10_000]);
    let mut codec = server();
    let slot = open(&mut codec, 1, false);
    give(&mut codec, &full(1).repeat(7));
    assert_eq!(codec.lost(slot), None);
    give(&mut codec, &sent(DATA, 0, 1, b"x"));
    assert_eq!(resets(&mut codec), [(1, Reason::FLOW_CONTROL_ERROR)]);
    open(&mut codec, 3, false);
    give(&mut codec, &full(3).repeat(3));
    assert_eq!(codec.violation().map(|violation| violation.reason), Some(Reason::FLOW_CONTROL_ERROR));
}

#[test]
fn room_is_given_again_when_data_is_released_and_padding_at_once() {
    let mut codec = server();
    let slot = open(&mut codec, 1, false);
    let mut padded = vec![99];
    padded.extend([0; 10_000]);
    give(&mut codec, &sent(DATA, PADDED, 1, &padded));
    assert_eq!(codec.data(slot).len(), 10_000 - 99);
    give(&mut codec, &sent(DATA, 0, 1, &[0; 16_000]).repeat(3));
    assert_eq!(said(&mut codec), [], "everything is still held");
    let mut taken = Vec::new();
    codec.take_data(slot, &mut taken);
    codec.release(slot, taken.len());
    let held = 10_001 + 3 * 16_000u32;
    let expected = [(1, held), (0, held)].map(|(id, by)| (WINDOW_UPDATE, 0, id, by.to_be_bytes().to_vec()));
    assert_eq!(said(&mut codec), expected);
    codec.release(slot, 1_000_000);
    assert_eq!(said(&mut codec), [], "nothing is released twice");
}

#[test]
fn data_nobody_wants_does_not_shut_the_connection() {
    let mut codec = server();
    for n in 0..20 {
        let slot = open(&mut codec, 2 * n + 1, false);
        give(&mut codec, &sent(DATA, 0, 2 * n + 1, &[0; 16_000]));
        codec.let_go(slot);
        // It was on its way when the stream was reset.
        give(&mut codec, &sent(DATA, END_STREAM, 2 * n + 1, &[0; 16_000]));
    }
    assert_eq!(codec.violation(), None);
    assert_eq!(codec.taken(), 0);
}

#[test]
fn what_is_said_last_leaves_as_the_windows_open() {
    let mut codec = server();
    give(&mut codec, &initial_window(3));
    let slots = [open(&mut codec, 1, true), open(&mut codec, 3, false)];
    said(&mut codec);
    for slot in slots {
        codec.send_last(slot, b"Not Found").unwrap();
        codec.let_go(slot);
    }
    assert_eq!(data(&mut codec), [(1, 3), (3, 3)]);
    give(&mut codec, &update(3, 1_000));
    let words = said(&mut codec);
    assert_eq!((words[0].0, words[0].1, words[0].2), (DATA, END_STREAM, 3));
    assert_eq!(words[1], (RST_STREAM, 0, 3, vec![0; 4]), "nobody listens to the rest");
    give(&mut codec, &update(1, 5));
    assert_eq!(data(&mut codec), [(1, 5)]);
    assert_eq!(codec.taken(), 1);
    give(&mut codec, &initial_window(4));
    assert_eq!(data(&mut codec), [(1, 1)]);
    assert_eq!(codec.taken(), 0);
}

#[test]
fn whoever_waits_for_the_connection_is_served_in_turn() {
    use std::task::{Context, Waker};
    let cx = Context::from_waker(Waker::noop());
    let mut codec = server();
    let slots = [1, 3, 5].map(|id| open(&mut codec, id, true));
    for slot in slots {
        assert_eq!(codec.send(slot, &[0; 21_845], false), Ok(21_845));
        said(&mut codec);
    }
    for slot in slots {
        assert!(codec.poll_send(slot, &cx, b"more", false).is_pending());
    }
    assert_eq!(codec.waiting, slots);
    give(&mut codec, &update(0, 6));
    assert!(codec.waiting.is_empty());
    for slot in slots {
        let _ = codec.poll_send(slot, &cx, b"more", false);
    }
    assert_eq!(codec.waiting, [slots[2]], "the last has to wait for more");
    codec.let_go(slots[2]);
    assert!(codec.waiting.is_empty());
}
