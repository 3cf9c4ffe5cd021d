//! HTTP/1.1 on the wire: heads read strictly, heads written, chunked bodies decoded. No I/O.
//!
//! Strict means that a message two parsers could read differently is refused, not repaired: that
//! is what request smuggling is made of. What passes is written again from its parts, so nothing
//! that was not understood reaches the other side.

pub mod chunked;
pub(crate) mod fields;
pub mod request;
pub mod response;

use std::mem::MaybeUninit;

use httparse::Header;

/// Most bytes of a head: "total header block > 60K or > 100 headers -> 400" (VPC Lattice user guide).
pub const MAX_HEAD: usize = 60 * 1024;

/// Most header fields of a head. The mask of dropped fields has room for 128.
pub const MAX_HEADERS: usize = 100;

/// Where the header slices of one head live while it is looked at: on the stack, never cleared.
pub type Storage<'b> = [MaybeUninit<Header<'b>>; MAX_HEADERS];

/// An empty [`Storage`].
pub fn storage<'b>() -> Storage<'b> {
    [const { MaybeUninit::uninit() }; MAX_HEADERS]
}

/// The two versions spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

impl Version {
    fn from_minor(minor: Option<u8>) -> Self {
        if minor == Some(0) { Self::Http10 } else { Self::Http11 }
    }
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    Chunked,
    /// Responses only: the body ends with the connection.
    UntilClose,
}

/// Why a head was refused. Each is one way to read a message differently from another parser, or
/// past a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("syntax: {0}")]
    Syntax(httparse::Error),
    #[error("a line does not end in CRLF")]
    BareLineFeed,
    #[error("head larger than {MAX_HEAD} bytes")]
    TooLarge,
    #[error("request target is malformed")]
    Target,
    #[error("Host is missing")]
    HostMissing,
    #[error("Host is given twice")]
    HostRepeated,
    #[error("Host is malformed")]
    Host,
    #[error("Content-Length is not one number")]
    ContentLength,
    #[error("Content-Length is given twice")]
    ContentLengthRepeated,
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    #[error("Transfer-Encoding is not exactly chunked")]
    TransferEncoding,
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    EncodingInHttp10,
    #[error("Trailer announces what frames a message")]
    Trailer,
    #[error("Connection names too many fields")]
    Connection,
    #[error("status code is not in 100..=599")]
    Status,
}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        Self::Syntax(error)
    }
}

/// Whether `buf` may hold a whole head, looking only at what came after `scanned`: a cheap test
/// that keeps a head sent byte by byte from being parsed for every byte.
pub fn may_be_complete(buf: &[u8], scanned: usize) -> bool {
    let from = scanned.saturating_sub(3);
    memchr::memchr_iter(b'\n', &buf[from..]).any(|at| {
        let rest = &buf[from + at + 1..];
        matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..])
    })
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize).min(whole.len())
}

/// Checks that each line of the head ends in CRLF and nothing but CRLF stands before the first.
/// httparse has made sure that a line feed stands nowhere but at a line's end.
fn check_line_ends(head: &[u8], first: usize, headers: &[Header<'_>]) -> Result<(), HeadError> {
    let blank = head.get(..first).unwrap_or_default();
    let ended = |at: usize| at >= 2 && head.get(at - 2..at) == Some(b"\r\n");
    let lead = blank.chunks(2).all(|pair| pair == b"\r\n");
    if lead
        && head.ends_with(b"\r\n\r\n")
        && headers.iter().all(|header| ended(offset(head, header.name.as_bytes())))
    {
        Ok(())
    } else {
        Err(HeadError::BareLineFeed)
    }
}

/// Appends the header lines of `head` whose bit in `dropped` is clear, in as few copies as can be.
fn copy_fields(out: &mut Vec<u8>, head: &[u8], headers: &[Header<'_>], dropped: u128) {
    let Some(first) = headers.first() else { return };
    let end = head.len() - 2;
    if dropped == 0 {
        out.extend_from_slice(&head[offset(head, first.name.as_bytes())..end]);
        return;
    }
    let start_of = |index: usize| headers.get(index).map_or(end, |h| offset(head, h.name.as_bytes()));
    let mut run = start_of(0);
    for index in 0..headers.len() {
        if dropped & (1 << index) != 0 {
            out.extend_from_slice(&head[run..start_of(index)]);
            run = start_of(index + 1);
        }
    }
    out.extend_from_slice(&head[run..end]);
}

/// "1*DIGIT" that fits; no sign, no list, no space.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, HeadError> {
    if value.is_empty() || value.len() > 18 {
        return Err(HeadError::ContentLength);
    }
    value.iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'9' => Ok(sum * 10 + u64::from(digit - b'0')),
        _ => Err(HeadError::ContentLength),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_worth_parsing_once_its_blank_line_is_there() {
        for (text, scanned, expected) in [
            ("GET / HTTP/1.1\r\n", 0, false),
            ("GET / HTTP/1.1\r\n\r\n", 0, true),
            ("GET / HTTP/1.1\r\n\r\n", 17, true),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r", 16, false),
            ("GET / HTTP/1.1\nHost: a\n\n", 16, true),
        ] {
            assert_eq!(may_be_complete(text.as_bytes(), scanned), expected, "{text:?}");
        }
    }

    #[test]
    fn a_content_length_is_digits_that_fit() {
        for (text, expected) in
            [("0", Some(0)), ("16384", Some(16384)), ("999999999999999999", Some(999_999_999_999_999_999))]
        {
            assert_eq!(content_length(text.as_bytes()).ok(), expected);
        }
        for text in ["", "+1", "-1", "1 ", "1,1", "0x10", "1e3", "18446744073709551616", "١"] {
            assert!(content_length(text.as_bytes()).is_err(), "{text}");
        }
    }
}
