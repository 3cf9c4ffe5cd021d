//! A request from an HTTP/2 client and its answer from an HTTP/2 target, both directions at once.
//!
//! Data goes through without a copy. What the one side may send is what the other side has taken:
//! each window is opened again only when the data that filled it has found room in the next.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderMap};
use http::{Request, StatusCode};

use super::call::{Call, Ending, Gone, Piece, without_forbidden};
use super::fields::{add_own, with_fields};
use crate::failure::Failure;
use crate::http1::fields::{Field, field};
use crate::http1::{MAX_HEAD, MAX_HEADERS};
use crate::multiplexed::Lease;
use crate::worker::Worker;

/// Interim responses a target may send before the final one.
const MAX_INTERIM: u32 = 32;

/// Has the target of `lease` answer `call`.
pub(super) async fn attempt(
    worker: &Worker,
    call: &mut Call,
    request: Request<()>,
    lease: &mut Lease,
) -> Ending {
    let (answer, upload) = match lease.sender.send_request(request, call.upload.is_empty()) {
        Ok(begun) => begun,
        Err(error) => {
            // The connection has ended since it was chosen; nothing was sent.
            tracing::debug!(%error, "a request could not be begun");
            lease.retire();
            return if call.upload.is_replayable() {
                Ending::Again
            } else {
                Ending::Failed(502, Failure::TargetConnectionClosed)
            };
        }
    };
    let requesting = !call.upload.is_empty();
    if !requesting {
        call.record.forwarded = Some(worker.clock.now());
    }
    let mut exchange = OverHttp2 {
        worker,
        call,
        lease,
        upload,
        waiting: None,
        requesting,
        answer: Some(answer),
        download: None,
        arrived: None,
        interims: 0,
        for_client: false,
        moved: 0,
    };
    exchange.call.arm(worker, exchange.call.patience);
    let ending = poll_fn(|cx| exchange.poll(cx)).await;
    if matches!(ending, Ending::Failed(504, Failure::TargetDataTimeout)) {
        // Perhaps nobody is there any more; whoever comes next shall not wait for that again.
        exchange.lease.retire();
    }
    ending
}

struct OverHttp2<'a> {
    worker: &'a Worker,
    call: &'a mut Call,
    lease: &'a mut Lease,
    upload: SendStream<Bytes>,
    /// What the target has no room for yet, and whether it is the last of the request.
    waiting: Option<(Bytes, bool)>,
    /// The request is still being sent.
    requesting: bool,
    answer: Option<ResponseFuture>,
    /// The body of the answer, once its head has been passed on.
    download: Option<RecvStream>,
    /// What the client has no room for yet.
    arrived: Option<Bytes>,
    interims: u32,
    /// What is waited for is the client.
    for_client: bool,
    /// Counts what moves.
    moved: u64,
}

