//! A request from an HTTP/2 client and its answer from an HTTP/1.1 target, both directions at once.
//!
//! As in [`crate::exchange`], nothing is read that there is no room for on the other side: data of
//! the request is acknowledged to the client when the target has taken it, and the answer is read
//! when the client's windows are open.

mod batch;

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use super::call::{Call, Ending, Gone};
use super::codec::Reason;
use super::fields::{add_own, trailers};
use super::head::{Added, Checked};
use crate::body::Body;
use crate::buffer::Inbox;
use crate::clock::Millis;
use crate::failure::Failure;
use crate::http1::response;
use crate::http1::{self, HeadError};
use crate::stream::{Stream, is_little};
use crate::upstream::Upstream;
use crate::watchdog::Alarm;
use crate::worker::Worker;
use batch::Batch;

/// Interim responses a target may send before the final one.
const MAX_INTERIM: u32 = 32;

/// Has `upstream` answer `call`. Whether its connection can serve another request.
pub(super) async fn attempt(
    worker: &Worker,
    call: &mut Call<'_>,
    head: &Checked<'_>,
    added: &Added<'_>,
    upstream: &mut Upstream,
) -> (Ending, bool) {
    let chunked = head.content_length.is_none() && !call.upload.is_empty();
    let mut out = worker.buffers.take_head();
    head.write_for_http1(&mut out, added, chunked);
    let awaiting_continue = call.expects_continue && !call.upload.is_empty();
    let mut exchange = OverHttp1 {
        worker,
        call,
        upstream,
        batch: Batch::new(out),
        chunked,
        begun: false,
        requesting: true,
        sent_some: false,
        refused: false,
        inbox: Inbox::default(),
        unacknowledged: 0,
        scanned: 0,
        interims: 0,
        awaiting_continue,
        body: None,
        part: 0..0,
        reusable: false,
        for_client: false,
        moved: 0,
    };
    exchange.arm();
    let ending = poll_fn(|cx| exchange.poll(cx)).await;
    let reusable = matches!(ending, Ending::Delivered) && exchange.is_reusable();
    exchange.inbox.release(&worker.buffers);
    worker.buffers.give_back_head(std::mem::take(&mut exchange.batch.out));
    (ending, reusable)
}

struct OverHttp1<'a, 'c> {
    worker: &'a Worker,
    call: &'a mut Call<'c>,
    upstream: &'a mut Upstream,
    batch: Batch,
    /// The request's body leaves in chunks.
    chunked: bool,
    /// The first piece of the body has been looked for, to leave with the head.
    begun: bool,
    /// The request is still being written.
    requesting: bool,
    /// Some of it has left.
    sent_some: bool,
    /// The target takes no more of it.
    refused: bool,
    /// From the target.
    inbox: Inbox,
    /// Bytes read since the answer was last waited for.
    unacknowledged: u64,
    /// Bytes of `inbox` known not to hold a whole head.
    scanned: usize,
    interims: u32,
    awaiting_continue: bool,
    /// Of the answer, once its head has been passed on.
    body: Option<Body>,
    /// Where in `inbox` data of it is that the client has not been sent.
    part: Range<usize>,
    /// The target is willing to take another request on this connection.
    reusable: bool,
    /// What is waited for is the client.
    for_client: bool,
    /// Counts what moves.
    moved: u64,
}

impl OverHttp1<'_, '_> {
    fn arm(&self) {
        let patience = if self.awaiting_continue {
            self.call.patience.min(self.worker.limits.continue_timeout.as_millis() as Millis)
        } else {
            self.call.patience
        };
        self.call.arm(self.worker, patience);
    }

