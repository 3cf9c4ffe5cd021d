//! A request and its response between one client and one target, both directions at once.
//!
//! The request is written while the response is read, because a target may answer before it has
//! heard everything. The common case passes through here in one go: one write of head and body,
//! one read, one write.

mod waiting;

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::body::Body;
use crate::budget::Held;
use crate::buffer::Inbox;
use crate::client::Client;
use crate::clock::Millis;
use crate::failure::Failure;
use crate::http1::response::{self, Delivery};
use crate::http1::{self, Framing, HeadError, Version};
use crate::pump::{Pump, PumpError};
use crate::record::Record;
use crate::stream::Stream;
use crate::upstream::Upstream;
use crate::watchdog::Alarm;
use crate::worker::Worker;

/// Interim responses a target may send before the final one.
const MAX_INTERIM: u32 = 32;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What has moved so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moved {
    /// Of the request's body, from the client.
    request: u64,
    /// Of the request, to the target.
    sent: u64,
    /// Of the answer.
    answer: u64,
}

/// What is known of the request that matters to the exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    /// HEAD: the response has no body.
    pub(crate) head: bool,
    /// Sending it twice does what sending it once does (RFC 9110, 9.2.2).
    pub(crate) idempotent: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    /// Silence of either side ends the exchange.
    pub(crate) patience: Duration,
}

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Delivered {
        /// Its last byte left the moment its first one came.
        at_once: bool,
        /// The target's connection can serve another request.
        reusable: bool,
        /// So can the client's.
        stay: bool,
        /// The client may still be sending.
        linger: bool,
    },
    /// The target has closed before it answered; all of the request is still held, and sending it
    /// again does no harm.
    Again,
    /// The client has been told nothing yet and can be told this.
    Failed(u16, Failure),
    /// The client has been told something that will not be finished.
    Broken(Failure),
}

/// An exchange under way.
pub(crate) struct Exchange<'a> {
    worker: &'a Worker,
    client: &'a mut Client,
    record: &'a mut Record,
    upstream: &'a mut Upstream,
    request: &'a mut Pump,
    asked: Asked,
    patience: Millis,
    /// The request is still being written.
    requesting: bool,
    /// Nothing has been waited for yet, except perhaps a connection that was there.
    fresh: bool,
    /// The target takes no more of it.
    refused: bool,
    /// The first byte of the answer came in this very poll.
    answered_now: bool,
    /// From the target.
    inbox: Inbox,
    /// Bytes of `inbox` known not to hold a whole head.
    scanned: usize,
    /// Interim responses, on their way to the client.
    interim: Vec<u8>,
    interims: u32,
    awaiting_continue: bool,
    response: Option<Response>,
    /// When nothing will have moved for as long as either side may be silent.
    silence_ends: Millis,
    /// The client's memory, while its body is on its way or it waits for long.
    held: Option<Held>,
    /// A client that sends no more has been sent something, to see whether it is still there.
    client_asked: bool,
}

