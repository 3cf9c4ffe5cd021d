//! How each family of services names a caller it does not let in.

use crate::exception::Exception;
use crate::schema::Protocol;

/// Why a caller was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthFailure {
    /// No signature at all.
    MissingToken,
    /// The access key is not known, or not active.
    UnknownKey,
    /// The signature is not the one the request should have.
    BadSignature,
    /// Signed too long ago, or in the future.
    Expired,
    /// The session behind the key is over.
    ExpiredToken,
    /// The session token does not belong to the key or is no token.
    InvalidToken,
    /// The signature lacks a part or a part cannot be read.
    Incomplete,
    /// Known, but not allowed to do this.
    AccessDenied,
}

impl AuthFailure {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 8] = [
        Self::MissingToken,
        Self::UnknownKey,
        Self::BadSignature,
        Self::Expired,
        Self::ExpiredToken,
        Self::InvalidToken,
        Self::Incomplete,
        Self::AccessDenied,
    ];

    /// The code and status clients of `protocol` expect.
    pub const fn code(self, protocol: Protocol) -> (&'static str, u16) {
        match protocol {
            Protocol::RestJson | Protocol::Json10 | Protocol::Json11 => match self {
                Self::MissingToken => ("MissingAuthenticationTokenException", 403),
                Self::UnknownKey | Self::InvalidToken => ("UnrecognizedClientException", 403),
                Self::BadSignature | Self::Expired => ("InvalidSignatureException", 403),
                Self::ExpiredToken => ("ExpiredTokenException", 403),
                Self::Incomplete => ("IncompleteSignatureException", 400),
                Self::AccessDenied => ("AccessDeniedException", 403),
            },
            Protocol::Query | Protocol::RestXml => match self {
                Self::MissingToken => ("MissingAuthenticationToken", 403),
                Self::UnknownKey | Self::InvalidToken => ("InvalidClientTokenId", 403),
                Self::BadSignature | Self::Expired => ("SignatureDoesNotMatch", 403),
                Self::ExpiredToken => ("ExpiredToken", 403),
                Self::Incomplete => ("IncompleteSignature", 400),
                Self::AccessDenied => ("AccessDenied", 403),
            },
            Protocol::Ec2 => match self {
                Self::MissingToken | Self::UnknownKey | Self::InvalidToken | Self::BadSignature => {
                    ("AuthFailure", 401)
                }
                Self::Expired | Self::ExpiredToken => ("RequestExpired", 400),
                Self::Incomplete => ("IncompleteSignature", 400),
                Self::AccessDenied => ("UnauthorizedOperation", 403),
            },
            Protocol::S3 => match self {
                Self::MissingToken | Self::AccessDenied => ("AccessDenied", 403),
                Self::UnknownKey => ("InvalidAccessKeyId", 403),
                Self::InvalidToken => ("InvalidToken", 400),
                Self::BadSignature => ("SignatureDoesNotMatch", 403),
                Self::Expired => ("RequestTimeTooSkewed", 403),
                Self::ExpiredToken => ("ExpiredToken", 400),
                Self::Incomplete => ("AuthorizationHeaderMalformed", 400),
            },
        }
    }

    /// What to say when there is nothing more exact to say.
    pub const fn message(self) -> &'static str {
        match self {
            Self::MissingToken => "Missing Authentication Token",
            Self::UnknownKey => "The security token included in the request is invalid.",
            Self::BadSignature => {
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method."
            }
            Self::Expired => "Signature expired or not yet current.",
            Self::ExpiredToken => "The security token included in the request is expired",
            Self::InvalidToken => "The security token included in the request is invalid.",
            Self::Incomplete => "The request signature is incomplete.",
            Self::AccessDenied => "You are not authorized to perform this operation.",
        }
    }
}

/// The answer to a caller who is not let in, in the words of `protocol`. `message` replaces the
/// general sentence of [`AuthFailure::message`].
pub fn auth_failure(failure: AuthFailure, protocol: Protocol, message: Option<String>) -> Exception {
    let (code, status) = failure.code(protocol);
    Exception::plain(code, status, message.unwrap_or_else(|| failure.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_word_for_a_wrong_signature() {
        let code = |protocol| AuthFailure::BadSignature.code(protocol);
        assert_eq!(code(Protocol::RestJson), ("InvalidSignatureException", 403));
        assert_eq!(code(Protocol::Json11), ("InvalidSignatureException", 403));
        assert_eq!(code(Protocol::Query), ("SignatureDoesNotMatch", 403));
        assert_eq!(code(Protocol::Ec2), ("AuthFailure", 401));
        assert_eq!(code(Protocol::RestXml), ("SignatureDoesNotMatch", 403));
        assert_eq!(code(Protocol::S3), ("SignatureDoesNotMatch", 403));
    }

    #[test]
    fn no_failure_looks_like_something_to_retry() {
        for failure in AuthFailure::ALL {
            for protocol in
                [Protocol::RestJson, Protocol::Json10, Protocol::Query, Protocol::Ec2, Protocol::S3]
            {
                assert!((400..=403).contains(&failure.code(protocol).1));
            }
        }
    }
}
