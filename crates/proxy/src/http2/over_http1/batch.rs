//! A piece of a request on its way to an HTTP/1.1 target: the head, data, and what frames it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::super::call::Piece;
use crate::http1::chunked::SizeLine;

/// Data up to this size is copied behind the head: one plain write is cheaper than a vectored one.
const COPIED: usize = 2048;

/// What is written to the target before more is taken from the client.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) out: Vec<u8>,
    pub(super) data: Bytes,
    tail: &'static [u8],
    pub(super) sent: usize,
    /// Nothing of the request follows.
    pub(super) last: bool,
}

impl Batch {
    /// With `out`, a head, at its front.
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self { out, ..Self::default() }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.out.len() + self.data.len() + self.tail.len()
    }

    /// Adds a piece of the body behind what is there.
    pub(super) fn add(&mut self, piece: Piece, chunked: bool) {
        if self.is_sent() {
            self.out.clear();
            (self.sent, self.tail) = (0, b"");
        }
        match piece {
            Piece::Data(data, last) => {
                let full = chunked && !data.is_empty();
                if full {
                    self.out.extend_from_slice(SizeLine::new(data.len()).as_bytes());
                }
                self.data = data;
                self.tail = match (full, chunked && last) {
                    (true, true) => b"\r\n0\r\n\r\n",
                    (true, false) => b"\r\n",
                    (false, true) => b"0\r\n\r\n",
                    (false, false) => b"",
                };
                self.last = last;
            }
            Piece::End(trailers) => {
                if chunked {
                    self.out.extend_from_slice(b"0\r\n");
                    for (name, value) in trailers.iter().flatten() {
                        self.out.extend_from_slice(name.as_str().as_bytes());
                        self.out.extend_from_slice(b": ");
                        self.out.extend_from_slice(value.as_bytes());
                        self.out.extend_from_slice(b"\r\n");
                    }
                    self.out.extend_from_slice(b"\r\n");
                }
                self.last = true;
            }
        }
        if self.data.len() <= COPIED {
            self.out.extend_from_slice(&std::mem::take(&mut self.data));
            self.out.extend_from_slice(std::mem::take(&mut self.tail));
        }
    }

    /// Writes all of it, and sees to it that it leaves.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut to: impl AsyncWrite + Unpin,
    ) -> Poll<io::Result<()>> {
        while !self.is_sent() {
            let parts = [&self.out[..], &self.data[..], self.tail];
            let mut slices = [IoSlice::new(b""); 3];
            let (mut count, mut skip) = (0, self.sent);
            for part in parts {
                if skip < part.len() {
                    slices[count] = IoSlice::new(&part[skip..]);
                    count += 1;
                }
                skip = skip.saturating_sub(part.len());
            }
            let sent = ready!(if count == 1 {
                Pin::new(&mut to).poll_write(cx, &slices[0])
            } else {
                Pin::new(&mut to).poll_write_vectored(cx, &slices[..count])
            })?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        self.data = Bytes::new();
        self.out.clear();
        (self.sent, self.tail) = (0, b"");
        Pin::new(&mut to).poll_flush(cx)
    }
}
