//! Sockets inside VPCs, as the data plane and the resolver ask for them.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use trellis_model::VpcId;
use trellis_model::snapshot::{SERVICE_VIP, SOURCE_IP};
use trellis_net::Sockets;

/// What `trellis-net` offers, in the shape `trellis-proxy` and `trellis-dns` ask for.
#[derive(Clone)]
pub(crate) struct VpcSockets {
    sockets: Sockets,
}

impl VpcSockets {
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self { sockets }
    }
}

impl trellis_proxy::Network for VpcSockets {
    fn listen(&self, vpc: &VpcId, port: u16) -> io::Result<TcpListener> {
        self.sockets.listen(vpc, SocketAddr::from((SERVICE_VIP, port)), true)
    }

    fn dial(&self, vpc: &VpcId, to: SocketAddr) -> io::Result<TcpStream> {
        self.sockets.dial(vpc, IpAddr::V4(SOURCE_IP), to)
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
