//! What can go wrong on a connection, in the words of RFC 9113, 7.

use std::fmt;

/// An error code of HTTP/2. Codes nobody has defined are kept as they came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reason(pub u32);

impl Reason {
    pub const NO_ERROR: Self = Self(0);
    pub const PROTOCOL_ERROR: Self = Self(1);
    pub const INTERNAL_ERROR: Self = Self(2);
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    pub const STREAM_CLOSED: Self = Self(5);
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    pub const REFUSED_STREAM: Self = Self(7);
    pub const CANCEL: Self = Self(8);
    pub const COMPRESSION_ERROR: Self = Self(9);
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {:#x}", self.0),
        }
    }
}

/// The peer broke the protocol, or has reached a bound: the connection ends with GOAWAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {what}")]
pub struct Violation {
    pub reason: Reason,
    pub what: &'static str,
}

impl Violation {
    /// The peer has asked for more than it may. `what` says of what.
    pub fn is_too_much(&self) -> bool {
        self.reason == Reason::ENHANCE_YOUR_CALM
    }
}

/// What a frame is answered with that cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The connection ends.
    Connection(Violation),
    /// The stream, by its id, is reset.
    Stream(u32, Reason),
}

impl Refusal {
    pub(super) fn protocol(what: &'static str) -> Self {
        Self::connection(Reason::PROTOCOL_ERROR, what)
    }

    pub(super) fn size(what: &'static str) -> Self {
        Self::connection(Reason::FRAME_SIZE_ERROR, what)
    }

    pub(super) fn connection(reason: Reason, what: &'static str) -> Self {
        Self::Connection(Violation { reason, what })
    }
}

/// Why a stream will not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The peer has reset it.
    Reset(Reason),
    /// The peer's GOAWAY says that it has not looked at it.
    Unseen,
    /// The peer broke the protocol, on this stream or on the connection.
    Violated { connection: bool },
    /// The connection ends because the peer asked for more than it may, which is no error.
    TooMuch,
    /// We have reset it.
    GivenUp,
    /// The connection is gone.
    Disconnected,
}
