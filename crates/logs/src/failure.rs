//! Why something was not delivered.

use std::error::Error;
use std::fmt;

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
