//! The head of a request: read from a client, written for a target.

use httparse::{Header, Request as Raw};
use trellis_model::matching;

use super::fields::{Connection, Field, announces_framing, fewer_forwards, field};
use super::{Framing, HeadError, MAX_HEAD, Storage, Version, check_line_ends, content_length, copy_fields};

/// A request head that passed every check. Slices are of the buffer it was read from.
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    /// The head with its blank line, and any blank lines before it.
    bytes: &'b [u8],
    headers: &'h [Header<'b>],
    /// Bit n set: header n is not for the target.
    dropped: u128,
    pub version: Version,
    pub method: &'b [u8],
    /// What the target is asked for: path and query, or `*`.
    origin: Origin<'b>,
    /// The path without the query, as sent.
    pub path: &'b [u8],
    /// Host and port: of the target in absolute form, else of the Host field. Empty when an
    /// HTTP/1.0 request has neither.
    pub authority: &'b [u8],
    absolute: bool,
    /// The absolute form says `https`.
    pub secure_scheme: bool,
    pub framing: Framing,
    /// The client is willing to send another request on this connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    accepts_trailers: bool,
    /// `Max-Forwards` of an OPTIONS request, as the target is told it.
    max_forwards: Option<u32>,
    /// The client's own request id.
    pub request_id: Option<&'b [u8]>,
    pub user_agent: Option<&'b [u8]>,
    forwarded_for: bool,
}

#[derive(Debug, Clone, Copy)]
enum Origin<'b> {
    /// Begins with `/` or is `*`.
    AsSent(&'b [u8]),
    /// Absolute form without a path: a query or nothing.
    RootWith(&'b [u8]),
}

/// Reads a head from the front of `buf`; `None` when more bytes are needed.
///
/// # Errors
/// The message must be answered with 400 and the connection closed: where it ends is not known.
pub fn parse<'h, 'b>(
    buf: &'b [u8],
    storage: &'h mut Storage<'b>,
) -> Result<Option<RequestHead<'h, 'b>>, HeadError> {
    let mut raw = Raw::new(&mut []);
    let length = match raw.parse_with_uninit_headers(buf, storage)? {
        httparse::Status::Complete(length) if length <= MAX_HEAD => length,
        httparse::Status::Partial if buf.len() <= MAX_HEAD => return Ok(None),
        _ => return Err(HeadError::TooLarge),
    };
    let bytes = &buf[..length];
    let headers: &'h [Header<'b>] = raw.headers;
    let method = raw.method.unwrap_or_default().as_bytes();
    let target = raw.path.unwrap_or_default().as_bytes();
    let version = Version::from_minor(raw.version);
    check_line_ends(bytes, super::offset(bytes, method), headers)?;

    let mut dropped = 0u128;
    let mut host: Option<&'b [u8]> = None;
    let mut length: Option<u64> = None;
    let mut chunked = false;
    let mut connection = Connection::default();
    let mut head = RequestHead {
        bytes,
        headers,
        dropped: 0,
        version,
        method,
        origin: Origin::AsSent(target),
        path: target,
        authority: b"",
        absolute: false,
        secure_scheme: false,
        framing: Framing::None,
        keep_alive: false,
        expects_continue: false,
        accepts_trailers: false,
        max_forwards: None,
        request_id: None,
        user_agent: None,
        forwarded_for: false,
    };
    for (index, header) in headers.iter().enumerate() {
        let value = header.value;
        let drop = match field(header.name.as_bytes()) {
            Field::Other | Field::Date => {
                if header.name.eq_ignore_ascii_case("trailer") && announces_framing(value) {
                    return Err(HeadError::Trailer);
                }
                false
            }
            Field::Host => {
                if host.replace(value).is_some() {
                    return Err(HeadError::HostRepeated);
                }
                false
            }
            Field::ContentLength => {
                if length.replace(content_length(value)?).is_some() {
                    return Err(HeadError::ContentLengthRepeated);
                }
                false
            }
            Field::TransferEncoding => {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::TransferEncoding);
                }
                chunked = true;
                true
            }
            Field::Connection => {
                connection.add(value)?;
                true
            }
            Field::Expect => {
                head.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
                false
            }
            Field::Te => {
                head.accepts_trailers |= value
                    .split(|b| *b == b',')
                    .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"));
                true
            }
            Field::MaxForwards => {
                head.max_forwards = fewer_forwards(value).filter(|_| method == b"OPTIONS");
                head.max_forwards.is_some()
            }
            Field::RequestId => {
                head.request_id.get_or_insert(value);
                true
            }
            Field::UserAgent => {
                head.user_agent.get_or_insert(value);
                false
            }
            Field::ForwardedFor => {
                head.forwarded_for = true;
                true
            }
            Field::HopByHop | Field::Reserved => true,
        };
        dropped |= u128::from(drop) << index;
    }
    if connection.nominates_any() {
        for (index, header) in headers.iter().enumerate() {
            dropped |= u128::from(connection.nominates(header.name.as_bytes())) << index;
        }
    }

    head.framing = match (length, chunked, version) {
        (Some(_), true, _) => return Err(HeadError::LengthAndEncoding),
        (None, true, Version::Http10) => return Err(HeadError::EncodingInHttp10),
        (None, true, Version::Http11) => Framing::Chunked,
        (Some(0) | None, false, _) => Framing::None,
        (Some(length), false, _) => Framing::Length(length),
    };
    head.keep_alive = match version {
        Version::Http11 => !connection.close,
        Version::Http10 => connection.keep_alive && !connection.close,
    };
    // "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that
    // expectation", and without a body there is nothing to wait for.
    head.expects_continue &= version == Version::Http11 && head.framing != Framing::None;
    match host {
        // "A server MUST respond with a 400 to any HTTP/1.1 request message that lacks a Host
        // header field" (RFC 9112, 3.2), in absolute form too.
        None if version == Version::Http11 => return Err(HeadError::HostMissing),
        None => {}
        Some(host) => head.authority = checked_authority(host)?,
    }
    head.set_target(target)?;
    if head.absolute {
        for (index, header) in headers.iter().enumerate() {
            dropped |= u128::from(field(header.name.as_bytes()) == Field::Host) << index;
        }
    }
    head.dropped = dropped;
    Ok(Some(head))
}

