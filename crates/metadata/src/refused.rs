//! What is refused, in the statuses that clients know.

use http::{Response, StatusCode};

use crate::plain;

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No lifetime for a token, or one out of range.
    BadRequest,
    /// No token, or one that is not good: over, forged, another host's.
    Unauthorized,
    /// Switched off, passed on by a proxy, or asked by nobody who is known.
    Forbidden,
    NotFound,
    /// A method that does nothing there.
    NotAllowed,
    /// Ours: the state cannot be read.
    Unavailable,
}

impl Refused {
    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Refused> for Response<Vec<u8>> {
    fn from(refused: Refused) -> Self {
        let status = refused.status();
        plain(status, status.to_string())
    }
}
