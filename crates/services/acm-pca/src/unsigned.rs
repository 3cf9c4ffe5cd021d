//! What strangers ask of private CAs over plain HTTP: lists at `/.../{authority}.crl`, and OCSP (RFC 6960 appendix A) as
//! a POST to any path. Neither needs a signature, and both are bounded.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, header};
use trellis_ca::ocsp::MAX_REQUEST;
use trellis_frame::Surroundings;

use crate::revocation;

const QUESTION: &str = "application/ocsp-request";

/// Bytes of a body that [`serve`] reads.
pub fn body_limit(head: &Parts) -> usize {
    if is_question(&head.method, &head.headers) { MAX_REQUEST } else { 0 }
}

fn is_question(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::POST
        && headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == QUESTION.as_bytes())
}

/// The answer to such a request; `None` for any other.
pub async fn serve(surroundings: &Arc<Surroundings>, request: &Request<Bytes>) -> Option<Response<Vec<u8>>> {
    if is_question(request.method(), request.headers()) {
        let answer = revocation::answer(surroundings, request.body()).await;
        return Some(response(200, "application/ocsp-response", answer));
    }
    let name = request.uri().path().rsplit('/').next()?;
    let authority = name.strip_suffix(".crl").filter(|_| request.method() == Method::GET)?;
    Some(match revocation::list(surroundings, authority) {
        Ok(Some(list)) => response(200, "application/pkix-crl", list),
        Ok(None) => response(404, "text/plain", b"no certificate authority has this list\n".to_vec()),
        Err(refusal) => {
            tracing::error!(?refusal, "a revocation list could not be read");
            response(500, "text/plain", b"the state could not be read\n".to_vec())
        }
    })
}

fn response(status: u16, kind: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(body);
    response.expect("constants make a response")
}
