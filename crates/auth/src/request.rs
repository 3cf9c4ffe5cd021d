//! A received (or yet to be sent) request, as far as a signature is concerned.

/// One header line: name in any case, value as bytes, repeated names as separate lines in order.
pub type Header<'a> = (&'a str, &'a [u8]);

/// The parts of a request that a signature covers, borrowed from wherever they live.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// As on the wire, upper case: `GET`.
    pub method: &'a str,
    /// The path exactly as received, still percent-encoded; empty means `/`.
    pub path: &'a str,
    /// Everything after the first `?`, exactly as received; empty when there is none.
    pub query: &'a str,
    /// All headers. From HTTP/2, put `:authority` here as `host`.
    pub headers: &'a [Header<'a>],
    pub payload: Payload<'a>,
}

/// Where the body's hash comes from.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// The whole body.
    Body(&'a [u8]),
    /// The body is not at hand (it streams): only UNSIGNED-PAYLOAD can be accepted.
    Streamed,
}

/// The header lines of `map`, for [`SignedRequest::headers`].
pub fn headers_of(map: &http::HeaderMap) -> Vec<Header<'_>> {
    map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// Header lines a request may have.
const MAX_HEADERS: usize = 256;
/// Bytes of header names and values together.
const MAX_HEADER_BYTES: usize = 128 * 1024;
/// Bytes of path and query together.
const MAX_TARGET_BYTES: usize = 128 * 1024;
/// Query parameters, the signature's own included.
pub(crate) const MAX_QUERY_PARAMETERS: usize = 2048;

impl<'a> SignedRequest<'a> {
    /// What makes this no request to sign or verify, if anything: a limit that keeps all later
    /// work linear, or bytes that could pass for the line ends of a canonical request.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let header_bytes: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.headers.len() > MAX_HEADERS || header_bytes > MAX_HEADER_BYTES {
            return Some("too many headers");
        }
        if self.path.len() + self.query.len() > MAX_TARGET_BYTES
            || self.query.bytes().filter(|byte| *byte == b'&').count() >= MAX_QUERY_PARAMETERS
        {
            return Some("the path or query is too long");
        }
        if [self.method, self.path, self.query].iter().any(|part| part.bytes().any(|byte| byte <= b' ')) {
            return Some("the method, path or query has a blank or control character");
        }
        if !self.headers.iter().all(|(name, _)| is_token(name)) {
            return Some("a header name is not a token");
        }
        // Without an early end it is done many bytes at a time.
        let is_control = |found, byte: &u8| found | ((*byte < b' ') & (*byte != b'\t'));
        if self.headers.iter().any(|(_, value)| value.iter().fold(false, is_control)) {
            return Some("a header value has a control character");
        }
        None
    }

    /// The values of every line named `name`, in order.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        values(self.headers, name)
    }

    /// The value of the only line named `name`: `Ok(None)` without one, `Err` with several.
    pub(crate) fn single(&self, name: &str) -> Result<Option<&'a [u8]>, Repeated> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(first) }
    }
}

pub(crate) struct Repeated;

pub(crate) fn values<'a>(headers: &[Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// RFC 9110, section 5.6.2.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
