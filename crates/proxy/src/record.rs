//! What is remembered of one request: for the metrics and for its line in the access log.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use trellis_policy::Layer;

use crate::buffer::Inbox;
use crate::callers::Known;
use crate::failure::Failure;
use crate::http1::Version;
use crate::http1::request::RequestHead;
use crate::identify::Caller;
use crate::tls::Agreed;
use crate::view::{NamedValue, Route, Site, TargetState};
use crate::worker::{Entrance, Worker};

/// Bytes of a text from the client that the log keeps: a line must stay a line.
const MAX_LOGGED: usize = 2048;

/// "or the client's value truncated to 512 bytes" (VPC Lattice user guide).
const MAX_REQUEST_ID: usize = 512;

/// A part of the text a record refers to, where a head stays until its request has ended: over HTTP/1
/// the client's buffer, over HTTP/2 what the head was decoded into.
type Span = Range<u32>;

/// The protocol of what a record is about, in the words of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http10,
    Http11,
    Http2,
    /// Not a request: a handshake that failed, a passthrough connection.
    None,
}

/// Whom a record is of, and the text its spans are parts of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) text: &'a [u8],
    /// `ip:port`.
    pub(crate) peer: &'a str,
    pub(crate) entrance: &'a Entrance,
    /// `None` without TLS.
    pub(crate) tls: Option<&'a Agreed>,
}

impl Seen<'_> {
    /// Where the client is.
    pub(crate) fn address(&self) -> IpAddr {
        self.peer.parse::<SocketAddr>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip())
    }
}

/// The request id, where it is.
#[derive(Debug, Clone)]
pub(crate) enum RequestId {
    Ours([u8; 36]),
    Clients(Span),
}

impl RequestId {
    pub(crate) fn bytes<'a>(&'a self, inbox: &'a Inbox) -> &'a [u8] {
        self.within(inbox.all())
    }

    /// The id, where the client's own is a part of `text`.
    pub(crate) fn within<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Ours(id) => id,
            Self::Clients(span) => part(text, span),
        }
    }
}

/// The parts of an HTTP/2 head that the log shows; empty where there are none.
#[derive(Debug, Default)]
pub(crate) struct Shown<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) user_agent: &'a [u8],
    pub(crate) request_id: &'a [u8],
}

/// Whom the log names as `resolvedUser`.
#[derive(Debug, Clone)]
pub(crate) enum ResolvedUser {
    /// Nobody was asked.
    Unasked,
    Anonymous,
    /// They signed, and it did not hold.
    Unknown,
    Caller(Rc<Known>),
}

impl ResolvedUser {
    /// `guarded`: some layer looked at the caller.
    pub(crate) fn of(caller: &Caller, guarded: bool) -> Self {
        match caller {
            Caller::Known(known) => Self::Caller(known.clone()),
            Caller::Anonymous if guarded => Self::Anonymous,
            Caller::Anonymous => Self::Unasked,
        }
    }

    /// Header lines that tell a target who is calling; none for whoever did not sign.
    pub(crate) fn header(&self) -> &[u8] {
        if let Self::Caller(known) = self { &known.header } else { b"" }
    }

    /// The same as fields.
    pub(crate) fn fields(&self) -> &[NamedValue] {
        if let Self::Caller(known) = self { &known.fields } else { &[] }
    }
}

/// One request, from its first byte to its last.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) started: Instant,
    /// The last byte has gone to the target.
    pub(crate) forwarded: Option<Instant>,
    /// The first byte has come from the target.
    pub(crate) answered: Option<Instant>,
    /// The last byte has gone to the client, if that was looked at already.
    pub(crate) ended: Option<Instant>,
    pub(crate) request_id: RequestId,
    method: Span,
    path: Span,
    host: Span,
    user_agent: Span,
    protocol: Protocol,
    pub(crate) status: u16,
    /// `grpc-status` of the answer to a gRPC request.
    pub(crate) grpc_status: Option<u32>,
    /// Bytes from and to the client, heads included.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) site: Option<Rc<Site>>,
    pub(crate) route: Option<Rc<Route>>,
    pub(crate) target: Option<Rc<TargetState>>,
    /// What an HTTPS target is called: the name the client asked for.
    pub(crate) name: Option<Rc<str>>,
    pub(crate) user: ResolvedUser,
    /// Which layer denied: the log's `authDeniedReason`.
    pub(crate) denied: Option<Layer>,
    pub(crate) failure: Option<Failure>,
}

impl Record {
    pub(crate) fn new(started: Instant, request_id: [u8; 36]) -> Self {
        Self {
            started,
            forwarded: None,
            answered: None,
            ended: None,
            request_id: RequestId::Ours(request_id),
            method: 0..0,
            path: 0..0,
            host: 0..0,
            user_agent: 0..0,
            protocol: Protocol::Http11,
            status: 0,
            grpc_status: None,
            received: 0,
            sent: 0,
            site: None,
            route: None,
            target: None,
            name: None,
            user: ResolvedUser::Unasked,
            denied: None,
            failure: None,
        }
    }

