//! A client's first bytes on a port for TLS: how they are cut must not matter, and a name that is
//! found is one that DNS could have. Where the TLS library finds a name too, it is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trellis_proxy::tls::client_hello::{Hello, Reader};

fuzz_target!(|data: &[u8]| {
    let Some((&step, bytes)) = data.split_first() else { return };
    let whole = Reader::default().read(bytes);
    let mut reader = Reader::default();
    let mut cut = 0;
    let pieced = loop {
        match reader.read(&bytes[..cut]) {
            Ok(Hello::NeedMore) if cut < bytes.len() => cut = (cut + usize::from(step) + 1).min(bytes.len()),
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
});
