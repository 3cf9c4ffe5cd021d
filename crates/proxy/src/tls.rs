//! What a worker knows of TLS: whose certificate answers for which name, and how targets are met.
//!
//! Listeners speak TLS 1.2 and 1.3 with the cipher suites of VPC Lattice's policy that are safe
//! today: its RSA key exchange and CBC suites are left out, its order is kept. Targets are met with
//! the same policy, and their certificates are not checked, as in VPC Lattice.

mod accept;
pub mod client_hello;
mod outcome;
mod refuse;
mod targets;

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suites, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ProducesTickets, ResolvesServerCertUsingSni};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SupportedCipherSuite};
use trellis_model::ServiceId;
use trellis_model::snapshot::{Certificate, Service, Snapshot};

use crate::stream::Scratch;

pub(crate) use accept::{Agreed, admit};
pub(crate) use outcome::Outcome;
pub(crate) use refuse::Alert;
pub(crate) use targets::TargetTls;

/// TLS 1.2 and 1.3, first choice first. "TLS 1.2 suites, server order" (VPC Lattice user guide),
/// each with its twin for ECDSA keys.
const SUITES: [SupportedCipherSuite; 7] = [
    suites::TLS13_AES_128_GCM_SHA256,
    suites::TLS13_AES_256_GCM_SHA384,
    suites::TLS13_CHACHA20_POLY1305_SHA256,
    suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/// Key exchanges, first choice first: one key share before the post-quantum hybrid, whose handshake costs more. Said
/// here because the features that other crates ask of rustls turn its own order around.
const GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1, kx_group::X25519MLKEM768];

/// "server preference `h2, http/1.1`; no ALPN -> HTTP/1.1".
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The ciphers, key exchanges and signatures of both sides.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: SUITES.to_vec(),
        kx_groups: GROUPS.to_vec(),
        ..aws_lc_rs::default_provider()
    })
}

/// One worker's TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) scratch: Rc<Scratch>,
    pub(crate) targets: TargetTls,
    /// Everything of a listener's configuration but its certificate and tickets.
    listener: ServerConfig,
    tickets: Arc<Tickets>,
    /// By service and the address of its certificate, which stands still while it is held here.
    known: RefCell<FxHashMap<(ServiceId, usize), Known>>,
}

/// A certificate in use; `None` when it cannot be used.
#[derive(Debug)]
struct Known {
    _held: Arc<Certificate>,
    config: Option<Arc<ServerConfig>>,
}

impl Tls {
    /// # Errors
    /// The library refuses the policy, or there is no randomness.
    pub(crate) fn new(tickets: Arc<Tickets>) -> Result<Self, rustls::Error> {
        let provider = provider();
        let mut listener = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        listener.ignore_client_order = true;
        listener.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        // Tickets carry what a resumption needs; nothing is kept here.
        listener.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self {
            scratch: Rc::default(),
            targets: TargetTls::new(provider)?,
            listener,
            tickets,
            known: RefCell::default(),
        })
    }

    /// How `service` shows itself with `certificate`. `None` when its key or chain is of no use.
    fn listener(&self, service: &Service, certificate: &Arc<Certificate>) -> Option<Arc<ServerConfig>> {
        let key = (service.id.clone(), Arc::as_ptr(certificate).addr());
        match self.known.borrow_mut().entry(key) {
            Entry::Occupied(known) => known.get().config.clone(),
            Entry::Vacant(unknown) => {
                let config = match certified(certificate) {
                    Ok(certified) => {
                        let mut config = self.listener.clone();
                        config.cert_resolver = Arc::new(SingleCertAndKey::from(certified));
                        if let Some(tickets) = self.tickets.of(&service.id) {
                            config.ticketer = tickets;
                        }
                        Some(Arc::new(config))
                    }
                    Err(error) => {
                        tracing::warn!(service = %service.id, %error, "cannot use a certificate");
                        None
                    }
                };
                unknown.insert(Known { _held: certificate.clone(), config: config.clone() });
                config
            }
        }
    }

    /// Forgets certificates the Snapshot no longer has. Connections made with them go on.
    pub(crate) fn retain(&self, snapshot: &Snapshot) {
        let mut known = self.known.borrow_mut();
        if known.is_empty() {
            return;
        }
        let networks = snapshot.ingresses.values().map(|ingress| &ingress.network);
        let used: FxHashSet<(&ServiceId, usize)> = networks
            .flat_map(|network| network.hosts.values())
            .flat_map(|service| {
                let certificates = service.certificates.iter();
                certificates.map(|(_, certificate)| (&service.id, Arc::as_ptr(certificate).addr()))
            })
            .collect();
        known.retain(|(service, address), _| used.contains(&(service, *address)));
    }
}

fn certified(certificate: &Certificate) -> Result<CertifiedKey, rustls::Error> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&certificate.key[..]));
    let key = aws_lc_rs::sign::any_supported_type(&key)?;
    let chain = certificate.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    Ok(CertifiedKey::new(chain, key))
}

/// Keys that seal session tickets, shared by all workers: one set for each service, so that a
/// session with one service is worth nothing at another of the same name. Each is replaced every
/// six hours and forgotten after twelve.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    by_service: Mutex<FxHashMap<ServiceId, Arc<dyn ProducesTickets>>>,
}

impl Tickets {
    /// `None`: there is no randomness, so there are no tickets.
    fn of(&self, service: &ServiceId) -> Option<Arc<dyn ProducesTickets>> {
        let mut all = self.by_service.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(service) {
            return Some(known.clone());
        }
        // Nobody else holds what no configuration uses any more.
        all.retain(|_, tickets| Arc::strong_count(tickets) > 1);
        let made = aws_lc_rs::Ticketer::new().ok()?;
        all.insert(service.clone(), made.clone());
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_one_the_library_takes() {
        let tls = Tls::new(Arc::default()).unwrap();
        assert_eq!(tls.listener.crypto_provider().cipher_suites.len(), SUITES.len());
    }

    #[test]
    fn a_service_keeps_its_ticket_keys_while_somebody_uses_them() {
        let tickets = Tickets::default();
        let [a, b, c] = [1, 2, 3].map(ServiceId::from_random);
        let first = tickets.of(&a).unwrap();
        assert!(Arc::ptr_eq(&first, &tickets.of(&a).unwrap()));
        assert!(!Arc::ptr_eq(&first, &tickets.of(&b).unwrap()));
        tickets.of(&c);
        assert!(tickets.by_service.lock().unwrap().contains_key(&a));
        assert!(!tickets.by_service.lock().unwrap().contains_key(&b));
    }
}
