//! A network in which every VPC is 127.0.0.1.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Socket, Type};
use trellis_model::VpcId;
use trellis_proxy::Network;

/// An address and the socket that keeps it.
type Reserved = (SocketAddr, Socket);

/// On which address, in which VPC, which port.
type Entrance = (IpAddr, VpcId, u16);

/// Every (VPC, port) is a port of its own on one address, and another on `::1`; every VPC reaches every address.
#[derive(Clone)]
pub(crate) struct LoopbackNetwork {
    address: IpAddr,
    entrances: Arc<Mutex<HashMap<Entrance, Reserved>>>,
    /// VPCs connections were opened from, in order.
    pub(crate) dialled: Arc<Mutex<Vec<(VpcId, SocketAddr)>>>,
    /// Listening fails while this is not zero; each failure takes one.
    pub(crate) refusals: Arc<AtomicUsize>,
    /// The same, with a panic of whoever listens, or dials.
    pub(crate) panics: Arc<AtomicUsize>,
}

impl Default for LoopbackNetwork {
    fn default() -> Self {
        Self::over(Ipv4Addr::LOCALHOST)
    }
}

impl LoopbackNetwork {
    /// With entrances on `address`.
    pub(crate) fn over(address: impl Into<IpAddr>) -> Self {
        Self {
            address: address.into(),
            entrances: Arc::default(),
            dialled: Arc::default(),
            refusals: Arc::default(),
            panics: Arc::default(),
        }
    }

    /// Where clients of `vpc` find `port`.
    pub(crate) fn entrance(&self, vpc: &VpcId, port: u16) -> SocketAddr {
        self.entrance_on(self.address, vpc, port)
    }

    /// Where clients of `vpc` find `port` by IPv6.
    pub(crate) fn ipv6_entrance(&self, vpc: &VpcId, port: u16) -> SocketAddr {
        self.entrance_on(Ipv6Addr::LOCALHOST.into(), vpc, port)
    }

    fn entrance_on(&self, address: IpAddr, vpc: &VpcId, port: u16) -> SocketAddr {
        let mut entrances = self.entrances.lock().unwrap();
        let key = (address, vpc.clone(), port);
        // A bound socket that never listens keeps the port for this test.
        let (address, _) = entrances.entry(key).or_insert_with(|| {
            let socket = reusable(SocketAddr::new(address, 0)).unwrap();
            (socket.local_addr().unwrap().as_socket().unwrap(), socket)
        });
        *address
    }
}

/// Whether one could be taken from a number.
fn take_one(from: &AtomicUsize) -> bool {
    from.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

fn reusable(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Network for LoopbackNetwork {
    fn listen(&self, vpc: &VpcId, port: u16) -> io::Result<TcpListener> {
        assert!(!take_one(&self.panics), "as a test wants it");
        if take_one(&self.refusals) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = reusable(self.entrance(vpc, port))?;
        socket.listen(1024)?;
        Ok(socket.into())
    }

    fn listen_ipv6(&self, vpc: &VpcId, port: u16) -> io::Result<TcpListener> {
        let socket = reusable(self.ipv6_entrance(vpc, port))?;
        socket.listen(1024)?;
        Ok(socket.into())
    }

    fn dial(&self, vpc: &VpcId, to: SocketAddr) -> io::Result<TcpStream> {
        assert!(!take_one(&self.panics), "as a test wants it");
        self.dialled.lock().unwrap().push((vpc.clone(), to));
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(error),
            _ => Ok(socket.into()),
        }
    }
}
