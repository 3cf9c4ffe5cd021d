//! What became of the handshakes of clients, in the words of the metrics.

use crate::failure::Failure;

/// How a client's handshake ended. The order is that of the metrics' cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Full,
    /// Went on with an earlier session.
    Resumed,
    /// Belongs to a TLS passthrough listener: the target does the rest.
    Passed,
    NoServerName,
    /// No service of the network has that name and a TLS listener on that port.
    UnknownName,
    /// The service has that name, but no certificate for it.
    NoCertificate,
    /// What came was not TLS, or broke its rules.
    Malformed,
    /// Plain HTTP on a port for TLS.
    PlainHttp,
    /// No version, cipher suite, signature or protocol is common to both sides, or the client
    /// refused the certificate.
    NotAgreed,
    TimedOut,
    /// The client closed before it was over.
    Closed,
    /// The proxy was going away.
    Cut,
}

impl Outcome {
    pub(crate) const COUNT: usize = Self::ALL.len();

    pub(crate) const ALL: [Self; 12] = [
        Self::Full,
        Self::Resumed,
        Self::Passed,
        Self::NoServerName,
        Self::UnknownName,
        Self::NoCertificate,
        Self::Malformed,
        Self::PlainHttp,
        Self::NotAgreed,
        Self::TimedOut,
        Self::Closed,
        Self::Cut,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Passed => "passed",
            Self::NoServerName => "no_server_name",
            Self::UnknownName => "unknown_name",
            Self::NoCertificate => "no_certificate",
            Self::Malformed => "malformed",
            Self::PlainHttp => "plain_http",
            Self::NotAgreed => "not_agreed",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Cut => "cut",
        }
    }

    /// The log's `failureReason`; `None` for those that did not fail.
    pub(super) fn failure(self) -> Option<Failure> {
        match self {
            Self::Full | Self::Resumed | Self::Passed => None,
            // "ClientProtocolError: bad client bytes/TLS".
            Self::NoServerName
            | Self::UnknownName
            | Self::NoCertificate
            | Self::Malformed
            | Self::PlainHttp
            | Self::NotAgreed => Some(Failure::ClientProtocolError),
            Self::TimedOut | Self::Closed => Some(Failure::ClientConnectionClosed),
            Self::Cut => Some(Failure::InternalError),
        }
    }
}
