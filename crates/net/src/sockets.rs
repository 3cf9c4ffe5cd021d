//! Sockets opened inside a VPC.
//!
//! A socket keeps the namespace it was made in, so any thread may use it. Listeners and UDP
//! sockets are made by the VPC's own thread; outgoing connections, which are many, by the
//! data-plane thread that asks, which moves between namespaces for it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use trellis_model::id::VpcId;
use trellis_model::snapshot::RESOURCE_ENTRANCE;

use crate::namespace::Namespace;
use crate::vpc::mailbox::{Listening, Mailbox, SocketRequest};

/// Connections waiting to be accepted, for each listener. The kernel's own default ceiling (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// Largest TCP segment, in bytes, of what Trellis accepts and dials: of packets of 8500 bytes, which is what VPC Lattice
/// carries, with the smaller of the two IP headers. Hosts among themselves have all of their VPC's.
const SEGMENT: u32 = 8500 - 20 - 20;

/// How long a VPC's thread may take to make a socket; it may be busy starting hosts.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens sockets inside VPCs. Cheap to clone; outlives the fabric, after which every VPC is unknown.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    vpcs: Arc<RwLock<HashMap<VpcId, Arc<Endpoint>>>>,
}

/// How to reach a VPC that is in force.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// The thread that stays in the namespace.
    pub(crate) thread: u32,
}

impl Sockets {
    /// A listening TCP socket inside `vpc`, nonblocking, with a backlog of 4096. From any thread; takes well under
    /// a millisecond unless the VPC is being changed. With `reuse_port`, connections are spread over all listeners on
    /// the address that were made so.
    ///
    /// # Errors
    /// `NotFound` for a VPC that is not in force, `TimedOut` when its thread did not answer within ten seconds, and
    /// what socket(2), bind(2) and listen(2) say.
    pub fn listen(&self, vpc: &VpcId, addr: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
        let how = if reuse_port { Listening::Shared } else { Listening::Alone };
        self.ask(vpc, |reply| SocketRequest::Listen { addr, how, reply })
    }

    /// As [`Sockets::listen`] with `reuse_port`, for connections that hosts of `vpc` make to resources, whatever their
    /// address and port. What a client connected to is the local address of an accepted socket.
    ///
    /// # Errors
    /// As [`Sockets::listen`].
    pub fn listen_resources(&self, vpc: &VpcId) -> io::Result<TcpListener> {
        let addr = SocketAddr::V4(RESOURCE_ENTRANCE);
        self.ask(vpc, |reply| SocketRequest::Listen { addr, how: Listening::Transparent, reply })
    }

    /// A nonblocking UDP socket inside `vpc`, bound to `addr`. From any thread.
    ///
    /// # Errors
    /// As [`Sockets::listen`].
    pub fn bind_udp(&self, vpc: &VpcId, addr: SocketAddr) -> io::Result<UdpSocket> {
        self.ask(vpc, |reply| SocketRequest::BindUdp { addr, reply })
    }

    /// A TCP connection inside `vpc` from `source` (any port) to `destination`: nonblocking, TCP_NODELAY set,
    /// connecting begun and perhaps still under way.
    ///
    /// Call it on threads dedicated to the data plane only: **it moves the calling thread into the VPC's namespace
    /// and leaves it there** (the next dial to the same VPC is then free of that cost). Whatever else that thread
    /// opens, and threads it starts, will be in that VPC too.
    ///
    /// # Errors
    /// `NotFound` for a VPC that is not in force; `InvalidInput` when the addresses are of different families; what
    /// setns(2), bind(2) and connect(2) say.
    pub fn dial(&self, vpc: &VpcId, source: IpAddr, destination: SocketAddr) -> io::Result<TcpStream> {
        let domain = Domain::for_address(destination);
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "source and destination are of different families",
            ));
        }
        self.endpoint(vpc)?.namespace.enter()?;
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        // The port is chosen by connect, which may share one between destinations: bind would use up 28,000 of them.
        set_option(socket.as_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_mss(SEGMENT)?;
        match socket.connect(&destination.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(socket.into()),
        }
    }

    /// `/proc/PID/task/TID/ns/net` of a VPC in force.
    pub(crate) fn netns_path(&self, vpc: &VpcId) -> Option<PathBuf> {
        let thread = self.endpoint(vpc).ok()?.thread;
        Some(format!("/proc/{}/task/{thread}/ns/net", std::process::id()).into())
    }

    pub(crate) fn add(&self, vpc: VpcId, endpoint: Endpoint) {
        self.vpcs.write().expect(UNPOISONED).insert(vpc, Arc::new(endpoint));
    }

    pub(crate) fn remove(&self, vpc: &VpcId) {
        self.vpcs.write().expect(UNPOISONED).remove(vpc);
    }

    fn endpoint(&self, vpc: &VpcId) -> io::Result<Arc<Endpoint>> {
        let vpcs = self.vpcs.read().expect(UNPOISONED);
        vpcs.get(vpc)
            .cloned()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{vpc} is not in force")))
    }

    fn ask<T>(
        &self,
        vpc: &VpcId,
        request: impl FnOnce(mpsc::SyncSender<io::Result<T>>) -> SocketRequest,
    ) -> io::Result<T> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.endpoint(vpc)?.mailbox.request(request(reply))?;
        match answer.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(io::Error::new(io::ErrorKind::NotFound, format!("{vpc} has just been removed")))
            }
        }
    }
}

const UNPOISONED: &str = "nothing that can panic is done while the map is held";

/// Makes a listener in the calling thread's namespace.
pub(crate) fn listen_here(addr: SocketAddr, how: Listening) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(how != Listening::Alone)?;
    if how == Listening::Transparent {
        socket.set_ip_transparent_v4(true)?;
    }
    socket.set_tcp_mss(SEGMENT)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Limits how many bytes the other side of a TCP socket may send before they are read to `bytes` (`TCP_WINDOW_CLAMP`).
/// What it may send already stays allowed, and the kernel grants more again when it enlarges the socket's buffer.
///
/// # Errors
/// What setsockopt(2) says.
pub fn limit_window(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, bytes)
}

/// setsockopt(2), for options of which `value` is an `int`.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed for the call; pointer and length describe `value`, alive for the call.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(&value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a UDP socket in the calling thread's namespace.
pub(crate) fn bind_udp_here(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window_clamp(socket: &TcpStream) -> libc::c_int {
        let (mut value, mut size) = (0, size_of::<libc::c_int>() as libc::socklen_t);
        // SAFETY: the descriptor is open; both pointers are to values alive for the call.
        let outcome = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_WINDOW_CLAMP,
                std::ptr::from_mut(&mut value).cast(),
                &raw mut size,
            )
        };
        assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
        value
    }

    #[test]
    fn a_window_is_limited_and_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for bytes in [20_000, 1 << 30] {
            limit_window(socket.as_fd(), bytes).unwrap();
            assert_eq!(window_clamp(&socket), bytes.cast_signed());
        }
    }
}
