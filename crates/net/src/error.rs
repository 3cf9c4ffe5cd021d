//! What can be wrong with the machine or with our place on it.

/// Why VPCs cannot be made here. `Display` is written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error("no permission to make namespaces: {advice}")]
    NotPermitted { advice: String },
    #[error("the kernel lacks {feature}: {advice}")]
    MissingFeature { feature: &'static str, advice: &'static str },
    #[error("the program nft is not installed (Debian package: nftables)")]
    NftMissing,
    #[error("{action}: {source}")]
    System { action: String, source: std::io::Error },
}
