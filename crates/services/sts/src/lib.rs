//! AWS STS: who a caller is, and credentials for a while for whom a role or an identity provider is trusted with.
//!
//! A session is nowhere but in its token, which the keys of the installation seal ([`trellis_frame::token_key`]):
//! whoever has the keys knows the caller without asking. Whether a role may be assumed is a question of policies like
//! any other, which IAM answers.

mod access_key_info;
mod assume_role;
mod caller_identity;
mod credentials;
mod decode;
mod fault;
mod for_service;
mod issuer_keys;
mod kept_sessions;
mod session_token;
mod terms;
mod trust;
mod web_identity;

use trellis_api::Exception;
use trellis_frame::task::Task;
use trellis_frame::{Refusal, Service, token_key, words as stock};

pub use assume_role::role;
pub use for_service::{ForService, Issued, assume_for_service};
pub use issuer_keys::{Fetched, HttpsGet, IssuerKeys, MAX_ANSWER};
pub use kept_sessions::KeptSessions;

#[allow(clippy::all, dead_code, unreachable_pub)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/sts.rs"));
}

/// The service: what the frame has to know of it.
pub static SERVICE: Service = Service {
    words,
    operations: OPERATIONS,
    start: Some(|surroundings| Box::pin(async move { token_key::rotate(&surroundings).await })),
    tasks: &[Task { name: "token keys", run: |surroundings| Box::pin(token_key::run(surroundings)) }],
    ..Service::new(wire::description)
};

trellis_frame::operations! { wire;
    AssumeRole => view assume_role::assume,
    AssumeRoleWithWebIdentity => unsigned web_identity::assume,
    DecodeAuthorizationMessage => view decode::decode,
    GetAccessKeyInfo => read access_key_info::get,
    GetCallerIdentity => view caller_identity::get,
    GetFederationToken => view session_token::get_for_federated_user,
    GetSessionToken => view session_token::get,
}

fn words(refusal: Refusal) -> Exception {
    match refusal {
        Refusal::NotServed { operation } => {
            Exception::plain("InvalidAction", 400, format!("{operation} is not supported"))
        }
        refusal => stock::query(refusal),
    }
}
