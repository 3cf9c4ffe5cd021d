//! The life of an API call, from bytes to bytes.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use serde_json::Value;
use trellis_api::{
    AuthFailure, Decoded, Exception, Incoming, Protocol, Schema, Service, auth_failure, check_size, decode,
    dispatch, encode, encode_error, guess_protocol,
};
use trellis_auth::{
    AuthError, Payload, Rules, SignedRequest, SigningKeyCache, Verified, headers_of, verify_with,
};

use crate::access_key::{self, AccessKey};
use crate::context::{Caller, Context, Surroundings};
use crate::refusal::Refusal;

/// Serves one call. Whatever happens, the answer is in the caller's protocol and has a request id.
pub(crate) async fn serve(
    surroundings: &Arc<Surroundings>,
    signing_keys: &SigningKeyCache,
    request: Request<Bytes>,
) -> Response<Vec<u8>> {
    let request_id = surroundings.random.uuid();
    let (head, body) = request.into_parts();
    let incoming = Incoming {
        method: &head.method,
        raw_path: head.uri.path(),
        raw_query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &body,
    };

    // 1. The service, by the scope of the signature and never by the path.
    let schema = Schema::all();
    let service = match dispatch::route(schema, &incoming) {
        Ok(route) => route.service,
        Err(exception) => {
            return encode_error(None, guess_protocol(schema, &incoming), &exception, &request_id);
        }
    };

    match perform(surroundings, signing_keys, service, &incoming, &request_id).await {
        // 6. The answer, in the caller's protocol.
        Ok((decoded, output)) => encode(service, decoded.protocol, decoded.operation, &output, &request_id),
        Err((protocol, exception)) => {
            if exception.status >= 500 {
                tracing::error!(service = service.signing_name, %exception, request_id, "a call failed");
            }
            encode_error(Some(service), protocol, &exception, &request_id)
        }
    }
}

/// Whether there is the key that a head claims to be signed with; else the call is refused whatever its body.
pub(crate) fn names_a_key(surroundings: &Surroundings, head: &Parts) -> bool {
    let incoming = Incoming {
        method: &head.method,
        raw_path: head.uri.path(),
        raw_query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &[],
    };
    let (Ok(route), Ok(mut state)) = (dispatch::route(Schema::all(), &incoming), surroundings.store.read())
    else {
        return false;
    };
    let headers = headers_of(incoming.headers);
    let request = SignedRequest {
        method: incoming.method.as_str(),
        path: incoming.raw_path,
        query: incoming.raw_query,
        headers: &headers,
        payload: Payload::Body(&[]),
    };
    let mut is_known = false;
    let lookup = |claim: trellis_auth::Claim<'_>| {
        is_known = matches!(access_key::find(&mut state, claim.access_key_id), Ok(Some(_)));
        Ok(None)
    };
    let services = [route.service.signing_name.as_str()];
    // Only the claim is of interest: without its body a call cannot be judged.
    let _ = verify_with(&request, lookup, surroundings.clock.now(), &Rules::for_service(&services), None);
    is_known
}

/// What failed, and the protocol to say so in.
type Failed = (Protocol, Exception);

