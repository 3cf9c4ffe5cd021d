//! Buffers that go round: a connection holds one only while there are bytes to keep.
//!
//! The last buffer given back is the first taken, so a worker under load works in memory that is
//! in the cache, and ten thousand idle connections hold no buffer at all.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::http1::MAX_HEAD;
use crate::stream::Stream;

/// Holds a 16 KiB body with its head, twice.
const STANDARD: usize = 32 * 1024;
/// Holds the largest head and still a decent piece of body.
const LARGE: usize = MAX_HEAD + 20 * 1024;
/// Least room for body bytes beside a head; with less, the buffer grows.
const ROOM_FOR_BODY: usize = 8 * 1024;
/// Unused buffers kept, of each kind.
const KEPT: usize = 1024;

/// A worker's unused buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    inboxes: RefCell<Vec<Box<[u8]>>>,
    heads: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    fn take(&self) -> Box<[u8]> {
        self.inboxes.borrow_mut().pop().unwrap_or_else(|| vec![0; STANDARD].into_boxed_slice())
    }

    fn give_back(&self, buffer: Box<[u8]>) {
        let mut inboxes = self.inboxes.borrow_mut();
        if buffer.len() == STANDARD && inboxes.len() < KEPT {
            inboxes.push(buffer);
        }
    }

    /// An empty vector to write a head into.
    pub(crate) fn take_head(&self) -> Vec<u8> {
        self.heads.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    pub(crate) fn give_back_head(&self, mut head: Vec<u8>) {
        let mut heads = self.heads.borrow_mut();
        if (1..=STANDARD).contains(&head.capacity()) && heads.len() < KEPT {
            head.clear();
            heads.push(head);
        }
    }
}

/// What has been read from a socket and not been used yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Empty while nothing is held.
    bytes: Box<[u8]>,
    /// Unread bytes are `start..end`.
    start: usize,
    end: usize,
}

impl Inbox {
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Index in the buffer of the first unread byte.
    pub(crate) fn position(&self) -> usize {
        self.start
    }

    /// Index in the buffer of `part`, which is a slice of it.
    pub(crate) fn index_of(&self, part: &[u8]) -> usize {
        part.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr())
    }

    /// The whole buffer, read or not.
    pub(crate) fn all(&self) -> &[u8] {
        &self.bytes
    }

    /// A part of the buffer, read or not.
    pub(crate) fn part(&self, part: std::ops::Range<usize>) -> &[u8] {
        self.bytes.get(part).unwrap_or_default()
    }

    /// Marks the first `count` unread bytes as used. They stay where they are.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Bytes of memory held.
    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn has_room(&self) -> bool {
        self.end < self.bytes.len() || self.bytes.is_empty()
    }

    /// Moves the unread bytes to the front of the buffer, or gives an empty buffer back.
    pub(crate) fn compact(&mut self, buffers: &Buffers) {
        if self.is_empty() {
            self.release(buffers);
        } else if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Forgets everything and gives the buffer back.
    pub(crate) fn release(&mut self, buffers: &Buffers) {
        if !self.bytes.is_empty() {
            buffers.give_back(std::mem::take(&mut self.bytes));
        }
        (self.start, self.end) = (0, 0);
    }

    /// With nothing unread, lets later reads overwrite everything from `base` on.
    pub(crate) fn rewind(&mut self, base: usize) {
        debug_assert!(self.is_empty());
        (self.start, self.end) = (base, base);
    }

    /// Makes the buffer large enough for the largest head. Whether it was not so already.
    pub(crate) fn grow(&mut self) -> bool {
        let small = self.bytes.len() < LARGE;
        if small {
            let mut larger = vec![0; LARGE].into_boxed_slice();
            larger[..self.end].copy_from_slice(&self.bytes[..self.end]);
            self.bytes = larger;
        }
        small
    }

    /// Sees to it that a body can be read beside a head that ends at `base`.
    pub(crate) fn make_room_beside(&mut self, base: usize) {
        if self.bytes.len() < base + ROOM_FOR_BODY {
            self.grow();
        }
    }

    /// Reads once into the free part. `Ok(0)` is the end of the stream. While nothing comes and
    /// nothing is kept, no buffer is held.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            self.bytes = buffers.take();
        }
        let mut free = ReadBuf::new(&mut self.bytes[self.end..]);
        let polled = Pin::new(stream).poll_read(cx, &mut free);
        let count = free.filled().len();
        if count == 0 && self.end == 0 {
            self.release(buffers);
        }
        ready!(polled)?;
        self.end += count;
        Poll::Ready(Ok(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_without_bytes_holds_no_buffer() {
        let buffers = Buffers::default();
        let mut inbox = Inbox { bytes: buffers.take(), start: 0, end: 5 };
        inbox.bytes[..5].copy_from_slice(b"abcde");
        inbox.consume(3);
        inbox.compact(&buffers);
        assert_eq!(inbox.unread(), b"de");
        inbox.consume(2);
        inbox.compact(&buffers);
        assert!(inbox.bytes.is_empty());
        assert_eq!(buffers.inboxes.borrow().len(), 1);
    }

    #[test]
    fn a_grown_buffer_keeps_its_bytes_and_is_not_kept_for_reuse() {
        let buffers = Buffers::default();
        let mut inbox = Inbox { bytes: buffers.take(), start: 1, end: 3 };
        inbox.bytes[..3].copy_from_slice(b"abc");
        assert!(inbox.grow() && !inbox.grow());
        assert_eq!(inbox.unread(), b"bc");
        inbox.release(&buffers);
        assert!(buffers.inboxes.borrow().is_empty());
    }
}
