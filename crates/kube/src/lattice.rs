//! VPC Lattice as the controller calls it: the AWS SDK's client, with our words on both sides.

mod convert;
mod groups;
mod networks;
mod policies;
mod services;

use std::collections::BTreeMap;

pub(crate) use groups::TargetStatus;
pub(crate) use policies::AssociationState;

use aws_sdk_vpclattice::Client;
use aws_sdk_vpclattice::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::plan::{Action, ListenerProtocol, RuleMatch};

/// Tags on their way out.
pub(crate) type Tags = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub(crate) struct Lattice {
    client: Client,
}

/// A service, a target group or a service network, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) name: String,
    /// The generated domain of a service.
    pub(crate) domain: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceDetail {
    pub(crate) custom_domain: Option<String>,
    pub(crate) certificate: Option<String>,
    pub(crate) domain: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Association {
    pub(crate) id: String,
    pub(crate) network_id: String,
    pub(crate) is_failed: bool,
    pub(crate) is_being_deleted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct ListenerRecord {
    pub(crate) id: String,
    pub(crate) port: u16,
    pub(crate) protocol: Option<ListenerProtocol>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RuleRecord {
    pub(crate) id: String,
    pub(crate) priority: i32,
    pub(crate) matching: RuleMatch,
    /// By ids of target groups.
    pub(crate) action: Action,
}

/// What a call came to that did not succeed, by what is to be done about it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{operation}: {message}")]
    NotFound { operation: &'static str, message: String },
    /// Something is under way, or somebody else was there first.
    #[error("{operation}: {message}")]
    Conflict { operation: &'static str, message: String },
    /// It will be refused again until something is changed.
    #[error("{operation}: {code}: {message}")]
    Refused { operation: &'static str, code: String, message: String },
    /// No answer, or one that asks for patience.
    #[error("{operation}: {message}")]
    Unavailable { operation: &'static str, message: String },
}

impl CallError {
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

pub(crate) type Called<T> = Result<T, CallError>;

/// What is not there need not be taken away.
pub(crate) fn unless_gone(outcome: Called<()>) -> Called<()> {
    match outcome {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn failed<E, R>(operation: &'static str, error: SdkError<E, R>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let (code, message) = match error.as_service_error() {
        Some(error) => {
            (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
        }
        None => (String::new(), DisplayErrorContext(&error).to_string()),
    };
    match code.as_str() {
        "ResourceNotFoundException" => CallError::NotFound { operation, message },
        "ConflictException" => CallError::Conflict { operation, message },
        "" | "ThrottlingException" | "InternalServerException" => {
            CallError::Unavailable { operation, message }
        }
        _ => CallError::Refused { operation, code, message },
    }
}

impl Lattice {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(crate) async fn tags(&self, arn: &str) -> Called<Tags> {
        let answer = self.client.list_tags_for_resource().resource_arn(arn).send().await;
        let answer = answer.map_err(|error| failed("ListTagsForResource", error))?;
        Ok(answer.tags.unwrap_or_default().into_iter().collect())
    }

    pub(crate) async fn tag(&self, arn: &str, tags: Tags) -> Called<()> {
        let call = self.client.tag_resource().resource_arn(arn).set_tags(Some(tags.into_iter().collect()));
        call.send().await.map(drop).map_err(|error| failed("TagResource", error))
    }

    pub(crate) async fn untag(&self, arn: &str, keys: Vec<String>) -> Called<()> {
        let call = self.client.untag_resource().resource_arn(arn).set_tag_keys(Some(keys));
        call.send().await.map(drop).map_err(|error| failed("UntagResource", error))
    }
}
