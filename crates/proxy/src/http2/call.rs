//! The client's side of one stream: the request as it comes, the answer as it goes.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::Response;
use http::header::HeaderMap;

use crate::answer::{Answer, DEADLINE_EXCEEDED, GRPC_STATUS};
use crate::clock::Millis;
use crate::failure::Failure;
use crate::grpc;
use crate::http1::fields::forbidden_in_trailers;
use crate::record::Record;
use crate::watchdog::{Alarm, Watched};
use crate::worker::Worker;

/// Bytes of a request kept so that it can be sent again to another target.
const REPLAY: usize = 64 * 1024;

/// The client has reset the stream, or its connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

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

/// A piece of a request's body.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// Some data, and whether it is the last.
    Data(Bytes, bool),
    End(Option<HeaderMap>),
}

/// A request's body on its way to a target.
#[derive(Debug)]
pub(super) struct Upload {
    body: RecvStream,
    /// Everything is read.
    read: bool,
    /// What has been read, while it can be sent again.
    kept: Option<Vec<Piece>>,
    kept_bytes: usize,
    /// Pieces of `kept` the present target has been given.
    given: usize,
    /// Bytes read that the client has not been given room for again.
    held: usize,
    /// Bytes read in all.
    pub(super) received: u64,
}

impl Upload {
    fn new(body: RecvStream) -> Self {
        let over = body.is_end_stream();
        Self { body, read: over, kept: Some(Vec::new()), kept_bytes: 0, given: 0, held: 0, received: 0 }
    }

    /// There is nothing to send but the head.
    pub(super) fn is_empty(&self) -> bool {
        self.read && self.received == 0 && self.kept.as_ref().is_some_and(Vec::is_empty)
    }

    /// The next piece. To be followed by [`Upload::went`] when the target has taken it.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Gone>> {
        if let Some(piece) = self.kept.as_ref().and_then(|kept| kept.get(self.given)) {
            self.given += 1;
            return Poll::Ready(Ok(piece.clone()));
        }
        if self.read {
            return Poll::Ready(Ok(Piece::End(None)));
        }
        let piece = match ready!(self.body.poll_data(cx)) {
            Some(Ok(data)) => {
                self.held += data.len();
                self.received += data.len() as u64;
                self.kept_bytes += data.len();
                Piece::Data(data, self.body.is_end_stream())
            }
            Some(Err(_)) => return Poll::Ready(Err(Gone)),
            None => match ready!(self.body.poll_trailers(cx)) {
                Ok(trailers) => Piece::End(trailers.map(without_forbidden)),
                Err(_) => return Poll::Ready(Err(Gone)),
            },
        };
        self.read = matches!(piece, Piece::End(_) | Piece::Data(_, true));
        if self.kept_bytes > REPLAY {
            self.kept = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.push(piece.clone());
            self.given += 1;
        }
        Poll::Ready(Ok(piece))
    }

    /// What was read has gone to the target: the client may send as much again.
    pub(super) fn went(&mut self) {
        let held = std::mem::take(&mut self.held);
        // Refused only when the stream has ended, and then nobody sends any more.
        let _ = self.body.flow_control().release_capacity(held);
    }

    /// The target has begun to answer: the request will not be sent again.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    /// Begins again. False when some of it is not there any more.
    fn rewind(&mut self) -> bool {
        self.given = 0;
        self.kept.is_some()
    }

    pub(super) fn is_replayable(&self) -> bool {
        self.kept.is_some()
    }
}