struct Response {
    pump: Pump,
    reusable: bool,
    close: bool,
    /// The client can tell the end of the body only by the end of the connection.
    until_close: bool,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        worker: &'a Worker,
        client: &'a mut Client,
        record: &'a mut Record,
        upstream: &'a mut Upstream,
        request: &'a mut Pump,
        asked: Asked,
    ) -> Self {
        let patience = asked.patience.as_millis() as Millis;
        let upstream_is_kept = upstream.reused;
        let mut exchange = Self {
            worker,
            client,
            record,
            upstream,
            request,
            asked,
            patience,
            requesting: true,
            fresh: upstream_is_kept,
            refused: false,
            answered_now: false,
            inbox: Inbox::default(),
            scanned: 0,
            interim: Vec::new(),
            interims: 0,
            awaiting_continue: asked.expects_continue,
            response: None,
            silence_ends: 0,
            client_asked: false,
            held: None,
        };
        exchange.arm();
        exchange
    }

    /// To be polled until it is ready, then [`Exchange::finish`]ed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let before = self.moved();
        self.answered_now = false;
        if let Poll::Ready(ending) = self.poll_both(cx) {
            return Poll::Ready(ending);
        }
        let after = self.moved();
        if after != before {
            self.arm();
        }
        self.acknowledge(before, after);
        if self.requesting && !self.client.hold(self.worker, &mut self.held, 0) {
            return Poll::Ready(self.failed(503, Failure::ClientRateLimited));
        }
        self.client.watched.register(cx);
        match self.client.watched.alarm() {
            None => Poll::Pending,
            Some(Alarm::Deadline) if self.worker.clock.coarse() < self.silence_ends => self.look(cx),
            Some(Alarm::Deadline) if self.awaiting_continue => {
                // The target is silent. The client may be waiting for it for ever, so it is told to
                // go on; should the target say so too, later, that is allowed.
                self.awaiting_continue = false;
                self.interim.extend_from_slice(CONTINUE);
                self.arm();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(alarm) => Poll::Ready(self.on_alarm(alarm)),
        }
    }

    /// Numbers that change with every byte that moves.
    fn moved(&self) -> Moved {
        let written = self.response.as_ref().map_or(0, |response| response.pump.written + 1);
        Moved {
            request: self.request.consumed,
            sent: self.request.written,
            answer: written + self.inbox.unread().len() as u64 + u64::from(self.interims),
        }
    }

    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let buffers = &self.worker.buffers;
        if self.requesting {
            let Client { stream, inbox, .. } = &mut *self.client;
            match self.request.poll(cx, stream, inbox, &mut self.upstream.stream, buffers) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => {
                    self.requesting = false;
                    // Gone at once: no need to ask what time it is.
                    let at_once = std::mem::take(&mut self.fresh);
                    let now = if at_once { self.record.started } else { self.worker.clock.now() };
                    self.record.forwarded = Some(now);
                }
                Poll::Ready(Err(PumpError::SourceClosed)) => {
                    return Poll::Ready(self.failed(400, Failure::ClientConnectionClosed));
                }
                Poll::Ready(Err(PumpError::SourceMalformed)) => {
                    return Poll::Ready(self.failed(400, Failure::ClientProtocolError));
                }
                Poll::Ready(Err(PumpError::SinkClosed)) => {
                    // It may have answered before it closed: "413" and the like.
                    self.requesting = false;
                    self.refused = true;
                }
            }
        }
        self.fresh = false;
        if self.response.is_none()
            && let Poll::Ready(head) = self.poll_head(cx)
        {
            match head {
                Ok(response) => self.response = Some(response),
                Err(ending) => return Poll::Ready(ending),
            }
        }
        if let Poll::Ready(ending) = self.poll_response(cx) {
            return Poll::Ready(ending);
        }
        if self.requesting { Poll::Pending } else { self.poll_read_ahead(cx) }
    }

    /// Once the request is through, looks for what the client sends next, to notice that it has
    /// gone. No system call while nothing comes.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let client = &mut *self.client;
        while !client.ended && client.inbox.has_room() {
            match ready!(client.inbox.poll_fill(cx, &mut client.stream, &self.worker.buffers)) {
                // Half closed: it sends no more but still listens.
                Ok(0) => {
                    client.ended = true;
                    self.arm_look();
                    break;
                }
                Ok(_) => {}
                Err(_) => return Poll::Ready(Ending::Broken(Failure::ClientConnectionClosed)),
            }
        }
        Poll::Pending
    }

    /// Reads until the final head is there; passes interim ones on.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response, Ending>> {
        loop {
            ready!(self.poll_interim(cx)).map_err(|()| Ending::Broken(Failure::ClientConnectionClosed))?;
            let unread = self.inbox.unread();
            let worth_parsing = unread.len() > http1::MAX_HEAD
                || (!unread.is_empty()
                    && (self.scanned == 0 || http1::may_be_complete(unread, self.scanned)));
            if worth_parsing {
                self.scanned = unread.len();
                match self.read_head() {
                    Ok(Some(response)) => return Poll::Ready(Ok(response)),
                    Ok(None) if self.scanned == 0 => continue,
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(%error, target = ?self.record.target, "target answered garbage");
                        return Poll::Ready(Err(Ending::Failed(502, Failure::TargetProtocolError)));
                    }
                }
            }
            if !self.inbox.has_room() {
                self.inbox.compact(&self.worker.buffers);
                if !self.inbox.has_room() {
                    self.inbox.grow();
                }
            }
            match ready!(self.inbox.poll_fill(cx, &mut self.upstream.stream, &self.worker.buffers)) {
                Ok(0) => return Poll::Ready(Err(self.on_target_closed())),
                // What came is not TLS as it should be.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Poll::Ready(Err(Ending::Failed(502, Failure::TargetProtocolError)));
                }
                Err(_) => return Poll::Ready(Err(self.on_target_closed())),
                Ok(_) if self.record.answered.is_none() => {
                    self.record.answered = Some(self.worker.clock.now());
                    self.answered_now = true;
                }
                Ok(_) => {}
            }
        }
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        use std::pin::Pin;
        use tokio::io::AsyncWrite;
        if self.interim.is_empty() && !self.client.stream.is_behind() {
            return Poll::Ready(Ok(()));
        }
        let mut sink = Pin::new(&mut self.client.stream);
        while !self.interim.is_empty() {
            match ready!(sink.as_mut().poll_write(cx, &self.interim)) {
                Ok(count @ 1..) => drop(self.interim.drain(..count)),
                Ok(0) | Err(_) => return Poll::Ready(Err(())),
            }
        }
        sink.poll_flush(cx).map_err(|_| ())
    }

    /// Takes one head out of the inbox. `None` with `scanned` zero: it was an interim one.
    fn read_head(&mut self) -> Result<Option<Response>, HeadError> {
        let mut storage = http1::storage();
        let Some(head) = response::parse(self.inbox.unread(), &mut storage, self.asked.head)? else {
            return Ok(None);
        };
        let length = head.length();
        let http10 = self.asked.version == Version::Http10;
        if head.status < 200 {
            self.interims += 1;
            // Upgrades are never asked for, so 101 answers nothing.
            if head.status == 101 || self.interims > MAX_INTERIM {
                return Err(HeadError::Status);
            }
            if head.status == 100 {
                self.awaiting_continue = false;
            }
            if !http10 {
                head.write_interim(&mut self.interim);
            }
            self.inbox.consume(length);
            self.scanned = 0;
            return Ok(None);
        }
        let body = Body::of_response(head.framing);
        let unsized_body = matches!(head.framing, Framing::Chunked | Framing::UntilClose);
        // An HTTP/1.0 client knows no chunks; the end of the connection ends the body.
        let until_close = unsized_body && http10;
        let chunked = unsized_body && !http10;
        let close = until_close || self.requesting || !self.client_may_stay();
        let delivery = Delivery { chunked, close, http10 };
        let mut out = self.worker.buffers.take_head();
        let id = self.record.request_id.bytes(&self.client.inbox);
        let at = self.record.answered.unwrap_or(self.record.started);
        self.worker.clock.with_date_line(at, |date| head.write_for_client(&mut out, delivery, id, date));
        self.record.status = head.status;
        let reusable = head.keep_alive;
        self.upstream.expect_body(self.worker, head.framing);
        self.inbox.consume(length);
        Ok(Some(Response { pump: Pump::new(out, body, chunked, 0), reusable, close, until_close }))
    }

    fn client_may_stay(&self) -> bool {
        self.asked.keep_alive && !self.refused && self.worker.may_stay(&self.client.watched)
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let Some(response) = &mut self.response else { return Poll::Pending };
        let (source, sink) = (&mut self.upstream.stream, &mut self.client.stream);
        match ready!(response.pump.poll(cx, source, &mut self.inbox, sink, &self.worker.buffers)) {
            Ok(()) => Poll::Ready(Ending::Delivered {
                at_once: self.answered_now,
                reusable: response.reusable && !self.requesting && !self.refused && self.inbox.is_empty(),
                stay: !response.close,
                linger: self.requesting || self.refused,
            }),
            Err(PumpError::SourceClosed) => Poll::Ready(self.cut(Failure::TargetConnectionClosed)),
            Err(PumpError::SourceMalformed) => Poll::Ready(self.cut(Failure::TargetProtocolError)),
            Err(PumpError::SinkClosed) => {
                if response.pump.written == 0 {
                    // It was gone before it could be told anything.
                    self.record.status = 0;
                }
                Poll::Ready(Ending::Broken(Failure::ClientConnectionClosed))
            }
        }
    }

    /// The response ends before its time.
    fn cut(&mut self, failure: Failure) -> Ending {
        match &self.response {
            Some(response) if response.pump.written > 0 => Ending::Broken(failure),
            _ => Ending::Failed(502, failure),
        }
    }

    /// The exchange ends by the client's fault.
    fn failed(&mut self, status: u16, failure: Failure) -> Ending {
        if self.response.is_none() { Ending::Failed(status, failure) } else { Ending::Broken(failure) }
    }

    /// The target has closed, or reset, before a whole head came.
    fn on_target_closed(&mut self) -> Ending {
        // "A proxy MUST NOT automatically retry non-idempotent requests" (RFC 9110, 9.2.2). That a
        // target resets does not say that it has not acted on what it was sent, so only what was
        // never sent is an exception. Over TLS what was sent before an error is not known.
        let unsent = self.request.written == 0 && matches!(self.upstream.stream, Stream::Tcp(_));
        if self.record.answered.is_none() && self.request.is_replayable() && (self.asked.idempotent || unsent)
        {
            return Ending::Again;
        }
        Ending::Failed(502, Failure::TargetConnectionClosed)
    }

    /// Gives the memory back and leaves the byte counts in the record. Whether a response that was
    /// cut could be taken for a whole one.
    pub(crate) fn finish(mut self) -> bool {
        self.inbox.release(&self.worker.buffers);
        self.response.is_some_and(|response| {
            self.record.sent += response.pump.written;
            self.worker.buffers.give_back_head(response.pump.into_head());
            response.until_close
        })
    }
}
