//! Why an operation did not happen, in words that belong to no service.
//!
//! A transaction ends in a value or a [`Refusal`]. Its service turns the caller's fault into its own code
//! ([`Service::words`](crate::Service)); ours is logged in full by [`crate::call`] and answered without detail.

use std::fmt;

use trellis_api::Exception;
use trellis_store::{StoreError, TransactError};

use crate::quota::Quota;
use crate::vault::VaultFault;

/// Characters of a caller's text that a refusal repeats.
const SHOWN: usize = 256;

/// A kind of thing, as messages and modelled members name it.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// In messages: `TargetGroup`.
    pub noun: &'static str,
    /// In members: `TARGET_GROUP`.
    pub code: &'static str,
}

impl Kind {
    pub const fn new(noun: &'static str, code: &'static str) -> Self {
        Self { noun, code }
    }
}

/// Why a transaction wrote nothing.
#[derive(Debug)]
pub enum Refusal {
    /// What `id` names is not there.
    Missing {
        kind: &'static Kind,
        id: String,
    },
    /// It stands against what is there: a name that is taken, a status that has to pass first.
    Conflict {
        kind: &'static Kind,
        id: String,
        message: String,
    },
    /// Something else needs it.
    InUse {
        kind: &'static Kind,
        id: String,
        message: String,
    },
    /// A member that breaks a rule the description cannot express; no member where none alone is at fault.
    Invalid {
        member: Option<&'static str>,
        message: String,
    },
    /// One more than there may be.
    Quota {
        quota: &'static Quota,
        limit: u64,
        kind: &'static Kind,
        parent: Option<String>,
    },
    /// This caller may not.
    Denied {
        message: String,
    },
    /// An idempotency token that came before with other parameters.
    TokenReused {
        member: String,
    },
    /// A page token that this list never gave.
    NotAPage {
        member: String,
    },
    /// An input that is not of the form of its operation: better said than passed over.
    Unreadable {
        message: String,
    },
    /// An operation that is described and not there.
    NotServed {
        operation: String,
    },
    /// A word that only one service has.
    Exception(Box<Exception>),
    Store(StoreError),
    /// A record that does not read: ours.
    Corrupt {
        key: String,
        error: serde_json::Error,
    },
    /// A secret that cannot be opened or made: ours.
    Vault(VaultFault),
}

impl Refusal {
    pub fn missing(kind: &'static Kind, id: impl fmt::Display) -> Self {
        Self::Missing { kind, id: shown(id) }
    }

    pub fn conflict(kind: &'static Kind, id: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::Conflict { kind, id: shown(id), message: message.to_string() }
    }

    pub fn in_use(kind: &'static Kind, id: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::InUse { kind, id: shown(id), message: message.to_string() }
    }

    /// A member by its name in the description.
    pub fn invalid(member: &'static str, message: impl fmt::Display) -> Self {
        Self::Invalid { member: Some(member), message: message.to_string() }
    }

    /// A request no single member of which is at fault.
    pub fn unacceptable(message: impl fmt::Display) -> Self {
        Self::Invalid { member: None, message: message.to_string() }
    }

    pub fn denied(message: impl fmt::Display) -> Self {
        Self::Denied { message: message.to_string() }
    }

    /// Whether it is ours: the caller did nothing wrong, and the same call may succeed later.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Corrupt { .. } | Self::Vault(_))
    }
}

/// As much of a caller's text as an answer repeats.
pub fn shown(text: impl fmt::Display) -> String {
    text.to_string().chars().take(SHOWN).collect()
}

/// What a caller may read. For what is ours it says no more than that.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { kind, id } => write!(f, "{} {id} not found", kind.noun),
            Self::Conflict { message, .. }
            | Self::InUse { message, .. }
            | Self::Invalid { member: None, message }
            | Self::Denied { message }
            | Self::Unreadable { message } => f.write_str(message),
            Self::Invalid { member: Some(member), message } => write!(f, "{member}: {message}"),
            Self::Quota { quota, limit, .. } => {
                write!(f, "the limit of {limit} {} has been reached", quota.counts())
            }
            Self::TokenReused { member } => write!(f, "{member} was used before with different parameters"),
            Self::NotAPage { member } => write!(f, "{member}: is not a token of this list"),
            Self::NotServed { operation } => write!(f, "Trellis does not implement {operation} yet"),
            Self::Exception(exception) => f.write_str(&exception.message),
            Self::Store(_) => f.write_str("the state could not be read or written"),
            Self::Corrupt { .. } => f.write_str("a stored record does not read"),
            Self::Vault(_) => f.write_str("a secret cannot be opened or made"),
        }
    }
}

impl From<VaultFault> for Refusal {
    fn from(fault: VaultFault) -> Self {
        Self::Vault(fault)
    }
}

impl From<Exception> for Refusal {
    fn from(exception: Exception) -> Self {
        Self::Exception(Box::new(exception))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<TransactError<Refusal>> for Refusal {
    fn from(error: TransactError<Refusal>) -> Self {
        match error {
            TransactError::Caller(refusal) => refusal,
            TransactError::Store(error) => Self::Store(error),
        }
    }
}
