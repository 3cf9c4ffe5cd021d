//! The reading side of a body: what of the bytes in an inbox is its data, and where it ends.

use std::ops::Range;

use crate::buffer::Inbox;
use crate::http1::Framing;
use crate::http1::chunked::{ChunkError, Decoder};

/// How much of a body is still to come.
#[derive(Debug)]
pub(crate) enum Body {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
    /// All of it has been taken.
    Over,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Over,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Decoder::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// The body of a response.
    pub(crate) fn of_response(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => Self::Chunked(Decoder::of_response()),
            other => Self::new(other),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Over => true,
            Self::Chunked(decoder) => decoder.is_done(),
            Self::Length(_) | Self::UntilClose => false,
        }
    }

    /// Takes what `inbox` has of the body. Returns where in the buffer the data is; bytes behind
    /// the body stay unread.
    pub(crate) fn take(&mut self, inbox: &mut Inbox) -> Result<Range<usize>, ChunkError> {
        let start = inbox.position();
        let unread = inbox.unread().len();
        match self {
            Self::Over => Ok(start..start),
            Self::UntilClose => {
                inbox.consume(unread);
                Ok(start..start + unread)
            }
            Self::Length(remaining) => {
                let taken = usize::try_from(*remaining).unwrap_or(usize::MAX).min(unread);
                inbox.consume(taken);
                *remaining -= taken as u64;
                if *remaining == 0 {
                    *self = Self::Over;
                }
                Ok(start..start + taken)
            }
            Self::Chunked(decoder) => {
                let step = decoder.decode(inbox.unread_mut())?;
                inbox.consume(step.consumed);
                Ok(start + step.data.start..start + step.data.end)
            }
        }
    }

    /// The stream has ended: whether that is how the body ends.
    pub(crate) fn end_of_stream(&mut self) -> bool {
        if matches!(self, Self::UntilClose) {
            *self = Self::Over;
        }
        self.is_over()
    }

    /// Appends the trailer lines that may be passed on.
    pub(crate) fn write_trailers(&self, out: &mut Vec<u8>) {
        if let Self::Chunked(decoder) = self {
            decoder.write_trailers(out);
        }
    }
}
