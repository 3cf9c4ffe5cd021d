//! Connections to targets: opened from inside the target's VPC, kept for the next request.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::TcpStream;

use crate::clock::Millis;
use crate::metrics::GroupCells;
use crate::stream::Stream;
use crate::view::{GroupState, Route, TargetState};
use crate::watchdog::{Alarm, Watched};
use crate::worker::Worker;

/// An open connection to a target.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) stream: Stream,
    /// It has served a request before, so the target may have closed it unnoticed.
    pub(crate) reused: bool,
    cells: Arc<GroupCells>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.cells.connections_open.subtract(1);
    }
}

/// A connection nobody uses.
#[derive(Debug)]
pub(crate) struct Idle {
    upstream: Upstream,
    expires: Millis,
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
    Failed(#[expect(dead_code, reason = "shown by Debug")] io::Error),
    /// The client connection is being ended meanwhile.
    Ended(Alarm),
}

impl Upstream {
    /// The most recently used idle connection to `target`, if there is one.
    pub(crate) fn take_idle(target: &TargetState) -> Option<Self> {
        let mut idle = target.idle.borrow_mut();
        while let Some(Idle { mut upstream, .. }) = idle.pop_back() {
            if upstream.stream.is_quiet() {
                return Some(upstream);
            }
        }
        None
    }

    /// Keeps the connection for another request. At the bound the oldest one goes.
    pub(crate) fn keep(mut self, target: &TargetState, expires: Millis, bound: usize) {
        if !target.current.get() || bound == 0 {
            return;
        }
        self.reused = true;
        let mut idle = target.idle.borrow_mut();
        if idle.len() >= bound {
            idle.pop_front();
        }
        idle.push_back(Idle { upstream: self, expires });
    }

    /// Connects to `target`. `watched` is the client connection that waits.
    pub(crate) async fn connect(
        worker: &Worker,
        group: &GroupState,
        target: &TargetState,
        watched: &Watched,
    ) -> Result<Self, ConnectError> {
        if group.connecting.get() >= worker.limits.pending_connects_per_group {
            return Err(ConnectError::TooMany);
        }
        let _pending = Pending::new(&group.connecting);
        let result = connect(worker, group, target, watched).await;
        match &result {
            Ok(_) => {
                group.cells.connections.add(1);
                group.cells.connections_open.add(1);
            }
            Err(ConnectError::TimedOut) => group.cells.connection_timeouts.add(1),
            Err(_) => group.cells.connection_errors.add(1),
        }
        Ok(Self { stream: Stream::Tcp(result?), reused: false, cells: group.cells.clone() })
    }
}

async fn connect(
    worker: &Worker,
    group: &GroupState,
    target: &TargetState,
    watched: &Watched,
) -> Result<TcpStream, ConnectError> {
    let stream = (worker.dial)(&group.vpc, target.address).map_err(ConnectError::Failed)?;
    let stream = TcpStream::from_std(stream).map_err(ConnectError::Failed)?;
    let patience = worker.limits.connect_timeout.as_millis() as Millis;
    watched.arm(worker.clock.coarse().saturating_add(patience));
    poll_fn(|cx| {
        if let Poll::Ready(ready) = stream.poll_write_ready(cx) {
            return Poll::Ready(ready.map_err(ConnectError::Failed));
        }
        watched.register(cx);
        match watched.alarm() {
            None => Poll::Pending,
            Some(Alarm::Deadline) => Poll::Ready(Err(ConnectError::TimedOut)),
            Some(alarm) => Poll::Ready(Err(ConnectError::Ended(alarm))),
        }
    })
    .await?;
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => Err(ConnectError::Failed(error)),
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
