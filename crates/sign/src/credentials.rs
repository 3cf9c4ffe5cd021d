//! Whose identity requests get: the AWS SDK's chain of credentials, looked through ahead of every expiry.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::watch;
use trellis_auth::{Credentials, InvalidCredential, SecretKey};

use crate::metrics::Metrics;
use crate::supply::Supply;

/// How long before they expire credentials are replaced, where they live long enough.
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// How often credentials that do not expire are looked at again: keys in a file may be replaced.
const STEADY: Duration = Duration::from_secs(60);
/// How long one look through the chain may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Waits after looks that found nothing.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The chain of the AWS SDK: environment, profile, web identity, container endpoint, instance metadata; the profile is
/// the environment's unless one is named.
pub fn chain(profile: Option<String>) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Chain { http: http_client(), profile })
}

/// The region where the chain finds one: environment, profile, instance metadata.
///
/// The SDK's own chain cannot be told of a client of HTTP, and panics without one where it comes to instance metadata.
pub async fn region_of_chain(profile: Option<&str>) -> Option<String> {
    let config = ProviderConfig::without_region().with_http_client(http_client());
    let mut profiles = ProfileFileRegionProvider::builder().configure(&config);
    if let Some(profile) = profile {
        profiles = profiles.profile_name(profile);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profiles.build())
        .or_else(ImdsRegionProvider::builder().configure(&config).build());
    let region = tokio::time::timeout(PATIENCE, chain.region()).await.ok()?;
    region.map(|region| region.to_string())
}

fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc)).build_https()
}

/// A chain reads profiles once, and tokens of files with them; so one is made for each look.
#[derive(Debug)]
struct Chain {
    http: SharedHttpClient,
    profile: Option<String>,
}

impl Chain {
    async fn look(&self) -> provider::Result {
        let config = ProviderConfig::without_region().with_http_client(self.http.clone());
        let mut chain = DefaultCredentialsChain::builder().configure(config);
        if let Some(profile) = &self.profile {
            chain = chain.profile_name(profile);
        }
        chain.build().await.provide_credentials().await
    }
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.look())
    }
}

/// Why a look found nothing to sign with.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("the search took longer than {} seconds", PATIENCE.as_secs())]
    Slow,
    #[error(transparent)]
    Provider(#[from] CredentialsError),
    #[error("what was found cannot be used")]
    Unusable(#[from] InvalidCredential),
    #[error("what was found has expired")]
    Expired,
}

/// Keeps `found` supplied for as long as somebody looks at it.
pub(crate) async fn keep(
    provider: SharedCredentialsProvider,
    found: watch::Sender<Supply<Credentials>>,
    metrics: Arc<Metrics>,
) {
    let mut expires_at: Option<SystemTime> = None;
    let mut wait = SHORTEST_WAIT;
    while !found.is_closed() {
        let pause = match look(&provider).await {
            Ok((credentials, expiry)) => {
                metrics.credentials_found(expiry);
                if !matches!(&*found.borrow(), Supply::Ready(_)) {
                    tracing::info!(access_key_id = %credentials.access_key_id, "credentials found");
                }
                found.send_replace(Supply::Ready(Arc::new(credentials)));
                (expires_at, wait) = (expiry, SHORTEST_WAIT);
                until_next_look(expiry, SystemTime::now())
            }
            Err(error) => {
                metrics.credentials_not_found();
                let reason = with_causes(&error);
                let now = SystemTime::now();
                let left = match (&*found.borrow(), expires_at) {
                    (Supply::Ready(_), None) => Some(Duration::MAX),
                    (Supply::Ready(_), Some(at)) => {
                        at.duration_since(now).ok().filter(|left| !left.is_zero())
                    }
                    _ => None,
                };
                if left.is_some() {
                    tracing::warn!(
                        reason,
                        "credentials cannot be renewed; those at hand are used while they last"
                    );
                } else {
                    tracing::warn!(reason, "no credentials");
                    found.send_replace(Supply::Missing(reason.into()));
                }
                let pause = wait.min(left.unwrap_or(Duration::MAX));
                wait = (wait * 2).min(LONGEST_WAIT);
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn look(provider: &SharedCredentialsProvider) -> Result<(Credentials, Option<SystemTime>), LookError> {
    let found = tokio::time::timeout(PATIENCE, provider.provide_credentials())
        .await
        .map_err(|_| LookError::Slow)??;
    if found.expiry().is_some_and(|at| at <= SystemTime::now()) {
        return Err(LookError::Expired);
    }
    let credentials = Credentials {
        access_key_id: found.access_key_id().parse()?,
        secret_key: SecretKey::new(found.secret_access_key())?,
        session_token: found.session_token().map(str::parse).transpose()?,
    };
    Ok((credentials, found.expiry()))
}

/// Ahead of the expiry by [`AHEAD`], or by a fifth of what is left of shorter lives.
fn until_next_look(expires_at: Option<SystemTime>, now: SystemTime) -> Duration {
    let Some(expires_at) = expires_at else { return STEADY };
    let left = expires_at.duration_since(now).unwrap_or_default();
    (left - AHEAD.min(left / 5)).max(SHORTEST_WAIT)
}

/// An error and what led to it, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_replaced_five_minutes_or_a_fifth_of_their_life_before_they_expire() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (life, wait) in [(3600, 3300), (900, 720), (60, 48), (1, 1), (0, 1)] {
            let expiry = now + Duration::from_secs(life);
            assert_eq!(until_next_look(Some(expiry), now), Duration::from_secs(wait), "{life}");
        }
        assert_eq!(until_next_look(None, now), STEADY);
        assert_eq!(until_next_look(Some(now - Duration::from_secs(5)), now), SHORTEST_WAIT);
    }
}
