//! Sockets opened inside a VPC.
use std::io;
use std::net::{IpAddr, SocketAddr};

use trellis_model::id::VpcId;

/// Opens sockets inside VPCs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sockets;

impl Sockets {
    /// A listening, nonblocking TCP socket inside `vpc`; from any thread.
    pub fn listen(&self, vpc: &VpcId, addr: SocketAddr, reuse_port: bool) -> io::Result<std::net::TcpListener> {
        let _ = (vpc, addr, reuse_port);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A nonblocking UDP socket inside `vpc`; from any thread.
    pub fn bind_udp(&self, vpc: &VpcId, addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
        let _ = (vpc, addr);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A TCP connection begun from `source` inside `vpc`; moves the calling thread into `vpc`.
    pub fn dial(&self, vpc: &VpcId, source: IpAddr, destination: SocketAddr) -> io::Result<std::net::TcpStream> {
        let _ = (vpc, source, destination);
        Err(io::ErrorKind::Unsupported.into())
    }
}
