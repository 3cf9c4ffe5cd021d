//! Any bytes as a request to any service: decoding must not panic, what it accepts must satisfy the
//! description again, and every refusal must be a client's fault that can be encoded.
//!
//! The input is lines: service, method, path, query, target, content type; the rest is the body.
#![no_main]

use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use trellis_api::{Incoming, Schema, decode, dispatch, encode_error, guess_protocol, validate};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(7, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let [which, method, path, query, target, content_type, body] = std::array::from_fn(|_| next());
    let (Ok(path), Ok(query)) = (std::str::from_utf8(path), std::str::from_utf8(query)) else { return };
    let method = Method::from_bytes(method).unwrap_or(Method::POST);
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-amz-target", target), ("content-type", content_type), ("authorization", which)]
    {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let incoming = Incoming { method: &method, raw_path: path, raw_query: query, headers: &headers, body };
    let guessed = guess_protocol(Schema::all(), &incoming);
    if let Err(exception) = dispatch::route(Schema::all(), &incoming) {
        encode_error(None, guessed, &exception, "request");
    }

    let services = Schema::all().services();
    let service = services[usize::from(which.first().copied().unwrap_or_default()) % services.len()];
    match decode(service, &incoming) {
        Ok(decoded) => {
            validate::input(service, decoded.protocol, decoded.operation, &decoded.input)
                .expect("what decode accepts keeps every limit");
        }
        Err(exception) => {
            assert!((400..500).contains(&exception.status), "{exception}");
            encode_error(Some(service), service.protocol, &exception, "request");
        }
    }
});
