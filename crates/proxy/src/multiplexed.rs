//! HTTP/2 connections to targets: each serves many requests at once.
//!
//! A worker keeps as few per target as it can. A new one is opened when all are full, one at a time,
//! and whoever needs it meanwhile waits for it.

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;
use tokio::sync::Notify;

use crate::buffer::Inbox;
use crate::clock::Millis;
use crate::http2::codec::{Bounds, Codec, Fields, HeadWriter, Slot};
use crate::upstream::{ConnectError, Upstream};
use crate::view::{GroupView, TargetState};
use crate::watchdog::{Alarm, Watched};
use crate::worker::Worker;

/// Requests on one connection at once, if the target allows as many.
const MOST_STREAMS: usize = 100;
/// Data of one answer a target may send before some of it has gone to the client.
const STREAM_WINDOW: u32 = 128 * 1024;
/// As much for every stream, so that a client that stands still holds up nobody else's answer.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// Reads before others have their turn.
const READS: u32 = 8;

/// A target's HTTP/2 connections.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    open: RefCell<Vec<Rc<Shared>>>,
    /// A connection is being opened.
    opening: Cell<bool>,
    /// Told when one is open, has failed, or has room again.
    changed: Notify,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Shared {
    codec: RefCell<Codec>,
    /// Of the task that moves the bytes.
    waker: RefCell<Option<Waker>>,
    /// What the target was called in the handshake, over TLS.
    name: Option<Rc<str>>,
    streams: Cell<usize>,
    /// The target has said how many streams it takes. Until then there is one.
    settled: Cell<bool>,
    /// No request may begin on it any more.
    closed: Cell<bool>,
    /// It is in the pool.
    listed: Cell<bool>,
    /// When it is closed if nobody uses it.
    expires: Cell<Millis>,
}

impl Shared {
    fn has_room(&self) -> bool {
        let most = match self.codec.borrow().peers_streams() {
            Some(most) if self.settled.get() => (most as usize).min(MOST_STREAMS),
            _ => 1,
        };
        !self.closed.get() && self.streams.get() < most
    }

    /// Has its task look after it.
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// It is not in the pool any more, and ends when nobody uses it.
    fn unlist(&self) {
        self.listed.set(false);
        if self.streams.get() == 0 {
            self.wake();
        }
    }
}

/// The right to one stream of a connection, until dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    shared: Rc<Shared>,
    slot: Option<Slot>,
    target: Rc<TargetState>,
}

impl Lease {
    fn new(target: &Rc<TargetState>, shared: &Rc<Shared>) -> Self {
        shared.streams.set(shared.streams.get() + 1);
        Self { shared: shared.clone(), slot: None, target: target.clone() }
    }

    /// Begins the request with the head that `fill` writes; it says whether nothing follows. `None`
    /// when none can be begun any more. `to_head`: it is a HEAD request.
    pub(crate) fn begin(
        &mut self,
        to_head: bool,
        fill: impl FnOnce(&mut HeadWriter<'_>) -> bool,
    ) -> Option<Slot> {
        let mut codec = self.shared.codec.borrow_mut();
        let slot = codec.begin(to_head)?;
        self.slot = Some(slot);
        let mut head = codec.write_head(slot)?;
        let end = fill(&mut head);
        head.finish(end);
        Some(slot)
    }

    pub(crate) fn codec(&self) -> RefMut<'_, Codec> {
        self.shared.codec.borrow_mut()
    }

    pub(crate) fn give_back(&self, fields: Fields) {
        self.codec().give_back(fields);
    }

    /// Sees to it that what was said to the target leaves.
    pub(crate) fn send_off(&self) {
        if !self.codec().output().is_empty() {
            self.shared.wake();
        }
    }

    /// Nobody else shall use this connection: it has failed, or does not answer.
    pub(crate) fn retire(&self) {
        self.shared.closed.set(true);
        self.target.multiplexed.forget_closed();
    }

    /// The connection is worth keeping until `expires`.
    pub(crate) fn keep_until(&self, expires: Millis) {
        self.shared.expires.set(expires);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let shared = &self.shared;
        if let Some(slot) = self.slot {
            shared.codec.borrow_mut().let_go(slot);
        }
        shared.streams.set(shared.streams.get() - 1);
        let unused = !shared.listed.get() && shared.streams.get() == 0;
        if unused || !shared.codec.borrow().output().is_empty() {
            shared.wake();
        }
        self.target.multiplexed.changed.notify_one();
    }
}

impl Pool {
    /// Closes connections nobody uses and nobody has used for long.
    pub(crate) fn expire(&self, now: Millis) {
        for shared in self.open.borrow().iter().filter(|shared| shared.streams.get() == 0) {
            shared.codec.borrow_mut().rest();
        }
        self.keep(|shared| !shared.closed.get() && (shared.streams.get() > 0 || now < shared.expires.get()));
    }

    /// Closes every connection once the requests on it have ended.
    pub(crate) fn clear(&self) {
        self.keep(|_| false);
    }

    fn forget_closed(&self) {
        self.keep(|shared| !shared.closed.get());
    }

    fn keep(&self, keep: impl Fn(&Shared) -> bool) {
        self.open.borrow_mut().retain(|shared| {
            let keep = keep(shared);
            if !keep {
                shared.unlist();
            }
            keep
        });
    }

