//! What HTTPS listeners show, opened once when its record changes and the same `Arc` until the next change.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use trellis_ca::{Facts, Leaf, SealingKey};
use trellis_frame::vault;
use trellis_model::ServiceId;
use trellis_model::resource::lattice::kind;
use trellis_model::snapshot::Certificate;

/// What one service shows, by lower-case host name.
type Shown = BTreeMap<Box<str>, Opened>;

#[derive(Debug)]
struct Opened {
    /// The end of the sealed bytes, their tag: no two seals have the same.
    tag: [u8; 16],
    certificate: Arc<Certificate>,
}

/// Every certificate that some service shows.
#[derive(Debug)]
pub(super) struct Certificates {
    sealing_key: Arc<SealingKey>,
    shown: FxHashMap<ServiceId, Shown>,
    /// While everything is read anew: what was known before.
    before: FxHashMap<ServiceId, Shown>,
}

impl Certificates {
    pub(super) fn new(sealing_key: Arc<SealingKey>) -> Self {
        Self { sealing_key, shown: FxHashMap::default(), before: FxHashMap::default() }
    }

    /// Forgets everything; what is the same when it comes again stays the same `Arc`.
    pub(super) fn begin_anew(&mut self) {
        self.before = std::mem::take(&mut self.shown);
    }

    /// Everything has come again.
    pub(super) fn end_anew(&mut self) {
        self.before.clear();
    }

    /// Takes in what the store has at `key` now; the service it concerns. `None` for a key that is no
    /// certificate's. What does not open is reported and left out.
    pub(super) fn apply(&mut self, key: &str, value: Option<&[u8]>) -> Option<ServiceId> {
        // lattice/{account}/{region}/certificate/{svc}/{host}
        let mut parts = key.splitn(6, '/').skip(3);
        if parts.next()? != kind::CERTIFICATE {
            return None;
        }
        let service: ServiceId = parts.next()?.parse().ok()?;
        let host = parts.next()?;
        let opened = value.and_then(|sealed| self.open(key, &service, host, sealed));
        let shown = self.shown.entry(service.clone()).or_default();
        match opened {
            Some(opened) => drop(shown.insert(host.into(), opened)),
            None => drop(shown.remove(host)),
        }
        if shown.is_empty() {
            self.shown.remove(&service);
        }
        Some(service)
    }

    fn open(&mut self, key: &str, service: &ServiceId, host: &str, sealed: &[u8]) -> Option<Opened> {
        let tag = sealed.last_chunk().copied().unwrap_or_default();
        let before = self.before.get_mut(service).and_then(|shown| shown.remove(host));
        if let Some(before) = before.filter(|before| before.tag == tag) {
            return Some(before);
        }
        match vault::open(&self.sealing_key, key, sealed) {
            Ok(leaf) => Some(Opened { tag, certificate: Arc::new(certificate(&leaf)) }),
            Err(fault) => {
                let error = &fault as &dyn std::error::Error;
                tracing::error!(key, error, "a stored certificate does not open and is left out");
                None
            }
        }
    }

    /// What `service` shows, by host name.
    pub(super) fn of(&self, service: &ServiceId) -> Box<[(Box<str>, Arc<Certificate>)]> {
        let shown = self.shown.get(service).into_iter().flatten();
        shown.map(|(host, opened)| (host.clone(), opened.certificate.clone())).collect()
    }
}

/// As a handshake shows it: a client has the root already, or does not trust it.
fn certificate(leaf: &Leaf) -> Certificate {
    let mut chain = leaf.chain();
    if let [rest @ .., last] = chain
        && !rest.is_empty()
        && Facts::of(last).is_ok_and(|facts| facts.is_self_issued)
    {
        chain = rest;
    }
    Certificate {
        chain: chain.iter().map(|certificate| certificate.as_ref().into()).collect(),
        key: leaf.key_der().secret_der().to_vec().into(),
    }
}
