//! Keys of whoever started the process, from the SDK's default chain.

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_s3::config::SharedHttpClient;

/// Whose STS is asked where neither the environment nor the profile names a region.
const REGION: &str = "us-east-1";

/// A chain reads the profile's files once; this one is made anew each time, so that keys renewed in a file are found.
/// The SDK's cache asks again when keys expire, and after 15 minutes for those that do not.
#[derive(Debug)]
pub(super) struct Ambient {
    pub(super) http: SharedHttpClient,
}

impl Ambient {
    async fn look(&self) -> provider::Result {
        let config = ProviderConfig::without_region().with_http_client(self.http.clone());
        // The default chain would also ask the instance's metadata, and wait where there is none.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::builder().configure(&config).build())
            .or_else(Region::new(REGION));
        let chain = DefaultCredentialsChain::builder().configure(config).region(region).build().await;
        chain.provide_credentials().await
    }
}

impl ProvideCredentials for Ambient {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.look())
    }
}
