//! Certificates made for a test, and ends of the wire that speak TLS.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use trellis_model::snapshot::{Action, Certificate, ListenerProtocol};
use zeroize::Zeroizing;

use crate::support::{ServiceSpec, TestTarget, Wire, service};

/// A certificate nobody else has signed.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: Arc<Certificate>,
}

pub(crate) fn identity(names: &[&str]) -> Identity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let chain = [made.cert.der().to_vec().into_boxed_slice()];
    let key = Zeroizing::new(made.signing_key.serialize_der());
    Identity { certificate: Arc::new(Certificate { chain: chain.into(), key }) }
}

impl Identity {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.chain[0].to_vec().into()
    }

    /// A server that shows it, and speaks `protocols`.
    pub(crate) fn server(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(self.certificate.key.to_vec().into());
        let mut config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![self.der()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

/// A client that trusts `identities` and offers `protocols`.
pub(crate) fn trusting(identities: &[&Identity], protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for identity in identities {
        roots.add(identity.der()).unwrap();
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config
}

impl Wire {
    /// Connects and shakes hands.
    pub(crate) fn secure(to: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        Self::connect(to).shake_hands(name, config)
    }

    /// Shakes hands over what is connected.
    pub(crate) fn shake_hands(mut self, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut session = ClientConnection::new(config.clone(), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut self.stream)?;
        }
        self.tls = Some(session.into());
        Ok(self)
    }

    /// Sends `bytes` below TLS.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// What the two sides have agreed on.
    pub(crate) fn session(&self) -> &rustls::Connection {
        self.tls.as_ref().expect("a TLS connection")
    }
}

/// A whole hello of a client that asks for `name`, and nothing after it.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let config = Arc::new(trusting(&[], &[]));
    let mut session = ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

/// Client, name and bytes of hellos that were written down; the name is `-` where there is none.
pub(crate) fn hellos_of_real_clients() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    let lines = include_str!("../../src/tls/client_hello/tests/hellos.txt").lines();
    lines.map(|line| {
        let [client, name, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let octet = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (client, name, (0..hex.len()).step_by(2).map(octet).collect())
    })
}

/// The other side of a TLS connection that has just been accepted.
pub(crate) fn accepted(stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Wire> {
    let mut wire = Wire::over(stream);
    let mut session = ServerConnection::new(config.clone()).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut wire.stream)?;
    }
    wire.tls = Some(session.into());
    Ok(wire)
}

/// A target that speaks TLS and answers every request with `body`.
pub(crate) fn secure_target(config: Arc<ServerConfig>, body: &'static str) -> TestTarget {
    TestTarget::answering_over(
        move |wire| accepted(wire.stream, &config).ok(),
        move |_| crate::support::ok(body),
    )
}

/// A service with an HTTPS listener on port 443 and a certificate for its name.
pub(crate) fn https(name: &'static str, identity: &Identity, default: Action) -> ServiceSpec {
    let mut spec = service(name, default);
    spec.port = 443;
    spec.protocol = ListenerProtocol::Https;
    spec.certificates = vec![(name, identity.certificate.clone())];
    spec
}

/// A service with a TLS passthrough listener on port 443 for `custom_domain`.
pub(crate) fn passthrough(name: &'static str, custom_domain: &'static str, default: Action) -> ServiceSpec {
    let mut spec = service(name, default);
    spec.port = 443;
    spec.protocol = ListenerProtocol::TlsPassthrough;
    spec.custom_domain = Some(custom_domain);
    spec
}
