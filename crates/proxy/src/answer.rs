//! Answers given here, without a target: errors, fixed responses, denials.

use std::borrow::Cow;

use crate::failure::Failure;
use crate::grpc;
use crate::http1::response::{Delivery, write_delivery};

/// A status and a text for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What the access log says. A gRPC answer is sent with 200 instead.
    pub(crate) status: u16,
    pub(crate) body: Cow<'static, str>,
    /// A gRPC answer made of trailers only: this is its `grpc-status` and `body` its message.
    pub(crate) grpc_status: Option<u32>,
}

impl Answer {
    /// An answer whose body is its reason phrase: what clients of VPC Lattice look for in a 404.
    pub(crate) fn plain(status: u16) -> Self {
        Self { status, body: Cow::Borrowed(reason(status)), grpc_status: None }
    }

    /// An answer in the words of gRPC, for a request that came as gRPC.
    pub(crate) fn grpc(status: u16, grpc_status: u32, message: &'static str) -> Self {
        Self { status, body: Cow::Borrowed(message), grpc_status: Some(grpc_status) }
    }

    /// The same answer in the words of gRPC. `failure` is why it is given.
    pub(crate) fn in_grpc(self, failure: Option<Failure>) -> Self {
        if self.grpc_status.is_some() {
            return self;
        }
        let grpc_status = Some(grpc::status_of_refusal(self.status, failure));
        Self { grpc_status, ..self }
    }

    /// The status it is sent with over HTTP/2.
    pub(crate) fn http2_status(&self) -> u16 {
        if self.grpc_status.is_some() { 200 } else { self.status }
    }

    /// A denial, in the words of AWS.
    pub(crate) fn denied(words: String) -> Self {
        Self { status: 403, body: Cow::Owned(words), grpc_status: None }
    }

    /// Appends the answer as it is sent. `to_head`: it answers HEAD, so the body stays here.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        delivery: Delivery,
        to_head: bool,
        request_id: &[u8],
        date: &[u8],
    ) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(self.status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\ncontent-type: text/plain\r\ncontent-length: ");
        out.extend_from_slice(itoa::Buffer::new().format(self.body.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(date);
        out.extend_from_slice(b"x-amzn-requestid: ");
        out.extend_from_slice(request_id);
        out.extend_from_slice(b"\r\n");
        if self.status == 405 {
            // "The origin server MUST generate an Allow header field in a 405 response"; what a
            // target allows is not known here, and an empty list may be sent.
            out.extend_from_slice(b"allow: \r\n");
        }
        write_delivery(out, delivery);
        out.extend_from_slice(b"\r\n");
        if !to_head {
            out.extend_from_slice(self.body.as_bytes());
        }
    }
}

impl Answer {
    /// The fields of the answer, as HTTP/2 sends them.
    pub(crate) fn each_field(&self, request_id: &[u8], date: &[u8], mut put: impl FnMut(&[u8], &[u8])) {
        match self.grpc_status {
            Some(status) => {
                put(b"content-type", b"application/grpc");
                put(GRPC_STATUS, itoa::Buffer::new().format(status).as_bytes());
                put(b"grpc-message", &grpc::percent_encoded(&self.body));
            }
            None => {
                put(b"content-type", b"text/plain");
                put(b"content-length", itoa::Buffer::new().format(self.body.len()).as_bytes());
            }
        }
        put(b"date", date);
        put(REQUEST_ID, request_id);
        if self.status == 405 {
            put(b"allow", b"");
        }
    }

    /// The body of the answer, as HTTP/2 sends it.
    pub(crate) fn http2_body(&self) -> &str {
        if self.grpc_status.is_some() { "" } else { &self.body }
    }
}

pub(crate) const REQUEST_ID: &[u8] = b"x-amzn-requestid";
pub(crate) const GRPC_STATUS: &[u8] = b"grpc-status";

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}
