//! The codec against frames made by hand, and against itself.

mod answers;
mod bounds;
mod connection;
mod flow;
mod heads;
mod pair;
mod streams;

use super::frame::*;
use super::*;

const BOUNDS: Bounds = Bounds { streams: 4, stream_window: 70_000, connection_window: 100_000 };

/// A frame as a peer would send it.
fn sent(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, kind, flags, stream, payload);
    out
}

/// Whole frames, taken apart: kind, flags, stream and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some(head) = Head::read(bytes) {
        let (frame, rest) = bytes.split_at(HEADER + head.length);
        found.push((head.kind, head.flags, head.stream, frame[HEADER..].to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    found
}

/// What the codec has to say, which it then has said.
fn said(codec: &mut Codec) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let found = frames(codec.output());
    codec.wrote(codec.output().len());
    found
}

/// The streams reset in what the codec has to say, and why.
fn resets(codec: &mut Codec) -> Vec<(u32, Reason)> {
    let reset = |(kind, _, stream, payload): (u8, u8, u32, Vec<u8>)| {
        (kind == RST_STREAM).then(|| (stream, Reason(number(&payload).unwrap())))
    };
    said(codec).into_iter().filter_map(reset).collect()
}

/// A server's codec whose client has sent its SETTINGS.
fn server() -> Codec {
    let mut codec = Codec::server(BOUNDS);
    give(&mut codec, &sent(SETTINGS, 0, 0, &[]));
    said(&mut codec);
    codec
}

/// A client's codec whose server has sent its SETTINGS.
fn client() -> Codec {
    let mut codec = Codec::client(BOUNDS);
    codec.wrote(codec.output().len());
    give(&mut codec, &sent(SETTINGS, 0, 0, &[]));
    said(&mut codec);
    codec
}

/// Asks for something; the stream and its id.
fn ask(codec: &mut Codec) -> (Slot, u32) {
    let slot = codec.begin(false).unwrap();
    let mut head = codec.write_head(slot).unwrap();
    GET.iter().for_each(|(name, value)| head.pseudo(name.as_bytes(), value.as_bytes()));
    head.finish(true);
    let id = said(codec).pop().unwrap().2;
    (slot, id)
}

fn give(codec: &mut Codec, bytes: &[u8]) {
    codec.receive(bytes);
}

/// A header block without indexing and without Huffman's code.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.extend([0, u8::try_from(name.len()).unwrap()]);
        block.extend(name.bytes());
        assert!(value.len() < 127);
        block.push(value.len() as u8);
        block.extend(value.bytes());
    }
    block
}

const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a")];

fn get_with(fields: &[(&str, &str)]) -> Vec<u8> {
    block(&[GET, fields].concat())
}

/// Begins a stream; `end`: without a body.
fn open(codec: &mut Codec, id: u32, end: bool) -> Slot {
    let flags = END_HEADERS | if end { END_STREAM } else { 0 };
    give(codec, &sent(HEADERS, flags, id, &block(GET)));
    codec.next_opened().expect("the stream is accepted")
}

fn text(fields: &Fields) -> Vec<String> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|(_, name, value)| format!("{}: {}", lossy(name), lossy(value))).collect()
}

/// Moves everything both sides have to say, in pieces of `cut` bytes.
fn exchange(client: &mut Codec, server: &mut Codec, cut: usize) {
    let preface = client.output().strip_prefix(PREFACE).map(|_| PREFACE.len());
    client.wrote(preface.unwrap_or(0));
    while !client.output().is_empty() || !server.output().is_empty() {
        carry(client, server, cut);
        carry(server, client, cut);
    }
}

fn carry(from: &mut Codec, to: &mut Codec, cut: usize) {
    let bytes = from.output().to_vec();
    from.wrote(bytes.len());
    let mut held = Vec::new();
    for piece in bytes.chunks(cut) {
        held.extend_from_slice(piece);
        let taken = to.receive(&held);
        held.drain(..taken);
    }
    assert!(held.is_empty() || to.is_finished(), "whole frames are taken");
}
