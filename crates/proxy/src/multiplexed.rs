//! HTTP/2 connections to targets: each serves many requests at once.
//!
//! A worker keeps as few per target as it can. A new one is opened when all are full, one at a time,
//! and whoever needs it meanwhile waits for it.
//!
//! The bodies on a connection share its window, which a target that does not read one of them leaves
//! filled. So large bodies have connections that no other body is on, and no body begins where little
//! of the window is free, as long as the target may have another connection. What a body that turns
//! out to be large takes of a window others are waiting for is bounded by the codec.

mod driver;
mod owner;

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::sync::Notify;
use trellis_model::VpcId;

use crate::clock::Millis;
use crate::http2::codec::{Bounds, Codec, Fields, HeadWriter, Slot};
use crate::upstream::{ConnectError, Upstream};
use crate::view::{GroupView, TargetState};
use crate::watchdog::{Alarm, Watched};
use crate::worker::Worker;
use driver::Driver;
pub(crate) use owner::{Owner, Wanted};

/// Requests on one connection at once, if the target allows as many.
const MOST_STREAMS: usize = 100;
/// Data of one answer a target may send before some of it has gone to the client.
pub(crate) const STREAM_WINDOW: u32 = 128 * 1024;
/// As much for every stream, so that a client that stands still holds up nobody else's answer.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;

/// A body beyond this is large.
const SMALL: u64 = 16 * 1024;

/// What is known of a request's body before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodySize {
    Nothing,
    /// Or not known.
    Small,
    Large,
}

impl BodySize {
    pub(crate) fn of(bytes: u64) -> Self {
        match bytes {
            0 => Self::Nothing,
            1..=SMALL => Self::Small,
            _ => Self::Large,
        }
    }
}

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
    /// Bodies that have not been sent whole, and how many of them are large.
    bodies: Cell<usize>,
    large: Cell<usize>,
    /// Whose the large one is, or was when there was one.
    owner: RefCell<Option<(VpcId, IpAddr)>>,
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

    /// Whether a body of this size would neither wait for others nor have others wait for it.
    fn suits(&self, body: BodySize) -> bool {
        match body {
            BodySize::Nothing => true,
            BodySize::Small => self.large.get() == 0 && self.codec.borrow().is_open(),
            BodySize::Large => self.bodies.get() == 0 && self.codec.borrow().is_open(),
        }
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
    /// What is still to be sent.
    body: BodySize,
    /// Who sends it, if there is any.
    owner: Option<(VpcId, IpAddr)>,
    sent: u64,
}

impl Lease {
    fn new(target: &Rc<TargetState>, shared: &Rc<Shared>, wanted: &Wanted<'_>) -> Self {
        let body = wanted.body;
        let owner = (body != BodySize::Nothing).then(|| (wanted.owner.vpc.clone(), wanted.owner.address));
        shared.streams.set(shared.streams.get() + 1);
        shared.bodies.set(shared.bodies.get() + usize::from(owner.is_some()));
        let lease = Self { shared: shared.clone(), slot: None, target: target.clone(), body, owner, sent: 0 };
        if body == BodySize::Large {
            lease.is_large();
        }
        lease
    }

    fn is_large(&self) {
        let others = self.shared.large.replace(self.shared.large.get() + 1);
        if others == 0 {
            self.shared.owner.borrow_mut().clone_from(&self.owner);
        }
    }

