//! The AWS SDK as the controller uses it: the SDK's own chain of credentials, its endpoints, its retries.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_vpclattice as vpclattice;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

/// For TCP and TLS together, and for one call with its retries.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 4;

#[derive(Debug, Clone)]
pub struct AwsOptions {
    pub region: String,
    /// Where Lattice is; else AWS_ENDPOINT_URL_VPC_LATTICE, AWS_ENDPOINT_URL or Amazon's own.
    pub lattice_endpoint: Option<String>,
}

/// Clients of the services the controller calls.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    lattice_endpoint: Option<String>,
}

impl Aws {
    pub async fn new(options: AwsOptions) -> Self {
        let AwsOptions { region, lattice_endpoint } = options;
        let http = Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc)).build_https();
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(region))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts)
            .load()
            .await;
        Self { config, lattice_endpoint }
    }

    pub(crate) fn lattice(&self) -> vpclattice::Client {
        let mut config = vpclattice::config::Builder::from(&self.config);
        if let Some(endpoint) = &self.lattice_endpoint {
            config.set_endpoint_url(Some(endpoint.clone()));
        }
        vpclattice::Client::from_conf(config.build())
    }
}
