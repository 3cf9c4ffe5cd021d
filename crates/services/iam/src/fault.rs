//! IAM's faults, in the sentences its clients know.

use std::fmt::Display;

use trellis_api::Exception;
use trellis_frame::Refusal;

pub(crate) fn missing(message: impl Display) -> Refusal {
    Exception::plain("NoSuchEntity", 404, message.to_string()).into()
}

pub(crate) fn exists(message: impl Display) -> Refusal {
    Exception::plain("EntityAlreadyExists", 409, message.to_string()).into()
}

/// Something has to go first.
pub(crate) fn in_use(message: impl Display) -> Refusal {
    Exception::plain("DeleteConflict", 409, message.to_string()).into()
}

pub(crate) fn malformed_policy(message: impl Display) -> Refusal {
    Exception::plain("MalformedPolicyDocument", 400, message.to_string()).into()
}

/// Only the service that a role is linked to may do it.
pub(crate) fn protected(role: &str) -> Refusal {
    let message = format!(
        "Cannot perform the operation on the protected role '{role}' - this role is only modifiable by AWS"
    );
    Exception::plain("UnmodifiableEntity", 400, message).into()
}

pub(crate) fn invalid(message: impl Display) -> Refusal {
    invalid_input(message).into()
}

pub(crate) fn invalid_input(message: impl Display) -> Exception {
    Exception::plain("InvalidInput", 400, message.to_string())
}

pub(crate) fn limit(message: impl Display) -> Exception {
    Exception::plain("LimitExceeded", 409, message.to_string())
}

pub(crate) fn too_large(message: impl Display) -> Refusal {
    limit(message).into()
}
