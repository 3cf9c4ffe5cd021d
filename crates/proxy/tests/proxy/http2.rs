//! HTTP/2 clients and HTTP/2 targets, made with the codec's own crate, over real sockets.

mod abuse;
mod budget;
mod grpc;
mod health;
mod life;
mod ours;
mod sharing;
mod streams;
mod targets;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use trellis_model::health::ProtocolVersion;
use trellis_model::snapshot::{Action, TargetGroup, TargetProtocol};
use trellis_proxy::Limits;

use crate::secure::{Identity, https, identity, trusting};
use crate::support::*;

/// Runs a test's client side, which must not take for ever.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("hangs") })
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection on which HTTP/2 was agreed.
async fn dial(fixture: &Fixture) -> Box<dyn Io> {
    dial_at(door(fixture)).await
}

/// Where HTTP/2 clients come in.
fn door(fixture: &Fixture) -> SocketAddr {
    fixture.secure_port()
}

async fn dial_at(door: SocketAddr) -> Box<dyn Io> {
    over(tokio::net::TcpStream::connect(door).await.unwrap()).await
}

async fn over(socket: tokio::net::TcpStream) -> Box<dyn Io> {
    try_over(socket).await.unwrap()
}

async fn try_over(socket: tokio::net::TcpStream) -> std::io::Result<Box<dyn Io>> {
    socket.set_nodelay(true)?;
    let config = Arc::new(trusting(&[ours()], &[b"h2", b"http/1.1"]));
    let connector = tokio_rustls::TlsConnector::from(config);
    let stream = connector.connect("a".try_into().unwrap(), socket).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    Ok(Box::new(stream))
}

/// The certificate every service here has.
fn ours() -> &'static Identity {
    static OURS: OnceLock<Identity> = OnceLock::new();
    OURS.get_or_init(|| identity(&["a"]))
}

/// A service with an HTTPS listener.
fn spec(name: &'static str, action: Action) -> ServiceSpec {
    https(name, ours(), action)
}

/// A client, and what becomes of its connection.
pub(crate) struct Http2 {
    sender: SendRequest<Bytes>,
    ended: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// What came back, all of it.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http2 {
    pub(crate) async fn connect(fixture: &Fixture) -> Self {
        Self::with(fixture, &h2::client::Builder::new()).await
    }

    async fn with(fixture: &Fixture, builder: &h2::client::Builder) -> Self {
        Self::over(dial(fixture).await, builder).await
    }

    /// From another address of this machine.
    async fn from(address: Ipv4Addr, fixture: &Fixture) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.into(), 0)).unwrap();
        let socket = socket.connect(door(fixture)).await.unwrap();
        Self::over(over(socket).await, &h2::client::Builder::new()).await
    }

    async fn over(io: Box<dyn Io>, builder: &h2::client::Builder) -> Self {
        let (sender, connection) = builder.handshake(io).await.unwrap();
        Self { sender, ended: tokio::spawn(connection) }
    }

    /// Begins a request whose body follows.
    async fn begin(&mut self, request: Request<()>) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut ready = self.sender.clone().ready().await.unwrap();
        ready.send_request(request, false).unwrap()
    }

    /// A request without a body and its answer.
    async fn call(&mut self, request: Request<()>) -> Result<Answer, h2::Error> {
        let mut ready = self.sender.clone().ready().await?;
        let (answer, _) = ready.send_request(request, true)?;
        read(answer.await?).await
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.call(get("a", path)).await.unwrap()
    }

    /// A request with a body and its answer.
    pub(crate) async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Answer {
        let (answer, mut upload) = self.begin(request("POST", "a", path)).await;
        upload.send_data(body.into(), true).unwrap();
        read(answer.await.unwrap()).await.unwrap()
    }
}

async fn read(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.into_parts();
    let mut data = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        data.extend_from_slice(&piece);
    }
    let trailers = body.trailers().await?;
    Ok(Answer { status: head.status.as_u16(), fields: head.headers, body: data, trailers })
}

fn request(method: &str, host: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("https://{host}{path}")).body(()).unwrap()
}

fn get(host: &str, path: &str) -> Request<()> {
    request("GET", host, path)
}

