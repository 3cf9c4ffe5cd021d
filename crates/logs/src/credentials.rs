//! Whose keys calls are signed with: the places AWS SDKs look at, in their order.
//!
//! 1. `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`
//! 2. `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`: AssumeRoleWithWebIdentity (IRSA)
//! 3. the profile `AWS_PROFILE` of `~/.aws/credentials` or `~/.aws/config`
//! 4. `AWS_CONTAINER_CREDENTIALS_FULL_URI` or `_RELATIVE_URI` (ECS, EKS Pod Identity)
//! 5. the instance's metadata service, version 2, unless `AWS_EC2_METADATA_DISABLED`
//!
//! Keys that expire are fetched again in time. Profiles that assume roles, run commands or use single
//! sign-on are not followed.

mod profile;
mod remote;

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use trellis_auth::{Credentials, SecretKey};

use crate::failure::Failure;

/// Files and metadata are looked at again after so long, and that long before keys expire.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// The environment variables of whoever started the process.
#[derive(Clone)]
pub struct Environment(Arc<LookUp>);

type LookUp = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    pub fn new(look_up: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look_up))
    }

    /// The value, unless it is empty.
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// Finds keys and keeps them until they should be looked for again.
#[derive(Debug)]
pub(crate) struct Wallet {
    environment: Environment,
    held: Mutex<Option<Held>>,
}

#[derive(Debug, Clone)]
struct Held {
    credentials: Credentials,
    until: Timestamp,
}

impl Wallet {
    pub(crate) fn new(environment: Environment) -> Self {
        Self { environment, held: Mutex::default() }
    }

    pub(crate) async fn credentials(&self, now: Timestamp) -> Result<Credentials, Failure> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| now < held.until) {
            return Ok(held.credentials.clone());
        }
        let found = self.look(now).await?;
        *held = Some(found.clone());
        Ok(found.credentials)
    }

    async fn look(&self, now: Timestamp) -> Result<Held, Failure> {
        let environment = &self.environment;
        let until = now.saturating_add(LOOK_AGAIN).unwrap_or(now);
        if let (Some(id), Some(secret)) =
            (environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY"))
        {
            let token = environment.get("AWS_SESSION_TOKEN");
            return Ok(Held { credentials: read("the environment", &id, secret, token)?, until });
        }
        if let Some(found) = remote::web_identity(environment).await? {
            return Ok(found);
        }
        if let Some(credentials) = profile::look(environment)? {
            return Ok(Held { credentials, until });
        }
        if let Some(found) = remote::container(environment).await? {
            return Ok(found);
        }
        match remote::instance(environment).await {
            Some(found) => found,
            None => Err(Failure::new(
                "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            )),
        }
    }
}

/// Keys as they are written somewhere; `place` is named when they cannot be.
fn read(place: &str, id: &str, secret: String, token: Option<String>) -> Result<Credentials, Failure> {
    let wrong = |error| Failure::because(format_args!("the credentials in {place} cannot be used"), &error);
    Ok(Credentials {
        access_key_id: id.parse().map_err(wrong)?,
        secret_key: SecretKey::new(secret).map_err(wrong)?,
        session_token: token.map(|token| token.parse().map_err(wrong)).transpose()?,
    })
}

#[cfg(test)]
mod tests;
