//! One request and its answer. [`exchange`] is the list of steps.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use jiff::Timestamp;

use crate::body::Body;
use crate::destination::{self, Destination};
use crate::failure::{Failure, is_grpc};
use crate::signer::Signed;
use crate::supply;
use crate::upstream::{Sender, Speaks};
use crate::worker::Worker;

/// How long a service may take to begin its answer; no connection to one lives longer (VPC Lattice, quotas).
const ANSWER_PATIENCE: Duration = Duration::from_secs(600);

/// About one connection, not about the message: not passed on (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// Answers one request, whatever happens.
pub(crate) async fn answer(
    worker: &Worker,
    original: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Response<Body> {
    let grpc = is_grpc(request.headers());
    let metrics = &worker.shared.metrics;
    match exchange(worker, original, request, grpc).await {
        Ok(response) => {
            metrics.answered(response.status());
            response
        }
        Err(failure) => {
            tracing::debug!(%failure, "not sent on");
            metrics.failed(&failure);
            failure.answer(grpc)
        }
    }
}

async fn exchange(
    worker: &Worker,
    original: Option<SocketAddr>,
    mut request: Request<Incoming>,
    grpc: bool,
) -> Result<Response<Body>, Failure> {
    let shared = &worker.shared;

    // 1. Where to.
    if request.method() == Method::CONNECT {
        let host = request.uri().authority().map(|authority| authority.host().to_owned()).unwrap_or_default();
        return Err(Failure::Tunnel { host });
    }
    let (destination, authority) = destination::of(&request, original)?;

    // 2. What is about the application's connection to us stays behind.
    let speaks = Speaks::like(request.version());
    end_to_end(request.headers_mut());
    // hyper has asked for the body as soon as it is read.
    request.headers_mut().remove(header::EXPECT);

    // 3. Signed for the name it is called by, unless the application did.
    let authority = match Signed::of(request.uri(), request.headers()) {
        Signed::Already => {
            shared.metrics.passed();
            authority
        }
        Signed::Otherwise => return Err(Failure::Authorization),
        Signed::NotYet => {
            let authority = destination::without_http_port(authority);
            let credentials = supply::found(&shared.credentials).await.map_err(Failure::Credentials)?;
            let (method, uri) = (request.method().clone(), request.uri().clone());
            let headers = request.headers_mut();
            shared
                .signer
                .sign(&method, &uri, authority.as_str(), headers, &credentials, Timestamp::now())
                .map_err(Failure::Unsignable)?;
            authority
        }
    };

    // 4. Over a connection that is kept, or a new one with verified TLS.
    let trust = supply::found(&shared.trust).await.map_err(Failure::Trust)?;
    let (sender, kept) = worker.upstreams.sender(shared, &trust, &destination, speaks).await?;
    address(&mut request, &authority, &sender);
    let sent = match send(&destination, grpc, sender, request).await {
        // A kept connection may end in the moment it is taken; what it did not send goes over a new one.
        Err(Unsent::Whole(request)) if kept => {
            let sender = worker.upstreams.fresh_sender(shared, &trust, &destination, speaks).await?;
            let mut request = *request;
            address(&mut request, &authority, &sender);
            send(&destination, grpc, sender, request).await
        }
        sent => sent,
    };

    // 5. The answer streams back.
    sent.map_err(|unsent| match unsent {
        Unsent::Failed(failure) => failure,
        Unsent::Whole(_) => {
            Failure::NoAnswer { host: destination.host, reason: "the connection was closed".into() }
        }
    })
}

/// Why there is no answer.
enum Unsent {
    /// Nothing of the request has left.
    Whole(Box<Request<Incoming>>),
    Failed(Failure),
}

async fn send(
    destination: &Destination,
    grpc: bool,
    mut sender: Sender,
    request: Request<Incoming>,
) -> Result<Response<Body>, Unsent> {
    if grpc && !sender.is_http2() {
        return Err(Unsent::Failed(Failure::NotHttp2 { host: destination.host.clone() }));
    }
    let sent = tokio::time::timeout(ANSWER_PATIENCE, sender.send(request)).await;
    let Ok(sent) = sent else {
        return Err(Unsent::Failed(Failure::Slow { host: destination.host.clone() }));
    };
    let response = sent.map_err(|mut error| match error.take_message() {
        Some(request) => Unsent::Whole(Box::new(request)),
        None => Unsent::Failed(Failure::no_answer(&destination.host, error.error())),
    })?;
    let (mut head, incoming) = response.into_parts();
    end_to_end(&mut head.headers);
    Ok(Response::from_parts(head, Body::relayed(incoming, sender.into_lease())))
}

/// Writes the head's first line as the protocol of `sender` has it.
fn address(request: &mut Request<Incoming>, authority: &Authority, sender: &Sender) {
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    if sender.is_http2() {
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(authority.clone());
        request.headers_mut().remove(header::HOST);
        *request.version_mut() = Version::HTTP_2;
    } else {
        let host = HeaderValue::from_str(authority.as_str()).expect("an authority is a header's value");
        request.headers_mut().insert(header::HOST, host);
        *request.version_mut() = Version::HTTP_11;
    }
    *request.uri_mut() = Uri::from_parts(parts).expect("a path, with scheme and authority together or alone");
}

/// Leaves what is about the message; of `TE` what HTTP/2 allows and gRPC needs, `trailers`.
fn end_to_end(headers: &mut HeaderMap) {
    let trailers = headers.get(header::TE).is_some_and(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("trailers")))
    });
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // No connection is about these, and a request without them is another.
        .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_connection_stays_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine, host"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers"),
            ("upgrade", "websocket"),
            ("host", "a"),
            ("proxy-authorization", "Basic eA=="),
            ("x-yours", "2"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        end_to_end(&mut headers);
        let mut left: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("host", "a"), ("te", "trailers"), ("x-yours", "2")]);
    }
}
