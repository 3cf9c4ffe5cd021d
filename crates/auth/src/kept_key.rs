//! The key a signer derived last: of one credential, one day, one scope, which is all that a signer has at a time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ecdsa::EcdsaPrivateKey;
use crate::parameters::Algorithm;
use crate::signing_key::SigningKey;
use crate::{Credentials, Scope, SecretKey, SignError};

/// A derived key.
pub(crate) enum Key {
    Hmac(SigningKey),
    /// Of all days and regions.
    Ecdsa(EcdsaPrivateKey),
}

/// Keeps the key that signed last. One that is of other credentials, or of another day, takes its place.
#[derive(Default)]
pub struct KeptKey(Mutex<Option<Kept>>);

struct Kept {
    access_key_id: String,
    secret: SecretKey,
    algorithm: Algorithm,
    /// Day, region and service, of SigV4.
    scope: [String; 3],
    key: Arc<Key>,
}

impl fmt::Debug for KeptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptKey").finish_non_exhaustive()
    }
}

impl KeptKey {
    pub(crate) fn key(
        &self,
        credentials: &Credentials,
        algorithm: Algorithm,
        date: &str,
        scope: Scope<'_>,
    ) -> Result<Arc<Key>, SignError> {
        let scope = [date, scope.region, scope.service];
        let id = credentials.access_key_id.as_str();
        let is_same = |kept: &&Kept| {
            kept.algorithm == algorithm
                && kept.access_key_id == id
                && kept.secret == credentials.secret_key
                && (algorithm == Algorithm::Ecdsa || kept.scope == scope)
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(is_same) {
            return Ok(kept.key.clone());
        }
        let secret = &credentials.secret_key;
        let key = Arc::new(match algorithm {
            Algorithm::Hmac => Key::Hmac(SigningKey::derive(secret, scope[0], scope[1], scope[2])),
            Algorithm::Ecdsa => Key::Ecdsa(EcdsaPrivateKey::derive(id, secret).ok_or(SignError::Key)?),
        });
        *kept = Some(Kept {
            access_key_id: id.to_owned(),
            secret: secret.clone(),
            algorithm,
            scope: scope.map(str::to_owned),
            key: key.clone(),
        });
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(id: &str, secret: &str) -> Credentials {
        let secret_key = SecretKey::new(secret).unwrap();
        Credentials { access_key_id: id.parse().unwrap(), secret_key, session_token: None }
    }

    #[test]
    fn a_key_is_kept_for_its_credentials_day_and_scope_alone() {
        let kept = KeptKey::default();
        let scope = |region| Scope { region, service: "vpc-lattice-svcs" };
        let (one, other) = (credentials("A", "one"), credentials("A", "other"));
        for algorithm in [Algorithm::Hmac, Algorithm::Ecdsa] {
            let key =
                |credentials, date, region| kept.key(credentials, algorithm, date, scope(region)).unwrap();
            let first = key(&one, "20260102", "us-east-1");
            assert!(Arc::ptr_eq(&first, &key(&one, "20260102", "us-east-1")));
            let is_for_all = algorithm == Algorithm::Ecdsa;
            assert_eq!(Arc::ptr_eq(&first, &key(&one, "20260103", "us-east-1")), is_for_all);
            assert_eq!(Arc::ptr_eq(&first, &key(&one, "20260103", "eu-west-1")), is_for_all);
            let second = key(&other, "20260103", "eu-west-1");
            assert!(!Arc::ptr_eq(&first, &second));
            assert!(!Arc::ptr_eq(&second, &key(&credentials("B", "other"), "20260103", "eu-west-1")));
        }
    }
}
