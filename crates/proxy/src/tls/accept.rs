//! Step 3 of a request: TLS. The name a client asks for decides which service answers and with
//! which certificate, before anything is answered.
//!
//! The hello is read into the client's own buffer, which bounds it, and stays there until it is
//! known whose it is: a passthrough target gets it as it came. Until then only its name matters, and
//! [`client_hello`](super::client_hello) reads that; the TLS library sees hellos of HTTPS services alone.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rustls::server::Acceptor;
use rustls::{CommonState, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};
use trellis_model::snapshot::ListenerProtocol;

use super::Outcome;
use super::client_hello::{Hello, Reader, ServerName};
use super::refuse::{Alert, Refusal};
use crate::client::{Client, Interrupted};
use crate::clock::Millis;
use crate::passthrough::{self, Passing};
use crate::record::{Record, write_member};
use crate::stream::{Stream, TlsStream};
use crate::view::Door;
use crate::watchdog::Alarm;
use crate::worker::Worker;

/// What client and listener agreed on.
#[derive(Debug)]
pub(crate) struct Agreed {
    /// Members of the access log's lines.
    pub(crate) log: Box<[u8]>,
    /// HTTP/2; otherwise HTTP/1.1.
    pub(crate) http2: bool,
}

impl Agreed {
    /// What is known when nothing has been agreed on: perhaps the name that was asked for.
    pub(crate) fn nothing(name: &str) -> Box<Self> {
        Box::new(Self { log: members("-", "-", name), http2: false })
    }

    fn of(session: &CommonState, name: &str) -> Box<Self> {
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "-",
        };
        let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        let log = members(version, suite.map_or("-", openssl_name), name);
        Box::new(Self { log, http2: session.alpn_protocol() == Some(b"h2") })
    }
}

fn members(version: &str, cipher: &str, name: &str) -> Box<[u8]> {
    let mut log = Vec::new();
    for (member, value) in [("tlsVersion", version), ("sslCipher", cipher), ("serverNameIndication", name)] {
        write_member(&mut log, member, value);
    }
    log.into()
}

