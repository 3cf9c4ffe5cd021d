//! The head of a request that came over HTTP/2: checked strictly, then written for a target.
//!
//! The codec has refused what RFC 9113 calls malformed on the level of single fields: upper-case
//! names, fields about the connection, `te` other than `trailers`, pseudo-header fields that are
//! unknown, repeated, missing or late. What is left to refuse is what a target, or a proxy behind
//! this one, could read differently.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Uri, uri};
use trellis_model::matching;

use crate::answer::REQUEST_ID;
use crate::grpc;
use crate::http1::fields::{Field, field};
use crate::http1::request::{checked_authority, host_of};
use crate::http1::{MAX_HEAD, MAX_HEADERS, content_length};
use crate::record::Shown;
use crate::request::{Head, Speaks};

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
}

/// A head that passed every check.
#[derive(Debug)]
pub(super) struct Checked<'a> {
    parts: &'a Parts,
    /// `:authority`, or `host` in its place.
    authority: &'a [u8],
    /// Path and query as sent, or `*`.
    target: &'a str,
    speaks: Speaks,
    /// Bytes of all names and values, each field counted as it would be over HTTP/1.
    pub(super) size: usize,
    pub(super) content_length: Option<u64>,
    pub(super) expects_continue: bool,
}

impl<'a> Checked<'a> {
    /// # Errors
    /// The request is answered with 400.
    pub(super) fn new(parts: &'a Parts) -> Result<Self, HeadError> {
        let uri = &parts.uri;
        let target = uri.path_and_query().map_or("", uri::PathAndQuery::as_str);
        let fields = &parts.headers;
        // Four bytes a field: the colon, the space and the end of the line it would have.
        let fields_size: usize =
            fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let size = parts.method.as_str().len() + target.len() + fields_size;
        if size > MAX_HEAD || fields.len() > MAX_HEADERS {
            return Err(HeadError::TooLarge);
        }
        if !matches!(uri.scheme_str(), None | Some("http" | "https")) {
            return Err(HeadError::Scheme);
        }
        let path = target.as_bytes();
        let fine = match path {
            [b'/', ..] => path.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#'),
            _ => target == "*" && parts.method == http::Method::OPTIONS,
        };
        if !fine {
            return Err(HeadError::Path);
        }
        // "A field value MUST NOT start or end with an ASCII whitespace character" (RFC 9113, 8.2.1)
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        let value_is_bare = |value: &HeaderValue| {
            let value = value.as_bytes();
            !blank(value.first()) && !blank(value.last())
        };
        if !fields.values().all(value_is_bare) {
            return Err(HeadError::WhiteSpace);
        }
        let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
        let length = lengths.next().map(|value| content_length(value.as_bytes())).transpose();
        let Ok(content_length) = length else { return Err(HeadError::ContentLength) };
        if lengths.next().is_some() {
            return Err(HeadError::ContentLength);
        }
        let is_grpc = parts.method == http::Method::POST
            && fields.get(header::CONTENT_TYPE).is_some_and(|value| grpc::is_content_type(value.as_bytes()));
        Ok(Self {
            parts,
            authority: authority(parts)?,
            target,
            speaks: if is_grpc { Speaks::Grpc } else { Speaks::Http2 },
            size,
            content_length,
            expects_continue: fields
                .get(header::EXPECT)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
        })
    }