    fn is_reusable(&self) -> bool {
        self.reusable && !self.requesting && !self.refused && self.inbox.is_empty()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let before = self.moved;
        self.for_client = false;
        if let Poll::Ready(ending) = self.poll_both(cx) {
            return Poll::Ready(ending);
        }
        if self.moved != before {
            self.arm();
        }
        self.call.watched.register(cx);
        match self.call.watched.alarm() {
            None => Poll::Pending,
            Some(Alarm::Deadline) if self.awaiting_continue && !self.call.is_late(self.worker) => {
                // The target is silent, and the client may be waiting for it for ever.
                self.awaiting_continue = false;
                self.call.send_interim(100, |_| {});
                self.arm();
                Poll::Pending
            }
            Some(alarm) => Poll::Ready(self.call.on_alarm(self.worker, alarm, self.for_client)),
        }
    }

    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if self.requesting
            && let Poll::Ready(Err(ending)) = self.poll_request(cx)
        {
            return Poll::Ready(ending);
        }
        if let Poll::Ready(ending) = self.poll_answer(cx) {
            return Poll::Ready(ending);
        }
        self.call.poll_gone(cx).map(Gone::ending)
    }

    /// Moves all it can of the request. Ready when all of it has gone, or no more will.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        loop {
            // The head leaves together with what there is of the body.
            let head_alone = !self.begun && self.batch.is_bare();
            if self.batch.is_sent() || head_alone {
                if self.batch.last {
                    self.requesting = false;
                    self.call.record.forwarded = Some(self.worker.clock.now());
                    return Poll::Ready(Ok(()));
                }
                self.begun = true;
                match self.call.poll_piece(cx) {
                    Poll::Ready(Ok(piece)) => {
                        self.moved += 1;
                        self.batch.add(piece, &mut self.call.upload, self.chunked);
                    }
                    Poll::Ready(Err(gone)) => return Poll::Ready(Err(gone.ending())),
                    Poll::Pending if self.batch.is_sent() => {
                        self.for_client = true;
                        return Poll::Pending;
                    }
                    Poll::Pending => {}
                }
            }
            let before = self.batch.sent;
            let written = self.batch.poll_write(cx, &mut self.call.upload, &mut self.upstream.stream);
            let sent_some = self.batch.sent != before;
            self.moved += u64::from(sent_some);
            self.sent_some |= sent_some;
            match ready!(written) {
                Ok(()) => {
                    self.moved += 1;
                    self.call.went();
                }
                Err(_) => {
                    // It may have answered before it closed: "413" and the like.
                    self.requesting = false;
                    self.refused = true;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            if self.body.is_none() {
                match ready!(self.poll_head(cx)) {
                    Ok(Some(ending)) | Err(ending) => return Poll::Ready(ending),
                    Ok(None) => {}
                }
            }
            let Some(body) = &mut self.body else { continue };
            if !self.inbox.is_empty() && self.part.is_empty() {
                match body.take(&mut self.inbox) {
                    Ok(part) => self.part = part,
                    Err(_) => return Poll::Ready(broken(Failure::TargetProtocolError)),
                }
            }
            if !self.part.is_empty() || body.is_over() {
                if let Some(ending) = ready!(self.poll_pass_on(cx)) {
                    return Poll::Ready(ending);
                }
                continue;
            }
            self.inbox.rewind(0);
            let read = self.inbox.poll_fill(cx, &mut self.upstream.stream, &self.worker.buffers);
            let read = ready!(or_acknowledge(read, &mut self.unacknowledged, &self.upstream.stream));
            self.moved += 1;
            match read {
                Ok(1..) => {}
                // Passed on as a body that is over.
                Ok(0) if body.end_of_stream() => self.reusable = false,
                Ok(0) => return Poll::Ready(broken(Failure::TargetConnectionClosed)),
                Err(error) => return Poll::Ready(broken(failure_of(error.kind()))),
            }
        }
    }

    /// Passes on what has been taken of the body; an ending when that was all, or cannot be.
    fn poll_pass_on(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        let Some(body) = &self.body else { return Poll::Ready(None) };
        let over = body.is_over();
        let mut lines = Vec::new();
        if over {
            body.write_trailers(&mut lines);
        }
        if !self.part.is_empty() || lines.is_empty() {
            let data = self.inbox.part(self.part.clone());
            let Poll::Ready(sent) = self.call.poll_send(cx, data, over && lines.is_empty()) else {
                self.for_client = true;
                return self.call.waits(self.worker, self.inbox.size()).map(Some);
            };
            self.moved += 1;
            match sent {
                Ok(sent) => self.part.start += sent,
                Err(gone) => return Poll::Ready(Some(gone.ending())),
            }
        }
        if !over || !self.part.is_empty() {
            return Poll::Ready(None);
        }
        if !lines.is_empty() {
            let sent = self.call.send_trailers(|head| {
                for (name, value) in trailers(&lines) {
                    head.field_in_any_case(name, value);
                }
            });
            if let Err(gone) = sent {
                return Poll::Ready(Some(gone.ending()));
            }
        }
        Poll::Ready(Some(Ending::Delivered))
    }

    /// Reads the final head and passes it on, and the interim ones before it. An ending when
    /// nothing follows it.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Ending>, Ending>> {
        loop {
            let unread = self.inbox.unread();
            if !unread.is_empty() && (self.scanned == 0 || http1::may_be_complete(unread, self.scanned)) {
                self.scanned = unread.len();
                match self.read_head() {
                    Ok(Head::Partial) => {}
                    Ok(Head::Interim) => continue,
                    Ok(Head::Final(over)) => return Poll::Ready(Ok(over.then_some(Ending::Delivered))),
                    Err(Refused::Malformed(error)) => {
                        tracing::debug!(%error, "refused a malformed response");
                        return Poll::Ready(Err(Ending::Failed(502, Failure::TargetProtocolError)));
                    }
                    Err(Refused::Gone(gone)) => return Poll::Ready(Err(gone.ending())),
                }
            }
            if !self.inbox.has_room() && !self.inbox.grow() {
                return Poll::Ready(Err(Ending::Failed(502, Failure::TargetProtocolError)));
            }
            let read = self.inbox.poll_fill(cx, &mut self.upstream.stream, &self.worker.buffers);
            let read = ready!(or_acknowledge(read, &mut self.unacknowledged, &self.upstream.stream));
            self.moved += 1;
            match read {
                Ok(1..) => {
                    self.call.record.answered.get_or_insert_with(|| self.worker.clock.now());
                }
                Ok(0) => return Poll::Ready(Err(self.on_target_closed(None))),
                Err(error) => return Poll::Ready(Err(self.on_target_closed(Some(error.kind())))),
            }
        }
    }

    fn read_head(&mut self) -> Result<Head, Refused> {
        let mut storage = http1::storage();
        let parsed = response::parse(self.inbox.unread(), &mut storage, self.call.is_head);
        let Some(head) = parsed.map_err(Refused::Malformed)? else { return Ok(Head::Partial) };
        let length = head.length();
        if head.status < 200 {
            self.interims += 1;
            // Upgrades are never asked for, so 101 answers nothing.
            if head.status == 101 || self.interims > MAX_INTERIM {
                return Err(Refused::Malformed(HeadError::Status));
            }
            self.awaiting_continue &= head.status != 100;
            self.call.send_interim(head.status, |out| {
                head.fields().for_each(|(name, value)| out.field_in_any_case(name.as_bytes(), value));
            });
            self.inbox.consume(length);
            self.scanned = 0;
            return Ok(Head::Interim);
        }
        self.upstream.expect_body(self.worker, head.framing);
        let body = Body::of_response(head.framing);
        self.reusable = head.keep_alive;
        self.awaiting_continue = false;
        let over = body.is_over();
        let worker = self.worker;
        let sent = self.call.send_head(head.status, over, |out, record, text| {
            head.fields().for_each(|(name, value)| out.field_in_any_case(name.as_bytes(), value));
            add_own(worker, out, record, text, head.dated);
        });
        sent.map_err(Refused::Gone)?;
        self.inbox.consume(length);
        self.body = Some(body);
        Ok(Head::Final(over))
    }

    /// The target has closed, or reset, before a whole head came.
    fn on_target_closed(&mut self, error: Option<io::ErrorKind>) -> Ending {
        // As over HTTP/1: what is not idempotent is sent again only if nothing of it was ever sent.
        let unsent = !self.sent_some && matches!(self.upstream.stream, Stream::Tcp(_));
        let untouched = self.call.record.answered.is_none();
        if untouched && self.call.upload.is_replayable() && (self.call.idempotent || unsent) {
            return Ending::Again;
        }
        Ending::Failed(502, error.map_or(Failure::TargetConnectionClosed, failure_of))
    }
}

/// As over HTTP/1: when more of an answer is waited for, what came of it is acknowledged at once.
fn or_acknowledge(
    read: Poll<io::Result<usize>>,
    unacknowledged: &mut u64,
    target: &Stream,
) -> Poll<io::Result<usize>> {
    match &read {
        Poll::Ready(Ok(count)) => *unacknowledged += *count as u64,
        Poll::Ready(Err(_)) => {}
        Poll::Pending => {
            if is_little(std::mem::take(unacknowledged)) {
                target.acknowledge();
            }
        }
    }
    read
}

fn broken(failure: Failure) -> Ending {
    Ending::Broken(failure, Reason::INTERNAL_ERROR)
}

/// What it says of a target that it could not be read.
fn failure_of(error: io::ErrorKind) -> Failure {
    match error {
        // What came is not TLS as it should be.
        io::ErrorKind::InvalidData => Failure::TargetProtocolError,
        _ => Failure::TargetConnectionClosed,
    }
}

enum Head {
    Partial,
    Interim,
    /// Whether nothing follows it.
    Final(bool),
}

enum Refused {
    Malformed(HeadError),
    Gone(Gone),
}