/// The name OpenSSL, and so the documentation of VPC Lattice, has for a cipher suite.
fn openssl_name(suite: &'static str) -> &'static str {
    match suite {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => "ECDHE-ECDSA-AES256-GCM-SHA384",
        other => other,
    }
}

/// What a client's first bytes are.
#[expect(clippy::large_enum_variant, reason = "it is on the stack, for a moment: a box would cost more")]
enum First {
    /// A whole hello, with the name it asks for.
    Hello(Option<ServerName>),
    Http,
}

/// Whose a hello is.
enum Owner {
    Https(Arc<ServerConfig>),
    Passthrough(Passing),
}

/// Takes `client`, who has come through a door for TLS, through its handshake. `None`: there is no
/// more to do for it.
pub(crate) async fn admit(worker: &Rc<Worker>, mut client: Client, door: Door) -> Option<Client> {
    let mut record = Record::without_request(worker.clock.now(), worker.random.uuid());
    let patience = worker.limits.handshake_timeout.as_millis() as Millis;
    client.watched.arm(worker.clock.coarse().saturating_add(patience));
    let refusal = match read_hello(worker, &mut client).await {
        Ok(First::Http) if door.http => return Some(client),
        Ok(First::Http) => Refusal::new(Outcome::PlainHttp),
        Ok(First::Hello(name)) => {
            let name = name.as_ref().map(ServerName::as_str);
            match owner(worker, &client, name, &mut record) {
                Ok(Owner::Https(config)) => {
                    match shake_hands(worker, client, config, name.unwrap_or_default()).await {
                        Ok(client) => return Some(client),
                        Err((returned, refusal)) => {
                            client = *returned;
                            refusal
                        }
                    }
                }
                Ok(Owner::Passthrough(passing)) => {
                    worker.cells.handshakes[Outcome::Passed as usize].add(1);
                    client.tls = Some(Agreed::nothing(name.unwrap_or_default()));
                    passthrough::serve(worker, client, record, passing).await;
                    return None;
                }
                Err(refusal) => {
                    client.tls = name.map(Agreed::nothing);
                    refusal
                }
            }
        }
        Err(refusal) => refusal,
    };
    refusal.carry_out(worker, client, record).await;
    None
}

/// Reads until there is a whole hello, or until it is clear that there will be none.
async fn read_hello(worker: &Worker, client: &mut Client) -> Result<First, Refusal> {
    let mut reader = Reader::default();
    loop {
        match client.read(worker).await {
            Ok(1..) => {}
            Ok(0) | Err(Interrupted::Io(_)) => return Err(Refusal::new(Outcome::Closed)),
            Err(Interrupted::Alarm(alarm)) => return Err(Refusal::from(alarm)),
        }
        let unread = client.inbox.unread();
        if let Some(b'A'..=b'Z') = unread.first() {
            return Ok(First::Http);
        }
        match reader.read(unread) {
            Ok(Hello::Name(name)) => return Ok(First::Hello(Some(name))),
            Ok(Hello::NoName) => return Ok(First::Hello(None)),
            Ok(Hello::NeedMore) if client.inbox.has_room() => {}
            Ok(Hello::NeedMore) => return Err(Refusal::alert(Outcome::Malformed, Alert::DECODE_ERROR)),
            Err(malformed) => {
                tracing::debug!(%malformed, peer = %client.peer, "refused a hello");
                return Err(Refusal::alert(Outcome::Malformed, malformed.alert()));
            }
        }
    }
}

/// The listener whose service has `name`, within the client's network and on its port. The name of
/// a passthrough listener is its custom domain and nothing else.
fn owner(
    worker: &Worker,
    client: &Client,
    name: Option<&str>,
    record: &mut Record,
) -> Result<Owner, Refusal> {
    let Some(name) = name else {
        // "Servers requiring this extension SHOULD respond to a ClientHello lacking a server_name
        // extension by terminating the connection with a missing_extension alert" (RFC 8446, 9.2).
        return Err(Refusal::alert(Outcome::NoServerName, Alert::MISSING_EXTENSION));
    };
    let unknown = || Refusal::alert(Outcome::UnknownName, Alert::UNRECOGNIZED_NAME);
    let view = worker.view();
    let entrance = &client.watched.entrance;
    let ingress = view.snapshot.ingresses.get(&entrance.vpc).ok_or_else(unknown)?;
    let service = ingress.network.hosts.get(name).ok_or_else(unknown)?;
    let listener = service.listener(entrance.port).ok_or_else(unknown)?;
    let site = || view.site(&worker.states, entrance, ingress, service, listener);
    match listener.protocol {
        ListenerProtocol::Http => Err(unknown()),
        ListenerProtocol::TlsPassthrough if name == &*service.dns_name => Err(unknown()),
        ListenerProtocol::TlsPassthrough => {
            record.enter(site());
            Ok(Owner::Passthrough(Passing::new(&view, ingress, service, listener)))
        }
        ListenerProtocol::Https => {
            let mut certificates = service.certificates.iter();
            let certificate = certificates.find(|(known, _)| **known == *name);
            match certificate.and_then(|(_, certificate)| worker.tls.listener(service, certificate)) {
                Some(config) => Ok(Owner::Https(config)),
                None => {
                    record.enter(site());
                    Err(Refusal::alert(Outcome::NoCertificate, Alert::UNRECOGNIZED_NAME))
                }
            }
        }
    }
}

/// The handshake. The client comes back either way.
async fn shake_hands(
    worker: &Worker,
    client: Client,
    config: Arc<ServerConfig>,
    name: &str,
) -> Result<Client, (Box<Client>, Refusal)> {
    let (session, taken) = match begin(client.inbox.unread(), config) {
        Ok(begun) => begun,
        Err(refusal) => {
            return Err((Box::new(Client { tls: Some(Agreed::nothing(name)), ..client }), refusal));
        }
    };
    let Client {
        stream,
        mut inbox,
        watched,
        peer,
        address,
        idle_timeout,
        ended,
        tls: _,
        files,
        session: memory,
    } = client;
    let rest = inbox.unread()[taken..].to_vec();
    inbox.release(&worker.buffers);
    let mut stream = match stream {
        Stream::Tcp(socket) => Box::new(TlsStream::new(socket, session, rest, worker.tls.scratch.clone())),
        Stream::Tls(stream) => stream,
    };
    let done = poll_fn(|cx| match stream.poll_handshake(cx) {
        Poll::Ready(done) => Poll::Ready(done.map_err(Interrupted::Io)),
        Poll::Pending => watched.wait(cx),
    })
    .await;
    let resumed = stream.session().handshake_kind() == Some(HandshakeKind::Resumed);
    let tls = match done {
        Ok(()) => Agreed::of(stream.session(), name),
        Err(_) => Agreed::nothing(name),
    };
    let stream = Stream::Tls(stream);
    let tls = Some(tls);
    let client =
        Client { stream, inbox, watched, peer, address, idle_timeout, ended, tls, files, session: memory };
    let refusal = match done {
        Ok(()) => {
            let outcome = if resumed { Outcome::Resumed } else { Outcome::Full };
            worker.cells.handshakes[outcome as usize].add(1);
            return Ok(client);
        }
        // The session has sent the alert.
        Err(Interrupted::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::debug!(%error, peer = %client.peer, "a handshake failed");
            Refusal::new(Outcome::NotAgreed)
        }
        Err(Interrupted::Io(_)) => Refusal::new(Outcome::Closed),
        Err(Interrupted::Alarm(alarm)) => Refusal::from(alarm),
    };
    Err((Box::new(client), refusal))
}

/// The session that `hello`, which is whole, begins, and how many bytes it took for that.
fn begin(hello: &[u8], config: Arc<ServerConfig>) -> Result<(ServerConnection, usize), Refusal> {
    let mut acceptor = Acceptor::default();
    let mut rest = hello;
    loop {
        let Ok(1..) = acceptor.read_tls(&mut rest) else {
            return Err(Refusal::alert(Outcome::Malformed, Alert::DECODE_ERROR));
        };
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let session = accepted.into_connection(config);
                let refused = |(error, alert)| Refusal::by_library(Outcome::NotAgreed, error, alert);
                return Ok((session.map_err(refused)?, hello.len() - rest.len()));
            }
            Ok(None) => {}
            Err((error, alert)) => {
                let unable = matches!(error, rustls::Error::PeerIncompatible(_));
                let outcome = if unable { Outcome::NotAgreed } else { Outcome::Malformed };
                return Err(Refusal::by_library(outcome, error, alert));
            }
        }
    }
}

impl From<Alarm> for Refusal {
    fn from(alarm: Alarm) -> Self {
        Self::new(match alarm {
            Alarm::Deadline | Alarm::Lifetime => Outcome::TimedOut,
            Alarm::Cut => Outcome::Cut,
        })
    }
}
