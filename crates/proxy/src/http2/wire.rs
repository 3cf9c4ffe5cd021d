//! The client's bytes on their way to the codec, looked at from outside: which frames they are.
//!
//! The codec bounds what it keeps, not how often it is made to work. Frames that carry nothing
//! (PING, SETTINGS, PRIORITY, RST_STREAM, WINDOW_UPDATE, empty DATA, CONTINUATION, unknown ones) cost
//! the sender a few bytes and this proxy a pass through the codec, often with an answer. So they are
//! paid for out of a credit, which real traffic and time fill up again.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::PREFACE;
use crate::clock::Millis;

const FRAME_HEADER: usize = 9;

/// What one frame that carries nothing costs.
const PRICE: i64 = 1024;
/// The most credit there can be: so many such frames at once.
const MOST: i64 = 1024 * PRICE;
/// Credit gained in a millisecond: 100 such frames a second.
const PER_MILLISECOND: i64 = 100 * PRICE / 1000;

/// How much of what costs the sender little a connection may still send.
#[derive(Debug)]
pub(super) struct Credit {
    left: Cell<i64>,
    at: Cell<Millis>,
}

impl Credit {
    pub(super) fn new(now: Millis) -> Rc<Self> {
        Rc::new(Self { left: Cell::new(MOST), at: Cell::new(now) })
    }

    /// Adds what the time since the last call is worth. Whether more was spent than there was.
    pub(super) fn is_overdrawn(&self, now: Millis) -> bool {
        let since = now.saturating_sub(self.at.replace(now));
        self.gain(since.min(MOST as Millis) as i64 * PER_MILLISECOND);
        self.left.get() < 0
    }

    fn gain(&self, more: i64) {
        self.left.set(self.left.get().saturating_add(more).min(MOST));
    }

    fn spend(&self, price: i64) {
        self.left.set(self.left.get().saturating_sub(price));
    }

    /// A request was reset by its sender: setting it up was in vain.
    pub(super) fn spend_on_reset(&self) {
        self.spend(4 * PRICE);
    }
}

/// Finds the frames in a stream of bytes, however they are cut.
#[derive(Debug)]
struct Frames {
    /// Bytes to come that belong to the preface or to a payload.
    skip: usize,
    header: [u8; FRAME_HEADER],
    /// Bytes of `header` that are there.
    have: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: PREFACE.len(), header: [0; FRAME_HEADER], have: 0 }
    }
}

impl Frames {
    fn see(&mut self, mut bytes: &[u8], credit: &Credit) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (FRAME_HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == FRAME_HEADER {
                self.have = 0;
                let [high, middle, low, kind, ..] = self.header;
                self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                match (kind, self.skip) {
                    // HEADERS, and DATA with data.
                    (1, _) | (0, 1..) => credit.gain(PRICE / 4 + self.skip as i64),
                    _ => credit.spend(PRICE),
                }
            }
        }
    }
}

/// A connection whose incoming frames are counted.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    /// Read before the codec was there, the preface first.
    early: Vec<u8>,
    frames: Frames,
    credit: Rc<Credit>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, early: Vec<u8>, credit: Rc<Credit>) -> Self {
        Self { stream, early, frames: Frames::default(), credit }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = if self.early.is_empty() {
            Pin::new(&mut self.stream).poll_read(cx, buffer)
        } else {
            let count = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..count]);
            self.early.drain(..count);
            Poll::Ready(Ok(()))
        };
        let Self { frames, credit, .. } = &mut *self;
        frames.see(&buffer.filled()[before..], credit);
        polled
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// What is sent earns the acknowledgements and window updates it will be answered with.
    fn earn(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(written)) = &polled {
            self.credit.gain(*written as i64 / 2);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.earn(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.earn(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0, (length >> 8) as u8, length as u8, kind, 0, 0, 0, 0, 0];
        frame.resize(FRAME_HEADER + length, 0xff);
        frame
    }

    fn left_after(bytes: &[u8], piece: usize) -> i64 {
        let credit = Credit::new(0);
        let mut frames = Frames::default();
        for piece in bytes.chunks(piece) {
            frames.see(piece, &credit);
        }
        credit.left.get()
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let mut bytes = PREFACE.to_vec();
        for (kind, length) in [(4, 0), (6, 8), (0, 0), (8, 4), (2, 5)] {
            bytes.extend(frame(kind, length));
        }
        for piece in 1..=bytes.len() {
            assert_eq!(left_after(&bytes, piece), MOST - 5 * PRICE, "pieces of {piece}");
        }
    }

    #[test]
    fn a_flood_overdraws_the_credit_and_ordinary_traffic_does_not() {
        let mut flood = PREFACE.to_vec();
        let mut ordinary = flood.clone();
        for _ in 0..2000 {
            flood.extend(frame(6, 8));
            for (kind, length) in [(1, 40), (0, 1000), (8, 4)] {
                ordinary.extend(frame(kind, length));
            }
        }
        assert!(left_after(&flood, 4096) < 0);
        assert!(left_after(&ordinary, 4096) > 0);
    }

    #[test]
    fn time_fills_the_credit_up_to_its_bound() {
        let credit = Credit::new(0);
        credit.spend(MOST + 10 * PRICE);
        assert!(credit.is_overdrawn(50));
        assert!(!credit.is_overdrawn(1_000));
        assert!(!credit.is_overdrawn(1_000_000));
        assert_eq!(credit.left.get(), MOST);
    }
}
