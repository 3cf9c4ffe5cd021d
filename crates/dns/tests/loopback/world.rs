//! A server over real sockets on loopback, and resolvers behind it that the tests write.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::sync::watch;
use trellis_dns::{Bind, Server, ServerOptions, Upstreams};
use trellis_model::fabric::FabricPlan;
use trellis_model::snapshot::{Auth, Ingress, Network, Service, Snapshot};
use trellis_model::{ServiceId, ServiceNetworkId, VpcId};

pub(crate) const CART: &str = "cart-00000000000000001.7d67968.vpc-lattice-svcs.us-east-1.on.aws.";

/// A real wait for something that should come; what should not come is never waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Loopback;

impl Bind for Loopback {
    fn udp(&self, _vpc: &VpcId, address: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::bind(address)
    }
    fn tcp(&self, _vpc: &VpcId, address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address)
    }
}

/// An address whose UDP and TCP ports are both free. Reserved by nobody, so callers retry.
pub(crate) fn free_address() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

pub(crate) fn add(server: &Server, vpc: &VpcId) -> SocketAddr {
    for _ in 0..50 {
        let address = free_address();
        if server.add_vpc(vpc, &[address]).is_ok() {
            return address;
        }
    }
    panic!("no free port for the resolver")
}

pub(crate) fn snapshot() -> Snapshot {
    let name = CART.trim_end_matches('.');
    let service = Arc::new(Service {
        id: ServiceId::from_random(1),
        arn: "arn".into(),
        owner: "111122223333".parse().unwrap(),
        dns_name: name.into(),
        auth: Auth::None,
        tags: Box::default(),
        idle_timeout: Duration::from_secs(60),
        listeners: Box::new([]),
        certificates: Box::new([]),
    });
    let network = Network {
        id: ServiceNetworkId::from_random(1),
        arn: "arn".into(),
        auth: Auth::None,
        hosts: [(name.into(), service)].into_iter().collect(),
        ports: Default::default(),
    };
    let ingress = Ingress {
        vpc: VpcId::from_random(1),
        vpc_arn: "arn".into(),
        vpc_owner: "111122223333".parse().unwrap(),
        has_ipv6: false,
        resources: Default::default(),
        network: Arc::new(network),
    };
    let ingresses = [(VpcId::from_random(1), Arc::new(ingress))].into_iter().collect();
    Snapshot { revision: 1, ingresses, ..Default::default() }
}

/// No hosts anywhere.
pub(crate) fn plans() -> watch::Receiver<Arc<FabricPlan>> {
    watch::channel(Arc::default()).1
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(crate) runtime: tokio::runtime::Runtime,
}

pub(crate) fn world(upstreams: Vec<SocketAddr>) -> World {
    world_with(ServerOptions { upstreams: Upstreams::Fixed(upstreams), ..ServerOptions::default() })
}

pub(crate) fn world_with(options: ServerOptions) -> World {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (snapshots, receiver) = watch::channel(Arc::new(snapshot()));
    let server = {
        let _context = runtime.enter();
        Server::start(options, receiver, plans(), Loopback)
    };
    let address = add(&server, &VpcId::from_random(1));
    World { server, address, snapshots, runtime }
}

pub(crate) fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

pub(crate) fn ask_udp(server: SocketAddr, query: &Message) -> (Message, usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server).unwrap();
    socket.send(&query.to_vec().unwrap()).unwrap();
    let mut buffer = [0; 65535];
    let length = socket.recv(&mut buffer).unwrap();
    (Message::from_vec(&buffer[..length]).unwrap(), length)
}

pub(crate) fn frame(message: &Message) -> Vec<u8> {
    let bytes = message.to_vec().unwrap();
    [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()
}

pub(crate) fn read_frame(stream: &mut TcpStream) -> io::Result<Message> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Ok(Message::from_vec(&bytes).unwrap())
}

pub(crate) fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A resolver on loopback: `udp` and `tcp` turn a query into the datagrams or frames to send back.
/// Its threads end with the test's process.
pub(crate) fn resolver(
    udp: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static,
    tcp: impl Fn(&Message) -> Option<Message> + Send + 'static,
) -> SocketAddr {
    let (socket, listener) = loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
            break (socket, listener);
        }
    };
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 65535];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            for reply in udp(&Message::from_vec(&buffer[..length]).unwrap()) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            if let Ok(query) = read_frame(&mut stream)
                && let Some(reply) = tcp(&query)
            {
                let _ = stream.write_all(&frame(&reply));
            }
        }
    });
    address
}

pub(crate) fn reply_to(query: &Message, last: u8) -> Message {
    let mut reply = Message::new(query.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_available = true;
    reply.add_query(query.queries[0].clone());
    let name = query.queries[0].name.clone();
    reply.add_answer(Record::from_rdata(name, 30, RData::A(A([192, 0, 2, last].into()))));
    reply
}

pub(crate) fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

pub(crate) fn address_in(message: &Message) -> Option<[u8; 4]> {
    match message.answers.first()?.data {
        RData::A(A(address)) => Some(address.octets()),
        _ => None,
    }
}

pub(crate) fn big(query: &Message, strings: usize) -> Message {
    let mut reply = reply_to(query, 1);
    let text = TXT::new(vec!["x".repeat(250); strings]);
    let name = query.queries[0].name.clone();
    reply.answers = vec![Record::from_rdata(name, 30, RData::TXT(text))];
    reply
}
