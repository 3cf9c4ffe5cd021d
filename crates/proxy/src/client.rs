//! One client connection: requests one after the other, until somebody has had enough.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::budget::{FILES_FOR_REQUESTS, Held, MEMORY_FOR_HANDSHAKE, MEMORY_FOR_SESSION};
use crate::buffer::Inbox;
use crate::clock::Millis;
use crate::http2;
use crate::record::Seen;
use crate::request;
use crate::stream::Stream;
use crate::tls::{self, Agreed};
use crate::watchdog::{Alarm, Watched};
use crate::worker::{Entrance, Worker};

/// Idle timeout of a connection that has not yet asked for a service.
const DEFAULT_IDLE: Duration = Duration::from_secs(60);
/// How long a client may go on sending what nobody reads before its connection is cut.
const LINGER: Duration = Duration::from_secs(5);

/// How long an idle connection that should end still listens, in milliseconds.
const GRACE: Millis = 50;

/// A client connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: Stream,
    /// What its handshake came to; `None` without TLS.
    pub(crate) tls: Option<Box<Agreed>>,
    pub(crate) inbox: Inbox,
    pub(crate) watched: Rc<Watched>,
    /// `ip:port`.
    pub(crate) peer: Box<str>,
    /// The address alone, for `x-forwarded-for`.
    pub(crate) address: Box<str>,
    /// For which service's sake, and so for how long, the connection may be idle.
    pub(crate) idle_timeout: Duration,
    /// The client has said that it will send nothing more.
    pub(crate) ended: bool,
    /// Its part of the files a worker may have open.
    pub(crate) files: Held,
    /// Memory for its TLS.
    pub(crate) session: Option<Held>,
}

/// What becomes of a client connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another request may follow.
    Stay,
    /// Everything has been said on both sides.
    Close,
    /// The client may still be sending. Closing at once would reset the connection and could take
    /// the answer with it (RFC 9112, 9.6).
    Linger,
    /// The response was cut short, and the client must not take what it got for all of it.
    Abort,
}

/// Serves a connection accepted at `entrance` until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr, entrance: Rc<Entrance>) {
    let Some(files) = worker.budget.files.take(&entrance.vpc, peer.ip(), FILES_FOR_REQUESTS) else {
        return refuse(&worker, &stream, peer, &entrance);
    };
    // Ignored: without it the connection works all the same, only later.
    let _ = stream.set_nodelay(true);
    let now = worker.clock.coarse();
    let door = worker.view().door(&entrance);
    // 3. TLS takes memory before anybody knows whose it is.
    let mut session = None;
    if door.tls {
        session = worker.budget.memory.take(&entrance.vpc, peer.ip(), MEMORY_FOR_HANDSHAKE);
        if session.is_none() {
            return refuse(&worker, &stream, peer, &entrance);
        }
    }
    let watched = worker.watchdog.add(now, worker.limits.connection_lifetime, entrance);
    let _open = Open::new(&worker, &watched);
    let mut client = Client {
        stream: Stream::Tcp(stream),
        tls: None,
        inbox: Inbox::default(),
        watched: watched.clone(),
        peer: peer.to_string().into(),
        address: peer.ip().to_canonical().to_string().into(),
        idle_timeout: DEFAULT_IDLE,
        ended: false,
        files,
        session,
    };
    if door.tls {
        // On the heap: a connection without TLS has no room for it.
        match Box::pin(tls::admit(&worker, client, door)).await {
            Some(admitted) => client = admitted,
            None => return,
        }
        // Whoever speaks plain HTTP here holds no session.
        let holds = if client.tls.is_some() { MEMORY_FOR_SESSION } else { 0 };
        if let Some(session) = &mut client.session {
            session.shrink_to(holds);
        }
        if client.tls.as_ref().is_some_and(|agreed| agreed.http2) {
            return Box::pin(http2::serve(&worker, client)).await;
        }
    }
    while client.wait_for_request(&worker).await {
        match request::serve(&worker, &mut client).await {
            Next::Stay => client.inbox.compact(&worker.buffers),
            Next::Close => {
                let _ = client.shut_down(&worker).await;
                break;
            }
            Next::Linger => {
                client.linger(&worker).await;
                break;
            }
            Next::Abort => {
                let _ = client.stream.reset_on_close();
                break;
            }
        }
    }
    client.inbox.release(&worker.buffers);
}

/// Tells a client that it holds too many connections: in the words of HTTP, if that is what it will speak.
fn refuse(worker: &Worker, stream: &TcpStream, peer: SocketAddr, entrance: &Entrance) {
    worker.cells.connections_refused.add(1);
    if worker.may_warn() {
        tracing::warn!(%peer, vpc = %entrance.vpc, "refused a connection: its client or VPC holds too many");
    }
    if worker.view().door(entrance).tls {
        // A reset, as from a closed port.
        let _ = stream.set_zero_linger();
    } else {
        // Written into an empty buffer: nobody has to wait for it.
        let _ = stream.try_write(REFUSAL);
    }
}

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 19\r\nconnection: close\r\n\r\nService Unavailable";

