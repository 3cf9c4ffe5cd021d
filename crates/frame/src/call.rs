//! The life of an API call, from bytes to bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, header};
use serde_json::Value;
use trellis_api::{
    AuthFailure, Decoded, Exception, Incoming, Protocol, auth_failure, check_size, decode, dispatch, encode,
    encode_error, guess_protocol,
};
use trellis_auth::SigningKeyCache;
use trellis_model::{Region, VpcId};

use crate::authorise::{Asked, Facts, NotAllowed};
use crate::caller::Caller;
use crate::context::{Context, Unsigned};
use crate::denial_message;
use crate::operation::{Call, Operation, Perform};
use crate::refusal::Refusal;
use crate::service::Service;
use crate::signature::{NotVerified, verify};
use crate::surroundings::Surroundings;

/// The address a request came from, in its extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The VPC a request came from, in its extensions; not there for one from elsewhere.
#[derive(Debug, Clone)]
pub struct SourceVpc(pub VpcId);

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
    let facts = facts(&head, &request_id);

    // 1. The service, by the scope of the signature and never by the path.
    let schema = surroundings.services.schema();
    let route = match dispatch::route(schema, &incoming) {
        Ok(route) => route,
        Err(exception) => {
            return encode_error(None, guess_protocol(schema, &incoming), &exception, &request_id);
        }
    };
    let described = route.service;
    if let Err(exception) = check_size(described, incoming.body) {
        return encode_error(Some(described), described.protocol, &exception, &request_id);
    }
    let Some(service) = surroundings.services.named(&described.signing_name) else {
        let exception =
            Exception::internal(format!("no operations of {} are served", described.signing_name));
        return encode_error(Some(described), described.protocol, &exception, &request_id);
    };
    let region = route.region.and_then(|region| region.parse().ok());
    let region = region.unwrap_or_else(|| surroundings.region.clone());

    match perform(surroundings, signing_keys, service, (&incoming, region, facts)).await {
        // 6. The answer, in the caller's protocol.
        Ok((decoded, output)) => encode(described, decoded.protocol, decoded.operation, &output, &request_id),
        Err((protocol, exception)) => {
            if exception.status >= 500 {
                tracing::error!(service = described.signing_name, %exception, request_id, "a call failed");
            }
            encode_error(Some(described), protocol, &exception, &request_id)
        }
    }
}

/// What failed, and the protocol to say so in.
type Failed = (Protocol, Exception);

async fn perform(
    surroundings: &Arc<Surroundings>,
    signing_keys: &SigningKeyCache,
    service: &'static Service,
    (incoming, region, facts): (&Incoming<'_>, Region, Facts),
) -> Result<(Decoded, Value), Failed> {
    let description = (service.description)();
    let in_protocol = |exception| (description.protocol, exception);

    // 2. The signature, and with it who calls and in which region.
    let caller = match verify(surroundings, signing_keys, description, incoming) {
        Ok(caller) => caller,
        Err(NotVerified::Missing) => return unsigned(surroundings, service, (incoming, region, facts)).await,
        Err(NotVerified::Refused(exception)) => return Err(in_protocol(exception)),
        Err(NotVerified::Ours(refusal)) => return Err(in_protocol(in_words_of(service, refusal))),
    };

    // 3. The operation and its input, every limit of the description checked.
    let mut decoded = decode(description, incoming).map_err(in_protocol)?;
    let Decoded { operation, protocol, .. } = decoded;
    let failed = |refusal| (protocol, in_words_of(service, refusal));
    let input = decoded.input.take();

    // 4. Whether this caller may.
    let facts = Arc::new(facts);
    let mut state = surroundings.store.read().map_err(|error| failed(error.into()))?;
    let asked = Asked { operation, caller: &caller, input: &input, facts: &facts };
    let allowed =
        asked.authorise(&mut state, surroundings, description).map_err(|refusal| match refusal {
            NotAllowed::Denied(denial) => {
                let message = match protocol {
                    Protocol::Ec2 => denial_message::of_ec2(&denial, &caller, &surroundings.vault),
                    _ => denial.sentence,
                };
                (protocol, auth_failure(AuthFailure::AccessDenied, protocol, Some(message)))
            }
            NotAllowed::Unread(refusal) => failed(refusal),
        })?;
    drop(state);

    // 5. The operation: one transaction, or one consistent read.
    let now = surroundings.clock.now().into();
    let context = Context::new(allowed, caller, now, facts, surroundings.clone());
    let account = context.caller.account.clone();
    let output = match service.operation(&operation.name) {
        Some(Operation { perform: Perform::Signed(perform), .. }) => {
            perform(Call { context, service: description, operation, pages: service.pages, input }).await
        }
        Some(Operation { perform: Perform::Unsigned(perform), .. }) => {
            let Context { now, surroundings, facts, caller: Caller { region, .. }, .. } = context;
            perform(Unsigned { region, now, surroundings, facts }, input).await
        }
        None => Err(Refusal::NotServed { operation: operation.name.clone() }),
    };
    tracing::debug!(
        service = description.signing_name,
        operation = operation.name,
        %account,
        is_ok = output.is_ok(),
        "call"
    );
    Ok((decoded, output.map_err(failed)?))
}

/// A call without a signature: there are operations for which that is right.
async fn unsigned(
    surroundings: &Arc<Surroundings>,
    service: &'static Service,
    (incoming, region, facts): (&Incoming<'_>, Region, Facts),
) -> Result<(Decoded, Value), Failed> {
    let description = (service.description)();
    let missing = |protocol| (protocol, auth_failure(AuthFailure::MissingToken, protocol, None));
    if !service.has_unsigned() {
        return Err(missing(description.protocol));
    }
    let mut decoded = decode(description, incoming).map_err(|exception| (description.protocol, exception))?;
    let Decoded { operation, protocol, .. } = decoded;
    let Some(Operation { perform: Perform::Unsigned(perform), .. }) = service.operation(&operation.name)
    else {
        return Err(missing(protocol));
    };
    let now = surroundings.clock.now().into();
    let context = Unsigned { region, now, surroundings: surroundings.clone(), facts: Arc::new(facts) };
    let output = perform(context, decoded.input.take()).await;
    Ok((decoded, output.map_err(|refusal| (protocol, in_words_of(service, refusal)))?))
}

/// The one place where a refusal becomes an exception. What is ours is told in full here alone.
fn in_words_of(service: &Service, refusal: Refusal) -> Exception {
    match &refusal {
        Refusal::Store(error) => tracing::error!(%error, "the store failed"),
        Refusal::Corrupt { key, error } => tracing::error!(key, %error, "a stored record does not read"),
        Refusal::Vault(fault) => {
            let error = fault as &dyn std::error::Error;
            tracing::error!(error, "a secret cannot be opened or made");
        }
        _ => {}
    }
    (service.words)(refusal)
}

fn facts(head: &Parts, request_id: &str) -> Facts {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    Facts {
        request_id: request_id.to_owned(),
        source_ip: head.extensions.get().map(|Peer(address)| address.ip()),
        source_vpc: head.extensions.get().map(|SourceVpc(vpc)| vpc.clone()),
        user_agent: head.headers.get(header::USER_AGENT).and_then(text),
        is_secure: false,
    }
}
