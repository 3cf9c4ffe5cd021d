//! The head of a request that came over HTTP/2: checked strictly, then written for a target.
//!
//! The codec has refused what RFC 9113 calls malformed on the level of single fields: upper-case
//! names, fields about the connection, `te` other than `trailers`, pseudo-header fields that are
//! unknown, repeated, missing or late. What is left to refuse is what a target, or a proxy behind
//! this one, could read differently.

use trellis_model::matching;

use super::codec::{Fields, HeadWriter, Pseudo};
use crate::answer::REQUEST_ID;
use crate::grpc;
use crate::http1::fields::{Field, announces_framing, fewer_forwards, field};
use crate::http1::request::{checked_authority, host_of};
use crate::http1::{MAX_HEAD, MAX_HEADERS, content_length};
use crate::record::Shown;
use crate::request::{Head, Speaks};
use crate::view::NamedValue;

/// Why a head was refused: it is answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    #[error("head larger than {MAX_HEAD} bytes or {MAX_HEADERS} fields")]
    TooLarge,
    #[error("scheme is neither http nor https")]
    Scheme,
    #[error("path is malformed")]
    Path,
    #[error("neither :authority nor host, or both and different")]
    Authority,
    #[error("a field value begins or ends with white space")]
    WhiteSpace,
    #[error("content-length is not one number")]
    ContentLength,
    #[error("trailer announces what frames a message")]
    Trailer,
}

/// A head that passed every check.
#[derive(Debug)]
pub(super) struct Checked<'a> {
    fields: &'a Fields,
    pub(super) method: &'a [u8],
    /// `:authority`, or `host` in its place.
    authority: &'a [u8],
    /// Path and query as sent, or `*`; nothing for CONNECT.
    target: &'a [u8],
    speaks: Speaks,
    /// Bytes of all names and values, each field counted as it would be over HTTP/1.
    pub(super) size: usize,
    pub(super) content_length: Option<u64>,
    pub(super) expects_continue: bool,
    user_agent: &'a [u8],
    /// The client's own.
    request_id: &'a [u8],
    grpc_timeout: Option<&'a [u8]>,
    accepts_trailers: bool,
    has_cookies: bool,
    forwarded_for: bool,
}

