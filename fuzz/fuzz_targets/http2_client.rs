//! What a server of HTTP/2 might answer, in whatever pieces. Nothing may panic, and what is kept of it
//! stays within what was announced.
#![no_main]

#[path = "http2/mod.rs"]
mod http2;

use http2::{BOUNDS, Peer};
use libfuzzer_sys::fuzz_target;
use trellis_proxy::http2::codec::Codec;

fuzz_target!(|data: &[u8]| {
    let Some((control, bytes)) = data.split_first() else { return };
    let mut peer = Peer::new(Codec::client(BOUNDS), false, *control);
    peer.settle();
    peer.send(bytes, |codec, held| {
        if held.len() < BOUNDS.streams as usize {
            held.extend(codec.begin(held.len() % 2 == 1));
        }
        for slot in &*held {
            drop(codec.take_head(*slot));
        }
    });
});
