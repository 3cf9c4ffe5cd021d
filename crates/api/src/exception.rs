//! The faults an operation may answer with, as values.
//!
//! An [`Exception`] knows its code, status and modelled members; it does not know a protocol. The
//! one place that turns it into bytes is [`crate::encode_error`].

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value, json};

/// Seconds a client is asked to wait after a failed call.
const RETRY_AFTER_SECONDS: u32 = 1;

/// An error answer to an API call.
#[derive(Debug, Clone, PartialEq)]
pub struct Exception {
    /// The name clients branch on, e.g. `ConflictException` or `InvalidVpcID.NotFound`.
    pub code: Cow<'static, str>,
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// For people; some clients also look for substrings.
    pub message: String,
    /// Modelled members beside the message, by model name, e.g. `resourceId`. Boxed to keep every
    /// `Result` that may hold an exception small.
    pub members: Box<Map<String, Value>>,
    /// Response headers that belong to this fault, e.g. `retry-after`.
    pub headers: Vec<(&'static str, String)>,
}

/// Why a `ValidationException` was raised, as the wire spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    UnknownOperation,
    CannotParse,
    FieldValidationFailed,
    Other,
}

impl Reason {
    /// The value of the `reason` member.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownOperation => "unknownOperation",
            Self::CannotParse => "cannotParse",
            Self::FieldValidationFailed => "fieldValidationFailed",
            Self::Other => "other",
        }
    }
}

impl Exception {
    /// A code with a status and a message and nothing else: EC2, Query and JSON services.
    pub fn plain(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            status,
            message: message.into(),
            members: Box::default(),
            headers: Vec::new(),
        }
    }

    /// An EC2 error; the same as [`Exception::plain`], named for the reader.
    pub fn ec2(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> Self {
        Self::plain(code, status, message)
    }

    /// `ValidationException` (400). `fields` are `(member path, what is wrong with it)`; empty
    /// leaves `fieldList` out.
    pub fn validation(reason: Reason, message: impl Into<String>, fields: Vec<(String, String)>) -> Self {
        let mut exception = Self::plain("ValidationException", 400, message);
        exception.members.insert("reason".into(), reason.as_str().into());
        if !fields.is_empty() {
            let list: Vec<Value> = fields
                .into_iter()
                .map(|(name, message)| json!({ "name": name, "message": message }))
                .collect();
            exception.members.insert("fieldList".into(), list.into());
        }
        exception
    }

    /// `ConflictException` (409). `resource_type` is SCREAMING_SNAKE, e.g. `TARGET_GROUP`.
    pub fn conflict(
        message: impl Into<String>,
        resource_id: impl Into<String>,
        resource_type: impl Into<String>,
    ) -> Self {
        Self::plain("ConflictException", 409, message).about(Some(resource_id.into()), resource_type.into())
    }

    /// `ResourceNotFoundException` (404).
    pub fn not_found(
        message: impl Into<String>,
        resource_id: impl Into<String>,
        resource_type: impl Into<String>,
    ) -> Self {
        Self::plain("ResourceNotFoundException", 404, message)
            .about(Some(resource_id.into()), resource_type.into())
    }

    /// `ServiceQuotaExceededException` (402, which clients key on). `quota_code` is AWS's, `L-...`.
    pub fn quota(
        message: impl Into<String>,
        resource_type: impl Into<String>,
        resource_id: Option<String>,
        service_code: impl Into<String>,
        quota_code: impl Into<String>,
    ) -> Self {
        let mut exception = Self::plain("ServiceQuotaExceededException", 402, message)
            .about(resource_id, resource_type.into());
        exception.members.insert("serviceCode".into(), service_code.into().into());
        exception.members.insert("quotaCode".into(), quota_code.into().into());
        exception
    }

    /// `AccessDeniedException` (403). For EC2 and Query callers use [`crate::auth_failure`], which
    /// knows their word for it.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::plain("AccessDeniedException", 403, message)
    }

    /// What a fault of ours is called until [`crate::encode_error`] has the service's own word for it.
    pub const INTERNAL: &'static str = "InternalFailure";

    /// A fault of ours (500), with `Retry-After`. Never for a caller's fault: clients retry it for minutes.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::plain(Self::INTERNAL, 500, message).retry_after(RETRY_AFTER_SECONDS)
    }

    /// With modelled members beside the message.
    #[must_use]
    pub fn with_members(mut self, members: Map<String, Value>) -> Self {
        *self.members = members;
        self
    }

    /// Asks the client to wait `seconds` before it tries again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.headers.retain(|(name, _)| *name != "retry-after");
        self.headers.push(("retry-after", seconds.to_string()));
        self
    }

    fn about(mut self, resource_id: Option<String>, resource_type: String) -> Self {
        if let Some(id) = resource_id {
            self.members.insert("resourceId".into(), id.into());
        }
        self.members.insert("resourceType".into(), resource_type.into());
        self
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)
    }
}

impl std::error::Error for Exception {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lattice_exception_carries_the_status_and_members_of_the_contract() {
        let conflict = Exception::conflict("m", "svc-1", "SERVICE");
        assert_eq!((conflict.code.as_ref(), conflict.status), ("ConflictException", 409));
        assert_eq!(
            Value::Object(*conflict.members),
            json!({"resourceId": "svc-1", "resourceType": "SERVICE"})
        );

        let missing = Exception::not_found("m", "svc-1", "SERVICE");
        assert_eq!((missing.code.as_ref(), missing.status), ("ResourceNotFoundException", 404));

        let quota = Exception::quota("m", "SERVICE", None, "vpc-lattice", "L-620C821E");
        assert_eq!(quota.status, 402);
        assert_eq!(
            Value::Object(*quota.members),
            json!({"resourceType": "SERVICE", "serviceCode": "vpc-lattice", "quotaCode": "L-620C821E"})
        );

        let invalid = Exception::validation(Reason::Other, "m", vec![("name".into(), "taken".into())]);
        assert_eq!(
            Value::Object(*invalid.members),
            json!({"reason": "other", "fieldList": [{"name": "name", "message": "taken"}]})
        );
        assert_eq!(Exception::access_denied("m").status, 403);
    }

    #[test]
    fn only_faults_worth_a_retry_ask_for_one() {
        assert_eq!(Exception::internal("m").headers, [("retry-after", "1".to_owned())]);
        assert_eq!(Exception::internal("m").retry_after(5).headers, [("retry-after", "5".to_owned())]);
        assert!(Exception::access_denied("m").headers.is_empty());
    }
}
