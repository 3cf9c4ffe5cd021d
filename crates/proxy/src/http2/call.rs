//! The client's side of one stream: the request as it comes, the answer as it goes.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::Connection;
use super::codec::{Fields, HeadWriter, Lost, Reason, Slot};
use crate::answer::{Answer, GRPC_STATUS};
use crate::clock::Millis;
use crate::failure::Failure;
use crate::grpc::DEADLINE_EXCEEDED;
use crate::http1::fields::forbidden_in_trailers;
use crate::multiplexed::BodySize;
use crate::record::Record;
use crate::watchdog::{Alarm, Watched};
use crate::worker::Worker;

/// Bytes of a request kept so that it can be sent again to another target.
const REPLAY: usize = 64 * 1024;

/// The client has reset the stream, has broken the protocol, or its connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone(Lost);

impl Gone {
    pub(super) fn ending(self) -> Ending {
        let failure = match self.0 {
            Lost::Violated { .. } => Failure::ClientProtocolError,
            Lost::TooMuch => Failure::ClientRateLimited,
            Lost::Reset(_) | Lost::Unseen | Lost::GivenUp | Lost::Disconnected => {
                Failure::ClientConnectionClosed
            }
        };
        Ending::Broken(failure, Reason::CANCEL)
    }
}

/// How an attempt to have a target answer ended.
#[derive(Debug)]
pub(super) enum Ending {
    Delivered,
    /// The target has not acted on the request, and all of it is still held.
    Again,
    /// The client has been told nothing yet and can be told this.
    Failed(u16, Failure),
    /// The client has been told something that will not be finished; its stream is reset.
    Broken(Failure, Reason),
    /// The deadline of the call itself has passed.
    DeadlineExceeded,
}

/// What of a request's body comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// [`Upload::data`]; whether it is the last.
    Data(bool),
    /// Nothing but, perhaps, [`Upload::trailers`].
    End,
}

/// A request's body on its way to a target.
#[derive(Debug)]
pub(super) struct Upload {
    /// What has been read: all of it while `whole`, otherwise what is to be given next.
    read: Vec<u8>,
    /// It can be sent again.
    whole: bool,
    /// Bytes of `read` that the present target has been given.
    given: usize,
    /// Everything is read.
    over: bool,
    trailers: Option<Fields>,
    /// Bytes read that the client has not been given room for again.
    held: usize,
    /// The most that `read` has been: what the call keeps of its client's memory.
    keeps: usize,
    /// Bytes read in all.
    pub(super) received: u64,
}

impl Upload {
    fn new(connection: &Connection, slot: Slot) -> Self {
        let mut codec = connection.codec.borrow_mut();
        // Most bodies are there when their request is looked at.
        let over = codec.is_received(slot);
        let mut upload = Self {
            read: Vec::new(),
            whole: true,
            given: 0,
            over,
            trailers: None,
            held: 0,
            keeps: 0,
            received: 0,
        };
        if over {
            codec.take_data(slot, &mut upload.read);
            upload.trailers = codec.take_trailers(slot);
            upload.received = upload.read.len() as u64;
            upload.held = upload.read.len();
            upload.keeps = upload.read.len();
            connection.keep(upload.keeps as u64);
        }
        upload
    }

    /// There is nothing to send but the head.
    pub(super) fn is_empty(&self) -> bool {
        self.over && self.received == 0 && self.trailers.is_none()
    }

    /// How large it is, as far as that is known. `announced`: by its client.
    pub(super) fn size(&self, announced: Option<u64>) -> BodySize {
        match if self.over { Some(self.received) } else { announced } {
            _ if self.is_empty() => BodySize::Nothing,
            Some(size) => BodySize::of(size),
            None => BodySize::Small,
        }
    }

    /// What is to be given next.
    pub(super) fn data(&self) -> &[u8] {
        &self.read[self.given..]
    }

    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// The target has been given so much more.
    pub(super) fn gave(&mut self, count: usize) {
        self.given += count;
    }

    /// The target has begun to answer: the request will not be sent again.
    pub(super) fn forget(&mut self) {
        self.whole = false;
    }

    pub(super) fn is_replayable(&self) -> bool {
        self.whole
    }
}

