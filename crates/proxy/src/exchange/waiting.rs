//! What an exchange does while nothing moves: how long it waits, for whom, and what it then makes of it.

use std::task::{Context, Poll};

use super::{CONTINUE, Ending, Exchange, Moved};
use crate::clock::Millis;
use crate::failure::Failure;
use crate::http1::Version;
use crate::stream::is_little;
use crate::watchdog::Alarm;

impl Exchange<'_> {
    /// Something has moved: both sides may be silent for as long again.
    pub(super) fn arm(&mut self) {
        let patience = if self.awaiting_continue {
            self.patience.min(self.worker.limits.continue_timeout.as_millis() as Millis)
        } else {
            self.patience
        };
        self.silence_ends = self.worker.clock.coarse().saturating_add(patience);
        self.arm_look();
    }

    /// Asks to be woken when the silence ends, and before that for a look whether a client that sends
    /// no more is still there, and at what is held for one whose request takes its time.
    pub(super) fn arm_look(&self) {
        let next_sweep = self.worker.clock.coarse();
        let looks = self.client.ended || self.held.is_none();
        let at = if looks { next_sweep } else { self.silence_ends };
        self.client.watched.arm(at.min(self.silence_ends));
    }

    /// The next sweep has come, and it is not over. Only now does a request whose body is through count with
    /// what it holds: one that is answered at once costs its client no look at the books.
    pub(super) fn look(&mut self, cx: &Context<'_>) -> Poll<Ending> {
        let of_answer = self.inbox.size();
        if !self.client.hold(self.worker, &mut self.held, of_answer) {
            return Poll::Ready(self.failed(503, Failure::ClientRateLimited));
        }
        if self.client.ended && self.client_is_gone() {
            return Poll::Ready(Ending::Broken(Failure::ClientConnectionClosed));
        }
        if !self.interim.is_empty() {
            cx.waker().wake_by_ref();
        }
        self.arm_look();
        Poll::Pending
    }

    /// Has what just came acknowledged at once, if the rest of it is waited for. A sender that writes
    /// head and body apart (and has not set `TCP_NODELAY`) holds the body back until it hears that the
    /// head has arrived, and the kernel would wait 40 ms with that, for something to send along. What
    /// came whole costs no system call: its acknowledgement leaves with what is said next.
    pub(super) fn acknowledge(&mut self, before: Moved, after: Moved) {
        let answer_waits = match &self.response {
            Some(response) => !response.pump.is_writing(),
            None => true,
        };
        if answer_waits && is_little(after.answer.abs_diff(before.answer)) {
            self.upstream.stream.acknowledge();
        }
        let began = before.sent == 0 && after.sent > 0;
        let request_waits = self.requesting && !self.awaiting_continue && !self.request.is_writing();
        if request_waits && (began || is_little(after.request.abs_diff(before.request))) {
            self.client.stream.acknowledge();
        }
    }

    /// Whether a client that has said that it will send no more is gone altogether. On the wire the two
    /// look the same until something is sent to it: who is gone answers with a reset. Before the answer
    /// begins that is an interim response, which "a client MUST be able to parse ... even if the client
    /// does not expect one" (RFC 9110, 15.2). After that, and to HTTP/1.0, there is nothing that could
    /// be sent, and a target that is silent for long is not kept at work for who may not be there.
    pub(super) fn client_is_gone(&mut self) -> bool {
        if self.client.stream.take_error().is_ok_and(|error| error.is_some()) {
            return true;
        }
        if self.response.is_none() && self.asked.version == Version::Http11 {
            if !std::mem::replace(&mut self.client_asked, true) {
                self.interim.extend_from_slice(CONTINUE);
            }
            return false;
        }
        if self.response.as_ref().is_some_and(|response| response.pump.is_writing()) {
            // It is the client that takes its time; the end of its patience is the end of the silence.
            return false;
        }
        let patience = self.worker.limits.half_closed_patience.as_millis() as Millis;
        let silent_since = self.silence_ends.saturating_sub(self.patience);
        self.worker.clock.coarse() >= silent_since.saturating_add(patience)
    }

    pub(super) fn on_alarm(&self, alarm: Alarm) -> Ending {
        let waits_for_client = match &self.response {
            Some(response) => response.pump.is_writing(),
            None => !self.interim.is_empty() || (self.requesting && !self.request.is_writing()),
        };
        match (alarm, &self.response) {
            (Alarm::Cut, None) => Ending::Failed(503, Failure::InternalError),
            (Alarm::Cut, Some(_)) => Ending::Broken(Failure::InternalError),
            (Alarm::Lifetime, None) => Ending::Failed(504, Failure::ConnectionDurationExceeded),
            (Alarm::Lifetime, Some(_)) => Ending::Broken(Failure::ConnectionDurationExceeded),
            (Alarm::Deadline, None) if waits_for_client => {
                Ending::Failed(408, Failure::ClientConnectionClosed)
            }
            (Alarm::Deadline, None) => Ending::Failed(504, Failure::TargetDataTimeout),
            (Alarm::Deadline, Some(_)) if waits_for_client => Ending::Broken(Failure::ClientConnectionClosed),
            (Alarm::Deadline, Some(_)) => Ending::Broken(Failure::TargetDataTimeout),
        }
    }
}
