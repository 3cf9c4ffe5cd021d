//! One direction of an exchange: a head, then a body, out of one socket's inbox into the other
//! socket. Reads only when everything read before has been written, so a slow reader slows the
//! writer and nothing piles up.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::body::Body;
use crate::buffer::{Buffers, Inbox};
use crate::http1::chunked::SizeLine;
use crate::stream::Stream;

/// Data up to this size is copied behind the head: one plain write is cheaper than a vectored one.
const COPIED: usize = 2048;

/// Why a pump stopped early.
#[derive(Debug)]
pub(crate) enum PumpError {
    /// The source ended inside the body, or could not be read.
    SourceClosed,
    /// The source's chunks, or its TLS records, are malformed.
    SourceMalformed,
    /// The sink could not be written.
    SinkClosed,
}

/// A head and a body on their way.
#[derive(Debug)]
pub(crate) struct Pump {
    head: Vec<u8>,
    body: Body,
    /// Data leaves in chunks; otherwise as it is.
    chunked: bool,
    /// The inbox may be overwritten from here on.
    base: usize,
    batch: Batch,
    /// Batches made so far.
    batches: u32,
    /// More has been read from the source than the first batch.
    read_on: bool,
    writing: bool,
    /// Bytes that have left.
    pub(crate) written: u64,
    /// Bytes of the source's body used, its framing included.
    pub(crate) consumed: u64,
}

/// What is written before the next read.
#[derive(Debug, Default)]
struct Batch {
    with_head: bool,
    size_line: Option<SizeLine>,
    data: Range<usize>,
    tail: Tail,
    sent: usize,
    last: bool,
}

#[derive(Debug, Default)]
enum Tail {
    #[default]
    None,
    Text(&'static [u8]),
    Trailers(Vec<u8>),
}

impl Tail {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => b"",
            Self::Text(text) => text,
            Self::Trailers(text) => text,
        }
    }
}

impl Pump {
    /// `base`: where in the inbox body bytes may overwrite what has been used.
    pub(crate) fn new(head: Vec<u8>, body: Body, chunked: bool, base: usize) -> Self {
        Self {
            head,
            body,
            chunked,
            base,
            batch: Batch::default(),
            batches: 0,
            read_on: false,
            writing: false,
            written: 0,
            consumed: 0,
        }
    }

    /// Moves all it can. Ready when the whole body has been written.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        inbox: &mut Inbox,
        to: &mut Stream,
        buffers: &Buffers,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            if self.writing {
                ready!(self.poll_write(cx, inbox, to)).map_err(|_| PumpError::SinkClosed)?;
                if self.batch.last {
                    return Poll::Ready(Ok(()));
                }
                self.writing = false;
            }
            if self.batches == 0 || !inbox.is_empty() {
                let before = inbox.position();
                let data = self.body.take(inbox).map_err(|_| PumpError::SourceMalformed)?;
                self.consumed += (inbox.position() - before) as u64;
                self.begin_batch(data, inbox);
                continue;
            }
            inbox.rewind(self.base);
            let count = ready!(inbox.poll_fill(cx, from, buffers)).map_err(|error| match error.kind() {
                // What came is not TLS as it should be.
                io::ErrorKind::InvalidData => PumpError::SourceMalformed,
                _ => PumpError::SourceClosed,
            })?;
            self.read_on = true;
            if count == 0 {
                if !self.body.end_of_stream() {
                    return Poll::Ready(Err(PumpError::SourceClosed));
                }
                self.begin_batch(0..0, inbox);
            }
        }
    }

    fn begin_batch(&mut self, data: Range<usize>, inbox: &Inbox) {
        let last = self.body.is_over();
        let with_head = self.batches == 0;
        let mut batch = Batch { with_head, last, ..Batch::default() };
        if self.chunked {
            if !data.is_empty() {
                batch.size_line = Some(SizeLine::new(data.len()));
            }
            batch.tail = self.tail(!data.is_empty(), last);
        }
        batch.data = data;
        if with_head && batch.data.len() <= COPIED {
            let size_line = batch.size_line.take();
            self.head.extend_from_slice(size_line.as_ref().map_or(b"", SizeLine::as_bytes));
            self.head.extend_from_slice(inbox.part(std::mem::take(&mut batch.data)));
            self.head.extend_from_slice(std::mem::take(&mut batch.tail).as_bytes());
        }
        self.batch = batch;
        self.batches += 1;
        self.writing = true;
    }

    fn tail(&self, with_data: bool, last: bool) -> Tail {
        let mut trailers = Vec::new();
        if last {
            self.body.write_trailers(&mut trailers);
        }
        if !trailers.is_empty() {
            let mut text = Vec::with_capacity(trailers.len() + 7);
            text.extend_from_slice(if with_data { b"\r\n0\r\n" } else { b"0\r\n" });
            text.extend_from_slice(&trailers);
            text.extend_from_slice(b"\r\n");
            return Tail::Trailers(text);
        }
        match (with_data, last) {
            (true, false) => Tail::Text(b"\r\n"),
            (true, true) => Tail::Text(b"\r\n0\r\n\r\n"),
            (false, true) => Tail::Text(b"0\r\n\r\n"),
            (false, false) => Tail::None,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, inbox: &Inbox, to: &mut Stream) -> Poll<io::Result<()>> {
        let parts = [
            if self.batch.with_head { &self.head[..] } else { b"" },
            self.batch.size_line.as_ref().map_or(&b""[..], SizeLine::as_bytes),
            inbox.part(self.batch.data.clone()),
            self.batch.tail.as_bytes(),
        ];
        let total = parts.iter().map(|part| part.len()).sum();
        while self.batch.sent < total {
            let mut slices = [IoSlice::new(b""); 4];
            let mut count = 0;
            let mut skip = self.batch.sent;
            for part in parts {
                if skip < part.len() {
                    slices[count] = IoSlice::new(&part[skip..]);
                    count += 1;
                }
                skip = skip.saturating_sub(part.len());
            }
            let sink = Pin::new(&mut *to);
            let sent = ready!(if count == 1 {
                sink.poll_write(cx, &slices[0])
            } else {
                sink.poll_write_vectored(cx, &slices[..count])
            })?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.batch.sent += sent;
            self.written += sent as u64;
        }
        Pin::new(to).poll_flush(cx)
    }

    /// Whether it waits for the sink; otherwise it waits for the source.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing
    }

    /// Everything written so far is still held, so it can be written again elsewhere.
    pub(crate) fn is_replayable(&self) -> bool {
        self.batches <= 1 && !self.read_on
    }

    /// Starts again with the first batch. Only while [`Pump::is_replayable`].
    pub(crate) fn replay(&mut self) {
        self.batch.sent = 0;
        self.written = 0;
        self.writing = self.batches > 0;
    }

    /// What of the source's body has not been taken, and where in the inbox it may be read to.
    pub(crate) fn rest(&mut self) -> (&mut Body, usize) {
        (&mut self.body, self.base)
    }

    /// The head's memory, for reuse.
    pub(crate) fn into_head(self) -> Vec<u8> {
        self.head
    }
}
