//! Connections that are kept: of HTTP/1.1 one request at a time, of HTTP/2 many.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};

use super::Speaks;
use super::connect::{Opened, open};
use crate::Shared;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::trust::Trust;

/// How long a connection is kept that nobody uses: half of what services allow.
const KEPT: Duration = Duration::from_secs(30);
/// Idle HTTP/1.1 connections kept to one destination.
const MAX_IDLE: usize = 64;
/// Calls on one HTTP/2 connection before another is opened, and how many are.
const CALLS: usize = 100;
const MAX_SHARED: usize = 8;

/// The connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    kept: Mutex<HashMap<Destination, Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    idle: Vec<Idle>,
    shared: Vec<SharedConnection>,
    /// Was offered HTTP/2 and took HTTP/1.1.
    only_http1: bool,
    /// Held while an HTTP/2 connection is being opened, so that many calls at once do not open one each.
    opening: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<Incoming>,
    since: Instant,
}

#[derive(Debug)]
struct SharedConnection {
    sender: http2::SendRequest<Incoming>,
    calls: Arc<AtomicUsize>,
    used: Instant,
}

impl SharedConnection {
    fn call(&mut self) -> Sender {
        self.used = Instant::now();
        self.calls.fetch_add(1, Ordering::Relaxed);
        Sender::Http2 { sender: self.sender.clone(), lease: Lease::Http2(self.calls.clone()) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Whether a connection has served before.
pub(crate) type IsKept = bool;

impl Upstreams {
    /// A connection to `destination` for one request, and whether it is a kept one.
    pub(crate) async fn sender(
        self: &Arc<Self>,
        shared: &Shared,
        trust: &Trust,
        destination: &Destination,
        speaks: Speaks,
    ) -> Result<(Sender, IsKept), Failure> {
        if let Some(sender) = self.kept_sender(destination, speaks) {
            return Ok((sender, true));
        }
        if speaks == Speaks::Http1 {
            return Ok((self.fresh_sender(shared, trust, destination, speaks).await?, false));
        }
        let opening = self.lock().entry(destination.clone()).or_default().opening.clone();
        let _turn = opening.lock().await;
        if let Some(sender) = self.kept_sender(destination, speaks) {
            return Ok((sender, true));
        }
        Ok((self.fresh_sender(shared, trust, destination, speaks).await?, false))
    }

    /// A new connection to `destination`.
    pub(crate) async fn fresh_sender(
        self: &Arc<Self>,
        shared: &Shared,
        trust: &Trust,
        destination: &Destination,
        speaks: Speaks,
    ) -> Result<Sender, Failure> {
        let opened = open(shared, trust, destination, speaks).await?;
        let mut all = self.lock();
        match opened {
            Opened::Http1(sender) => {
                if speaks == Speaks::Http2 {
                    all.entry(destination.clone()).or_default().only_http1 = true;
                }
                let home = Home { upstreams: self.clone(), destination: destination.clone() };
                Ok(Sender::Http1 { sender, home })
            }
            Opened::Http2(sender) => {
                let mut connection = SharedConnection { sender, calls: Arc::default(), used: Instant::now() };
                let sender = connection.call();
                let kept = all.entry(destination.clone()).or_default();
                kept.only_http1 = false;
                kept.shared.push(connection);
                Ok(sender)
            }
        }
    }

    fn kept_sender(self: &Arc<Self>, destination: &Destination, speaks: Speaks) -> Option<Sender> {
        let mut all = self.lock();
        let kept = all.get_mut(destination)?;
        if speaks == Speaks::Http2 && !kept.only_http1 {
            kept.shared.retain(|connection| !connection.sender.is_closed());
            let enough = kept.shared.len() >= MAX_SHARED;
            let least = kept.shared.iter_mut().min_by_key(|connection| connection.calls())?;
            return (least.calls() < CALLS || enough).then(|| least.call());
        }
        let mut index = kept.idle.len();
        while index > 0 {
            index -= 1;
            let idle = &kept.idle[index];
            if idle.sender.is_closed() || idle.since.elapsed() > KEPT {
                kept.idle.swap_remove(index);
            } else if idle.sender.is_ready() {
                let sender = kept.idle.swap_remove(index).sender;
                let home = Home { upstreams: self.clone(), destination: destination.clone() };
                return Some(Sender::Http1 { sender, home });
            }
        }
        None
    }

    /// Closes what is not needed any more.
    pub(crate) fn sweep(&self) {
        self.lock().retain(|_, kept| {
            kept.idle.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() <= KEPT);
            kept.shared.retain(|connection| {
                !connection.sender.is_closed()
                    && (connection.calls() > 0 || connection.used.elapsed() <= KEPT)
            });
            // Somebody who is opening one holds the other copy.
            !kept.idle.is_empty() || !kept.shared.is_empty() || Arc::strong_count(&kept.opening) > 1
        });
    }

    fn take_back(&self, destination: Destination, sender: http1::SendRequest<Incoming>) {
        if sender.is_closed() {
            return;
        }
        let mut all = self.lock();
        let kept = all.entry(destination).or_default();
        if kept.idle.len() < MAX_IDLE {
            kept.idle.push(Idle { sender, since: Instant::now() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Destination, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection is kept.
pub(crate) struct Home {
    upstreams: Arc<Upstreams>,
    destination: Destination,
}

/// A connection for one request.
pub(crate) enum Sender {
    Http1 { sender: http1::SendRequest<Incoming>, home: Home },
    Http2 { sender: http2::SendRequest<Incoming>, lease: Lease },
}

impl Sender {
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Incoming>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Incoming>>> {
        match self {
            Self::Http1 { sender, .. } => sender.try_send_request(request).await,
            Self::Http2 { sender, .. } => sender.try_send_request(request).await,
        }
    }

    /// What to hold for as long as the answer's body lasts.
    pub(crate) fn into_lease(self) -> Lease {
        match self {
            Self::Http1 { sender, home } => Lease::Http1(Some((sender, home))),
            Self::Http2 { lease, .. } => lease,
        }
    }
}

/// Dropped, it gives the connection back. An answer that was not read to its end closes one of HTTP/1.1.
pub(crate) enum Lease {
    Http1(Option<(http1::SendRequest<Incoming>, Home)>),
    Http2(Arc<AtomicUsize>),
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self {
            Self::Http1(sender) => {
                if let Some((sender, home)) = sender.take() {
                    home.upstreams.take_back(home.destination, sender);
                }
            }
            Self::Http2(calls) => {
                calls.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1(_) => "Lease(HTTP/1.1)",
            Self::Http2(_) => "Lease(HTTP/2)",
        })
    }
}
