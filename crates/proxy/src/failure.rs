//! Why a request did not end well, in the words of the access log's `failureReason`.

/// "failureReason" of the access log. The order is that of the metrics' cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Could not connect to the selected target, nor to another one.
    TargetConnectionError,
    /// Invalid bytes from the target, or a protocol the group asks for that is not spoken here.
    TargetProtocolError,
    /// Nothing came from the target for the service's idle timeout.
    TargetDataTimeout,
    /// The target closed before its response was complete.
    TargetConnectionClosed,
    /// The client closed, or stood still, before everything was said.
    ClientConnectionClosed,
    /// A bound was reached.
    ClientRateLimited,
    /// A policy denies it.
    ClientAccessDenied,
    /// Invalid bytes from the client.
    ClientProtocolError,
    /// The connection reached its greatest age.
    ConnectionDurationExceeded,
    /// Anything else.
    InternalError,
}

impl Failure {
    pub(crate) const COUNT: usize = Self::ALL.len();

    pub(crate) const ALL: [Self; 10] = [
        Self::TargetConnectionError,
        Self::TargetProtocolError,
        Self::TargetDataTimeout,
        Self::TargetConnectionClosed,
        Self::ClientConnectionClosed,
        Self::ClientRateLimited,
        Self::ClientAccessDenied,
        Self::ClientProtocolError,
        Self::ConnectionDurationExceeded,
        Self::InternalError,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TargetConnectionError => "TargetConnectionError",
            Self::TargetProtocolError => "TargetProtocolError",
            Self::TargetDataTimeout => "TargetDataTimeout",
            Self::TargetConnectionClosed => "TargetConnectionClosed",
            Self::ClientConnectionClosed => "ClientConnectionClosed",
            Self::ClientRateLimited => "ClientRateLimited",
            Self::ClientAccessDenied => "ClientAccessDenied",
            Self::ClientProtocolError => "ClientProtocolError",
            Self::ConnectionDurationExceeded => "ConnectionDurationExceeded",
            Self::InternalError => "InternalError",
        }
    }
}
