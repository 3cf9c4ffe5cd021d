//! The key that signs: derived from the secret for one day, region and service.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::SecretKey;

/// Derived key: as good as the secret for its day, so it is wiped like one.
#[derive(Clone)]
pub(crate) struct SigningKey(Zeroizing<[u8; 32]>);

impl SigningKey {
    pub(crate) fn derive(secret: &SecretKey, date: &str, region: &str, service: &str) -> Self {
        let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.expose().len()));
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret.expose().as_bytes());
        let mut key = Zeroizing::new(hmac(&first, &[date.as_bytes()]));
        for step in [region, service, "aws4_request"] {
            let mut next = hmac(&*key, &[step.as_bytes()]);
            *key = next;
            next.zeroize();
        }
        Self(key)
    }

    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        hmac(&*self.0, parts)
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Derived keys of recent callers, so that a busy caller costs one HMAC and not five. Bounded; the
/// oldest half is forgotten when it is full. Only keys that verified a request get in, so nobody
/// without a secret can push others out.
pub struct SigningKeyCache {
    generations: Mutex<Generations>,
    capacity: usize,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Key, Cached>,
    old: HashMap<Key, Cached>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    access_key_id: String,
    date: String,
    region: String,
    service: String,
}

#[derive(Clone)]
struct Cached {
    /// Of the secret that the key was derived from: a replaced secret must not live on here.
    fingerprint: [u8; 32],
    key: SigningKey,
}

impl SigningKeyCache {
    /// Holds at most `capacity` keys, at least 2.
    pub fn new(capacity: usize) -> Self {
        Self { generations: Mutex::default(), capacity: capacity.max(2) }
    }

    pub(crate) fn find(&self, secret: &SecretKey, scope: &CacheScope<'_>) -> Option<SigningKey> {
        let key = scope.key();
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = generations.young.get(&key).or_else(|| generations.old.get(&key))?;
        (cached.fingerprint == fingerprint(secret)).then(|| cached.key.clone())
    }

    pub(crate) fn keep(&self, secret: &SecretKey, scope: &CacheScope<'_>, key: &SigningKey) {
        let cached = Cached { fingerprint: fingerprint(secret), key: key.clone() };
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= self.capacity / 2 {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(scope.key(), cached);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.generations.lock().unwrap();
        generations.young.len() + generations.old.len()
    }
}

impl fmt::Debug for SigningKeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyCache").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

pub(crate) struct CacheScope<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) date: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

impl CacheScope<'_> {
    fn key(&self) -> Key {
        Key {
            access_key_id: self.access_key_id.to_owned(),
            date: self.date.to_owned(),
            region: self.region.to_owned(),
            service: self.service.to_owned(),
        }
    }
}

fn fingerprint(secret: &SecretKey) -> [u8; 32] {
    Sha256::digest(secret.expose().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::hex;

    fn scope(access_key_id: &str) -> CacheScope<'_> {
        CacheScope { access_key_id, date: "20150830", region: "us-east-1", service: "iam" }
    }

    #[test]
    fn the_documented_example_key_is_derived() {
        let secret = SecretKey::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap();
        let key = SigningKey::derive(&secret, "20150830", "us-east-1", "iam");
        assert_eq!(hex(&*key.0), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn a_cached_key_is_not_used_for_another_secret() {
        let cache = SigningKeyCache::new(8);
        let [old, new] = ["old", "new"].map(|secret| SecretKey::new(secret).unwrap());
        cache.keep(&old, &scope("A"), &SigningKey::derive(&old, "20150830", "us-east-1", "iam"));
        assert!(cache.find(&old, &scope("A")).is_some());
        assert!(cache.find(&new, &scope("A")).is_none());
        assert!(cache.find(&old, &scope("B")).is_none());
    }

    #[test]
    fn the_cache_never_holds_more_than_its_capacity() {
        let cache = SigningKeyCache::new(10);
        let secret = SecretKey::new("s").unwrap();
        let key = SigningKey::derive(&secret, "20150830", "us-east-1", "iam");
        for id in 0..100 {
            cache.keep(&secret, &scope(&id.to_string()), &key);
            assert!(cache.len() <= 10);
        }
        assert!(cache.find(&secret, &scope("99")).is_some());
        assert!(cache.find(&secret, &scope("1")).is_none());
    }
}
