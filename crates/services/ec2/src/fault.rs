//! EC2's error codes and the texts clients show or look for.

use std::fmt::Display;

use trellis_api::Exception;
use trellis_frame::Refusal;

/// At most this much of what a caller sent is quoted back.
const QUOTED: usize = 128;

pub(super) fn quoted(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

/// `code` with status 400, EC2's answer to nearly everything.
pub(super) fn refuse(code: &'static str, message: impl Display) -> Refusal {
    Exception::ec2(code, 400, message.to_string()).into()
}

pub(super) fn invalid_value(message: impl Display) -> Refusal {
    refuse("InvalidParameterValue", message)
}

pub(super) fn missing(message: impl Display) -> Refusal {
    refuse("MissingParameter", message)
}

pub(super) fn combination(message: impl Display) -> Refusal {
    refuse("InvalidParameterCombination", message)
}

pub(super) fn unsupported(message: impl Display) -> Refusal {
    refuse("UnsupportedOperation", message)
}

pub(super) fn dependency(message: impl Display) -> Refusal {
    refuse("DependencyViolation", message)
}

/// "Request would have succeeded": the whole answer to a dry run that is in order.
pub(super) fn dry_run() -> Refusal {
    let message = "Request would have succeeded, but DryRun flag is set.";
    Exception::ec2("DryRunOperation", 412, message).into()
}
