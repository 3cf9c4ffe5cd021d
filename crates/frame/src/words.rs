//! The codes most services of a protocol's family have for a refusal. A service falls back on these for what it
//! does not call otherwise: one `match` of its own, and this as its last arm.

use trellis_api::{Exception, Reason};

use crate::refusal::Refusal;

/// Turns a refusal into the exception a service's clients know.
pub type Words = fn(Refusal) -> Exception;

/// JSON services: `ResourceNotFoundException`, `ConflictException`, `ValidationException`, ... with status 400 but
/// for what is ours.
pub fn json(refusal: Refusal) -> Exception {
    let message = refusal.to_string();
    let code = match refusal {
        Refusal::Missing { .. } => "ResourceNotFoundException",
        Refusal::Conflict { .. } => "ConflictException",
        Refusal::InUse { .. } => "ResourceInUseException",
        Refusal::Invalid { .. } | Refusal::NotAPage { .. } | Refusal::Unreadable { .. } => {
            "ValidationException"
        }
        Refusal::Quota { .. } => "LimitExceededException",
        Refusal::Denied { .. } => "AccessDeniedException",
        Refusal::TokenReused { .. } => "IdempotentParameterMismatchException",
        Refusal::NotServed { .. } => "UnknownOperationException",
        Refusal::Exception(exception) => return *exception,
        Refusal::Store(_) | Refusal::Corrupt { .. } | Refusal::Vault(_) => {
            return Exception::internal(message);
        }
    };
    Exception::plain(code, 400, message)
}

/// REST services in JSON: the same words with the statuses of HTTP and, in `resourceId` and `resourceType`, what
/// they are about.
pub fn rest_json(refusal: Refusal) -> Exception {
    let message = refusal.to_string();
    match refusal {
        Refusal::Missing { kind, id } => Exception::not_found(message, id, kind.code),
        Refusal::Conflict { kind, id, .. } | Refusal::InUse { kind, id, .. } => {
            Exception::conflict(message, id, kind.code)
        }
        Refusal::Invalid { member, message: rule } => match member {
            Some(member) => field(member, message, rule),
            None => Exception::validation(Reason::Other, message, Vec::new()),
        },
        Refusal::NotAPage { member } => field(&member, message, "is not a token of this list".into()),
        Refusal::Unreadable { .. } => Exception::validation(Reason::CannotParse, message, Vec::new()),
        Refusal::Quota { quota, kind, parent, .. } => {
            Exception::quota(message, kind.code, parent, quota.service(), quota.code())
        }
        Refusal::Denied { .. } => Exception::access_denied(message),
        Refusal::TokenReused { .. } => Exception::conflict(message, "", "CLIENT_TOKEN"),
        Refusal::NotServed { .. } => Exception::validation(Reason::UnknownOperation, message, Vec::new()),
        Refusal::Exception(exception) => *exception,
        Refusal::Store(_) | Refusal::Corrupt { .. } | Refusal::Vault(_) => Exception::internal(message),
    }
}

fn field(member: &str, message: String, rule: String) -> Exception {
    Exception::validation(Reason::FieldValidationFailed, message, vec![(member.to_owned(), rule)])
}

/// Query services, STS and IAM among them: codes without `Exception` at the end.
pub fn query(refusal: Refusal) -> Exception {
    let message = refusal.to_string();
    let (code, status) = match refusal {
        Refusal::Missing { .. } => ("NoSuchEntity", 404),
        Refusal::Conflict { .. } => ("EntityAlreadyExists", 409),
        Refusal::InUse { .. } => ("DeleteConflict", 409),
        Refusal::Invalid { .. } | Refusal::Unreadable { .. } => ("ValidationError", 400),
        Refusal::NotAPage { .. } => ("ValidationError", 400),
        Refusal::Quota { .. } => ("LimitExceeded", 409),
        Refusal::Denied { .. } => ("AccessDenied", 403),
        Refusal::TokenReused { .. } => ("IdempotentParameterMismatch", 400),
        Refusal::NotServed { .. } => ("InvalidAction", 400),
        Refusal::Exception(exception) => return *exception,
        Refusal::Store(_) | Refusal::Corrupt { .. } | Refusal::Vault(_) => {
            return Exception::internal(message);
        }
    };
    Exception::plain(code, status, message)
}
