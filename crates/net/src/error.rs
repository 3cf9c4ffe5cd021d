//! What can be wrong with the machine, or with our place on it.

use std::io;

/// Why VPCs cannot be made here. `Display` is written for the operator: what is missing and what to do.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Neither root nor allowed a user namespace.
    #[error("no permission to make namespaces: {advice}")]
    NotPermitted { advice: String },
    /// A limit on namespaces is reached, or set to nothing.
    #[error("no more namespaces may be made: raise {sysctl} (it is {value})")]
    LimitReached { sysctl: &'static str, value: String },
    /// The kernel was built without something, or its module is not loaded and cannot be from here.
    #[error("the kernel lacks {feature}: {advice}")]
    MissingFeature { feature: &'static str, advice: &'static str },
    #[error("the program nft is not installed (Debian package: nftables)")]
    NftMissing,
    #[error("{action}: {source}")]
    System { action: String, source: io::Error },
}

impl NetError {
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> NetError {
        move |source| NetError::System { action: action.into(), source }
    }
}