/// A proxy whose service "a" does `action` for HTTP/2 clients.
pub(crate) fn fixture(action: Action) -> Fixture {
    Fixture::new(world(vec![spec("a", action)]))
}

/// One whose service forwards to an HTTP/1.1 target.
fn before(target: &TestTarget) -> Fixture {
    fixture(forward(&group(1, &[target.address])))
}

/// A target group that speaks `version`.
pub(crate) fn group_speaking(n: u64, version: ProtocolVersion, addresses: &[SocketAddr]) -> Arc<TargetGroup> {
    group_over(TargetProtocol::Http, n, version, addresses)
}

fn group_over(
    protocol: TargetProtocol,
    n: u64,
    version: ProtocolVersion,
    addresses: &[SocketAddr],
) -> Arc<TargetGroup> {
    let plain = group(n, addresses);
    Arc::new(TargetGroup {
        id: plain.id.clone(),
        arn: plain.arn.clone(),
        vpc: plain.vpc.clone(),
        protocol,
        version,
        health_check: None,
        targets: plain.targets.clone(),
    })
}

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An HTTP/2 server without TLS; each request is served by a function.
struct Http2Target {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<http::request::Parts>>>,
    stop: Arc<tokio::sync::Notify>,
}

impl Http2Target {
    fn new(
        serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Served + Send + Sync + 'static,
    ) -> Self {
        Self::with(h2::server::Builder::new(), None, serve)
    }

    /// With `tls`, one that speaks TLS.
    fn with(
        builder: h2::server::Builder,
        tls: Option<Arc<rustls::ServerConfig>>,
        serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Served + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests: Arc<Mutex<Vec<http::request::Parts>>> = Arc::default();
        let stop = Arc::new(tokio::sync::Notify::new());
        let (counter, seen, stopped, serve) =
            (connections.clone(), requests.clone(), stop.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let accepting = async {
                    loop {
                        let (socket, _) = listener.accept().await.unwrap();
                        counter.fetch_add(1, Ordering::SeqCst);
                        let (serve, seen, builder) = (serve.clone(), seen.clone(), builder.clone());
                        let tls = tls.clone();
                        tokio::spawn(async move {
                            let socket: Box<dyn Io> = match tls.map(tokio_rustls::TlsAcceptor::from) {
                                None => Box::new(socket),
                                Some(acceptor) => match acceptor.accept(socket).await {
                                    Ok(stream) => Box::new(stream),
                                    Err(_) => return,
                                },
                            };
                            let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else {
                                return;
                            };
                            while let Some(Ok((request, respond))) = connection.accept().await {
                                let (parts, body) = request.into_parts();
                                seen.lock().unwrap().push(parts.clone());
                                tokio::spawn(serve(Request::from_parts(parts, body), respond));
                            }
                        });
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    () = stopped.notified() => {}
                }
            });
        });
        Self { address, connections, requests, stop }
    }

    /// Answers with 200 and `body`.
    fn saying(body: &'static str) -> Self {
        Self::new(move |_, mut respond| {
            Box::pin(async move {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
            })
        })
    }

    /// The same over TLS, by a server that speaks `protocols`.
    fn secure(protocols: &[&[u8]], body: &'static str) -> Self {
        let tls = ours().server(protocols);
        Self::with(h2::server::Builder::new(), Some(tls), move |_, mut respond| {
            Box::pin(async move {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
            })
        })
    }

    /// Sends back what it gets, piece by piece, trailers too.
    fn echoing() -> Self {
        Self::new(|request, mut respond| {
            Box::pin(async move {
                let mut body = request.into_body();
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                while let Some(Ok(piece)) = body.data().await {
                    body.flow_control().release_capacity(piece.len()).unwrap();
                    if send(&mut stream, piece).await.is_err() {
                        return;
                    }
                }
                match body.trailers().await {
                    Ok(Some(trailers)) => drop(stream.send_trailers(trailers)),
                    _ => drop(stream.send_data(Bytes::new(), true)),
                }
            })
        })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Target {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// Sends all of `data` as windows allow.
async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), ()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        if stream.capacity() == 0 {
            std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or(())?.map_err(|_| ())?;
            continue;
        }
        let part = data.split_to(stream.capacity().min(data.len()));
        stream.send_data(part, false).map_err(|_| ())?;
    }
    Ok(())
}
