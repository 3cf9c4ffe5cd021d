//! What VPC Lattice's operations refuse, by kind of thing.

use std::fmt;

use trellis_api::{Exception, Reason};
use trellis_frame::{Quota, Quotas};
use trellis_model::resource::lattice::Status;

pub(crate) use trellis_frame::Refusal;

macro_rules! kinds {
    ($($name:ident $noun:literal $code:literal;)*) => {
        /// Kinds of things, as messages and `resourceType` name them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($name,)*
        }

        impl Kind {
            /// As refusals have it.
            pub(crate) const fn named(self) -> &'static trellis_frame::Kind {
                match self {
                    $(Self::$name => {
                        const KIND: trellis_frame::Kind = trellis_frame::Kind::new($noun, $code);
                        &KIND
                    })*
                }
            }
        }
    };
}

kinds! {
    ServiceNetwork "ServiceNetwork" "SERVICE_NETWORK";
    Service "Service" "SERVICE";
    Listener "Listener" "LISTENER";
    Rule "Rule" "RULE";
    TargetGroup "TargetGroup" "TARGET_GROUP";
    VpcAssociation "ServiceNetworkVpcAssociation" "SERVICE_NETWORK_VPC_ASSOCIATION";
    ServiceAssociation "ServiceNetworkServiceAssociation" "SERVICE_NETWORK_SERVICE_ASSOCIATION";
    AccessLogSubscription "AccessLogSubscription" "ACCESS_LOG_SUBSCRIPTION";
    ResourceGateway "ResourceGateway" "RESOURCE_GATEWAY";
    ResourceConfiguration "ResourceConfiguration" "RESOURCE_CONFIGURATION";
    ResourceAssociation "ServiceNetworkResourceAssociation" "SERVICE_NETWORK_RESOURCE_ASSOCIATION";
    ResourceEndpointAssociation "ResourceEndpointAssociation" "RESOURCE_ENDPOINT_ASSOCIATION";
    ResourcePolicy "ResourcePolicy" "RESOURCE_POLICY";
    DomainVerification "DomainVerification" "DOMAIN_VERIFICATION";
    Vpc "Vpc" "VPC";
    Subnet "Subnet" "SUBNET";
    SecurityGroup "SecurityGroup" "SECURITY_GROUP";
}

impl Kind {
    /// The word in messages: `TargetGroup`.
    pub(crate) const fn noun(self) -> &'static str {
        self.named().noun
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
    Refusal::unacceptable(message)
}

pub(crate) fn not_found(kind: Kind, id: impl fmt::Display) -> Refusal {
    Refusal::missing(kind.named(), id)
}

pub(crate) fn conflict(kind: Kind, id: impl fmt::Display, message: impl fmt::Display) -> Refusal {
    Refusal::conflict(kind.named(), id, message)
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
    Refusal::denied(message)
}

/// Refuses one more where `have` exist already.
pub(crate) fn check_quota(
    quotas: &Quotas,
    quota: &'static Quota,
    have: usize,
    more: usize,
    kind: Kind,
    id: Option<&str>,
) -> Result<(), Refusal> {
    quotas.check(quota, have, more, kind.named(), id)
}
