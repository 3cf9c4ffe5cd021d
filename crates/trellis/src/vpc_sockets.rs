//! Sockets inside VPCs, as the data plane and the resolver ask for them.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::BorrowedFd;

use tokio::runtime::Handle;
use trellis_dns as dns;
use trellis_model::VpcId;
use trellis_model::fabric::LinkLocal;
use trellis_model::snapshot::AddressFamily;
use trellis_net::Sockets;
use trellis_proxy::{Resolved, Resolving};

/// What `trellis-net` offers, in the shape `trellis-dns` asks for.
#[derive(Clone)]
pub(crate) struct VpcSockets {
    sockets: Sockets,
}

impl VpcSockets {
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self { sockets }
    }
}

/// What the data plane asks for: sockets, and the names that hosts of a VPC could ask for.
#[derive(Clone)]
pub(crate) struct DataPlaneNetwork {
    sockets: Sockets,
    resolver: dns::Server,
    /// Where look-ups run: workers have no timers.
    runtime: Handle,
}

impl DataPlaneNetwork {
    pub(crate) fn new(sockets: Sockets, resolver: dns::Server, runtime: Handle) -> Self {
        Self { sockets, resolver, runtime }
    }

    /// The resolver's own address may be asked only by hosts, whatever a target or a name of a resource says.
    fn refuse_resolver(&self, vpc: &VpcId, to: SocketAddr) -> io::Result<()> {
        if !self.resolver.is_resolver(vpc, to.ip()) {
            return Ok(());
        }
        let message = format!("{to} is the resolver of {vpc}, which serves its own hosts alone");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    }
}

/// Where the router of a VPC serves its hosts, metadata for one: it would connect to itself.
fn refuse_link_local(vpc: &VpcId, to: SocketAddr) -> io::Result<()> {
    if !LinkLocal::ALL.iter().any(|own| own.of(AddressFamily::of(to.ip())) == to.ip()) {
        return Ok(());
    }
    let message = format!("{to} is for the hosts of {vpc} themselves");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

impl trellis_proxy::Network for DataPlaneNetwork {
    fn listen(&self, vpc: &VpcId, port: u16) -> io::Result<TcpListener> {
        self.sockets.listen(vpc, SocketAddr::new(AddressFamily::Ipv4.service_vip(), port), true)
    }

    fn listen_ipv6(&self, vpc: &VpcId, port: u16) -> io::Result<TcpListener> {
        self.sockets.listen(vpc, SocketAddr::new(AddressFamily::Ipv6.service_vip(), port), true)
    }

    fn dial(&self, vpc: &VpcId, to: SocketAddr) -> io::Result<TcpStream> {
        // On the path of a request: the resolver is asked, under its lock, only where it could be meant.
        match to.port() {
            dns::PORT => self.refuse_resolver(vpc, to)?,
            LinkLocal::PORT => refuse_link_local(vpc, to)?,
            _ => {}
        }
        self.sockets.dial(vpc, AddressFamily::of(to.ip()).source_ip(), to)
    }

    fn limit_window(&self, socket: BorrowedFd<'_>, bytes: u32) {
        // Only a hint: the connection works as well without.
        let _ = trellis_net::limit_window(socket, bytes);
    }

    fn listen_resources(&self, vpc: &VpcId) -> io::Result<TcpListener> {
        self.sockets.listen_resources(vpc)
    }

    fn dial_from(&self, vpc: &VpcId, source: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
        refuse_link_local(vpc, to)?;
        self.refuse_resolver(vpc, to)?;
        self.sockets.dial(vpc, source, to)
    }

    fn resolve(&self, vpc: &VpcId, name: &str, family: AddressFamily) -> Resolving {
        let (resolver, vpc, name) = (self.resolver.clone(), vpc.clone(), name.to_owned());
        let looked_up = self.runtime.spawn(async move { resolver.resolve(&vpc, &name, family).await });
        Box::pin(async move {
            let dns::Resolved { addresses, ttl } = looked_up.await.map_err(io::Error::other)??;
            Ok(Resolved { addresses, ttl })
        })
    }
}

impl trellis_dns::Bind for VpcSockets {
    fn udp(&self, vpc: &VpcId, address: SocketAddr) -> io::Result<UdpSocket> {
        self.sockets.bind_udp(vpc, address)
    }

    fn tcp(&self, vpc: &VpcId, address: SocketAddr) -> io::Result<TcpListener> {
        self.sockets.listen(vpc, address, false)
    }
}
