//! What goes wrong, and the one place that says it to the application.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use trellis_auth::SignError;

use crate::body::Body;
use crate::credentials::with_causes;

/// Why a request was not sent on, or got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("a request needs one Host, such as cart.example.com, or http://cart.example.com/ as its target")]
    Host,
    #[error(
        "CONNECT is not served, since what is inside cannot be signed: call http://{host}/ without TLS, \
         the signing proxy speaks TLS to the service"
    )]
    Tunnel { host: String },
    #[error(
        "the request has an Authorization header, which is where its signature has to be: \
         send it without, or under another name"
    )]
    Authorization,
    #[error("the request cannot be signed: {0}")]
    Unsignable(SignError),
    #[error(
        "no AWS credentials: {0}. Looked at, in this order: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile \
         (AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE), AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, \
         AWS_CONTAINER_CREDENTIALS_FULL_URI, the instance's metadata. Give the signing proxy one of them"
    )]
    Credentials(Arc<str>),
    #[error("no certificate authority to verify services with: {0}. Give the signing proxy one with --ca")]
    Trust(Arc<str>),
    #[error("{host} cannot be found: {reason}")]
    Unknown { host: Box<str>, reason: String },
    #[error(
        "{host} is {address}, which is no address of a service: requests are signed for 169.254.171.0/24 and \
         fd00:ec2:80::/64 alone. Call it without the signing proxy, or allow it with --allow-destination"
    )]
    Elsewhere { host: Box<str>, address: IpAddr },
    #[error("{host} cannot be reached at {address} port {port}: {reason}")]
    Unreachable { host: Box<str>, address: IpAddr, port: u16, reason: String },
    #[error(
        "no verified TLS with {host} port {port}: {reason}. The service needs an HTTPS listener there, and a \
         certificate that the authority given with --ca vouches for"
    )]
    Tls { host: Box<str>, port: u16, reason: String },
    #[error(
        "the redirect catches the signing proxy's own connections: run it in the group that is exempt, \
         which is that of `trellis sign --install-redirect` or its --exempt-group"
    )]
    Loop,
    #[error("{host} does not speak HTTP/2, which gRPC needs")]
    NotHttp2 { host: Box<str> },
    #[error("{host} did not answer: {reason}")]
    NoAnswer { host: Box<str>, reason: String },
    #[error("{host} did not answer in time")]
    Slow { host: Box<str> },
}

/// Labels of the metrics, in the order of [`Failure::index`].
pub(crate) const REASONS: [&str; 8] =
    ["request", "credentials", "certificates", "name", "destination", "connection", "loop", "answer"];

impl Failure {
    pub(crate) fn no_answer(host: &str, error: &hyper::Error) -> Self {
        Self::NoAnswer { host: host.into(), reason: with_causes(error) }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Host | Self::Authorization | Self::Unsignable(_) => StatusCode::BAD_REQUEST,
            Self::Tunnel { .. } => StatusCode::NOT_IMPLEMENTED,
            Self::Elsewhere { .. } => StatusCode::FORBIDDEN,
            Self::Credentials(_) | Self::Trust(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Slow { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Unknown { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::NotHttp2 { .. }
            | Self::NoAnswer { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// gRPC's status: INVALID_ARGUMENT for what the application could say better, DEADLINE_EXCEEDED, else UNAVAILABLE.
    fn grpc_status(&self) -> &'static str {
        match self.status() {
            StatusCode::BAD_REQUEST => "3",
            StatusCode::FORBIDDEN => "7",
            StatusCode::NOT_IMPLEMENTED => "12",
            StatusCode::GATEWAY_TIMEOUT => "4",
            _ => "14",
        }
    }

    /// Its place among [`REASONS`].
    pub(crate) fn index(&self) -> usize {
        match self {
            Self::Host | Self::Tunnel { .. } | Self::Authorization | Self::Unsignable(_) => 0,
            Self::Credentials(_) => 1,
            Self::Trust(_) => 2,
            Self::Unknown { .. } => 3,
            Self::Elsewhere { .. } => 4,
            Self::Unreachable { .. } | Self::Tls { .. } | Self::NotHttp2 { .. } => 5,
            Self::Loop => 6,
            Self::NoAnswer { .. } | Self::Slow { .. } => 7,
        }
    }

    /// The answer: a status and a text that says what to do; to gRPC in its own words.
    pub(crate) fn answer(&self, grpc: bool) -> Response<Body> {
        let text = format!("trellis sign: {self}");
        if grpc {
            let mut response = Response::new(Body::said(Bytes::new()));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from_static(self.grpc_status()));
            headers.insert("grpc-message", percent_encoded(&text));
            return response;
        }
        let mut response = Response::new(Body::said(format!("{text}\n").into()));
        *response.status_mut() = self.status();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }
}

/// As gRPC writes messages: printable ASCII but for the percent sign, the rest percent-encoded.
fn percent_encoded(text: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static(""))
}

pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_status_and_a_text_that_says_what_to_do() {
        let failure = Failure::Trust("no file at /ca.pem".into());
        let answer = failure.answer(false);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(failure.to_string().contains("no file at /ca.pem") && failure.to_string().contains("--ca"));
    }

    #[test]
    fn grpc_is_told_in_grpcs_words() {
        let answer = Failure::Credentials("ünknown 100%".into()).answer(true);
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["grpc-status"], "14");
        let message = answer.headers()["grpc-message"].to_str().unwrap();
        assert!(message.contains("%C3%BCnknown 100%25"), "{message}");
    }
}