    /// Of something that is not a request.
    pub(crate) fn without_request(started: Instant, request_id: [u8; 36]) -> Self {
        Self { protocol: Protocol::None, ..Self::new(started, request_id) }
    }

    /// The service is known, and busy until [`Record::finish`].
    pub(crate) fn enter(&mut self, site: Rc<Site>) {
        site.service.active.add(1);
        self.site = Some(site);
    }

    /// Remembers where in `inbox` the parts of `head` are that the log shows.
    pub(crate) fn note_head(&mut self, inbox: &Inbox, head: &RequestHead<'_, '_>) {
        let span = |text: &[u8]| {
            let start = inbox.index_of(text) as u32;
            start..start.wrapping_add(text.len() as u32)
        };
        self.method = span(head.method);
        self.path = span(head.path);
        self.host = span(head.authority);
        self.user_agent = head.user_agent.map_or(0..0, span);
        self.protocol = match head.version {
            Version::Http10 => Protocol::Http10,
            Version::Http11 => Protocol::Http11,
        };
        self.received = head.length() as u64;
        if let Some(id) = head.request_id.filter(|id| !id.is_empty()) {
            self.request_id = RequestId::Clients(span(&id[..id.len().min(MAX_REQUEST_ID)]));
        }
    }

    /// Remembers where in `text` the parts of an HTTP/2 head are that the log shows.
    pub(crate) fn note_http2(&mut self, text: &[u8], head: &Shown<'_>) {
        let span = |part: &[u8]| {
            let start = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr()) as u32;
            if part.is_empty() { 0..0 } else { start..start.wrapping_add(part.len() as u32) }
        };
        self.method = span(head.method);
        self.path = span(head.path);
        self.host = span(head.host);
        self.user_agent = span(head.user_agent);
        self.protocol = Protocol::Http2;
        if !head.request_id.is_empty() {
            let kept = head.request_id.len().min(MAX_REQUEST_ID);
            self.request_id = RequestId::Clients(span(&head.request_id[..kept]));
        }
    }

    /// Step 12 of a request: counts it and writes its line.
    pub(crate) fn finish(&self, worker: &Worker, seen: &Seen<'_>) {
        if let Some(site) = &self.site {
            site.service.active.subtract(1);
        }
        let ended = self.ended.unwrap_or_else(|| worker.clock.now());
        let took = ended.saturating_duration_since(self.started);
        match &self.site {
            Some(site) => {
                site.service.responses.record(self.status);
                site.service.duration.record(took);
                site.service.received.add(self.received);
                site.service.sent.add(self.sent);
                if let Some(failure) = self.failure {
                    site.service.failures[failure as usize].add(1);
                }
            }
            None => {
                worker.cells.unrouted.record(self.status);
                if let Some(failure) = self.failure {
                    worker.cells.unrouted_failures[failure as usize].add(1);
                }
            }
        }
        if let Some(route) = &self.route {
            route.group.state.cells.responses.record(self.status);
            route.group.state.cells.duration.record(took);
        }
        worker.log_line(|out| self.write_line(out, worker, seen, ended));
    }

    fn write_line(&self, out: &mut Vec<u8>, worker: &Worker, seen: &Seen<'_>, ended: Instant) {
        let millis = |from: Instant, to: Instant| to.saturating_duration_since(from).as_millis() as u64;
        out.extend_from_slice(b"{\"startTime\":\"");
        worker.clock.write_iso(self.started, out);
        out.extend_from_slice(b"\",\"requestId\":");
        write_json_string(out, self.request_id.within(seen.text));
        for (name, span) in [
            (&b",\"requestMethod\":"[..], &self.method),
            (b",\"requestPath\":", &self.path),
            (b",\"hostHeader\":", &self.host),
            (b",\"userAgent\":", &self.user_agent),
        ] {
            out.extend_from_slice(name);
            let text = part(seen.text, span);
            write_json_string(out, if text.is_empty() { b"-" } else { &text[..text.len().min(MAX_LOGGED)] });
        }
        out.extend_from_slice(match self.protocol {
            Protocol::Http11 => b",\"protocol\":\"HTTP/1.1\"",
            Protocol::Http10 => b",\"protocol\":\"HTTP/1.0\"",
            Protocol::Http2 => b",\"protocol\":\"HTTP/2\"",
            Protocol::None => b",\"protocol\":\"-\"",
        });
        let forwarded = self.forwarded.map_or(0, |at| millis(self.started, at));
        let answered = self.answered.map_or(0, |at| millis(at, ended));
        for (name, number) in [
            (&b",\"responseCode\":"[..], u64::from(self.status)),
            (b",\"bytesReceived\":", self.received),
            (b",\"bytesSent\":", self.sent),
            (b",\"duration\":", millis(self.started, ended)),
            (b",\"requestToTargetDuration\":", forwarded),
            (b",\"responseFromTargetDuration\":", answered),
        ] {
            out.extend_from_slice(name);
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        if let Some(status) = self.grpc_status {
            out.extend_from_slice(b",\"grpcResponseCode\":");
            out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        }
        out.extend_from_slice(b",\"sourceIpPort\":\"");
        out.extend_from_slice(seen.peer.as_bytes());
        out.extend_from_slice(b"\",\"targetIpPort\":\"");
        out.extend_from_slice(self.target.as_ref().map_or("-", |target| &target.text).as_bytes());
        out.push(b'"');
        match &self.site {
            Some(site) => out.extend_from_slice(&site.log),
            None => {
                let vpc = &seen.entrance.vpc;
                write_member(out, "sourceVpcId", vpc.as_str());
                let view = worker.view();
                let ingress = view.snapshot.ingresses.get(vpc);
                write_member(out, "sourceVpcArn", ingress.map_or("-", |ingress| &ingress.vpc_arn));
                write_member(out, "serviceNetworkArn", ingress.map_or("-", |ingress| &ingress.network.arn));
                out.extend_from_slice(NO_SERVICE);
            }
        }
        out.extend_from_slice(self.route.as_ref().map_or(NO_ROUTE, |route| &route.log));
        let caller = match &self.user {
            ResolvedUser::Caller(known) => Some(known),
            _ => None,
        };
        match &self.user {
            ResolvedUser::Unasked => out.extend_from_slice(b",\"resolvedUser\":\"-\""),
            ResolvedUser::Anonymous => out.extend_from_slice(b",\"resolvedUser\":\"Anonymous\""),
            ResolvedUser::Unknown => out.extend_from_slice(b",\"resolvedUser\":\"Unknown\""),
            ResolvedUser::Caller(known) => {
                write_member(out, "resolvedUser", known.caller.arn().unwrap_or("-"));
            }
        }
        out.extend_from_slice(match self.denied {
            None => b",\"authDeniedReason\":\"-\"",
            Some(Layer::Network) => b",\"authDeniedReason\":\"Network\"",
            Some(Layer::Service) => b",\"authDeniedReason\":\"Service\"",
            Some(Layer::Identity) => b",\"authDeniedReason\":\"Identity\"",
        });
        out.extend_from_slice(seen.tls.map_or(NO_TLS, |agreed| &agreed.log));
        out.extend_from_slice(caller.map_or(NO_CALLER, |known| &known.log));
        out.extend_from_slice(NO_CERTIFICATE);
        out.extend_from_slice(self.failure.map_or("-", Failure::as_str).as_bytes());
        out.extend_from_slice(b"\"}\n");
    }
}

