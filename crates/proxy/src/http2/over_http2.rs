//! A request from an HTTP/2 client and its answer from an HTTP/2 target, both directions at once.
//!
//! What the one side may send is what the other side has taken: each window is opened again only when
//! the data that filled it has found room in the next.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::call::{Call, Ending, Gone, Piece, allowed};
use super::codec::{Fields, HeadWriter, Lost, Reason, Slot};
use super::fields::add_own;
use super::head::{Added, Checked};
use crate::answer::GRPC_STATUS;
use crate::failure::Failure;
use crate::grpc;
use crate::http1::fields::Field;
use crate::http1::{MAX_HEAD, MAX_HEADERS};
use crate::multiplexed::{Lease, STREAM_WINDOW};
use crate::worker::Worker;

/// Interim responses a target may send before the final one.
const MAX_INTERIM: u32 = 32;

/// Has the target of `lease` answer `call`. `secure`: over TLS.
pub(super) async fn attempt(
    worker: &Worker,
    call: &mut Call<'_>,
    head: &Checked<'_>,
    added: &Added<'_>,
    secure: bool,
    lease: &mut Lease,
) -> Ending {
    let requesting = !call.upload.is_empty();
    let begun = lease.begin(call.is_head, |out| {
        head.write_for_http2(out, added, secure);
        !requesting
    });
    let Some(slot) = begun else {
        // The connection has ended since it was chosen; nothing was sent.
        lease.retire();
        return if call.upload.is_replayable() {
            Ending::Again
        } else {
            Ending::Failed(502, Failure::TargetConnectionClosed)
        };
    };
    if !requesting {
        call.record.forwarded = Some(call.record.started);
    }
    let mut exchange = OverHttp2 {
        worker,
        call,
        lease,
        slot,
        requesting,
        answered: false,
        trailers: None,
        interims: 0,
        for_client: false,
        moved: 0,
    };
    exchange.call.arm(worker, exchange.call.patience);
    let ending = poll_fn(|cx| exchange.poll(cx)).await;
    if let Some(trailers) = exchange.trailers.take() {
        exchange.lease.give_back(trailers);
    }
    if matches!(ending, Ending::Failed(504, Failure::TargetDataTimeout)) {
        // Perhaps nobody is there any more; whoever comes next shall not wait for that again.
        exchange.lease.retire();
    }
    ending
}

struct OverHttp2<'a, 'c> {
    worker: &'a Worker,
    call: &'a mut Call<'c>,
    lease: &'a mut Lease,
    /// The target's side of the stream.
    slot: Slot,
    /// The request is still being sent.
    requesting: bool,
    /// The head of the answer has been passed on.
    answered: bool,
    /// Of the answer.
    trailers: Option<Fields>,
    interims: u32,
    /// What is waited for is the client.
    for_client: bool,
    /// Counts what moves.
    moved: u64,
}