/// Trailers without the fields that may not come after a body.
pub(super) fn without_forbidden(trailers: HeaderMap) -> HeaderMap {
    if trailers.keys().all(|name| !forbidden_in_trailers(name.as_str().as_bytes())) {
        return trailers;
    }
    let mut kept = HeaderMap::with_capacity(trailers.len());
    for (name, value) in &trailers {
        if !forbidden_in_trailers(name.as_str().as_bytes()) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// A request under way on an HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) upload: Upload,
    respond: SendResponse<Bytes>,
    /// Once the head of the answer has gone.
    download: Option<SendStream<Bytes>>,
    pub(super) watched: Rc<Watched>,
    pub(super) record: Record,
    /// What `record` refers to.
    pub(super) text: Vec<u8>,
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

impl Call {
    pub(super) fn new(
        body: RecvStream,
        respond: SendResponse<Bytes>,
        watched: Rc<Watched>,
        record: Record,
        text: Vec<u8>,
    ) -> Self {
        Self {
            upload: Upload::new(body),
            respond,
            download: None,
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
        self.download.is_some()
    }

    /// Begins again with the whole request, for another target. False when that cannot be.
    pub(super) fn rewind(&mut self) -> bool {
        self.record.forwarded = None;
        self.upload.rewind()
    }

    /// Ready when the client has given the stream up.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        match &mut self.download {
            Some(download) => download.poll_reset(cx).map(|_| Gone),
            None => self.respond.poll_reset(cx).map(|_| Gone),
        }
    }

    pub(super) fn send_interim(&mut self, response: Response<()>) {
        // A client that is gone is noticed where its going matters.
        let _ = self.respond.send_informational(response);
    }

    /// Sends the head of the answer; `end`: nothing follows.
    pub(super) fn send_head(&mut self, response: Response<()>, end: bool) -> Result<(), Gone> {
        self.upload.forget();
        self.record.status = response.status().as_u16();
        self.record.sent += fields_size(response.headers());
        if self.is_grpc && end {
            self.record.grpc_status = grpc::status(response.headers());
        }
        self.download = Some(self.respond.send_response(response, end).map_err(|_| Gone)?);
        Ok(())
    }

    /// Ready when the client has room for data; how much of `wanted`.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Gone>> {
        let Some(download) = &mut self.download else { return Poll::Ready(Err(Gone)) };
        download.reserve_capacity(wanted);
        loop {
            let room = download.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room.min(wanted)));
            }
            match ready!(download.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
            }
        }
    }

    pub(super) fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Gone> {
        self.record.sent += data.len() as u64;
        self.download.as_mut().ok_or(Gone)?.send_data(data, end).map_err(|_| Gone)
    }

    pub(super) fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        self.record.sent += fields_size(&trailers);
        if self.is_grpc {
            self.record.grpc_status = grpc::status(&trailers);
        }
        self.download.as_mut().ok_or(Gone)?.send_trailers(trailers).map_err(|_| Gone)
    }

    /// Ends the stream where it is.
    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.download {
            Some(download) => download.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// Sends an answer of our own.
    pub(super) fn give(&mut self, worker: &Worker, answer: &Answer) {
        let at = self.record.started;
        let id = self.record.request_id.within(&self.text);
        let (response, body) = worker.clock.with_date(at, |date| answer.response(self.is_head, id, date));
        let sent = self.send_head(response, body.is_empty());
        let sent = match body {
            b"" => sent,
            // An answer is far smaller than what a stream may hold back for a client without room.
            body => sent.and_then(|()| self.send_data(Bytes::copy_from_slice(body), true)),
        };
        if let Some(status) = answer.grpc_status {
            self.record.grpc_status = Some(status);
        }
        if sent.is_err() {
            self.record.failure.get_or_insert(Failure::ClientConnectionClosed);
        }
    }

    /// Ends the call because its own deadline has passed, in the words of gRPC.
    pub(super) fn give_up(&mut self, worker: &Worker) {
        self.record.failure = Some(Failure::TargetDataTimeout);
        if !self.has_begun() {
            self.give(worker, &Answer::grpc(DEADLINE_EXCEEDED, "the deadline of the call has passed"));
            return;
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(GRPC_STATUS, DEADLINE_EXCEEDED.into());
        if self.send_trailers(trailers).is_err() {
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
}

/// Bytes of all names and values, each field counted as it would be over HTTP/1.
fn fields_size(fields: &HeaderMap) -> u64 {
    fields.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}
