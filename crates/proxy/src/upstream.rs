//! Connections to targets: opened from inside the target's VPC, kept for the next request.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;
use trellis_model::health::ProtocolVersion;
use trellis_model::snapshot::TargetProtocol;

use crate::budget::Kept;
use crate::clock::Millis;
use crate::http1::Framing;
use crate::metrics::GroupCells;
use crate::stream::{Stream, TlsStream};
use crate::view::{GroupView, Route, TargetState};
use crate::watchdog::{Alarm, Watched};
use crate::window::Window;
use crate::worker::Worker;

/// An open connection to a target.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) stream: Stream,
    /// It has served a request before, so the target may have closed it unnoticed.
    pub(crate) reused: bool,
    /// What the target was called in the handshake, over TLS.
    name: Option<Rc<str>>,
    window: Window,
    /// Its last answer ended with its head: to HEAD, a 204, a 304.
    bodiless: bool,
    open: Open,
}

/// Counts an open connection until dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<GroupCells>);

impl Open {
    fn new(cells: &Arc<GroupCells>) -> Self {
        cells.connections_open.add(1);
        Self(cells.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections_open.subtract(1);
    }
}

/// A connection nobody uses.
#[derive(Debug)]
pub(crate) struct Idle {
    upstream: Upstream,
    /// Not used before.
    rests_until: Millis,
    expires: Millis,
    _kept: Kept,
}

impl Idle {
    /// Neither expired nor, as far as the kernel has told, closed by the target.
    pub(crate) fn is_worth_keeping(&mut self, now: Millis) -> bool {
        now < self.expires && self.upstream.stream.is_quiet()
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Too many connects to this group are under way.
    TooMany,
    TimedOut,
    /// The target does not speak TLS as it should.
    NoTls(#[expect(dead_code, reason = "shown by Debug")] io::Error),
    Failed(#[expect(dead_code, reason = "shown by Debug")] io::Error),
    /// The client connection is being ended meanwhile.
    Ended(Alarm),
}

impl Upstream {
    /// The most recently used idle connection to `target`, under `name`, if there is one.
    pub(crate) fn take_idle(worker: &Worker, target: &TargetState, name: Option<&str>) -> Option<Self> {
        let mut idle = target.idle.borrow_mut();
        let now = worker.clock.coarse();
        loop {
            // The last one, unless it rests, or the service has two names and TLS targets.
            let fits = |idle: &Idle| idle.rests_until <= now && idle.upstream.name.as_deref() == name;
            let index = idle.iter().rposition(fits)?;
            let Idle { mut upstream, .. } = idle.remove(index)?;
            if upstream.stream.is_quiet() {
                return Some(upstream);
            }
        }
    }

    /// The body of an answer will come next.
    pub(crate) fn expect_body(&mut self, worker: &Worker, framing: Framing) {
        self.window.before(framing, &self.stream, &worker.limit_window);
        self.bodiless = framing == Framing::None;
    }

    /// Keeps the connection for another request, after an answer of `length` bytes. At the bound of its target
    /// the oldest one goes, at that of all targets this one.
    pub(crate) fn keep(mut self, worker: &Worker, target: &TargetState, expires: Millis, length: u64) {
        let bound = worker.limits.idle_per_target;
        if !target.current.get() || bound == 0 {
            return;
        }
        self.reused = true;
        self.window.after(length, &self.stream, &worker.limit_window);
        let mut idle = target.idle.borrow_mut();
        if idle.len() >= bound {
            idle.pop_front();
        }
        let Some(kept) = worker.budget.idle.keep(idle.len()) else { return };
        let rest = worker.limits.rest_after_head.as_millis() as Millis;
        let rests_until = if self.bodiless { worker.clock.coarse().saturating_add(rest) } else { 0 };
        idle.push_back(Idle { upstream: self, rests_until, expires, _kept: kept });
    }

    /// Connects to `target` of `group`, which is called `name` if it speaks TLS. `watched` is the
    /// client connection that waits.
    pub(crate) async fn connect(
        worker: &Worker,
        view: &GroupView,
        target: &TargetState,
        name: Option<Rc<str>>,
        watched: &Watched,
    ) -> Result<Self, ConnectError> {
        let group = &view.state;
        if group.connecting.get() >= worker.limits.pending_connects_per_group {
            return Err(ConnectError::TooMany);
        }
        let _pending = Pending::new(&group.connecting);
        let patience = worker.limits.connect_timeout.as_millis() as Millis;
        watched.arm(worker.clock.coarse().saturating_add(patience));
        let opened = open((worker.dial)(&group.vpc, target.address), watched).await;
        match &opened {
            Ok(_) => group.cells.connections.add(1),
            Err(ConnectError::TimedOut) => group.cells.connection_timeouts.add(1),
            Err(_) => group.cells.connection_errors.add(1),
        }
        let stream = match view.group.protocol {
            TargetProtocol::Http | TargetProtocol::Tcp => Stream::Tcp(opened?),
            TargetProtocol::Https => {
                let secured = secure(worker, view, target, name.as_deref(), opened?, watched).await;
                match &secured {
                    Ok(_) => group.cells.handshakes.add(1),
                    Err(ConnectError::TimedOut) => group.cells.connection_timeouts.add(1),
                    Err(_) => group.cells.handshake_errors.add(1),
                }
                Stream::Tls(secured?)
            }
        };
        let (window, open) = (Window::default(), Open::new(&group.cells));
        Ok(Self { stream, reused: false, name, window, bodiless: false, open })
    }

    /// The connection for another use than requests; it counts as open while the second is there.
    pub(crate) fn into_stream(self) -> (Stream, Open) {
        (self.stream, self.open)
    }
}

/// Shakes hands with `target`, which is called `name`, over `socket`.
async fn secure(
    worker: &Worker,
    view: &GroupView,
    target: &TargetState,
    name: Option<&str>,
    socket: TcpStream,
    watched: &Watched,
) -> Result<Box<TlsStream>, ConnectError> {
    let (address, scratch) = (target.address.ip(), worker.tls.scratch.clone());
    let begun = worker.tls.targets.begin(socket, name, address, view.group.version, scratch);
    let mut stream = begun.map_err(ConnectError::NoTls)?;
    poll_fn(|cx| match stream.poll_handshake(cx) {
        Poll::Ready(done) => Poll::Ready(done.map_err(ConnectError::NoTls)),
        Poll::Pending => wait_for_target(watched, cx),
    })
    .await?;
    let http2 = matches!(view.group.version, ProtocolVersion::Http2 | ProtocolVersion::Grpc);
    if http2 && stream.session().alpn_protocol() != Some(b"h2") {
        return Err(ConnectError::NoTls(io::Error::other("the target does not choose h2")));
    }
    Ok(stream)
}

/// Waits until the connection whose connect has begun is there. How long that may take has been
/// armed.
pub(crate) async fn open(
    dialled: io::Result<std::net::TcpStream>,
    watched: &Watched,
) -> Result<TcpStream, ConnectError> {
    let stream = dialled.and_then(TcpStream::from_std).map_err(ConnectError::Failed)?;
    poll_fn(|cx| {
        if let Poll::Ready(ready) = stream.poll_write_ready(cx) {
            return Poll::Ready(ready.map_err(ConnectError::Failed));
        }
        wait_for_target(watched, cx)
    })
    .await?;
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => Err(ConnectError::Failed(error)),
    }
}

fn wait_for_target<T>(watched: &Watched, cx: &Context<'_>) -> Poll<Result<T, ConnectError>> {
    watched.register(cx);
    match watched.alarm() {
        None => Poll::Pending,
        Some(Alarm::Deadline) => Poll::Ready(Err(ConnectError::TimedOut)),
        Some(alarm) => Poll::Ready(Err(ConnectError::Ended(alarm))),
    }
}

/// One more, until dropped.
struct Pending<'a>(&'a std::cell::Cell<usize>);

impl<'a> Pending<'a> {
    fn new(count: &'a std::cell::Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// One request being served by one target, until dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    route: Rc<Route>,
    index: usize,
}

impl InFlight {
    pub(crate) fn new(route: Rc<Route>, index: usize) -> Self {
        if let Some(target) = route.group.group.targets.get(index) {
            target.health.request_began();
        }
        route.group.state.cells.active.add(1);
        Self { route, index }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(target) = self.route.group.group.targets.get(self.index) {
            target.health.request_ended();
        }
        self.route.group.state.cells.active.subtract(1);
    }
}
