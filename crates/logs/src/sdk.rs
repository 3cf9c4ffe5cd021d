//! The AWS SDK as deliveries use it: whose keys, which endpoint, how long a call may take.
//!
//! A call is made once: the shipper tries again, in order and with its own waits. No setting but credentials is taken
//! from the environment here; `AWS_ENDPOINT_URL` in particular usually leads to Trellis itself.

mod ambient;
mod short_answers;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{IdentityCache, SharedHttpClient, SharedIdentityCache};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use self::ambient::Ambient;
use self::short_answers::ShortAnswers;

/// For TCP and TLS together, and for one call with everything it needs, keys among it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections to one server that are kept for the next call, and for how long.
const IDLE_CONNECTIONS: usize = 8;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the clients of every service share: connections, and the keys found last.
#[derive(Debug, Clone)]
pub(crate) struct Sdk {
    http: SharedHttpClient,
    credentials: SharedCredentialsProvider,
    identities: SharedIdentityCache,
}

impl Sdk {
    /// With these keys, or with those of the process.
    pub(crate) fn new(credentials: Option<SharedCredentialsProvider>) -> Self {
        // It trusts what the machine trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise.
        let https = Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build_https();
        Self::over(SharedHttpClient::new(ShortAnswers(https)), credentials)
    }

    pub(crate) fn over(http: SharedHttpClient, credentials: Option<SharedCredentialsProvider>) -> Self {
        let credentials =
            credentials.unwrap_or_else(|| SharedCredentialsProvider::new(Ambient { http: http.clone() }));
        Self { http, credentials, identities: IdentityCache::lazy().build() }
    }

    /// What a client of a service in `region` is made of. Without an endpoint it calls Amazon's own.
    pub(crate) fn config(&self, region: &str, endpoint: Option<&str>) -> SdkConfig {
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(self.http.clone())
            .credentials_provider(self.credentials.clone())
            .identity_cache(self.identities.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_timeout(CALL_TIMEOUT)
                    .build(),
            )
            // The time for a call bounds its bodies too.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        config.build()
    }
}