/// A request under way on an HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Call<'a> {
    connection: &'a Connection,
    slot: Slot,
    pub(super) upload: Upload,
    /// The head of the answer has gone.
    begun: bool,
    /// What of its answer has waited for the client, at most: what it keeps of its client's memory.
    waited: u64,
    pub(super) watched: Rc<Watched>,
    pub(super) record: Record,
    /// What `record` refers to.
    pub(super) text: &'a [u8],
    /// HEAD: the answer has no body.
    pub(super) is_head: bool,
    pub(super) idempotent: bool,
    pub(super) is_grpc: bool,
    pub(super) expects_continue: bool,
    /// When the client of a gRPC call gives up.
    pub(super) deadline: Option<Millis>,
    /// Silence of either side ends the call.
    pub(super) patience: Millis,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        slot: Slot,
        watched: Rc<Watched>,
        record: Record,
        text: &'a [u8],
    ) -> Self {
        Self {
            connection,
            slot,
            upload: Upload::new(connection, slot),
            begun: false,
            waited: 0,
            watched,
            record,
            text,
            is_head: false,
            idempotent: false,
            is_grpc: false,
            expects_continue: false,
            deadline: None,
            patience: 0,
        }
    }

    /// Asks for an alarm when nothing moves for `patience`, and at the call's own deadline.
    pub(super) fn arm(&self, worker: &Worker, patience: Millis) {
        let silence = worker.clock.coarse().saturating_add(patience);
        self.watched.arm(self.deadline.map_or(silence, |deadline| deadline.min(silence)));
    }

    /// Whether the call's own deadline has passed.
    pub(super) fn is_late(&self, worker: &Worker) -> bool {
        self.deadline.is_some_and(|deadline| worker.clock.coarse() >= deadline)
    }

    /// The head of an answer has been sent.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    // === the request ===

    /// The next piece of the body, behind what the target has been given.
    pub(super) fn poll_piece(&mut self, cx: &Context<'_>) -> Poll<Result<Piece, Gone>> {
        let upload = &mut self.upload;
        while upload.given == upload.read.len() {
            if upload.over {
                return Poll::Ready(Ok(Piece::End));
            }
            let mut codec = self.connection.codec.borrow_mut();
            ready!(codec.poll_data(self.slot, cx)).map_err(Gone)?;
            let more = codec.data(self.slot).len();
            if upload.read.len() + more > REPLAY {
                upload.whole = false;
            }
            if !upload.whole {
                upload.read.clear();
                upload.given = 0;
            }
            codec.take_data(self.slot, &mut upload.read);
            upload.held += more;
            upload.received += more as u64;
            if let Some(more) = upload.read.len().checked_sub(upload.keeps) {
                upload.keeps += more;
                self.connection.keep(more as u64);
            }
            upload.over = codec.is_received(self.slot);
            if upload.over {
                upload.trailers = codec.take_trailers(self.slot);
            }
        }
        Poll::Ready(Ok(Piece::Data(upload.over && upload.trailers.is_none())))
    }

    /// What was read has gone to the target: the client may send as much again.
    pub(super) fn went(&mut self) {
        let held = std::mem::take(&mut self.upload.held);
        if held > 0 {
            self.connection.codec.borrow_mut().release(self.slot, held);
        }
    }

    /// Begins again with the whole request, for another target. False when that cannot be.
    pub(super) fn rewind(&mut self) -> bool {
        self.record.forwarded = None;
        self.upload.given = 0;
        self.upload.whole
    }

    /// Ready when the client has given the stream up.
    pub(super) fn poll_gone(&self, cx: &Context<'_>) -> Poll<Gone> {
        self.connection.codec.borrow_mut().poll_lost(self.slot, cx).map(Gone)
    }

    /// The client has given the stream up.
    pub(super) fn is_gone(&self) -> Option<Gone> {
        self.connection.codec.borrow().lost(self.slot).map(Gone)
    }

    // === the answer ===

    /// Sends an interim head. A client that is gone is noticed where its going matters.
    pub(super) fn send_interim(&self, status: u16, fill: impl FnOnce(&mut HeadWriter<'_>)) {
        if let Some(mut head) = self.connection.codec.borrow_mut().write_head(self.slot) {
            head.status(status);
            fill(&mut head);
            head.finish(false);
        }
    }

    /// Sends the head of the answer; `end`: nothing follows.
    pub(super) fn send_head(
        &mut self,
        status: u16,
        end: bool,
        fill: impl FnOnce(&mut HeadWriter<'_>, &Record, &[u8]),
    ) -> Result<(), Gone> {
        self.upload.forget();
        self.record.status = status;
        let mut codec = self.connection.codec.borrow_mut();
        let Some(mut head) = codec.write_head(self.slot) else { return Err(self.why(codec.lost(self.slot))) };
        head.status(status);
        fill(&mut head, &self.record, self.text);
        self.record.sent += head.size;
        head.finish(end);
        self.begun = true;
        Ok(())
    }

    /// Sends what there is room for of `data`; `end`: it is the last. How much of it went.
    pub(super) fn poll_send(
        &mut self,
        cx: &Context<'_>,
        data: &[u8],
        end: bool,
    ) -> Poll<Result<usize, Gone>> {
        let sent = self.connection.codec.borrow_mut().poll_send(self.slot, cx, data, end);
        if let Poll::Ready(Ok(sent)) = sent {
            self.record.sent += sent as u64;
        }
        sent.map_err(Gone)
    }

    /// So much of the answer waits until the client reads. An ending where the client holds too much already.
    pub(super) fn waits(&mut self, worker: &Worker, answer: u64) -> Poll<Ending> {
        let Some(more) = answer.checked_sub(self.waited).filter(|more| *more > 0) else {
            return Poll::Pending;
        };
        let undealt = self.connection.codec.borrow().undealt();
        if !self.connection.hold(worker, undealt, more) {
            return Poll::Ready(Ending::Broken(Failure::ClientRateLimited, Reason::ENHANCE_YOUR_CALM));
        }
        self.waited = answer;
        self.connection.keep(more);
        Poll::Pending
    }

    /// Ends the answer with what `fill` writes.
    pub(super) fn send_trailers(&mut self, fill: impl FnOnce(&mut HeadWriter<'_>)) -> Result<(), Gone> {
        let mut codec = self.connection.codec.borrow_mut();
        let Some(mut head) = codec.write_head(self.slot) else { return Err(self.why(codec.lost(self.slot))) };
        fill(&mut head);
        self.record.sent += head.size;
        head.finish(true);
        Ok(())
    }

    fn why(&self, lost: Option<Lost>) -> Gone {
        Gone(lost.unwrap_or(Lost::GivenUp))
    }

    /// Ends the stream where it is.
    pub(super) fn reset(&self, reason: Reason) {
        self.connection.codec.borrow_mut().reset(self.slot, reason);
    }

    /// Sends an answer of our own, in the words of gRPC if the request is.
    pub(super) fn give(&mut self, worker: &Worker, answer: Answer) {
        let answer = if self.is_grpc { answer.in_grpc(self.record.failure) } else { answer };
        let body = if self.is_head { "" } else { answer.http2_body() };
        let sent = self.send_head(answer.http2_status(), body.is_empty(), |head, record, text| {
            let id = record.request_id.within(text);
            worker.clock.with_date(record.started, |date| {
                answer.each_field(id, date, |name, value| head.field(name, value));
            });
        });
        let sent = sent.and_then(|()| match body {
            "" => Ok(()),
            body => {
                self.record.sent += body.len() as u64;
                self.connection.codec.borrow_mut().send_last(self.slot, body.as_bytes()).map_err(Gone)
            }
        });
        if sent.is_ok() {
            self.record.status = answer.status;
            self.record.grpc_status = answer.grpc_status.or(self.record.grpc_status);
        } else {
            self.record.failure.get_or_insert(Failure::ClientConnectionClosed);
        }
    }

    /// Ends the call because its own deadline has passed, in the words of gRPC.
    pub(super) fn give_up(&mut self, worker: &Worker) {
        self.record.failure = Some(Failure::TargetDataTimeout);
        if !self.has_begun() {
            self.give(worker, Answer::grpc(504, DEADLINE_EXCEEDED, "the deadline of the call has passed"));
            return;
        }
        self.record.grpc_status = Some(DEADLINE_EXCEEDED);
        let status = itoa::Buffer::new().format(DEADLINE_EXCEEDED).as_bytes().to_vec();
        if self.send_trailers(|head| head.field(GRPC_STATUS, &status)).is_err() {
            self.record.failure = Some(Failure::ClientConnectionClosed);
        }
    }

    /// What an alarm means, seen from where the call is. `for_client`: it waits for the client.
    pub(super) fn on_alarm(&self, worker: &Worker, alarm: Alarm, for_client: bool) -> Ending {
        let begun = self.has_begun();
        let end = |status, failure| {
            if begun {
                Ending::Broken(failure, Reason::INTERNAL_ERROR)
            } else {
                Ending::Failed(status, failure)
            }
        };
        match alarm {
            Alarm::Cut => end(503, Failure::InternalError),
            Alarm::Lifetime => end(504, Failure::ConnectionDurationExceeded),
            Alarm::Deadline if self.is_late(worker) => Ending::DeadlineExceeded,
            Alarm::Deadline if for_client && begun => {
                Ending::Broken(Failure::ClientConnectionClosed, Reason::CANCEL)
            }
            Alarm::Deadline if for_client => end(408, Failure::ClientConnectionClosed),
            Alarm::Deadline => end(504, Failure::TargetDataTimeout),
        }
    }

    /// Lets the stream go; what was said for it still leaves.
    pub(super) fn finish(&mut self) {
        let mut codec = self.connection.codec.borrow_mut();
        codec.let_go(self.slot);
        codec.give_back_data(std::mem::take(&mut self.upload.read));
        let keeps = std::mem::take(&mut self.upload.keeps) as u64 + std::mem::take(&mut self.waited);
        self.connection.kept.set(self.connection.kept.get() - keeps);
        if let Some(trailers) = self.upload.trailers.take() {
            codec.give_back(trailers);
        }
    }
}

/// The trailers that may be passed on.
pub(super) fn allowed(trailers: Option<&Fields>) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
    let fields = trailers.into_iter().flat_map(Fields::crossing);
    fields
        .filter(|(_, name, ..)| !forbidden_in_trailers(name))
        .map(|(_, name, value, never_indexed)| (name, value, never_indexed))
}
