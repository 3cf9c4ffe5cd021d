//! What a client of HTTP/2 might send, in whatever pieces. Nothing may panic, and what is kept of it
//! stays within what was announced.
#![no_main]

#[path = "http2/mod.rs"]
mod http2;

use http2::{BOUNDS, Peer};
use libfuzzer_sys::fuzz_target;
use trellis_proxy::http2::codec::Codec;

fuzz_target!(|data: &[u8]| {
    let Some((control, bytes)) = data.split_first() else { return };
    let mut peer = Peer::new(Codec::server(BOUNDS), true, *control);
    peer.settle();
    peer.send(bytes, |codec, held| {
        while let Some(slot) = codec.next_opened() {
            drop(codec.take_head(slot));
            held.push(slot);
        }
        codec.take_malformed();
    });
});
