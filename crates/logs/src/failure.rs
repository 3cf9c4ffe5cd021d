//! Why something was not delivered.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// For an operator's eyes; never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the service calls it, where the service answered.
    pub(crate) code: Option<String>,
    text: String,
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { code: None, text: text.into() }
    }

    /// What could not be done, and every cause of `error`.
    pub(crate) fn because(what: impl fmt::Display, error: &dyn Error) -> Self {
        let mut text = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self::new(text)
    }

    /// Why a call to `place` came to nothing.
    pub(crate) fn of_call<E>(place: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|answer| answer.status());
        match (&error, error.code(), status) {
            (SdkError::ServiceError(_), Some(code), _) => {
                Self::answered(code, error.message().unwrap_or("no message"))
            }
            (SdkError::ServiceError(_), None, Some(status)) => {
                Self::new(format!("{place} answered {status}"))
            }
            (SdkError::TimeoutError(_), ..) => Self::new(format!("{place} did not answer in time")),
            _ => match keys_of(&error) {
                Some(CredentialsError::CredentialsNotLoaded(_)) => Self::new(
                    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
                ),
                Some(error) => Self::because("no credentials", error),
                None => match error.into_source() {
                    Ok(cause) => Self::because(format_args!("cannot call {place}"), &*cause),
                    Err(error) => Self::because(format_args!("cannot call {place}"), &error),
                },
            },
        }
    }

    /// A service's own answer.
    pub(crate) fn answered(code: &str, message: &str) -> Self {
        let cut = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(300).collect() };
        Self { code: Some(cut(code)), text: format!("{}: {}", cut(code), cut(message)) }
    }

    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The trouble with keys that caused `error`.
fn keys_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