impl<'b> RequestHead<'_, 'b> {
    /// Bytes of the buffer the head takes up.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// `authority` without its port and without a final dot: what a service is looked up by.
    pub fn host(&self) -> &'b [u8] {
        host_of(self.authority)
    }

    /// What follows the first `?` of the target, as sent.
    pub(crate) fn query(&self) -> &'b [u8] {
        match self.origin {
            Origin::AsSent(origin) => origin.get(self.path.len() + 1..).unwrap_or_default(),
            Origin::RootWith(query) => query.get(1..).unwrap_or_default(),
        }
    }

    /// The values of the fields called `name`, in their order.
    pub(crate) fn field_values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// Every field as sent; in absolute form the host is that of the target.
    pub(crate) fn each_field<'a>(&'a self, visit: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        for header in self.headers {
            if !(self.absolute && field(header.name.as_bytes()) == Field::Host) {
                visit(header.name.as_bytes(), header.value);
            }
        }
        if self.absolute {
            visit(b"host", self.authority);
        }
    }

    /// The four forms of RFC 9112, 3.2. Authority form belongs to CONNECT, which has no place here.
    fn set_target(&mut self, target: &'b [u8]) -> Result<(), HeadError> {
        if !target.iter().all(|b| matches!(b, 0x21..=0x7e) && *b != b'#') {
            return Err(HeadError::Target);
        }
        let without_query = |text: &'b [u8]| match memchr::memchr(b'?', text) {
            Some(question) => &text[..question],
            None => text,
        };
        match target {
            [b'/', ..] => self.path = without_query(target),
            b"*" if self.method == b"OPTIONS" => {}
            _ => {
                let scheme = memchr::memchr(b':', target).ok_or(HeadError::Target)?;
                let (scheme, rest) = target.split_at(scheme);
                self.secure_scheme = scheme.eq_ignore_ascii_case(b"https");
                if !self.secure_scheme && !scheme.eq_ignore_ascii_case(b"http") {
                    return Err(HeadError::Target);
                }
                let rest = rest.strip_prefix(b"://").ok_or(HeadError::Target)?;
                let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
                let (authority, origin) = rest.split_at(end);
                if authority.is_empty() {
                    return Err(HeadError::Target);
                }
                self.authority = checked_authority(authority)?;
                self.absolute = true;
                if origin.first() == Some(&b'/') {
                    self.origin = Origin::AsSent(origin);
                    self.path = without_query(origin);
                } else if origin.is_empty() && self.method == b"OPTIONS" {
                    // "the last proxy on the request chain MUST send a request-target of "*""
                    // (RFC 9112, 3.2.4)
                    self.origin = Origin::AsSent(b"*");
                    self.path = b"*";
                } else {
                    self.origin = Origin::RootWith(origin);
                    self.path = b"/";
                }
            }
        }
        Ok(())
    }

    /// Appends the head a target gets: this one without what is hop-by-hop or reserved, with
    /// `added`, complete lines, and the request's own fields.
    pub fn write_for_target(&self, out: &mut Vec<u8>, added: [&[u8]; 2], client: &[u8], request_id: &[u8]) {
        out.extend_from_slice(self.method);
        out.push(b' ');
        match self.origin {
            Origin::AsSent(origin) => out.extend_from_slice(origin),
            Origin::RootWith(query) => {
                out.push(b'/');
                out.extend_from_slice(query);
            }
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        if self.absolute {
            // "the proxy MUST ignore the received Host header field (if any) and instead replace it
            // with the host information of the request-target" (RFC 9112, 3.2.2)
            out.extend_from_slice(b"Host: ");
            out.extend_from_slice(self.authority);
            out.extend_from_slice(b"\r\n");
        }
        copy_fields(out, self.bytes, self.headers, self.dropped);
        added.into_iter().for_each(|lines| out.extend_from_slice(lines));
        out.extend_from_slice(b"x-amzn-requestid: ");
        out.extend_from_slice(request_id);
        out.extend_from_slice(b"\r\nx-forwarded-for: ");
        if self.forwarded_for {
            for header in self.headers {
                if field(header.name.as_bytes()) == Field::ForwardedFor && !header.value.is_empty() {
                    out.extend_from_slice(header.value);
                    out.extend_from_slice(b", ");
                }
            }
        }
        out.extend_from_slice(client);
        if self.framing == Framing::Chunked {
            out.extend_from_slice(b"\r\ntransfer-encoding: chunked");
        }
        if let Some(forwards) = self.max_forwards {
            out.extend_from_slice(b"\r\nmax-forwards: ");
            out.extend_from_slice(itoa::Buffer::new().format(forwards).as_bytes());
        }
        if self.accepts_trailers {
            out.extend_from_slice(b"\r\nte: trailers\r\nconnection: te");
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

impl matching::RequestHead for RequestHead<'_, '_> {
    fn method(&self) -> &[u8] {
        self.method
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    /// Every value by itself, then, when there are several, all of them joined by a comma. Fields
    /// that only this proxy may write do not exist when a client sends them, and the host is the one
    /// that the service was found by and the target is told.
    fn any_header(&self, name: &str, each: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        match field(name.as_bytes()) {
            Field::Reserved => return false,
            Field::Host if self.absolute => return each(self.authority),
            _ => {}
        }
        let values = || {
            self.headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value)
        };
        if values().any(&mut *each) {
            return true;
        }
        values().nth(1).is_some() && each(&values().collect::<Vec<_>>().join(&b", "[..]))
    }
}

/// `authority` without its port and without a final dot.
pub(crate) fn host_of(authority: &[u8]) -> &[u8] {
    // An IPv6 literal has colons inside its brackets.
    let host = match (authority.first(), memchr::memrchr(b':', authority)) {
        (Some(b'['), Some(colon)) if authority[..colon].ends_with(b"]") => &authority[..colon],
        (Some(b'['), _) | (_, None) => authority,
        (_, Some(colon)) => &authority[..colon],
    };
    host.strip_suffix(b".").unwrap_or(host)
}

/// `uri-host [ ":" port ]` of RFC 3986 without user information.
///
/// # Errors
/// [`HeadError::Host`].
pub(crate) fn checked_authority(text: &[u8]) -> Result<&[u8], HeadError> {
    let (host, port) = match text {
        [b'[', rest @ ..] => {
            let close = memchr::memchr(b']', rest).ok_or(HeadError::Host)?;
            let (address, after) = (&rest[..close], &rest[close + 1..]);
            let fine = !address.is_empty()
                && address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
            (fine, after.strip_prefix(b":").or_else(|| after.is_empty().then_some(b"")))
        }
        _ => {
            let (host, port) = match memchr::memchr(b':', text) {
                Some(colon) => (&text[..colon], &text[colon + 1..]),
                None => (text, &b""[..]),
            };
            let fine = host.iter().all(|b| {
                b.is_ascii_alphanumeric()
                    || matches!(
                        b,
                        b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')'
                    )
                    || matches!(b, b'*' | b'+' | b';' | b'=')
            });
            (fine, Some(port))
        }
    };
    match port {
        Some(port) if host && port.len() <= 5 && port.iter().all(u8::is_ascii_digit) => Ok(text),
        _ => Err(HeadError::Host),
    }
}

#[cfg(test)]
mod tests;
