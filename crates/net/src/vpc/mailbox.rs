//! What others ask of a VPC's thread: a newer plan, sockets, its end.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard};

use nix::sys::eventfd::{EfdFlags, EventFd};
use trellis_model::fabric::VpcPlan;

/// Sockets asked for and not yet made. More are refused: the thread is stuck or someone asks in a loop.
const REQUESTS: usize = 1024;

/// What kind of listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listening {
    /// The only one on its address.
    Alone,
    /// Shares connections with others on its address.
    Shared,
    /// As shared; takes what the firewall hands over, whatever address it was sent to.
    Transparent,
}

/// A socket to be made inside the VPC, and where to hand it.
#[derive(Debug)]
pub(crate) enum SocketRequest {
    Listen { addr: SocketAddr, how: Listening, reply: SyncSender<io::Result<TcpListener>> },
    BindUdp { addr: SocketAddr, reply: SyncSender<io::Result<UdpSocket>> },
}

/// A plan with the revision it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Versioned {
    pub(crate) revision: u64,
    pub(crate) plan: Arc<VpcPlan>,
}

#[derive(Debug, Default)]
struct Contents {
    /// The newest only; an older one that was not taken is of no use.
    plan: Option<Versioned>,
    requests: VecDeque<SocketRequest>,
    stop: bool,
    /// The thread has ended and takes nothing any more.
    closed: bool,
}

/// Filled by anyone, emptied by the VPC's thread, which polls [`Mailbox::as_fd`].
#[derive(Debug)]
pub(crate) struct Mailbox {
    contents: Mutex<Contents>,
    bell: EventFd,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Mailbox> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Mailbox { contents: Mutex::default(), bell })
    }

    /// Asks for a socket.
    ///
    /// # Errors
    /// `WouldBlock` when too many are waiting, `NotFound` when the VPC has gone.
    pub(crate) fn request(&self, request: SocketRequest) -> io::Result<()> {
        let mut contents = self.lock();
        if contents.closed {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the VPC has been removed"));
        }
        if contents.requests.len() >= REQUESTS {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        contents.requests.push_back(request);
        self.ring();
        Ok(())
    }

    pub(crate) fn put_plan(&self, plan: Versioned) {
        self.lock().plan = Some(plan);
        self.ring();
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.ring();
    }

    pub(crate) fn take_request(&self) -> Option<SocketRequest> {
        self.lock().requests.pop_front()
    }

    pub(crate) fn take_plan(&self) -> Option<Versioned> {
        self.lock().plan.take()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Refuses all that waits and all that comes.
    pub(crate) fn close(&self) {
        let mut contents = self.lock();
        contents.closed = true;
        contents.requests.clear();
    }

    /// Silences the bell, before looking at what came.
    pub(crate) fn silence(&self) {
        // Nothing to read means that it was silent.
        let _ = self.bell.read();
    }

    fn ring(&self) {
        // Full only after 2^64 rings unheard.
        let _ = self.bell.write(1);
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("nothing that can panic is done while the contents are held")
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
