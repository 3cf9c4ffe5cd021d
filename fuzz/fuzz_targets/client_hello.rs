//! A client's first bytes on a port for TLS: how they are cut must not matter, and a name that is
//! found is one that DNS could have. Where the TLS library finds a name too, it is the same.
//!
//! The first byte says how the bytes are cut, the second what the rest is: bytes as they are, or
//! changes to the hello of a real client, perhaps in other records.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use trellis_proxy::tls::client_hello::{Hello, Reader};

static HELLOS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let text = include_str!("../../crates/proxy/src/tls/client_hello/tests/hellos.txt");
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    let hello =
        |line: &str| line.rsplit(' ').next().unwrap_or_default().as_bytes().chunks(2).map(octet).collect();
    text.lines().map(hello).collect()
});

fuzz_target!(|data: &[u8]| {
    let [step, kind, rest @ ..] = data else { return };
    let step = usize::from(*step) + 1;
    if kind % 2 == 0 { check(step, rest) } else { check(step, &changed(usize::from(kind / 2), rest)) }
});

/// One of the hellos. Three bytes a change: where (two), and what to exclusive-or. The rest of the
/// number says in records of which size.
fn changed(number: usize, changes: &[u8]) -> Vec<u8> {
    let (which, size) = (number % HELLOS.len(), number / HELLOS.len());
    let mut hello = HELLOS[which].clone();
    for change in changes.chunks_exact(3).take(8) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % hello.len();
        hello[at] ^= change[2];
    }
    if size == 0 {
        return hello;
    }
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    hello[5..].chunks(size * 9).flat_map(record).collect()
}

fn check(step: usize, bytes: &[u8]) {
    let whole = Reader::default().read(bytes);
    let mut reader = Reader::default();
    let mut cut = 0;
    let pieced = loop {
        match reader.read(&bytes[..cut]) {
            Ok(Hello::NeedMore) if cut < bytes.len() => cut = (cut + step).min(bytes.len()),
            settled => break settled,
        }
    };
    assert_eq!(pieced, whole);
    let Ok(Hello::Name(name)) = whole else { return };
    let name = name.as_str();
    assert!((1..=253).contains(&name.len()) && name == name.to_ascii_lowercase());
    let mut acceptor = rustls::server::Acceptor::default();
    let mut rest = bytes;
    while let Ok(1..) = acceptor.read_tls(&mut rest) {
        match acceptor.accept() {
            Ok(Some(accepted)) => return assert_eq!(accepted.client_hello().server_name(), Some(name)),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}