    fn with_room(&self, name: Option<&str>) -> Option<Rc<Shared>> {
        let open = self.open.borrow();
        open.iter().find(|shared| shared.name.as_deref() == name && shared.has_room()).cloned()
    }

    /// Of some connection it is not known yet how many streams it takes.
    fn is_unsettled(&self) -> bool {
        self.open.borrow().iter().any(|shared| !shared.settled.get() && !shared.closed.get())
    }

    fn is_full(&self, bound: usize) -> bool {
        self.open.borrow().len() >= bound
    }
}

/// The right to a stream to `target`, called `name` if it speaks TLS, on a connection there is.
pub(crate) fn lease_at_once(target: &Rc<TargetState>, name: Option<&str>) -> Option<Lease> {
    target.multiplexed.with_room(name).map(|shared| Lease::new(target, &shared))
}

/// The right to a stream to `target`: on a connection there is, or on a new one, where the target is
/// called `name` if it speaks TLS. `watched` is the request that waits.
pub(crate) async fn lease(
    worker: &Rc<Worker>,
    group: &GroupView,
    target: &Rc<TargetState>,
    name: Option<Rc<str>>,
    watched: &Watched,
) -> Result<Lease, ConnectError> {
    let pool = &target.multiplexed;
    let patience = worker.limits.connect_timeout.as_millis() as Millis;
    let give_up = worker.clock.coarse().saturating_add(patience);
    loop {
        if let Some(shared) = pool.with_room(name.as_deref()) {
            return Ok(Lease::new(target, &shared));
        }
        if !pool.opening.get() && !pool.is_unsettled() {
            pool.forget_closed();
            if pool.is_full(worker.limits.http2_connections_per_target) {
                return Err(ConnectError::TooMany);
            }
            let shared = open(worker, group, target, name, watched).await?;
            return Ok(Lease::new(target, &shared));
        }
        watched.arm(give_up);
        let mut changed = pin!(pool.changed.notified());
        poll_fn(|cx| {
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            watched.register(cx);
            match watched.alarm() {
                None => Poll::Pending,
                Some(Alarm::Deadline) => Poll::Ready(Err(ConnectError::TimedOut)),
                Some(alarm) => Poll::Ready(Err(ConnectError::Ended(alarm))),
            }
        })
        .await?;
    }
}

/// Opens a connection and has it driven by a task of its own.
async fn open(
    worker: &Rc<Worker>,
    group: &GroupView,
    target: &Rc<TargetState>,
    name: Option<Rc<str>>,
    watched: &Watched,
) -> Result<Rc<Shared>, ConnectError> {
    let pool = &target.multiplexed;
    let _opening = Opening::new(pool);
    let upstream = Upstream::connect(worker, group, target, name.clone(), watched).await?;
    let bounds = Bounds { streams: 0, stream_window: STREAM_WINDOW, connection_window: CONNECTION_WINDOW };
    let shared = Rc::new(Shared {
        codec: RefCell::new(Codec::client(bounds)),
        waker: RefCell::new(None),
        name,
        streams: Cell::new(0),
        settled: Cell::new(false),
        closed: Cell::new(false),
        listed: Cell::new(target.current.get()),
        expires: Cell::new(Millis::MAX),
    });
    if shared.listed.get() {
        pool.open.borrow_mut().push(shared.clone());
    }
    let driver = Driver {
        worker: worker.clone(),
        shared: shared.clone(),
        target: target.clone(),
        upstream,
        inbox: Inbox::default(),
    };
    tokio::task::spawn_local(driver.drive());
    Ok(shared)
}

/// Moves the bytes of a connection until it ends. The connection counts as open until then.
struct Driver {
    worker: Rc<Worker>,
    shared: Rc<Shared>,
    target: Rc<TargetState>,
    upstream: Upstream,
    inbox: Inbox,
}

impl Driver {
    async fn drive(mut self) {
        tokio::task::unconstrained(poll_fn(|cx| self.poll(cx))).await;
        self.inbox.release(&self.worker.buffers);
        self.close();
        let mut codec = self.shared.codec.borrow_mut();
        if let Some(violation) = codec.violation() {
            tracing::debug!(%violation, target = %self.target.text, "a target broke the protocol");
        }
        codec.disconnect();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.register(cx);
        let more = self.poll_read(cx);
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

    /// Reads what there is. Whether there may be more.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        let mut codec = self.shared.codec.borrow_mut();
        for _ in 0..READS {
            let taken = codec.receive(self.inbox.unread());
            self.inbox.consume(taken);
            self.inbox.compact(&self.worker.buffers);
            if codec.is_finished() || codec.is_choked() {
                return false;
            }
            match self.inbox.poll_fill(cx, &mut self.upstream.stream, &self.worker.buffers) {
                Poll::Pending => return false,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(_) | Err(_)) => codec.disconnect(),
            }
        }
        true
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

/// One connection is being opened, until dropped.
struct Opening<'a>(&'a Pool);

impl<'a> Opening<'a> {
    fn new(pool: &'a Pool) -> Self {
        pool.opening.set(true);
        Self(pool)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.changed.notify_waiters();
    }
}
