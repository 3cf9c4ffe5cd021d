//! Reads requests as they arrive in pieces: only what the answer depends on.

use memchr::{memchr, memmem};

use crate::cases::{ECHO_PATH, LARGE_PATH};

/// Longest request head accepted.
const MAX_HEAD: usize = 64 * 1024;

/// What a complete request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Small,
    Large,
    /// The head as it arrived.
    Echo(Vec<u8>),
}

/// Not a request this upstream understands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads one request after another on a keep-alive connection.
#[derive(Debug, Default)]
pub(super) struct RequestReader {
    /// Head bytes seen so far when a head comes in pieces; nearly always empty.
    partial: Vec<u8>,
    /// Body bytes still to come, and what to answer then.
    body: Option<(usize, Ask)>,
}

impl RequestReader {
    /// Takes bytes off the front of `bytes`, at most up to the end of one request. Returns how many
    /// and, when the request is complete, what it asks for.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Ask>), Malformed> {
        if let Some((left, _)) = &mut self.body {
            let used = bytes.len().min(*left);
            *left -= used;
            let complete = *left == 0;
            let ask = if complete { self.body.take().map(|(_, ask)| ask) } else { None };
            return Ok((used, ask));
        }
        if self.partial.is_empty()
            && let Some(end) = memmem::find(bytes, b"\r\n\r\n")
        {
            return Ok((end + 4, self.begin(&bytes[..end + 4])?));
        }
        let before = self.partial.len();
        self.partial.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.partial, b"\r\n\r\n") else {
            return if self.partial.len() > MAX_HEAD { Err(Malformed) } else { Ok((bytes.len(), None)) };
        };
        let head = std::mem::take(&mut self.partial);
        Ok((end + 4 - before, self.begin(&head[..end + 4])?))
    }

    /// A head is complete: the answer, unless a body comes first.
    fn begin(&mut self, head: &[u8]) -> Result<Option<Ask>, Malformed> {
        let line = &head[..memchr(b'\r', head).ok_or(Malformed)?];
        let path = line.split(|byte| *byte == b' ').nth(1).ok_or(Malformed)?;
        let ask = match path.rsplit(|byte| *byte == b'/').next() {
            Some(last) if last == LARGE_PATH.as_bytes() => Ask::Large,
            Some(last) if last == ECHO_PATH.as_bytes() => Ask::Echo(head.to_vec()),
            _ => Ask::Small,
        };
        if line.starts_with(b"GET ") || line.starts_with(b"HEAD ") {
            return Ok(Some(ask));
        }
        match content_length(head)? {
            0 => Ok(Some(ask)),
            length => {
                self.body = Some((length, ask));
                Ok(None)
            }
        }
    }
}

/// The body's length. Chunked bodies are refused: no candidate has a reason to make one here.
fn content_length(head: &[u8]) -> Result<usize, Malformed> {
    const NAME: &[u8] = b"content-length:";
    let mut rest = head;
    while let Some(end) = memchr(b'\n', rest) {
        let line = &rest[..end];
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let value = std::str::from_utf8(&line[NAME.len()..]).map_err(|_| Malformed)?;
            return value.trim().parse().map_err(|_| Malformed);
        }
        rest = &rest[end + 1..];
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: &[u8] = b"GET /p1/large HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /p2/small HTTP/1.1\r\nHost: a\r\ncontent-length: 6\r\n\r\nabcdef\
        GET /p0/echo HTTP/1.1\r\nHost: b\r\n\r\n";

    fn read(pieces: &[&[u8]]) -> Vec<Ask> {
        let mut reader = RequestReader::default();
        let mut asks = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (used, ask) = reader.feed(rest).unwrap();
                asks.extend(ask);
                rest = &rest[used..];
            }
        }
        asks
    }

    #[test]
    fn requests_are_read_however_they_are_cut() {
        let echoed = b"GET /p0/echo HTTP/1.1\r\nHost: b\r\n\r\n".to_vec();
        let expected = vec![Ask::Large, Ask::Small, Ask::Echo(echoed)];
        for first in 0..REQUESTS.len() {
            for second in (first..REQUESTS.len()).step_by(3) {
                let pieces = [&REQUESTS[..first], &REQUESTS[first..second], &REQUESTS[second..]];
                assert_eq!(read(&pieces), expected, "{first} {second}");
            }
        }
    }

    #[test]
    fn a_post_without_a_length_is_refused() {
        let head = b"POST /p1/small HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(RequestReader::default().feed(head), Err(Malformed));
    }
}
