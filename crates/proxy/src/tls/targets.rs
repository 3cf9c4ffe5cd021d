//! TLS towards targets: the certificate they show is taken as it is.
//!
//! "The target certificate is not validated: expired and self-signed are fine" (VPC Lattice user
//! guide), so neither is the signature made with it: who is in a position to be the target can
//! always make one.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use trellis_model::health::ProtocolVersion;

use crate::stream::{Scratch, TlsStream};

/// How targets are met: one configuration for each protocol offered to them.
#[derive(Debug)]
pub(crate) struct TargetTls {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl TargetTls {
    /// # Errors
    /// The library refuses the policy.
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Result<Self, rustls::Error> {
        let mut http1 = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        let mut http2 = http1.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { http1: Arc::new(http1), http2: Arc::new(http2) })
    }

    /// A connection over `socket` whose handshake has not begun. `name` is the one the client asked
    /// for, so that a target with several certificates, or a proxy of its own, finds its way;
    /// without one no name is sent.
    ///
    /// # Errors
    /// The library refuses, which it has no reason to.
    pub(crate) fn begin(
        &self,
        socket: TcpStream,
        name: Option<&str>,
        address: IpAddr,
        version: ProtocolVersion,
        scratch: Rc<Scratch>,
    ) -> io::Result<Box<TlsStream>> {
        let config = match version {
            ProtocolVersion::Http1 => &self.http1,
            ProtocolVersion::Http2 | ProtocolVersion::Grpc => &self.http2,
        };
        let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let name = name.unwrap_or_else(|| ServerName::IpAddress(address.into()));
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Box::new(TlsStream::new(socket, session, Vec::new(), scratch)))
    }
}

/// Takes everybody for who they say they are.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