const NO_SERVICE: &[u8] = b",\"serviceArn\":\"-\",\"listenerType\":\"-\",\"listenerId\":\"-\"";
const NO_ROUTE: &[u8] = b",\"destinationVpcId\":\"-\",\"targetGroupArn\":\"-\"";
const NO_TLS: &[u8] = b",\"tlsVersion\":\"-\",\"sslCipher\":\"-\",\"serverNameIndication\":\"-\"";
const NO_CALLER: &[u8] =
    b",\"callerPrincipal\":\"-\",\"callerPrincipalOrgID\":\"-\",\"callerPrincipalTags\":\"-\"";
const NO_CERTIFICATE: &[u8] =
    b",\"callerX509SubjectCN\":\"-\",\"callerX509IssuerOU\":\"-\",\"callerX509SANNameCN\":\"-\",\
\"callerX509SANDNS\":\"-\",\"callerX509SANURI\":\"-\",\"failureReason\":\"";

fn part<'a>(text: &'a [u8], span: &Span) -> &'a [u8] {
    text.get(span.start as usize..span.end as usize).unwrap_or_default()
}

/// Appends `,"name":"value"`.
pub(crate) fn write_member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_json_string(out, value.as_bytes());
}

/// Appends `text` as a JSON string. Bytes that are not UTF-8 are read as Latin-1, so that a line is
/// valid JSON whatever a client sent.
pub(crate) fn write_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if text.iter().all(|byte| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(text);
    } else {
        let utf8 = std::str::from_utf8(text).is_ok();
        for byte in text {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                0x20..=0x7e => out.push(*byte),
                0x80.. if utf8 => out.push(*byte),
                _ => {
                    let digit = |n: u8| b"0123456789abcdef"[usize::from(n & 15)];
                    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(*byte)]);
                }
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_become_a_valid_json_string() {
        for (text, expected) in [
            (&b"plain"[..], "\"plain\""),
            (b"quo\"te\\", r#""quo\"te\\""#),
            (b"tab\t", r#""tab\u0009""#),
            ("caf\u{e9}".as_bytes(), "\"caf\u{e9}\""),
            (b"caf\xe9", r#""caf\u00e9""#),
            (b"\x7f\x00", r#""\u007f\u0000""#),
        ] {
            let mut out = Vec::new();
            write_json_string(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
