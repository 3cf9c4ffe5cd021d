//! Header blocks of a hostile peer, and fields through our own writer and reader.
#![no_main]

use std::convert::Infallible;

use libfuzzer_sys::fuzz_target;
use trellis_proxy::hpack::{Decoder, Encoder, Indexing};

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    if kind & 1 == 0 { of_blocks(bytes, usize::from(kind) << 8) } else { of_fields(bytes) }
});

/// What was refused by the caller must leave the table as it would be otherwise.
fn of_blocks(bytes: &[u8], max_table: usize) {
    let (mut one, mut other) = (Decoder::new(max_table), Decoder::new(max_table));
    for block in bytes.split(|&byte| byte == 0xfe) {
        let (mut taken, mut refused) = (Vec::new(), 0);
        let done = one.decode(block, |name, value, _| {
            taken.push((name.to_vec(), value.to_vec()));
            Ok::<_, Infallible>(())
        });
        let again = other.decode(block, |_, _, _| {
            refused += 1;
            if refused == taken.len() { Err(()) } else { Ok(()) }
        });
        assert_eq!(again.is_err(), done.is_err() || refused > 0);
        assert_eq!(refused, taken.len());
        if done.is_err() {
            return;
        }
    }
}

/// Pieces of `bytes` are names and values in turn; some of them change the size of the table.
fn of_fields(bytes: &[u8]) {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let mut pieces = bytes.split(|&byte| byte == b'\n');
    while let Some(name) = pieces.next() {
        let value = pieces.next().unwrap_or_default();
        if let Some(&b'~') = name.first() {
            encoder.set_max_table(value.len() * 16);
        }
        let indexing = [Indexing::Always, Indexing::Always, Indexing::Without, Indexing::Never];
        let indexing = indexing[value.len() % 4];
        let (mut block, mut fields) = (Vec::new(), 0);
        for _ in 0..2 {
            encoder.encode(name, value, indexing, &mut block);
        }
        let done = decoder.decode(&block, |decoded, text, never_indexed| {
            assert_eq!((decoded, text), (name, value));
            assert_eq!(never_indexed, indexing == Indexing::Never);
            fields += 1;
            Ok::<_, Infallible>(())
        });
        assert!(done.is_ok() && fields == 2);
    }
}
