//! The body of an answer: the service's, streamed, or a text of ours.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};

use crate::upstream::Lease;

/// While the service's body is not at its end, its connection is not another's.
#[derive(Debug)]
pub(crate) enum Body {
    Said(Option<Bytes>),
    Relayed { incoming: Incoming, _lease: Lease },
}

impl Body {
    pub(crate) fn said(text: Bytes) -> Self {
        Self::Said(Some(text).filter(|text| !text.is_empty()))
    }

    pub(crate) fn relayed(incoming: Incoming, lease: Lease) -> Self {
        Self::Relayed { incoming, _lease: lease }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Said(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Relayed { incoming, _lease } => Pin::new(incoming).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Said(text) => text.is_none(),
            Self::Relayed { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Said(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Relayed { incoming, .. } => incoming.size_hint(),
        }
    }
}
