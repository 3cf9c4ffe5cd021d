//! A piece of a request on its way to an HTTP/1.1 target: the head, data, and what frames it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::super::call::{Piece, Upload, allowed};
use crate::http1::chunked::SizeLine;

/// Data up to this size is copied behind the head: one plain write is cheaper than a vectored one.
const COPIED: usize = 2048;

/// What is written to the target before more is taken from the client.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) out: Vec<u8>,
    /// Bytes at the front of what the upload has to give.
    data: usize,
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
        self.sent == self.out.len() + self.data + self.tail.len()
    }

    /// Nothing of the body is in it.
    pub(super) fn is_bare(&self) -> bool {
        self.data == 0
    }

    /// Adds a piece of the body behind what is there.
    pub(super) fn add(&mut self, piece: Piece, upload: &mut Upload, chunked: bool) {
        if self.is_sent() {
            self.out.clear();
            (self.sent, self.tail) = (0, b"");
        }
        match piece {
            Piece::Data(last) => {
                let length = upload.data().len();
                if chunked {
                    self.out.extend_from_slice(SizeLine::new(length).as_bytes());
                }
                self.tail = match (chunked, last) {
                    (true, true) => b"\r\n0\r\n\r\n",
                    (true, false) => b"\r\n",
                    (false, _) => b"",
                };
                self.last = last;
                if length <= COPIED {
                    self.out.extend_from_slice(upload.data());
                    self.out.extend_from_slice(std::mem::take(&mut self.tail));
                    upload.gave(length);
                } else {
                    self.data = length;
                }
            }
            Piece::End => {
                if chunked {
                    self.out.extend_from_slice(b"0\r\n");
                    for (name, value, _) in allowed(upload.trailers()) {
                        self.out.extend_from_slice(name);
                        self.out.extend_from_slice(b": ");
                        self.out.extend_from_slice(value);
                        self.out.extend_from_slice(b"\r\n");
                    }
                    self.out.extend_from_slice(b"\r\n");
                }
                self.last = true;
            }
        }
    }

    /// Writes all of it, and sees to it that it leaves.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        upload: &mut Upload,
        mut to: impl AsyncWrite + Unpin,
    ) -> Poll<io::Result<()>> {
        while !self.is_sent() {
            let parts = [&self.out[..], &upload.data()[..self.data], self.tail];
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
        upload.gave(std::mem::take(&mut self.data));
        self.out.clear();
        (self.sent, self.tail) = (0, b"");
        Pin::new(&mut to).poll_flush(cx)
    }
}