impl Client {
    /// Itself, as a record of the request in its inbox shows it.
    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen {
            text: self.inbox.all(),
            peer: &self.peer,
            entrance: &self.watched.entrance,
            tls: self.tls.as_deref(),
        }
    }

    /// Waits for the first byte of the next request. False: there will be none.
    pub(crate) async fn wait_for_request(&mut self, worker: &Worker) -> bool {
        if !self.inbox.is_empty() {
            return true;
        }
        if self.ended {
            return false;
        }
        let Self { stream, inbox, watched, idle_timeout, .. } = self;
        let patience = idle_timeout.as_millis() as Millis;
        watched.arm(worker.clock.coarse().saturating_add(patience));
        watched.set_idle(true);
        let mut leaving = false;
        let came = poll_fn(|cx| {
            if let Poll::Ready(read) = inbox.poll_fill(cx, stream, &worker.buffers) {
                return Poll::Ready(matches!(read, Ok(1..)));
            }
            watched.register(cx);
            if watched.should_close() && !leaving {
                // A request may be on its way; it is not lost if the end waits for it a little.
                leaving = true;
                watched.arm(worker.clock.coarse().saturating_add(GRACE));
            }
            watched.alarm().map_or(Poll::Pending, |_| Poll::Ready(false))
        })
        .await;
        watched.set_idle(false);
        came
    }

    /// Accounts for what the client has begun and not finished, which waits in the inbox, and for `more`.
    /// False: it holds too much already.
    pub(crate) fn hold(&self, worker: &Worker, held: &mut Option<Held>, more: u64) -> bool {
        let amount = self.inbox.size() + self.stream.unsent() + more;
        match held {
            Some(held) => held.grow_to(amount),
            None => {
                let vpc = &self.watched.entrance.vpc;
                *held = worker.budget.memory.take(vpc, self.files.address(), amount);
                held.is_some()
            }
        }
    }

    /// Reads once. `Ok(0)` is the end of the stream.
    pub(crate) async fn read(&mut self, worker: &Worker) -> Result<usize, Interrupted> {
        let Self { stream, inbox, watched, .. } = self;
        poll_fn(|cx| {
            if let Poll::Ready(read) = inbox.poll_fill(cx, stream, &worker.buffers) {
                return Poll::Ready(read.map_err(Interrupted::Io));
            }
            watched.wait(cx)
        })
        .await
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Interrupted> {
        write_all(&mut self.stream, &self.watched, bytes).await
    }

    /// Says that nothing more will be sent.
    async fn shut_down(&mut self, worker: &Worker) -> Result<(), Interrupted> {
        let Self { stream, watched, .. } = self;
        watched.arm(worker.clock.coarse().saturating_add(LINGER.as_millis() as Millis));
        poll_fn(|cx| match Pin::new(&mut *stream).poll_shutdown(cx) {
            Poll::Ready(done) => Poll::Ready(done.map_err(Interrupted::Io)),
            Poll::Pending => watched.wait(cx),
        })
        .await
    }

    /// Says that nothing more will be sent, then reads what the client still sends until it stops.
    pub(crate) async fn linger(&mut self, worker: &Worker) {
        if self.shut_down(worker).await.is_err() {
            return;
        }
        self.inbox.release(&worker.buffers);
        self.watched.arm(worker.clock.coarse().saturating_add(LINGER.as_millis() as Millis));
        let Self { stream, inbox, watched, .. } = self;
        poll_fn(|cx| {
            loop {
                watched.register(cx);
                if watched.alarm().is_some() {
                    return Poll::Ready(());
                }
                match ready!(inbox.poll_fill(cx, stream, &worker.buffers)) {
                    Ok(1..) => inbox.release(&worker.buffers),
                    Ok(0) | Err(_) => return Poll::Ready(()),
                }
            }
        })
        .await;
    }
}

/// Writes all of `bytes`, unless there is an alarm.
pub(crate) async fn write_all(
    stream: &mut Stream,
    watched: &Watched,
    bytes: &[u8],
) -> Result<(), Interrupted> {
    let mut written = 0;
    poll_fn(|cx| {
        while written < bytes.len() {
            match Pin::new(&mut *stream).poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(Interrupted::Io(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Interrupted::Io(error))),
                Poll::Pending => return watched.wait(cx),
            }
        }
        match Pin::new(&mut *stream).poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.map_err(Interrupted::Io)),
            Poll::Pending => watched.wait(cx),
        }
    })
    .await
}

/// Why reading from or writing to a client came to nothing.
#[derive(Debug)]
pub(crate) enum Interrupted {
    Io(io::Error),
    Alarm(Alarm),
}

impl Watched {
    /// To be returned when an operation is left pending: pending, unless there is an alarm.
    pub(crate) fn wait<T>(&self, cx: &Context<'_>) -> Poll<Result<T, Interrupted>> {
        self.register(cx);
        self.alarm().map_or(Poll::Pending, |alarm| Poll::Ready(Err(Interrupted::Alarm(alarm))))
    }
}

/// Counts a connection while it lives.
pub(crate) struct Open<'a> {
    worker: &'a Worker,
    watched: &'a Watched,
}

impl<'a> Open<'a> {
    pub(crate) fn new(worker: &'a Worker, watched: &'a Watched) -> Self {
        worker.cells.connections.add(1);
        worker.cells.connections_open.add(1);
        add(&worker.connections, 1);
        Self { worker, watched }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.worker.cells.connections_open.subtract(1);
        self.worker.watchdog.remove(self.watched);
        add(&self.worker.connections, -1);
        self.worker.room.notify_waiters();
    }
}

fn add(count: &Cell<usize>, change: isize) {
    count.set(count.get().saturating_add_signed(change));
}