    /// So much more of the body has been sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent += count as u64;
        if self.body == BodySize::Small && self.sent > SMALL {
            self.body = BodySize::Large;
            self.is_large();
        }
    }

    /// Nothing more of the body will be sent.
    pub(crate) fn sent_all(&mut self) {
        let shared = &self.shared;
        let body = std::mem::replace(&mut self.body, BodySize::Nothing);
        shared.bodies.set(shared.bodies.get() - usize::from(body != BodySize::Nothing));
        shared.large.set(shared.large.get() - usize::from(body == BodySize::Large));
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
        self.sent_all();
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

    fn with_room(&self, name: Option<&str>, body: BodySize) -> Option<Rc<Shared>> {
        let open = self.open.borrow();
        let fits =
            |shared: &&Rc<Shared>| shared.name.as_deref() == name && shared.has_room() && shared.suits(body);
        open.iter().find(fits).cloned()
    }

    /// The one with room whose window is freest, for when there will be no better one.
    fn with_most_room(&self, name: Option<&str>) -> Option<Rc<Shared>> {
        let open = self.open.borrow();
        let fits = |shared: &&Rc<Shared>| shared.name.as_deref() == name && shared.has_room();
        open.iter().filter(fits).max_by_key(|shared| shared.codec.borrow().free_window()).cloned()
    }

    /// Of some connection it is not known yet how many streams it takes.
    fn is_unsettled(&self) -> bool {
        self.open.borrow().iter().any(|shared| !shared.settled.get() && !shared.closed.get())
    }

    fn is_full(&self, bound: usize) -> bool {
        self.open.borrow().len() >= bound
    }
}

/// The right to a stream to `target` on a connection there is.
pub(crate) fn lease_at_once(target: &Rc<TargetState>, wanted: &Wanted<'_>) -> Option<Lease> {
    let pool = &target.multiplexed;
    let shared = match pool.own_if_many(wanted) {
        Some(own) => pool.own(wanted, own),
        None => pool.with_room(wanted.name.as_deref(), wanted.body),
    };
    shared.map(|shared| Lease::new(target, &shared, wanted))
}

/// The right to a stream to `target`: on a connection there is, or on a new one. `watched` is the request
/// that waits.
pub(crate) async fn lease(
    worker: &Rc<Worker>,
    group: &GroupView,
    target: &Rc<TargetState>,
    wanted: &Wanted<'_>,
    watched: &Watched,
) -> Result<Lease, ConnectError> {
    let suitable = suitable(worker, group, target, wanted, watched).await;
    let shared = suitable.or_else(|error| match error {
        ConnectError::Ended(_) => Err(error),
        // Its stuck bodies are its own.
        _ if target.multiplexed.own_if_many(wanted).is_some() => Err(error),
        // One on which the body may have to wait for others is better than none.
        _ => target.multiplexed.with_most_room(wanted.name.as_deref()).ok_or(error),
    })?;
    Ok(Lease::new(target, &shared, wanted))
}

/// A connection on which nobody waits for somebody else's body.
async fn suitable(
    worker: &Rc<Worker>,
    group: &GroupView,
    target: &Rc<TargetState>,
    wanted: &Wanted<'_>,
    watched: &Watched,
) -> Result<Rc<Shared>, ConnectError> {
    let pool = &target.multiplexed;
    let patience = worker.limits.connect_timeout.as_millis() as Millis;
    let give_up = worker.clock.coarse().saturating_add(patience);
    loop {
        let own = pool.own_if_many(wanted);
        let found = match own {
            Some(own) => pool.own(wanted, own),
            None => pool.with_room(wanted.name.as_deref(), wanted.body),
        };
        if let Some(shared) = found {
            return Ok(shared);
        }
        if own.is_none() && !pool.opening.get() && !pool.is_unsettled() {
            pool.forget_closed();
            if pool.is_full(wanted.most) {
                return Err(ConnectError::TooMany);
            }
            return open(worker, group, target, wanted.name.clone(), watched).await;
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
        bodies: Cell::new(0),
        large: Cell::new(0),
        owner: RefCell::default(),
        settled: Cell::new(false),
        closed: Cell::new(false),
        listed: Cell::new(target.current.get()),
        expires: Cell::new(Millis::MAX),
    });
    if shared.listed.get() {
        pool.open.borrow_mut().push(shared.clone());
    }
    let driver = Driver::new(worker, &shared, target, upstream);
    tokio::task::spawn_local(driver.drive());
    Ok(shared)
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
