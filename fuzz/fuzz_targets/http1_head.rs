//! Heads and chunked bodies as clients and targets might send them. What passes must, written again
//! for the other side, be read there as the same message; how bytes are cut must not matter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trellis_proxy::http1::chunked::Decoder;
use trellis_proxy::http1::response::Delivery;
use trellis_proxy::http1::{self, HeadError, request, response};

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 3 {
        0 => of_request(bytes),
        1 => of_response(bytes, kind & 0x80 != 0),
        _ => of_chunks(bytes, usize::from(kind >> 2)),
    }
});

/// Limits that the fields a proxy adds can push a message over.
fn only_too_big(error: HeadError) -> bool {
    matches!(error, HeadError::TooLarge | HeadError::Syntax(httparse::Error::TooManyHeaders))
}

fn of_request(bytes: &[u8]) {
    let mut storage = http1::storage();
    let Ok(Some(head)) = request::parse(bytes, &mut storage) else { return };
    assert!(head.length() <= bytes.len());
    assert!(http1::may_be_complete(bytes, 0));
    let mut out = Vec::new();
    head.write_for_target(&mut out, [b"x-forwarded-proto: http\r\n", b""], b"10.0.0.1", b"id");
    if head.authority.is_empty() {
        // HTTP/1.0 without a host: never forwarded, no service has that name.
        return;
    }
    let mut storage = http1::storage();
    match request::parse(&out, &mut storage) {
        Ok(Some(again)) => {
            assert_eq!(again.length(), out.len());
            assert_eq!((again.method, again.framing), (head.method, head.framing));
            assert_eq!((again.path, again.authority), (head.path, head.authority));
        }
        Ok(None) => panic!("incomplete when written again"),
        Err(error) => assert!(only_too_big(error), "{error} when written again"),
    }
}

fn of_response(bytes: &[u8], to_head: bool) {
    let mut storage = http1::storage();
    let Ok(Some(head)) = response::parse(bytes, &mut storage, to_head) else { return };
    assert!(head.length() <= bytes.len());
    let chunked = matches!(head.framing, http1::Framing::Chunked | http1::Framing::UntilClose);
    let mut out = Vec::new();
    let delivery = Delivery { chunked, close: false, http10: false };
    head.write_for_client(&mut out, delivery, b"id", b"date: now\r\n");
    let mut storage = http1::storage();
    match response::parse(&out, &mut storage, to_head) {
        Ok(Some(again)) => {
            assert_eq!((again.length(), again.status), (out.len(), head.status));
            match head.framing {
                http1::Framing::UntilClose => assert_eq!(again.framing, http1::Framing::Chunked),
                framing => assert_eq!(again.framing, framing),
            }
        }
        Ok(None) => panic!("incomplete when written again"),
        Err(error) => assert!(only_too_big(error), "{error} when written again"),
    }
}

fn of_chunks(bytes: &[u8], cut: usize) {
    let whole = decode(&[bytes]);
    let cut = cut.min(bytes.len());
    assert_eq!(decode(&[&bytes[..cut], &bytes[cut..]]), whole);
}

/// The data, what follows the body, and the trailers; `None` when the body is refused.
fn decode(pieces: &[&[u8]]) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let mut decoder = Decoder::default();
    let (mut data, mut rest, mut trailers) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        let mut buffer = piece.to_vec();
        let step = decoder.decode(&mut buffer).ok()?;
        data.extend_from_slice(&buffer[step.data]);
        rest.extend_from_slice(&buffer[step.consumed..]);
    }
    decoder.write_trailers(&mut trailers);
    Some((data, rest, trailers))
}
