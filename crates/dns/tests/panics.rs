//! A log that panics, as one on a closed stderr may: what a host sends must not end its resolver. A process of its own,
//! because the log is the whole process's.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use trellis_dns::{Bind, Server, ServerOptions, Upstreams};
use trellis_model::VpcId;

struct Loopback;

impl Bind for Loopback {
    fn udp(&self, _vpc: &VpcId, address: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::bind(address)
    }
    fn tcp(&self, _vpc: &VpcId, address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address)
    }
}

/// Panics at every message.
struct Broken;

impl tracing::Subscriber for Broken {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().target().starts_with("hickory")
            || event.metadata().target().starts_with("trellis")
        {
            panic!("stderr is closed");
        }
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_query_that_makes_a_broken_log_panic_does_not_end_the_resolver() {
    tracing::subscriber::set_global_default(Broken).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _context = runtime.enter();
    let options = ServerOptions { upstreams: Upstreams::Fixed(Vec::new()), ..ServerOptions::default() };
    let (snapshots, plans) = (watch::channel(Arc::default()).1, watch::channel(Arc::default()).1);
    let server = Server::start(options, snapshots, plans, Loopback);
    let vpc = VpcId::from_random(1);
    let address = (0..50)
        .find_map(|_| {
            let address = UdpSocket::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
            server.add_vpc(&vpc, &[address]).ok().map(|()| address)
        })
        .expect("a free port");

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.connect(address).unwrap();
    // Thirty bytes: OPT whose two bytes of data are no option.
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1];
    query.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 2, 0, 10]);
    let mut reply = [0; 512];
    for _ in 0..3 {
        socket.send(&query).unwrap();
        assert!(socket.recv(&mut reply).unwrap() >= 12, "an answer, whichever");
    }
    assert!(server.ended().is_empty());
    let text = server.render_metrics();
    assert!(text.contains("trellis_dns_panics_total 3\n"), "{text}");
}