impl<'a> Checked<'a> {
    /// # Errors
    /// The request is answered with 400.
    pub(super) fn new(fields: &'a Fields) -> Result<Self, HeadError> {
        let (method, target) = (fields.pseudo(Pseudo::Method), fields.pseudo(Pseudo::Path));
        let size = method.len() + target.len() + fields.lines_size();
        if size > MAX_HEAD || fields.len() > MAX_HEADERS {
            return Err(HeadError::TooLarge);
        }
        let tunnel = method == b"CONNECT";
        let scheme = fields.pseudo(Pseudo::Scheme);
        if !tunnel && !scheme.eq_ignore_ascii_case(b"https") && !scheme.eq_ignore_ascii_case(b"http") {
            return Err(HeadError::Scheme);
        }
        let fine = match target {
            [b'/', ..] => target.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#'),
            b"*" => method == b"OPTIONS",
            _ => tunnel,
        };
        if !fine {
            return Err(HeadError::Path);
        }
        let mut head = Self {
            fields,
            method,
            authority: fields.pseudo(Pseudo::Authority),
            target,
            speaks: Speaks::Http2,
            size,
            content_length: None,
            expects_continue: false,
            user_agent: b"",
            request_id: b"",
            grpc_timeout: None,
            accepts_trailers: false,
            has_cookies: false,
            forwarded_for: false,
        };
        let (mut host, mut content_type) = (None, None);
        for (kind, name, value) in fields.iter() {
            // "A field value MUST NOT start or end with an ASCII whitespace character" (RFC 9113, 8.2.1)
            if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
                return Err(HeadError::WhiteSpace);
            }
            match kind {
                Field::Host if host.replace(value).is_some() => return Err(HeadError::Authority),
                Field::ContentLength => {
                    let length = content_length(value).map_err(|_| HeadError::ContentLength)?;
                    if head.content_length.replace(length).is_some() {
                        return Err(HeadError::ContentLength);
                    }
                }
                Field::Expect => head.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
                Field::UserAgent if head.user_agent.is_empty() => head.user_agent = value,
                Field::RequestId if head.request_id.is_empty() => head.request_id = value,
                Field::ForwardedFor => head.forwarded_for = true,
                Field::Te => head.accepts_trailers = true,
                Field::Other => match name {
                    b"content-type" => content_type = content_type.or(Some(value)),
                    b"cookie" => head.has_cookies = true,
                    b"trailer" if announces_framing(value) => return Err(HeadError::Trailer),
                    grpc::TIMEOUT => head.grpc_timeout = head.grpc_timeout.or(Some(value)),
                    _ => {}
                },
                _ => {}
            }
        }
        head.authority = authority(head.authority, host)?;
        if method == b"POST" && content_type.is_some_and(grpc::is_content_type) {
            head.speaks = Speaks::Grpc;
        }
        Ok(head)
    }

    /// What the log shows of it.
    pub(super) fn shown(&self) -> Shown<'a> {
        Shown {
            method: self.method,
            path: without_query(self.target),
            host: self.authority,
            user_agent: self.user_agent,
            request_id: self.request_id,
        }
    }

    /// Sending it twice does what sending it once does (RFC 9110, 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(self.method, b"GET" | b"HEAD" | b"PUT" | b"DELETE" | b"OPTIONS" | b"TRACE")
    }

    /// `Max-Forwards` of an OPTIONS request, as the target is told it.
    fn fewer_forwards(&self) -> Option<u32> {
        let mut values = self.fields.values(b"max-forwards").filter(|_| self.method == b"OPTIONS");
        values.next().and_then(fewer_forwards)
    }

    /// How long the client of a gRPC call is willing to wait for all of it.
    pub(super) fn grpc_timeout(&self) -> Option<std::time::Duration> {
        grpc::timeout(self.grpc_timeout.filter(|_| self.speaks == Speaks::Grpc)?)
    }

    /// Appends the head an HTTP/1.1 target gets, with `added`, complete lines, and the request's
    /// own fields. `chunked`: a body follows and its length is not known.
    pub(super) fn write_for_http1(&self, out: &mut Vec<u8>, added: &Added<'_>, chunked: bool) {
        out.extend_from_slice(self.method);
        out.push(b' ');
        out.extend_from_slice(self.target);
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(self.authority);
        out.extend_from_slice(b"\r\n");
        let forwards = self.fewer_forwards();
        let counted = |kind| kind == Field::MaxForwards && forwards.is_some();
        self.fields.copy_lines(out, |kind, name| passes(kind) && name != b"cookie" && !counted(kind));
        if let Some(forwards) = forwards {
            out.extend_from_slice(b"max-forwards: ");
            out.extend_from_slice(itoa::Buffer::new().format(forwards).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if self.has_cookies {
            // "these MUST be concatenated into a single octet string using the two-octet delimiter"
            // (RFC 9113, 8.2.3)
            for (index, crumb) in self.fields.values(b"cookie").enumerate() {
                out.extend_from_slice(if index == 0 { b"cookie: " } else { b"; " });
                out.extend_from_slice(crumb);
            }
            out.extend_from_slice(b"\r\n");
        }
        added.lines.into_iter().for_each(|lines| out.extend_from_slice(lines));
        out.extend_from_slice(b"x-amzn-requestid: ");
        out.extend_from_slice(added.request_id);
        out.extend_from_slice(b"\r\nx-forwarded-for: ");
        self.write_forwarded_for(out, added.client);
        if chunked {
            out.extend_from_slice(b"\r\ntransfer-encoding: chunked");
        }
        if self.accepts_trailers {
            out.extend_from_slice(b"\r\nte: trailers\r\nconnection: te");
        }
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// Writes the head an HTTP/2 target gets. `secure`: over TLS.
    pub(super) fn write_for_http2(&self, out: &mut HeadWriter<'_>, added: &Added<'_>, secure: bool) {
        out.pseudo(b":method", self.method);
        out.pseudo(b":scheme", if secure { b"https" } else { b"http" });
        out.pseudo(b":authority", self.authority);
        out.pseudo(b":path", self.target);
        let forwards = self.fewer_forwards();
        for (kind, name, value, never_indexed) in self.fields.crossing() {
            match (kind, forwards) {
                (Field::MaxForwards, Some(forwards)) => {
                    out.field(name, itoa::Buffer::new().format(forwards).as_bytes());
                }
                _ if passes(kind) || kind == Field::Te => out.pass(name, value, never_indexed),
                _ => {}
            }
        }
        for (name, value) in added.fields.into_iter().flatten() {
            out.field(name, value);
        }
        out.field(REQUEST_ID, added.request_id);
        if self.forwarded_for {
            let mut list = Vec::new();
            self.write_forwarded_for(&mut list, added.client);
            out.field(FORWARDED_FOR, &list);
        } else {
            out.field(FORWARDED_FOR, added.client);
        }
    }

    /// The client's own list with its address behind it.
    fn write_forwarded_for(&self, out: &mut Vec<u8>, client: &[u8]) {
        if self.forwarded_for {
            for value in self.fields.values(FORWARDED_FOR).filter(|value| !value.is_empty()) {
                out.extend_from_slice(value);
                out.extend_from_slice(b", ");
            }
        }
        out.extend_from_slice(client);
    }
}

/// Whether a head that was refused was one of a gRPC call, as far as it can be told.
pub(super) fn may_be_grpc(fields: &Fields) -> bool {
    let is_grpc = fields.values(b"content-type").next().is_some_and(grpc::is_content_type);
    is_grpc && fields.pseudo(Pseudo::Method) == b"POST"
}

const FORWARDED_FOR: &[u8] = b"x-forwarded-for";

/// What this proxy adds to a request.
#[derive(Debug)]
pub(super) struct Added<'a> {
    /// The fields that are the same for every request of a route, and of a caller, as lines.
    pub(super) lines: [&'a [u8]; 2],
    /// The same, as names and values.
    pub(super) fields: [&'a [NamedValue]; 2],
    pub(super) request_id: &'a [u8],
    /// Address of the client.
    pub(super) client: &'a [u8],
}

/// Whether a client's field is passed on as it is.
fn passes(field: Field) -> bool {
    match field {
        Field::Other
        | Field::Date
        | Field::Expect
        | Field::UserAgent
        | Field::ContentLength
        | Field::MaxForwards => true,
        Field::Connection
        | Field::HopByHop
        | Field::Host
        | Field::Reserved
        | Field::RequestId
        | Field::Te
        | Field::TransferEncoding
        | Field::ForwardedFor => false,
    }
}

/// The one host a request is for.
fn authority<'a>(authority: &'a [u8], host: Option<&'a [u8]>) -> Result<&'a [u8], HeadError> {
    let authority = match (authority, host) {
        // "A server SHOULD treat a request as malformed if it contains a Host header field that
        // identifies an entity that differs from the entity in the ":authority" pseudo-header field"
        // (RFC 9113, 8.3.1)
        (b"", Some(authority)) | (authority, None) => authority,
        (authority, Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(HeadError::Authority);
        }
        (authority, Some(_)) => authority,
    };
    // Among others: ":authority MUST NOT include the deprecated userinfo subcomponent".
    let checked = checked_authority(authority).map_err(|_| HeadError::Authority)?;
    if checked.is_empty() { Err(HeadError::Authority) } else { Ok(checked) }
}

fn without_query(target: &[u8]) -> &[u8] {
    memchr::memchr(b'?', target).map_or(target, |question| &target[..question])
}

impl Head for Checked<'_> {
    fn host(&self) -> &[u8] {
        host_of(self.authority)
    }

    fn speaks(&self) -> Speaks {
        self.speaks
    }

    fn query(&self) -> &[u8] {
        self.target.get(without_query(self.target).len() + 1..).unwrap_or_default()
    }

    fn has_authorization(&self) -> bool {
        self.fields.values(b"authorization").next().is_some()
    }

    fn each_field<'a>(&'a self, visit: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        for (kind, name, value) in self.fields.iter() {
            if kind != Field::Host {
                visit(name, value);
            }
        }
        visit(b"host", self.authority);
    }
}

impl matching::RequestHead for Checked<'_> {
    fn method(&self) -> &[u8] {
        self.method
    }

    fn path(&self) -> &[u8] {
        without_query(self.target)
    }

    /// As over HTTP/1: every value by itself, then all of them joined. `host` is the authority,
    /// whichever way it was sent.
    fn any_header(&self, name: &str, each: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        match field(name.as_bytes()) {
            Field::Reserved => return false,
            Field::Host => return each(self.authority),
            _ => {}
        }
        let same = |found: &[u8]| found.eq_ignore_ascii_case(name.as_bytes());
        let fields = || self.fields.iter().filter(|(_, found, _)| same(found));
        let values = || fields().map(|(_, _, value)| value);
        if values().any(&mut *each) {
            return true;
        }
        values().nth(1).is_some() && each(&values().collect::<Vec<_>>().join(&b", "[..]))
    }
}

#[cfg(test)]
mod tests;