    /// What the log shows of it.
    pub(super) fn shown(&self) -> Shown<'a> {
        let field = |name: HeaderName| self.parts.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
        Shown {
            method: self.parts.method.as_str().as_bytes(),
            path: without_query(self.target),
            host: self.authority,
            user_agent: field(header::USER_AGENT),
            request_id: field(REQUEST_ID),
        }
    }

    /// Sending it twice does what sending it once does (RFC 9110, 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.parts.method.is_idempotent()
    }

    /// How long the client of a gRPC call is willing to wait for all of it.
    pub(super) fn grpc_timeout(&self) -> Option<std::time::Duration> {
        let value = self.parts.headers.get(grpc::TIMEOUT).filter(|_| self.speaks == Speaks::Grpc)?;
        grpc::timeout(value.as_bytes())
    }

    /// Appends the head an HTTP/1.1 target gets, with `added`, complete lines, and the request's
    /// own fields. `chunked`: a body follows and its length is not known.
    pub(super) fn write_for_http1(&self, out: &mut Vec<u8>, added: &Added<'_>, chunked: bool) {
        out.extend_from_slice(self.parts.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(self.authority);
        out.extend_from_slice(b"\r\n");
        let mut accepts_trailers = false;
        for (name, value) in &self.parts.headers {
            match field(name.as_str().as_bytes()) {
                Field::Te => accepts_trailers = true,
                kept if passes(kept) && name != header::COOKIE => {
                    out.extend_from_slice(name.as_str().as_bytes());
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(value.as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                _ => {}
            }
        }
        // "these MUST be concatenated into a single octet string using the two-octet delimiter"
        // (RFC 9113, 8.2.3)
        for (index, crumb) in self.parts.headers.get_all(header::COOKIE).iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"cookie: " } else { b"; " });
            out.extend_from_slice(crumb.as_bytes());
        }
        if self.parts.headers.contains_key(header::COOKIE) {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(added.lines);
        out.extend_from_slice(b"x-amzn-requestid: ");
        out.extend_from_slice(added.request_id);
        out.extend_from_slice(b"\r\nx-forwarded-for: ");
        out.extend_from_slice(&self.forwarded_for(added.client));
        if chunked {
            out.extend_from_slice(b"\r\ntransfer-encoding: chunked");
        }
        if accepts_trailers {
            out.extend_from_slice(b"\r\nte: trailers\r\nconnection: te");
        }
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// The head an HTTP/2 target gets. `None` only if a part does not fit the types of the codec.
    pub(super) fn for_http2(&self, added: &Added<'_>, secure: bool) -> Option<Request<()>> {
        let mut fields = HeaderMap::with_capacity(self.parts.headers.len() + added.fields.len() + 2);
        for (name, value) in &self.parts.headers {
            let kind = field(name.as_str().as_bytes());
            if passes(kind) || kind == Field::Te {
                fields.append(name.clone(), value.clone());
            }
        }
        for (name, value) in added.fields {
            fields.append(name.clone(), value.clone());
        }
        fields.insert(REQUEST_ID, HeaderValue::from_bytes(added.request_id).ok()?);
        fields.insert(FORWARDED_FOR, HeaderValue::from_bytes(&self.forwarded_for(added.client)).ok()?);
        let mut parts = uri::Parts::default();
        parts.scheme = Some(if secure { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
        parts.authority = Some(uri::Authority::try_from(self.authority).ok()?);
        parts.path_and_query = self.parts.uri.path_and_query().cloned();
        let mut request = Request::new(());
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        *request.headers_mut() = fields;
        Some(request)
    }

    /// The client's own list with its address behind it.
    fn forwarded_for(&self, client: &[u8]) -> Vec<u8> {
        let mut list = Vec::new();
        for value in self.parts.headers.get_all(FORWARDED_FOR).iter().filter(|value| !value.is_empty()) {
            list.extend_from_slice(value.as_bytes());
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(client);
        list
    }
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What this proxy adds to a request.
#[derive(Debug)]
pub(super) struct Added<'a> {
    /// The fields that are the same for every request of a route, as lines.
    pub(super) lines: &'a [u8],
    pub(super) fields: &'a [(HeaderName, HeaderValue)],
    pub(super) request_id: &'a [u8],
    /// Address of the client.
    pub(super) client: &'a [u8],
}

/// Whether a client's field is passed on as it is.
fn passes(field: Field) -> bool {
    match field {
        Field::Other | Field::Date | Field::Expect | Field::UserAgent | Field::ContentLength => true,
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
fn authority(parts: &Parts) -> Result<&[u8], HeadError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    let authority = match (parts.uri.authority().map(|found| found.as_str().as_bytes()), host) {
        _ if hosts.next().is_some() => return Err(HeadError::Authority),
        // "A server SHOULD treat a request as malformed if it contains a Host header field that
        // identifies an entity that differs from the entity in the ":authority" pseudo-header field"
        // (RFC 9113, 8.3.1)
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(HeadError::Authority);
        }
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err(HeadError::Authority),
    };
    // Among others: ":authority MUST NOT include the deprecated userinfo subcomponent".
    let checked = checked_authority(authority).map_err(|_| HeadError::Authority)?;
    if checked.is_empty() { Err(HeadError::Authority) } else { Ok(checked) }
}

fn without_query(target: &str) -> &[u8] {
    target.split('?').next().unwrap_or_default().as_bytes()
}

impl Head for Checked<'_> {
    fn host(&self) -> &[u8] {
        host_of(self.authority)
    }

    fn speaks(&self) -> Speaks {
        self.speaks
    }
}

impl matching::RequestHead for Checked<'_> {
    fn method(&self) -> &[u8] {
        self.parts.method.as_str().as_bytes()
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
        let values = || self.parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        if values().any(&mut *each) {
            return true;
        }
        values().nth(1).is_some() && each(&values().collect::<Vec<_>>().join(&b", "[..]))
    }
}

#[cfg(test)]
mod tests;
