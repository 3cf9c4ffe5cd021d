//! The task of a connection to a target: it moves the bytes, and notes what the target says of itself.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::Shared;
use crate::buffer::Inbox;
use crate::http2::reading;
use crate::upstream::Upstream;
use crate::view::TargetState;
use crate::worker::Worker;

/// Moves the bytes of a connection until it ends. The connection counts as open until then.
pub(super) struct Driver {
    worker: Rc<Worker>,
    shared: Rc<Shared>,
    target: Rc<TargetState>,
    upstream: Upstream,
    inbox: Inbox,
}

impl Driver {
    pub(super) fn new(
        worker: &Rc<Worker>,
        shared: &Rc<Shared>,
        target: &Rc<TargetState>,
        upstream: Upstream,
    ) -> Self {
        let (worker, shared, target) = (worker.clone(), shared.clone(), target.clone());
        Self { worker, shared, target, upstream, inbox: Inbox::default() }
    }

    pub(super) async fn drive(mut self) {
        tokio::task::unconstrained(poll_fn(|cx| self.poll(cx))).await;
        self.inbox.release(&self.worker.buffers);
        self.close();
        let mut codec = self.shared.codec.borrow_mut();
        match codec.violation() {
            Some(bound) if bound.is_too_much() => {
                tracing::warn!(%bound, target = %self.target.text, "ended a connection to a target at a bound");
            }
            Some(violation) => {
                tracing::debug!(%violation, target = %self.target.text, "a target broke the protocol");
            }
            None => {}
        }
        codec.disconnect();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.register(cx);
        let mut codec = self.shared.codec.borrow_mut();
        let more =
            reading::poll_read(cx, &self.worker, &mut codec, &mut self.inbox, &mut self.upstream.stream);
        drop(codec);
        self.look();
        let choked = self.shared.codec.borrow().is_choked();
        if self.poll_write(cx).is_ready() {
            return Poll::Ready(());
        }
        if more || (choked && !self.shared.codec.borrow().is_choked()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn register(&self, cx: &Context<'_>) {
        let mut waker = self.shared.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Takes note of what the target has said of itself.
    fn look(&self) {
        let shared = &self.shared;
        let codec = shared.codec.borrow();
        let (settled, open) = (codec.peers_streams().is_some(), codec.may_begin());
        drop(codec);
        if settled && !shared.settled.replace(true) {
            self.target.multiplexed.changed.notify_waiters();
        }
        if !open && !shared.closed.get() {
            self.close();
        }
        if !shared.listed.get() && shared.streams.get() == 0 {
            shared.codec.borrow_mut().go_away();
        }
    }

    fn close(&self) {
        self.shared.closed.set(true);
        self.target.multiplexed.forget_closed();
        self.target.multiplexed.changed.notify_waiters();
    }

    /// Writes what is to be written. Ready when nothing will be any more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stream = Pin::new(&mut self.upstream.stream);
        loop {
            let mut codec = self.shared.codec.borrow_mut();
            if codec.output().is_empty() {
                break;
            }
            match stream.as_mut().poll_write(cx, codec.output()) {
                Poll::Ready(Ok(written @ 1..)) => codec.wrote(written),
                Poll::Ready(Ok(_) | Err(_)) => {
                    codec.disconnect();
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if stream.as_mut().poll_flush(cx).is_pending() {
            return Poll::Pending;
        }
        let finished = self.shared.codec.borrow().is_finished();
        // What is lost by not waiting is a word to somebody with whom everything has been settled.
        if finished { stream.poll_shutdown(cx).map(drop) } else { Poll::Pending }
    }
}
