//! The chunked transfer coding, decoded in place and written anew.
//!
//! Decoding moves the data of the chunks in a buffer together, so that they can be sent on as one
//! chunk; chunk extensions end here, and the sizes the other side reads are always ours.

use std::ops::Range;

use super::fields::forbidden_in_trailers;

/// Hexadecimal digits of a chunk size. 2^60 bytes are enough for anybody.
const MAX_SIZE_DIGITS: u8 = 15;
/// Bytes of extensions one chunk may carry. They are read and dropped, so they cost and give nothing.
const MAX_EXTENSION: u16 = 256;
/// Bytes of all trailer fields together.
const MAX_TRAILERS: usize = 8 * 1024;
const MAX_TRAILER_FIELDS: usize = 64;

/// Why a chunked body was refused; where it ends is not known then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("chunk size is not 1 to {MAX_SIZE_DIGITS} hexadecimal digits")]
    Size,
    #[error("chunk extension is malformed or longer than {MAX_EXTENSION} bytes")]
    Extension,
    #[error("a chunk does not end in CRLF where its size says")]
    End,
    #[error("trailer fields are malformed or longer than {MAX_TRAILERS} bytes")]
    Trailers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Reading digits; so many so far.
    Size(u8),
    /// After the digits; so many bytes of extensions so far.
    Extension(u16),
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    Trailers,
    Done,
}

/// Where in a chunked body the reader is.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// While digits are read, their value; in data, the bytes to come.
    remaining: u64,
    trailers: Vec<u8>,
    /// Blanks before the colon of a trailer field are removed, not refused.
    lenient: bool,
}

/// What one [`Decoder::decode`] took from the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Bytes at the front of the buffer that are dealt with.
    pub consumed: usize,
    /// Where in the buffer the data among them now is, in one piece.
    pub data: Range<usize>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Size(0), remaining: 0, trailers: Vec::new(), lenient: false }
    }
}

