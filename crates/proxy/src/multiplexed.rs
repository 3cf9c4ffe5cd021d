//! HTTP/2 connections to targets: each serves many requests at once.
//!
//! A worker keeps as few per target as it can. A new one is opened when all are full, one at a time,
//! and whoever needs it meanwhile waits for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::clock::Millis;
use crate::upstream::{ConnectError, Upstream};
use crate::view::{GroupView, TargetState};
use crate::watchdog::{Alarm, Watched};
use crate::worker::Worker;

/// Requests on one connection at once, if the target allows as many.
const MOST_STREAMS: usize = 100;
/// What the codec takes for the number of streams a target allows, until the target has said it.
const UNSETTLED: usize = usize::MAX - 1;
/// Data of one answer a target may send before some of it has gone to the client.
const STREAM_WINDOW: u32 = 128 * 1024;
/// As much for every stream, so that a client that stands still holds up nobody else's answer.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// Data of one request that may wait for the target.
const SEND_BUFFER: usize = 128 * 1024;
/// Largest head of an answer, decoded, in the counting of RFC 9113, 6.5.2.
const HEADER_LIST: u32 = 128 * 1024;

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
    sender: SendRequest<Bytes>,
    /// What the target was called in the handshake, over TLS.
    name: Option<Rc<str>>,
    streams: Cell<usize>,
    /// The target has said how many streams it takes. Until then there is one.
    settled: Cell<bool>,
    /// No request may begin on it any more.
    closed: Cell<bool>,
    /// When it is closed if nobody uses it.
    expires: Cell<Millis>,
}

impl Shared {
    fn has_room(&self) -> bool {
        let most =
            if self.settled.get() { self.sender.current_max_send_streams().min(MOST_STREAMS) } else { 1 };
        !self.closed.get() && self.streams.get() < most
    }
}

/// The right to one stream of a connection, until dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<Bytes>,
    shared: Rc<Shared>,
    target: Rc<TargetState>,
}

impl Lease {
    fn new(target: &Rc<TargetState>, shared: &Rc<Shared>) -> Self {
        shared.streams.set(shared.streams.get() + 1);
        Self { sender: shared.sender.clone(), shared: shared.clone(), target: target.clone() }
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
        self.shared.streams.set(self.shared.streams.get() - 1);
        self.target.multiplexed.changed.notify_one();
    }
}

impl Pool {
    /// Closes connections nobody uses and nobody has used for long.
    pub(crate) fn expire(&self, now: Millis) {
        self.open.borrow_mut().retain(|shared| {
            !shared.closed.get() && (shared.streams.get() > 0 || now < shared.expires.get())
        });
    }

    /// Closes every connection once the requests on it have ended.
    pub(crate) fn clear(&self) {
        self.open.borrow_mut().clear();
    }

    fn forget_closed(&self) {
        self.open.borrow_mut().retain(|shared| !shared.closed.get());
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

/// The right to a stream to `target`: on a connection there is, or on a new one, where the target is
/// called `name` if it speaks TLS. `watched` is the request that waits.
pub(crate) async fn lease(
    worker: &Worker,
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
    worker: &Worker,
    group: &GroupView,
    target: &Rc<TargetState>,
    name: Option<Rc<str>>,
    watched: &Watched,
) -> Result<Rc<Shared>, ConnectError> {
    let pool = &target.multiplexed;
    let _opening = Opening::new(pool);
    let upstream = Upstream::connect(worker, group, target, name.clone(), watched).await?;
    let (sender, connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(UNSETTLED)
        .handshake::<_, Bytes>(Io(upstream))
        .await
        .map_err(|error| {
            ConnectError::Failed(error.into_io().unwrap_or_else(|| io::ErrorKind::Other.into()))
        })?;
    let shared = Rc::new(Shared {
        sender,
        name,
        streams: Cell::new(0),
        settled: Cell::new(false),
        closed: Cell::new(false),
        expires: Cell::new(Millis::MAX),
    });
    if target.current.get() {
        pool.open.borrow_mut().push(shared.clone());
    }
    tokio::task::spawn_local(drive(connection, Rc::downgrade(&shared), target.clone()));
    Ok(shared)
}

/// Moves the frames of a connection until it ends.
async fn drive(mut connection: Connection<Io, Bytes>, shared: Weak<Shared>, target: Rc<TargetState>) {
    let changed = &target.multiplexed.changed;
    let ended = poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        if let Some(shared) = shared.upgrade()
            && !shared.settled.get()
            && shared.sender.current_max_send_streams() != UNSETTLED
        {
            shared.settled.set(true);
            changed.notify_waiters();
        }
        polled
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, target = %target.text, "a connection to a target ended");
    }
    if let Some(shared) = shared.upgrade() {
        shared.closed.set(true);
    }
    target.multiplexed.forget_closed();
    changed.notify_waiters();
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

/// The connection as the codec reads and writes it. It counts as open until it is dropped.
#[derive(Debug)]
struct Io(Upstream);

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_shutdown(cx)
    }
}