impl OverHttp2<'_, '_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let before = self.moved;
        self.for_client = false;
        let polled = self.poll_both(cx);
        self.lease.send_off();
        if polled.is_ready() {
            return polled;
        }
        if self.moved != before {
            self.call.arm(self.worker, self.call.patience);
        }
        self.call.watched.register(cx);
        match self.call.watched.alarm() {
            None => Poll::Pending,
            Some(alarm) => Poll::Ready(self.call.on_alarm(self.worker, alarm, self.for_client)),
        }
    }

    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if self.requesting
            && let Poll::Ready(Err(gone)) = self.poll_request(cx)
        {
            return Poll::Ready(gone.ending());
        }
        if let Poll::Ready(ending) = self.poll_answer(cx) {
            return Poll::Ready(ending);
        }
        self.call.poll_gone(cx).map(Gone::ending)
    }

    /// Moves all it can of the request. An error the target's side has shows in its answer.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        while self.requesting {
            let Poll::Ready(piece) = self.call.poll_piece(cx) else {
                self.for_client = true;
                return Poll::Pending;
            };
            self.moved += 1;
            let upload = &mut self.call.upload;
            let mut target = self.lease.codec();
            match piece? {
                Piece::Data(last) => {
                    let length = upload.data().len();
                    let Ok(sent) = ready!(target.poll_send(self.slot, cx, upload.data(), last)) else {
                        break;
                    };
                    drop(target);
                    upload.gave(sent);
                    self.lease.sent(sent);
                    if sent == length {
                        self.requesting = !last;
                        self.call.went();
                    }
                }
                Piece::End => {
                    // Some servers, grpc-go among them, take trailers of a request for an error.
                    if allowed(upload.trailers()).next().is_none() {
                        if target.send(self.slot, b"", true).is_err() {
                            break;
                        }
                    } else {
                        let Some(mut head) = target.write_head(self.slot) else { break };
                        allowed(upload.trailers())
                            .for_each(|(name, value, never)| head.pass(name, value, never));
                        head.finish(true);
                    }
                    self.requesting = false;
                }
            }
        }
        if !self.requesting {
            self.call.record.forwarded = Some(self.worker.clock.now());
        }
        // Otherwise the target takes no more of it, which is no reason not to answer.
        self.requesting = false;
        self.lease.sent_all();
        Poll::Ready(Ok(()))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if !self.answered
            && let Some(ending) = ready!(self.poll_head(cx))
        {
            return Poll::Ready(ending);
        }
        loop {
            let mut target = self.lease.codec();
            if let Err(lost) = ready!(target.poll_data(self.slot, cx)) {
                return Poll::Ready(broken(lost));
            }
            let over = target.is_received(self.slot);
            if over && self.trailers.is_none() {
                self.trailers = target.take_trailers(self.slot);
            }
            let data = target.data(self.slot);
            if !data.is_empty() || self.trailers.is_none() {
                let (length, last) = (data.len(), over && self.trailers.is_none());
                let Poll::Ready(sent) = self.call.poll_send(cx, data, last) else {
                    self.for_client = true;
                    // What has not come yet the target may still send.
                    let most = if over { length as u64 } else { STREAM_WINDOW.into() };
                    return self.call.waits(self.worker, most);
                };
                self.moved += 1;
                match sent {
                    Ok(sent) => {
                        target.consume(self.slot, sent);
                        if last && sent == length {
                            return Poll::Ready(Ending::Delivered);
                        }
                    }
                    Err(gone) => return Poll::Ready(gone.ending()),
                }
                continue;
            }
            let trailers = self.trailers.as_ref();
            if self.call.is_grpc {
                self.call.record.grpc_status = trailers.and_then(grpc_status);
            }
            let sent = self.call.send_trailers(|head| {
                allowed(trailers).for_each(|(name, value, never)| head.pass(name, value, never));
            });
            return Poll::Ready(sent.map_or_else(Gone::ending, |()| Ending::Delivered));
        }
    }

    /// Passes the head on, and the interim ones before it. An ending when nothing follows it.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        loop {
            let came = self.lease.codec().poll_head(self.slot, cx);
            let head = match ready!(came) {
                Ok(head) => head,
                Err(lost) => return Poll::Ready(Some(self.refused(lost))),
            };
            self.moved += 1;
            let passed = self.pass_on(&head);
            self.lease.give_back(head);
            if let Some(done) = passed {
                return Poll::Ready(done);
            }
        }
    }

    /// Passes one head on. `None`: it was an interim one.
    fn pass_on(&mut self, head: &Fields) -> Option<Option<Ending>> {
        let status = head.status();
        if status < 200 {
            self.interims += 1;
            // Upgrades are never asked for, so 101 answers nothing.
            if self.interims > MAX_INTERIM || status == 101 {
                return Some(Some(Ending::Failed(502, Failure::TargetProtocolError)));
            }
            self.call.send_interim(status, |out| {
                pass_fields_on(head, out, status);
            });
            return None;
        }
        self.call.record.answered = Some(self.worker.clock.now());
        if head.lines_size() > MAX_HEAD || head.len() > MAX_HEADERS {
            return Some(Some(Ending::Failed(502, Failure::TargetProtocolError)));
        }
        let over = {
            let target = self.lease.codec();
            target.is_received(self.slot)
                && target.data(self.slot).is_empty()
                && !target.has_trailers(self.slot)
        };
        if self.call.is_grpc && over {
            self.call.record.grpc_status = grpc_status(head);
        }
        let worker = self.worker;
        let sent = self.call.send_head(status, over, |out, record, text| {
            let dated = pass_fields_on(head, out, status);
            add_own(worker, out, record, text, dated);
        });
        self.answered = true;
        match sent {
            Err(gone) => Some(Some(gone.ending())),
            Ok(()) => Some(over.then_some(Ending::Delivered)),
        }
    }

    /// There is no answer: whether the request can be sent again.
    fn refused(&mut self, lost: Lost) -> Ending {
        tracing::debug!(?lost, "a target gave no answer");
        let connection_lost = matches!(
            lost,
            Lost::Disconnected | Lost::TooMuch | Lost::Unseen | Lost::Violated { connection: true }
        );
        if connection_lost {
            self.lease.retire();
        }
        // "The REFUSED_STREAM error code ... the stream is being closed prior to any processing having
        // occurred", and streams above the last of a GOAWAY "were not or will not be processed"
        // (RFC 9113, 8.7 and 6.8). A connection that breaks tells nothing.
        let untouched = matches!(lost, Lost::Unseen | Lost::Reset(Reason::REFUSED_STREAM));
        let idempotent = connection_lost && self.call.idempotent;
        if self.call.upload.is_replayable() && (untouched || idempotent) {
            return Ending::Again;
        }
        Ending::Failed(502, failure_of(lost))
    }
}

/// The answer ends before its time. The client is told the target's own reason, if it gave one.
fn broken(lost: Lost) -> Ending {
    let reason = match lost {
        Lost::Reset(reason) => reason,
        Lost::Unseen | Lost::Violated { .. } | Lost::TooMuch | Lost::GivenUp | Lost::Disconnected => {
            Reason::INTERNAL_ERROR
        }
    };
    Ending::Broken(failure_of(lost), reason)
}

fn failure_of(lost: Lost) -> Failure {
    match lost {
        Lost::Violated { .. } => Failure::TargetProtocolError,
        Lost::Reset(_) | Lost::Unseen | Lost::TooMuch | Lost::GivenUp | Lost::Disconnected => {
            Failure::TargetConnectionClosed
        }
    }
}

fn grpc_status(fields: &Fields) -> Option<u32> {
    fields.values(GRPC_STATUS).next().and_then(grpc::status)
}

/// Writes the fields of a target's head that are for the client. Whether there is a date among them.
fn pass_fields_on(head: &Fields, out: &mut HeadWriter<'_>, status: u16) -> bool {
    let mut dated = false;
    for (kind, name, value, never_indexed) in head.crossing() {
        let dropped = match kind {
            Field::Connection | Field::HopByHop | Field::Te | Field::TransferEncoding | Field::RequestId => {
                true
            }
            // "A server MUST NOT send a Content-Length header field in any response with a status code
            // of 1xx (Informational) or 204 (No Content)" (RFC 9110, 8.6).
            Field::ContentLength => matches!(status, 100..200 | 204),
            Field::Date => {
                dated = true;
                false
            }
            _ => false,
        };
        if !dropped {
            out.pass(name, value, never_indexed);
        }
    }
    dated
}
