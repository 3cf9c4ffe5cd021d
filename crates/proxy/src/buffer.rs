//! Buffers that go round: a connection holds one only while there are bytes to keep.
//!
//! The last buffer given back is the first taken, so a worker under load works in memory that is
//! in the cache, and ten thousand idle connections hold no buffer at all. Of what nobody has needed
//! for a while, half is freed, again and again: a flood leaves nothing behind.

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

/// Unused buffers that are not freed.
const KEPT_AT_LEAST: usize = 16;

/// A worker's unused buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    inboxes: RefCell<Unused<Box<[u8]>>>,
    heads: RefCell<Unused<Vec<u8>>>,
}

/// Those of one kind.
#[derive(Debug)]
struct Unused<T> {
    all: Vec<T>,
    /// The fewest there have been since it was last tidied: nobody has needed those.
    fewest: usize,
}

impl<T> Default for Unused<T> {
    fn default() -> Self {
        Self { all: Vec::new(), fewest: 0 }
    }
}

impl<T> Unused<T> {
    fn take(&mut self) -> Option<T> {
        let taken = self.all.pop();
        self.fewest = self.fewest.min(self.all.len());
        taken
    }

    fn give_back(&mut self, buffer: T) {
        if self.all.len() < KEPT {
            self.all.push(buffer);
        }
    }

    fn tidy(&mut self) {
        let surplus = self.fewest.saturating_sub(KEPT_AT_LEAST).div_ceil(2);
        // Those at the bottom were used longest ago.
        self.all.drain(..surplus);
        self.fewest = self.all.len();
    }
}

impl Buffers {
    fn take(&self) -> Box<[u8]> {
        self.inboxes.borrow_mut().take().unwrap_or_else(|| vec![0; STANDARD].into_boxed_slice())
    }

    fn give_back(&self, buffer: Box<[u8]>) {
        if buffer.len() == STANDARD {
            self.inboxes.borrow_mut().give_back(buffer);
        }
    }

    /// An empty vector to write a head into.
    pub(crate) fn take_head(&self) -> Vec<u8> {
        self.heads.borrow_mut().take().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    pub(crate) fn give_back_head(&self, mut head: Vec<u8>) {
        if (1..=STANDARD).contains(&head.capacity()) {
            head.clear();
            self.heads.borrow_mut().give_back(head);
        }
    }

    /// Frees half of what nobody has needed since this was called last.
    pub(crate) fn tidy(&self) {
        self.inboxes.borrow_mut().tidy();
        self.heads.borrow_mut().tidy();
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
        assert_eq!(buffers.inboxes.borrow().all.len(), 1);
    }

    #[test]
    fn a_grown_buffer_keeps_its_bytes_and_is_not_kept_for_reuse() {
        let buffers = Buffers::default();
        let mut inbox = Inbox { bytes: buffers.take(), start: 1, end: 3 };
        inbox.bytes[..3].copy_from_slice(b"abc");
        assert!(inbox.grow() && !inbox.grow());
        assert_eq!(inbox.unread(), b"bc");
        inbox.release(&buffers);
        assert!(buffers.inboxes.borrow().all.is_empty());
    }

    #[test]
    fn buffers_that_nobody_needs_any_more_are_freed_and_those_in_use_are_kept() {
        let buffers = Buffers::default();
        let taken: Vec<_> = (0..500).map(|_| buffers.take()).collect();
        taken.into_iter().for_each(|buffer| buffers.give_back(buffer));
        let unused = || buffers.inboxes.borrow().all.len();
        buffers.tidy();
        assert_eq!(unused(), 500, "they have been needed just now");
        for _ in 0..20 {
            let busy: Vec<_> = (0..100).map(|_| buffers.take()).collect();
            busy.into_iter().for_each(|buffer| buffers.give_back(buffer));
            buffers.tidy();
        }
        assert_eq!(unused(), 100 + KEPT_AT_LEAST, "a hundred are in use again and again");
        (0..20).for_each(|_| buffers.tidy());
        assert_eq!(unused(), KEPT_AT_LEAST);
    }
}
