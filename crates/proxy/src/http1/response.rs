//! The head of a response: read from a target, written for a client.

use httparse::{Header, Response as Raw};

use super::fields::{Connection, Field, field};
use super::{
    Framing, HeadError, MAX_HEAD, Storage, Version, check_line_ends, content_length, copy_fields, offset,
};

/// A response head that passed every check. Slices are of the buffer it was read from.
#[derive(Debug)]
pub struct ResponseHead<'h, 'b> {
    bytes: &'b [u8],
    headers: &'h [Header<'b>],
    dropped: u128,
    pub version: Version,
    /// 100 to 599.
    pub status: u16,
    reason: &'b [u8],
    /// Every line ends in CRLF and has its colon behind the name, so that lines can be copied as they are.
    tidy: bool,
    pub framing: Framing,
    /// The target is willing to take another request on this connection.
    pub keep_alive: bool,
    /// It says when it was made.
    pub(crate) dated: bool,
}

/// What the client is told about the connection and the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The body, as the client will see it, is chunked.
    pub chunked: bool,
    /// The connection ends after this response.
    pub close: bool,
    /// The client speaks HTTP/1.0, where staying must be said.
    pub http10: bool,
}

/// Reads a head from the front of `buf`; `None` when more bytes are needed. `to_head`: it answers
/// a HEAD request, so no body follows whatever it says.
///
/// # Errors
/// What the target sent is not HTTP/1, or its end cannot be known for certain.
pub fn parse<'h, 'b>(
    buf: &'b [u8],
    storage: &'h mut Storage<'b>,
    to_head: bool,
) -> Result<Option<ResponseHead<'h, 'b>>, HeadError> {
    let mut raw = Raw::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    // "A proxy MUST remove any such whitespace from a response message before forwarding the message
    // downstream" (RFC 9112, 5.1); in a request it is refused.
    config.allow_spaces_after_header_name_in_responses(true);
    let length = match config.parse_response_with_uninit_headers(&mut raw, buf, storage)? {
        httparse::Status::Complete(length) if length <= MAX_HEAD => length,
        httparse::Status::Partial if buf.len() <= MAX_HEAD => return Ok(None),
        _ => return Err(HeadError::TooLarge),
    };
    let bytes = &buf[..length];
    let headers: &'h [Header<'b>] = raw.headers;
    let status = raw.code.filter(|code| (100..=599).contains(code)).ok_or(HeadError::Status)?;
    let version = Version::from_minor(raw.version);

    let mut dropped = 0u128;
    let mut length: Option<u64> = None;
    let mut chunked = false;
    let mut dated = false;
    let mut connection = Connection::default();
    let bodiless = matches!(status, 100..=199 | 204);
    for (index, header) in headers.iter().enumerate() {
        let drop = match field(header.name.as_bytes()) {
            Field::Connection => {
                connection.add(header.value)?;
                true
            }
            Field::ContentLength => {
                if length.replace(content_length(header.value)?).is_some() {
                    return Err(HeadError::ContentLengthRepeated);
                }
                bodiless
            }
            Field::TransferEncoding => {
                if chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::TransferEncoding);
                }
                chunked = true;
                true
            }
            Field::Date => {
                dated = true;
                false
            }
            Field::HopByHop | Field::Te | Field::RequestId => true,
            Field::Other
            | Field::Expect
            | Field::ForwardedFor
            | Field::Host
            | Field::MaxForwards
            | Field::Reserved
            | Field::UserAgent => false,
        };
        dropped |= u128::from(drop) << index;
    }
    if connection.nominates_any() {
        for (index, header) in headers.iter().enumerate() {
            dropped |= u128::from(connection.nominates(header.name.as_bytes())) << index;
        }
    }
    if chunked && length.is_some() {
        return Err(HeadError::LengthAndEncoding);
    }
    if chunked && version == Version::Http10 {
        return Err(HeadError::EncodingInHttp10);
    }
    let framing = match length {
        _ if bodiless || to_head || status == 304 => Framing::None,
        _ if chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    };
    let keep_alive = framing != Framing::UntilClose
        && match version {
            Version::Http11 => !connection.close,
            Version::Http10 => connection.keep_alive && !connection.close,
        };
    let reason = raw.reason.unwrap_or_default().as_bytes();
    // "a recipient MAY recognize a single LF as a line terminator" (RFC 9112, 2.2): from a target
    // it is harmless, because lines that end so are written again from their parts.
    let first = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(0);
    let colon_follows = |header: &Header<'_>| {
        bytes.get(offset(bytes, header.name.as_bytes()) + header.name.len()) == Some(&b':')
    };
    let tidy = check_line_ends(bytes, first, headers).is_ok() && headers.iter().all(colon_follows);
    Ok(Some(ResponseHead {
        bytes,
        headers,
        dropped,
        version,
        status,
        reason,
        tidy,
        framing,
        keep_alive,
        dated,
    }))
}

impl ResponseHead<'_, '_> {
    /// Bytes of the buffer the head takes up.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the head the client gets: this one without what is hop-by-hop, with the request's
    /// id and, where the target gave none, `date`, a complete line.
    pub fn write_for_client(&self, out: &mut Vec<u8>, delivery: Delivery, request_id: &[u8], date: &[u8]) {
        self.write_status_and_fields(out);
        if !self.dated {
            // "MUST record the time it was received and append a corresponding Date header field"
            // (RFC 9110, 6.6.1)
            out.extend_from_slice(date);
        }
        out.extend_from_slice(b"x-amzn-requestid: ");
        out.extend_from_slice(request_id);
        out.extend_from_slice(b"\r\n");
        write_delivery(out, delivery);
        out.extend_from_slice(b"\r\n");
    }

    /// The fields that are passed on, for a client that does not speak HTTP/1.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let kept = |index: &usize| self.dropped & (1 << index) == 0;
        (0..self.headers.len())
            .filter(kept)
            .map(|index| (self.headers[index].name, self.headers[index].value))
    }

    /// Appends an interim response, 1xx, as it is passed on.
    pub fn write_interim(&self, out: &mut Vec<u8>) {
        self.write_status_and_fields(out);
        out.extend_from_slice(b"\r\n");
    }

    fn write_status_and_fields(&self, out: &mut Vec<u8>) {
        let digit = |n: u16| b'0' + (n % 10) as u8;
        let code = [digit(self.status / 100), digit(self.status / 10), digit(self.status), b' '];
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(&code);
        out.extend_from_slice(self.reason);
        out.extend_from_slice(b"\r\n");
        if self.tidy {
            copy_fields(out, self.bytes, self.headers, self.dropped);
            return;
        }
        for (index, header) in self.headers.iter().enumerate() {
            if self.dropped & (1 << index) == 0 {
                out.extend_from_slice(header.name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(header.value);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// Appends the lines that say how the body comes and whether the connection stays.
pub fn write_delivery(out: &mut Vec<u8>, delivery: Delivery) {
    if delivery.chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    match (delivery.close, delivery.http10) {
        (true, _) => out.extend_from_slice(b"connection: close\r\n"),
        (false, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (false, false) => {}
    }
}

#[cfg(test)]
mod tests;