async fn perform(
    surroundings: &Arc<Surroundings>,
    signing_keys: &SigningKeyCache,
    service: &'static Service,
    incoming: &Incoming<'_>,
    request_id: &str,
) -> Result<(Decoded, Value), Failed> {
    let in_protocol = |exception| (service.protocol, exception);
    check_size(service, incoming.body).map_err(in_protocol)?;

    // 2. The signature, and with it who calls and in which region.
    let (verified, key) = verify(surroundings, signing_keys, service, incoming).map_err(in_protocol)?;
    let region = verified.region().parse().map_err(|error: trellis_model::IdError| {
        in_protocol(auth_failure(AuthFailure::BadSignature, service.protocol, Some(error.to_string())))
    })?;

    // 3. The operation and its input, every limit of the description checked.
    let mut decoded = decode(service, incoming).map_err(in_protocol)?;
    let Decoded { operation, protocol, .. } = decoded;
    let in_protocol = |exception| (protocol, exception);

    // 4. Whether this caller may.
    key.authorise(operation, protocol).map_err(in_protocol)?;

    // 5. The operation: one transaction, or one consistent read.
    let context = Context {
        caller: Caller {
            arn: key.arn(),
            account: key.account,
            region,
            access_key_id: verified.access_key_id().as_str().to_owned(),
        },
        now: surroundings.clock.now().into(),
        surroundings: surroundings.clone(),
    };
    let input = decoded.input.take();
    let output = match service.signing_name.as_str() {
        "vpc-lattice" => crate::lattice::call(&context, operation, input).await,
        "ec2" => crate::ec2::call(&context, operation, input).await,
        "sts" => crate::sts::call(&context, operation, input).await,
        "ram" => crate::ram::call(&context, operation, input).await,
        "acm" => crate::acm::call(&context, operation, input).await,
        "tagging" => crate::tagging::call(&context, operation, input).await,
        other => Err(Exception::internal(format!("no operations of {other} are served"))),
    };
    tracing::debug!(
        service = service.signing_name,
        operation = operation.name,
        account = %context.caller.account,
        is_ok = output.is_ok(),
        request_id,
        "call"
    );
    Ok((decoded, output.map_err(in_protocol)?))
}

/// The signature's verdict and the key it was made with.
fn verify(
    surroundings: &Surroundings,
    signing_keys: &SigningKeyCache,
    service: &Service,
    incoming: &Incoming<'_>,
) -> Result<(Verified, AccessKey), Exception> {
    let headers = headers_of(incoming.headers);
    let request = SignedRequest {
        method: incoming.method.as_str(),
        path: incoming.raw_path,
        query: incoming.raw_query,
        headers: &headers,
        payload: Payload::Body(incoming.body),
    };
    let mut state = surroundings.store.read().map_err(|error| Exception::from(Refusal::from(error)))?;
    let mut found = Ok(None);
    let lookup = |claim: trellis_auth::Claim<'_>| {
        // Only long-lived keys exist.
        if claim.security_token.is_some() {
            return Err(AuthError::TokenUnsupported);
        }
        let sealing_key = surroundings.vault.sealing_key();
        let secret;
        (found, secret) = match access_key::find(&mut state, claim.access_key_id) {
            Ok(Some(key)) => match key.sealed_secret.open(claim.access_key_id, &sealing_key) {
                Ok(secret) => (Ok(Some(key)), secret.to_key().ok()),
                Err(fault) => (Err(Refusal::from(fault)), None),
            },
            other => (other, None),
        };
        Ok(secret)
    };
    let services = [service.signing_name.as_str()];
    let verdict = verify_with(
        &request,
        lookup,
        surroundings.clock.now(),
        &Rules::for_service(&services),
        Some(signing_keys),
    );
    let key = found.map_err(Exception::from)?;
    match (verdict, key) {
        (Ok(verified), Some(key)) => Ok((verified, key)),
        (Ok(_), None) => Err(auth_failure(AuthFailure::UnknownKey, service.protocol, None)),
        (Err(error), _) => Err(refused(service.protocol, &error)),
    }
}

/// A signature that was not accepted, in the words of the service's family.
fn refused(protocol: Protocol, error: &AuthError) -> Exception {
    let (failure, message) = match error {
        AuthError::Missing => (AuthFailure::MissingToken, None),
        AuthError::Incomplete { .. }
        | AuthError::Malformed { .. }
        | AuthError::UnsupportedAlgorithm { .. } => (AuthFailure::Incomplete, Some(error.to_string())),
        AuthError::UnknownKey { .. } => (AuthFailure::UnknownKey, None),
        AuthError::BadSignature => (AuthFailure::BadSignature, None),
        AuthError::HeaderNotSigned { .. }
        | AuthError::SignedHeaderAbsent { .. }
        | AuthError::ScopeMismatch { .. }
        | AuthError::Payload(_) => (AuthFailure::BadSignature, Some(error.to_string())),
        AuthError::Skewed { .. } | AuthError::Expired { .. } => {
            (AuthFailure::Expired, Some(error.to_string()))
        }
        AuthError::TokenUnsupported | AuthError::TokenInvalid => (AuthFailure::InvalidToken, None),
        AuthError::TokenExpired => (AuthFailure::ExpiredToken, None),
    };
    auth_failure(failure, protocol, message)
}
