//! VPC Lattice's exceptions, for what its operations refuse.

use std::fmt;

use trellis_api::{Exception, Reason};
use trellis_frame::{Quota, Quotas};
use trellis_model::resource::lattice::Status;

pub(crate) use trellis_frame::Refusal;

/// Kinds of things as `resourceType` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ServiceNetwork,
    Service,
    Listener,
    Rule,
    TargetGroup,
    VpcAssociation,
    ServiceAssociation,
    AccessLogSubscription,
    ResourceGateway,
    ResourceConfiguration,
    ResourceAssociation,
    ResourceEndpointAssociation,
    ResourcePolicy,
    DomainVerification,
    Vpc,
    Subnet,
    SecurityGroup,
}

impl Kind {
    /// `resourceType`: SCREAMING_SNAKE.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ServiceNetwork => "SERVICE_NETWORK",
            Self::Service => "SERVICE",
            Self::Listener => "LISTENER",
            Self::Rule => "RULE",
            Self::TargetGroup => "TARGET_GROUP",
            Self::VpcAssociation => "SERVICE_NETWORK_VPC_ASSOCIATION",
            Self::ServiceAssociation => "SERVICE_NETWORK_SERVICE_ASSOCIATION",
            Self::AccessLogSubscription => "ACCESS_LOG_SUBSCRIPTION",
            Self::ResourceGateway => "RESOURCE_GATEWAY",
            Self::ResourceConfiguration => "RESOURCE_CONFIGURATION",
            Self::ResourceAssociation => "SERVICE_NETWORK_RESOURCE_ASSOCIATION",
            Self::ResourceEndpointAssociation => "RESOURCE_ENDPOINT_ASSOCIATION",
            Self::ResourcePolicy => "RESOURCE_POLICY",
            Self::DomainVerification => "DOMAIN_VERIFICATION",
            Self::Vpc => "VPC",
            Self::Subnet => "SUBNET",
            Self::SecurityGroup => "SECURITY_GROUP",
        }
    }

    /// The word in messages: `TargetGroup`.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::ServiceNetwork => "ServiceNetwork",
            Self::Service => "Service",
            Self::Listener => "Listener",
            Self::Rule => "Rule",
            Self::TargetGroup => "TargetGroup",
            Self::VpcAssociation => "ServiceNetworkVpcAssociation",
            Self::ServiceAssociation => "ServiceNetworkServiceAssociation",
            Self::AccessLogSubscription => "AccessLogSubscription",
            Self::ResourceGateway => "ResourceGateway",
            Self::ResourceConfiguration => "ResourceConfiguration",
            Self::ResourceAssociation => "ServiceNetworkResourceAssociation",
            Self::ResourceEndpointAssociation => "ResourceEndpointAssociation",
            Self::ResourcePolicy => "ResourcePolicy",
            Self::DomainVerification => "DomainVerification",
            Self::Vpc => "Vpc",
            Self::Subnet => "Subnet",
            Self::SecurityGroup => "SecurityGroup",
        }
    }
}

/// A field that breaks a rule the API description cannot express.
pub(crate) fn invalid(field: &str, message: impl fmt::Display) -> Refusal {
    Exception::validation(
        Reason::FieldValidationFailed,
        format!("{field}: {message}"),
        vec![(field.to_owned(), message.to_string())],
    )
    .into()
}

/// A request no single field of which is at fault.
pub(crate) fn unacceptable(message: impl fmt::Display) -> Refusal {
    Exception::validation(Reason::Other, message.to_string(), Vec::new()).into()
}

pub(crate) fn not_found(kind: Kind, id: impl fmt::Display) -> Refusal {
    let id: String = id.to_string().chars().take(256).collect();
    Exception::not_found(format!("{} {id} not found", kind.noun()), id, kind.as_str()).into()
}

pub(crate) fn conflict(kind: Kind, id: impl fmt::Display, message: impl fmt::Display) -> Refusal {
    Exception::conflict(message.to_string(), id.to_string(), kind.as_str()).into()
}

/// Refuses to change what something else is being done about.
pub(crate) fn check_settled(kind: Kind, id: impl fmt::Display, status: Status) -> Result<(), Refusal> {
    if status.is_in_progress() { Err(in_status(kind, id, status)) } else { Ok(()) }
}

/// Refuses to tie something to what is not there yet, failed, or goes.
pub(crate) fn check_ready(kind: Kind, id: impl fmt::Display, status: Status) -> Result<(), Refusal> {
    match status {
        Status::Active | Status::UpdateInProgress => Ok(()),
        _ => Err(in_status(kind, id, status)),
    }
}

/// It cannot be done while the thing is in `status`. Clients look for the status's word to tell "try again" from
/// "give up".
pub(crate) fn in_status(kind: Kind, id: impl fmt::Display, status: Status) -> Refusal {
    let message = format!("{} {id} is {}", kind.noun(), status.as_str());
    conflict(kind, id, message)
}

/// Refuses a name that something has already: `taken_by`. "Resource of type TargetGroup with name X already exists in
/// ACCOUNT": clients look for "already exist".
pub(crate) fn check_name_is_free(
    taken_by: Option<String>,
    kind: Kind,
    name: &str,
    place: impl fmt::Display,
) -> Result<(), Refusal> {
    let Some(id) = taken_by else { return Ok(()) };
    let message = format_args!("Resource of type {} with name {name} already exists in {place}", kind.noun());
    Err(conflict(kind, id, message))
}

pub(crate) fn access_denied(message: impl fmt::Display) -> Refusal {
    Exception::access_denied(message.to_string()).into()
}

/// Refuses one more where `have` exist already.
pub(crate) fn check_quota(
    quotas: &Quotas,
    quota: &Quota,
    have: usize,
    more: usize,
    kind: Kind,
    id: Option<&str>,
) -> Result<(), Refusal> {
    let limit = quotas.limit(quota);
    if (have + more) as u64 <= limit {
        return Ok(());
    }
    Err(Exception::quota(
        format!("the limit of {limit} {} has been reached", quota.counts()),
        kind.as_str(),
        id.map(str::to_owned),
        quota.service(),
        quota.code(),
    )
    .into())
}
