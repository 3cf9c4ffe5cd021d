//! Stored records of VPC Lattice resources.
//!
//! Everything here is normalised: defaults are filled in, identifiers are ids (never ARNs), names have
//! been checked. ARNs and domain names are not stored but made from what is.

mod action;
mod association;
mod database;
mod domain_verification;
pub mod kind;
mod log_destination;
mod network;
mod policy;
mod resource_association;
mod resource_configuration;
mod resource_gateway;
mod service;
mod shared;
mod target_group;

pub use action::*;
pub use association::*;
pub use database::*;
pub use domain_verification::*;
pub use log_destination::*;
pub use network::*;
pub use policy::*;
pub use resource_association::*;
pub use resource_configuration::*;
pub use resource_gateway::*;
pub use service::*;
pub use shared::*;
pub use target_group::*;

use serde::{Deserialize, Serialize};

/// Where a resource lives, and so the middle of its ARN.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Home {
    pub account: crate::AccountId,
    pub region: crate::Region,
}

impl Home {
    /// Where what `arn` names lives; [`None`] for what has no account or no region.
    pub fn of(arn: &crate::Arn) -> Option<Self> {
        Some(Self { account: arn.account.parse().ok()?, region: arn.region.parse().ok()? })
    }

    /// The same region in the account that owns what `arn` names.
    pub fn of_owner(&self, arn: &str) -> Self {
        let account = arn.split(':').nth(4).and_then(|account| account.parse().ok());
        Self { account: account.unwrap_or_else(|| self.account.clone()), region: self.region.clone() }
    }

    /// `arn:aws:vpc-lattice:{region}:{account}:{resource}`.
    pub fn lattice_arn(&self, resource: impl std::fmt::Display) -> String {
        crate::Arn::new("vpc-lattice", &self.region, &self.account, resource).to_string()
    }
}

/// `authType` of services and service networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum AuthType {
    /// Everybody passes this layer. The default.
    #[default]
    #[serde(rename = "NONE")]
    None,
    /// The resource's auth policy decides; without one, nobody passes.
    #[serde(rename = "AWS_IAM")]
    AwsIam,
}

/// Where a resource with a life of its own stands. Not every kind uses every status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    CreateInProgress,
    Active,
    UpdateInProgress,
    DeleteInProgress,
    CreateFailed,
    UpdateFailed,
    DeleteFailed,
}

impl Status {
    /// The API's word, e.g. `CREATE_IN_PROGRESS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateInProgress => "CREATE_IN_PROGRESS",
            Self::Active => "ACTIVE",
            Self::UpdateInProgress => "UPDATE_IN_PROGRESS",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
            Self::CreateFailed => "CREATE_FAILED",
            Self::UpdateFailed => "UPDATE_FAILED",
            Self::DeleteFailed => "DELETE_FAILED",
        }
    }

    /// Whether a workflow still has to move it.
    pub fn is_in_progress(self) -> bool {
        matches!(self, Self::CreateInProgress | Self::UpdateInProgress | Self::DeleteInProgress)
    }

    /// Whether the data plane acts on it: everything but what is going or never came to be.
    pub fn is_in_force(self) -> bool {
        !matches!(self, Self::DeleteInProgress | Self::CreateFailed)
    }
}

/// Why a status ends in `_FAILED`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
}