impl Decoder {
    /// Of the body of a response, from which "a proxy MUST remove any such whitespace" between a field's
    /// name and its colon (RFC 9112, 5.1).
    pub fn of_response() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// The last chunk and the trailers have been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes all it can from `buf` and moves the data in it together. Stops behind the body: what
    /// follows belongs to the next message.
    ///
    /// # Errors
    /// The body is malformed.
    pub fn decode(&mut self, buf: &mut [u8]) -> Result<Step, ChunkError> {
        let mut at = 0;
        let mut data = 0..0;
        while at < buf.len() && self.state != State::Done {
            let byte = buf[at];
            match self.state {
                State::Data => {
                    let here = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buf.len() - at);
                    if data.is_empty() {
                        data = at..at + here;
                    } else {
                        buf.copy_within(at..at + here, data.end);
                        data.end += here;
                    }
                    at += here;
                    self.remaining -= here as u64;
                    if self.remaining == 0 {
                        self.state = State::DataReturn;
                    }
                    continue;
                }
                State::Trailers => {
                    if self.trailers.len() >= MAX_TRAILERS {
                        return Err(ChunkError::Trailers);
                    }
                    self.trailers.push(byte);
                    if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
                        self.state = State::Done;
                    }
                }
                State::Size(digits) => self.state = self.size(digits, byte)?,
                State::Extension(length) => {
                    self.state = match byte {
                        b'\r' => State::SizeLineFeed,
                        b'\t' | 0x20..=0x7e if length < MAX_EXTENSION => State::Extension(length + 1),
                        _ => return Err(ChunkError::Extension),
                    }
                }
                State::SizeLineFeed if byte == b'\n' && self.remaining == 0 => self.state = State::Trailers,
                State::SizeLineFeed if byte == b'\n' => self.state = State::Data,
                State::SizeLineFeed => return Err(ChunkError::Size),
                State::DataReturn if byte == b'\r' => self.state = State::DataLineFeed,
                State::DataLineFeed if byte == b'\n' => self.state = State::Size(0),
                State::DataReturn | State::DataLineFeed => return Err(ChunkError::End),
                State::Done => {}
            }
            at += 1;
        }
        if self.state == State::Done {
            if self.lenient {
                remove_blanks_before_colons(&mut self.trailers);
            }
            check_trailers(&self.trailers)?;
        }
        Ok(Step { consumed: at, data })
    }

    fn size(&mut self, digits: u8, byte: u8) -> Result<State, ChunkError> {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if digits > 0 => return Ok(State::SizeLineFeed),
            b';' if digits > 0 => return Ok(State::Extension(1)),
            _ => return Err(ChunkError::Size),
        };
        if digits >= MAX_SIZE_DIGITS {
            return Err(ChunkError::Size);
        }
        self.remaining = if digits == 0 { 0 } else { self.remaining << 4 } | u64::from(value);
        Ok(State::Size(digits + 1))
    }

    /// Appends the trailer lines that may be passed on, without the blank line after them.
    pub fn write_trailers(&self, out: &mut Vec<u8>) {
        let mut storage = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
        // Checked when the body ended.
        let Ok(httparse::Status::Complete((_, fields))) =
            httparse::parse_headers(&self.trailers, &mut storage)
        else {
            return;
        };
        for field in fields.iter().filter(|field| !forbidden_in_trailers(field.name.as_bytes())) {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn remove_blanks_before_colons(trailers: &mut Vec<u8>) {
    let mut at = 0;
    while at < trailers.len() {
        let line = &trailers[at..];
        let end = memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
        if let Some(colon) = memchr::memchr(b':', &line[..end]) {
            let name = line[..colon].trim_ascii_end().len();
            // Without a name it is a line of another kind, which is refused.
            if name > 0 && name < colon {
                trailers.drain(at + name..at + colon);
                at += end - (colon - name);
                continue;
            }
        }
        at += end;
    }
}

fn check_trailers(trailers: &[u8]) -> Result<(), ChunkError> {
    if trailers == b"\r\n" {
        return Ok(());
    }
    let mut storage = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
    let tidy = memchr::memchr_iter(b'\n', trailers).all(|at| at > 0 && trailers[at - 1] == b'\r');
    match httparse::parse_headers(trailers, &mut storage) {
        Ok(httparse::Status::Complete((length, _))) if length == trailers.len() && tidy => Ok(()),
        _ => Err(ChunkError::Trailers),
    }
}

/// A chunk-size line, `{:x}\r\n`, for `size` bytes of data.
#[derive(Debug, Clone, Copy, Default)]
pub struct SizeLine {
    text: [u8; 18],
    start: u8,
}

impl SizeLine {
    pub fn new(mut size: usize) -> Self {
        let mut text = [0; 18];
        text[16] = b'\r';
        text[17] = b'\n';
        let mut start = 16;
        loop {
            start -= 1;
            text[start] = b"0123456789abcdef"[size & 15];
            size >>= 4;
            if size == 0 {
                break;
            }
        }
        Self { text, start: start as u8 }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text[usize::from(self.start)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data, trailers, what follows, and whether the body is done.
    type Decoded = (Vec<u8>, Vec<u8>, Vec<u8>, bool);

    /// Feeds `pieces` one after the other, as reads would bring them.
    fn decode(pieces: &[&[u8]]) -> Result<Decoded, ChunkError> {
        let mut decoder = Decoder::default();
        let (mut data, mut rest) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut buf = piece.to_vec();
            let step = decoder.decode(&mut buf)?;
            data.extend_from_slice(&buf[step.data]);
            rest.extend_from_slice(&buf[step.consumed..]);
        }
        let mut trailers = Vec::new();
        decoder.write_trailers(&mut trailers);
        Ok((data, trailers, rest, decoder.is_done()))
    }

    #[test]
    fn a_body_decodes_the_same_however_it_is_cut() {
        let body: &[u8] = b"4\r\nWiki\r\n5;a=\"b\"\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n000\r\nX-Sum: 7\r\nHost: evil\r\n\r\nGET /";
        let whole = decode(&[body]).unwrap();
        assert_eq!(whole.0, b"Wikipedia in\r\n\r\nchunks.");
        assert_eq!(whole.1, b"X-Sum: 7\r\n");
        assert_eq!(whole.2, b"GET /");
        assert!(whole.3);
        for cut in 1..body.len() {
            assert_eq!(decode(&[&body[..cut], &body[cut..]]).unwrap(), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(decode(&bytes).unwrap(), whole);
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let long_extension = format!("1;{}\r\nx\r\n", "e".repeat(300));
        let long_trailers = format!("0\r\nA: {}\r\n\r\n", "t".repeat(MAX_TRAILERS));
        for (body, expected) in [
            ("\r\n", ChunkError::Size),
            ("g\r\n", ChunkError::Size),
            ("0x1\r\n", ChunkError::Size),
            ("+1\r\n", ChunkError::Size),
            (" 1\r\n", ChunkError::Size),
            ("1 \r\n", ChunkError::Size),
            ("1\nx\r\n", ChunkError::Size),
            ("1\rx", ChunkError::Size),
            (";a\r\n", ChunkError::Size),
            ("1000000000000000\r\n", ChunkError::Size),
            ("1;a\nx\r\n", ChunkError::Extension),
            ("1;\0\r\n", ChunkError::Extension),
            (&long_extension, ChunkError::Extension),
            ("1\r\nxy\r\n", ChunkError::End),
            ("1\r\nx\n0\r\n\r\n", ChunkError::End),
            ("2\r\nx\r\n\r\n", ChunkError::End),
            ("0\r\nbad line\r\n\r\n", ChunkError::Trailers),
            ("0\r\nA: b\n\r\n\r\n", ChunkError::Trailers),
            ("0\r\n A: b\r\n\r\n", ChunkError::Trailers),
            ("0\r\nA : b\r\n\r\n", ChunkError::Trailers),
            (&long_trailers, ChunkError::Trailers),
        ] {
            assert_eq!(decode(&[body.as_bytes()]), Err(expected), "{body:?}");
        }
    }

    #[test]
    fn blanks_before_the_colon_of_a_responses_trailer_are_removed() {
        let decode = |text: &str| {
            let mut decoder = Decoder::of_response();
            decoder.decode(&mut text.as_bytes().to_vec())?;
            let mut trailers = Vec::new();
            decoder.write_trailers(&mut trailers);
            Ok(String::from_utf8(trailers).unwrap())
        };
        let fields = "0\r\nX-A \t: 1\r\nContent-Length : 2\r\nX-B: a : b\r\n\r\n";
        assert_eq!(decode(fields), Ok("X-A: 1\r\nX-B: a : b\r\n".to_owned()));
        for malformed in ["0\r\n : 1\r\n\r\n", "0\r\nX y: 1\r\n\r\n", "0\r\n X: 1\r\n\r\n"] {
            assert_eq!(decode(malformed), Err(ChunkError::Trailers), "{malformed:?}");
        }
    }

    #[test]
    fn an_unfinished_body_is_not_done() {
        for body in ["", "4", "4\r\nWi", "4\r\nWiki\r\n", "0\r\n", "0\r\nA: b\r\n"] {
            assert!(!decode(&[body.as_bytes()]).unwrap().3, "{body:?}");
        }
    }

    #[test]
    fn size_lines_are_lower_case_hexadecimal() {
        for (size, expected) in
            [(0, "0\r\n"), (10, "a\r\n"), (0x4000, "4000\r\n"), (usize::MAX, "ffffffffffffffff\r\n")]
        {
            assert_eq!(SizeLine::new(size).as_bytes(), expected.as_bytes());
        }
    }
}
