//! Reads and checks answers as they arrive in pieces: status 200, the announced length, every byte.

use memchr::{memchr, memmem};

/// Longest answer head accepted.
const MAX_HEAD: usize = 16 * 1024;

/// Reads one answer after another on a keep-alive connection.
#[derive(Debug, Default)]
pub(super) struct ResponseReader {
    /// Head bytes seen so far when a head comes in pieces; nearly always empty.
    partial: Vec<u8>,
    /// Body bytes seen so far, once the head is read.
    body: Option<usize>,
}

impl ResponseReader {
    /// Takes the bytes of one read. `true` when they end the answer.
    ///
    /// # Errors
    /// What is wrong with the answer, as a sentence for the report.
    pub(super) fn feed(&mut self, bytes: &[u8], expected: &[u8]) -> Result<bool, String> {
        let Some(done) = self.body else { return self.feed_head(bytes, expected) };
        let end = done + bytes.len();
        if expected.get(done..end) != Some(bytes) {
            return Err(format!("the body differs from what was sent after byte {done}"));
        }
        let complete = end == expected.len();
        self.body = (!complete).then_some(end);
        Ok(complete)
    }

    fn feed_head(&mut self, bytes: &[u8], expected: &[u8]) -> Result<bool, String> {
        if self.partial.is_empty() {
            if let Some(end) = memmem::find(bytes, b"\r\n\r\n") {
                let (head, body) = bytes.split_at(end + 4);
                return self.start_body(head, body, expected);
            }
            self.partial.extend_from_slice(bytes);
        } else {
            self.partial.extend_from_slice(bytes);
            if let Some(end) = memmem::find(&self.partial, b"\r\n\r\n") {
                let buffered = std::mem::take(&mut self.partial);
                let (head, body) = buffered.split_at(end + 4);
                return self.start_body(head, body, expected);
            }
        }
        if self.partial.len() > MAX_HEAD {
            return Err(format!("the head is longer than {MAX_HEAD} bytes"));
        }
        Ok(false)
    }

    fn start_body(&mut self, head: &[u8], body: &[u8], expected: &[u8]) -> Result<bool, String> {
        check_head(head, expected.len())?;
        self.body = Some(0);
        self.feed(body, expected)
    }
}

/// Status and length of an answer.
fn check_head(head: &[u8], expected_len: usize) -> Result<(), String> {
    if !head.starts_with(b"HTTP/1.1 200") {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Err(format!("answered {:?}", String::from_utf8_lossy(line)));
    }
    match content_length(head) {
        Some(length) if length == expected_len => Ok(()),
        Some(length) => Err(format!("a body of {length} bytes, expected {expected_len}")),
        None => Err("no Content-Length".to_owned()),
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut rest = head;
    while let Some(end) = memchr(b'\n', rest) {
        let line = &rest[..end];
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            return std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok();
        }
        rest = &rest[end + 1..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nabcde";

    #[test]
    fn an_answer_is_read_however_it_is_cut() {
        for first in 0..ANSWER.len() {
            for second in first..ANSWER.len() {
                let mut reader = ResponseReader::default();
                // Twice: the reader must be ready for the next answer.
                for _ in 0..2 {
                    let pieces = [&ANSWER[..first], &ANSWER[first..second], &ANSWER[second..]];
                    let complete: Vec<bool> = pieces
                        .into_iter()
                        .filter(|piece| !piece.is_empty())
                        .map(|piece| reader.feed(piece, b"abcde").unwrap())
                        .collect();
                    assert_eq!(complete.iter().filter(|c| **c).count(), 1, "{first} {second}");
                    assert_eq!(complete.last(), Some(&true), "{first} {second}");
                }
            }
        }
    }

    #[test]
    fn wrong_answers_are_errors() {
        for answer in [
            &b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nabcde"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdX",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdeHTTP/1.1 200 OK",
        ] {
            let found = ResponseReader::default().feed(answer, b"abcde");
            assert!(found.is_err(), "{}", String::from_utf8_lossy(answer));
        }
    }
}