impl OverHttp2<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let before = self.moved;
        self.for_client = false;
        if let Poll::Ready(ending) = self.poll_both(cx) {
            return Poll::Ready(ending);
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
            && let Poll::Ready(Err(Gone)) = self.poll_request(cx)
        {
            return Poll::Ready(self.gone());
        }
        if let Poll::Ready(ending) = self.poll_answer(cx) {
            return Poll::Ready(ending);
        }
        self.call.poll_gone(cx).map(|Gone| self.gone())
    }

    fn gone(&self) -> Ending {
        Ending::Broken(Failure::ClientConnectionClosed, Reason::CANCEL)
    }

    /// Moves all it can of the request. An error the target's side has shows in its answer.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        while self.requesting {
            if let Some((data, last)) = &mut self.waiting {
                self.upload.reserve_capacity(data.len());
                if self.upload.capacity() == 0 && !data.is_empty() {
                    match ready!(self.upload.poll_capacity(cx)) {
                        Some(Ok(_)) => continue,
                        Some(Err(_)) | None => break,
                    }
                }
                let part = data.split_to(self.upload.capacity().min(data.len()));
                let end = data.is_empty() && *last;
                let done = data.is_empty();
                self.moved += 1;
                if self.upload.send_data(part, end).is_err() {
                    break;
                }
                if done {
                    self.waiting = None;
                    self.call.upload.went();
                    self.requesting = !end;
                }
                continue;
            }
            let Poll::Ready(piece) = self.call.upload.poll_next(cx) else {
                self.for_client = true;
                return Poll::Pending;
            };
            self.moved += 1;
            match piece? {
                Piece::Data(data, last) => self.waiting = Some((data, last)),
                Piece::End(None) => self.waiting = Some((Bytes::new(), true)),
                Piece::End(Some(trailers)) => {
                    self.requesting = self.upload.send_trailers(trailers).is_err();
                    break;
                }
            }
        }
        if !self.requesting {
            self.call.record.forwarded = Some(self.worker.clock.now());
        }
        // Otherwise the target takes no more of it, which is no reason not to answer.
        self.requesting = false;
        Poll::Ready(Ok(()))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if self.answer.is_some()
            && let Some(ending) = ready!(self.poll_head(cx))
        {
            return Poll::Ready(ending);
        }
        loop {
            if let Some(data) = &mut self.arrived {
                let Poll::Ready(room) = self.call.poll_room(cx, data.len()) else {
                    self.for_client = true;
                    return Poll::Pending;
                };
                let Ok(room) = room else { return Poll::Ready(self.gone()) };
                let part = data.split_to(room);
                let done = data.is_empty();
                let size = part.len();
                let end = done && self.download.as_ref().is_some_and(RecvStream::is_end_stream);
                self.moved += 1;
                if self.call.send_data(part, end).is_err() {
                    return Poll::Ready(self.gone());
                }
                if let Some(download) = &mut self.download {
                    // Refused only when the stream has ended, and then nobody sends any more.
                    let _ = download.flow_control().release_capacity(size);
                }
                if end {
                    return Poll::Ready(Ending::Delivered);
                }
                if done {
                    self.arrived = None;
                }
                continue;
            }
            let Some(download) = &mut self.download else { return Poll::Ready(Ending::Delivered) };
            let data = ready!(download.poll_data(cx));
            self.moved += 1;
            match data {
                Some(Ok(data)) if data.is_empty() && !download.is_end_stream() => {}
                Some(Ok(data)) if data.is_empty() => {
                    let sent = self.call.send_data(data, true);
                    return Poll::Ready(if sent.is_ok() { Ending::Delivered } else { self.gone() });
                }
                Some(Ok(data)) => self.arrived = Some(data),
                Some(Err(error)) => return Poll::Ready(broken(&error)),
                None => {
                    let sent = match ready!(download.poll_trailers(cx)) {
                        Ok(Some(trailers)) => self.call.send_trailers(without_forbidden(trailers)),
                        Ok(None) => self.call.send_data(Bytes::new(), true),
                        Err(error) => return Poll::Ready(broken(&error)),
                    };
                    return Poll::Ready(if sent.is_ok() { Ending::Delivered } else { self.gone() });
                }
            }
        }
    }

    /// Passes the head on, and the interim ones before it. An ending when nothing follows it.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(None) };
        while let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(cx) {
            self.moved += 1;
            self.interims += 1;
            if self.interims > MAX_INTERIM || interim.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Some(Ending::Failed(502, Failure::TargetProtocolError)));
            }
            let fields = passed_on(interim.headers());
            self.call.send_interim(with_fields(interim.status(), fields));
        }
        let response = match ready!(Pin::new(answer).poll(cx)) {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Some(self.refused(&error))),
        };
        self.moved += 1;
        self.answer = None;
        self.call.record.answered = Some(self.worker.clock.now());
        let (head, body) = response.into_parts();
        let size: usize =
            head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if size > MAX_HEAD || head.headers.len() > MAX_HEADERS {
            return Poll::Ready(Some(Ending::Failed(502, Failure::TargetProtocolError)));
        }
        let mut fields = passed_on(&head.headers);
        if matches!(head.status.as_u16(), 204) {
            fields.remove(header::CONTENT_LENGTH);
        }
        add_own(self.worker, self.call, &mut fields);
        let over = body.is_end_stream();
        if self.call.send_head(with_fields(head.status, fields), over).is_err() {
            return Poll::Ready(Some(self.gone()));
        }
        self.download = Some(body);
        Poll::Ready(over.then_some(Ending::Delivered))
    }

    /// There is no answer: whether the request can be sent again.
    fn refused(&mut self, error: &h2::Error) -> Ending {
        tracing::debug!(%error, "a target gave no answer");
        let lost = error.is_io() || error.is_go_away();
        if lost {
            self.lease.retire();
        }
        // "The REFUSED_STREAM error code ... the stream is being closed prior to any processing having
        // occurred", and streams above the last of a GOAWAY "were not or will not be processed"
        // (RFC 9113, 8.7 and 6.8). A connection that breaks tells nothing.
        let untouched = error.is_remote()
            && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)));
        if self.call.upload.is_replayable() && (untouched || (lost && self.call.idempotent)) {
            return Ending::Again;
        }
        let failure =
            if error.is_library() { Failure::TargetProtocolError } else { Failure::TargetConnectionClosed };
        Ending::Failed(502, failure)
    }
}

/// The answer ends before its time. The client is told the target's own reason, if it gave one.
fn broken(error: &h2::Error) -> Ending {
    let failure =
        if error.is_library() { Failure::TargetProtocolError } else { Failure::TargetConnectionClosed };
    let reason = error.reason().filter(|_| error.is_remote() && error.is_reset());
    Ending::Broken(failure, reason.unwrap_or(Reason::INTERNAL_ERROR))
}

/// The fields of a target's head that are for the client.
fn passed_on(fields: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(fields.len() + 2);
    for (name, value) in fields {
        let drop = matches!(
            field(name.as_str().as_bytes()),
            Field::Connection | Field::HopByHop | Field::Te | Field::TransferEncoding | Field::RequestId
        );
        if !drop {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}
