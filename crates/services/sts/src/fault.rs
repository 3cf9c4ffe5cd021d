//! STS's faults, in the sentences its clients know.

use std::fmt::Display;

use trellis_api::Exception;
use trellis_frame::Refusal;

use crate::wire;

/// A rule that the description cannot express.
pub(crate) fn invalid(message: impl Display) -> Refusal {
    Exception::plain("ValidationError", 400, message.to_string()).into()
}

pub(crate) fn malformed_policy(message: impl Display) -> Refusal {
    let message = message.to_string();
    Exception::from(wire::MalformedPolicyDocumentException { message }).into()
}

/// Policies and tags that no token has room for.
pub(crate) fn too_large(message: impl Display) -> Refusal {
    let message = message.to_string();
    Exception::from(wire::PackedPolicyTooLargeException { message }).into()
}
