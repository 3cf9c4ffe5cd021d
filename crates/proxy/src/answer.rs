//! Answers given here, without a target: errors, fixed responses, denials.

use std::borrow::Cow;

use crate::http1::response::{Delivery, write_delivery};

/// A status and a text for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Cow<'static, str>,
}

impl Answer {
    /// An answer whose body is its reason phrase: what clients of VPC Lattice look for in a 404.
    pub(crate) fn plain(status: u16) -> Self {
        Self { status, body: Cow::Borrowed(reason(status)) }
    }

    /// The text of a denial, as reference clients compare it.
    pub(crate) fn denied(service_arn: &str, path: &[u8], layer: &str) -> Self {
        let path = String::from_utf8_lossy(path);
        Self {
            status: 403,
            body: Cow::Owned(format!(
                "AccessDeniedException: User: anonymous is not authorized to perform: \
                 vpc-lattice-svcs:Invoke on resource: {service_arn}{path} because no {layer} policy \
                 allows the vpc-lattice-svcs:Invoke action"
            )),
        }
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

fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}
