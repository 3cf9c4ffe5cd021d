//! The keys that identity providers sign their tokens with: fetched as OpenID Connect Discovery says, kept, and looked
//! for again when a token names one that is not among them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex as AsyncMutex;
use trellis_auth::jwt::Jwks;
use trellis_frame::BoxFuture;

/// A document, or why there is none.
pub type Fetched = BoxFuture<'static, Result<Vec<u8>, String>>;

/// Gets what is at an `https` URL over verified TLS: at most [`MAX_ANSWER`] bytes, within seconds.
#[derive(Clone)]
pub struct HttpsGet(Arc<dyn Fn(String) -> Fetched + Send + Sync>);

/// The longest document of an issuer, in bytes.
pub const MAX_ANSWER: usize = 256 * 1024;

/// How long keys are good before they are fetched again.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(10);

/// How long nothing is fetched from an issuer after an attempt, whoever asks and whatever its tokens name.
const AT_MOST_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// Issuers that are remembered.
const ISSUERS: usize = 1000;

/// Reaches nobody.
impl Default for HttpsGet {
    fn default() -> Self {
        Self::none()
    }
}

impl HttpsGet {
    pub fn new(get: impl Fn(String) -> Fetched + Send + Sync + 'static) -> Self {
        Self(Arc::new(get))
    }

    /// What is at `url`.
    pub fn get(&self, url: String) -> Fetched {
        (self.0)(url)
    }

    /// Reaches nobody.
    pub fn none() -> Self {
        Self::new(|_| Box::pin(std::future::ready(Err("nothing is fetched here".to_owned()))))
    }
}

impl fmt::Debug for HttpsGet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpsGet")
    }
}

/// The keys of every issuer that was asked for. An extension of the frame's surroundings.
#[derive(Debug)]
pub struct IssuerKeys {
    get: HttpsGet,
    issuers: Mutex<HashMap<String, Arc<AsyncMutex<Issuer>>>>,
}

/// Of one issuer; locked while its keys are being fetched, so that callers at once fetch once.
#[derive(Debug, Default)]
struct Issuer {
    keys: Option<Arc<Jwks>>,
    fetched_at: Option<Timestamp>,
    attempted_at: Option<Timestamp>,
    /// Why the last attempt gave nothing.
    fault: String,
}

impl IssuerKeys {
    pub fn new(get: HttpsGet) -> Self {
        Self { get, issuers: Mutex::default() }
    }

    /// The keys of the issuer at `https://{url}`; newer ones than `not` where they can be had.
    ///
    /// # Errors
    /// An issuer that cannot be reached or answers with something else.
    pub(crate) async fn of(
        &self,
        url: &str,
        now: Timestamp,
        not: Option<&Arc<Jwks>>,
    ) -> Result<Arc<Jwks>, String> {
        let issuer = {
            let mut issuers = self.issuers.lock().expect("nothing panics while it holds it");
            if issuers.len() >= ISSUERS && !issuers.contains_key(url) {
                issuers.clear();
            }
            issuers.entry(url.to_owned()).or_default().clone()
        };
        let mut issuer = issuer.lock().await;
        let is_within = |at: Option<Timestamp>, time| at.is_some_and(|at| now.duration_since(at) < time);
        let is_good = is_within(issuer.fetched_at, GOOD_FOR)
            && issuer.keys.as_ref().is_some_and(|keys| not.is_none_or(|not| !Arc::ptr_eq(keys, not)));
        if !is_good && !is_within(issuer.attempted_at, AT_MOST_EVERY) {
            issuer.attempted_at = Some(now);
            match self.fetch(url).await {
                Ok(keys) => {
                    issuer.keys = Some(Arc::new(keys));
                    issuer.fetched_at = Some(now);
                }
                Err(fault) => issuer.fault = fault,
            }
        }
        // Keys from before are better than none while the issuer is away, but not for ever.
        let is_usable = is_within(issuer.fetched_at, GOOD_FOR * 6);
        issuer.keys.clone().filter(|_| is_usable).ok_or_else(|| issuer.fault.clone())
    }

    async fn fetch(&self, url: &str) -> Result<Jwks, String> {
        let described = (self.get.0)(format!("https://{url}/.well-known/openid-configuration")).await?;
        let described: serde_json::Value = serde_json::from_slice(&described)
            .map_err(|error| format!("its configuration is not JSON: {error}"))?;
        let text = |member: &str| described.get(member).and_then(serde_json::Value::as_str);
        // "The issuer value returned MUST be identical to the Issuer URL that was used".
        let issuer = text("issuer").and_then(|issuer| issuer.strip_prefix("https://")).unwrap_or_default();
        if issuer.strip_suffix('/').unwrap_or(issuer) != url {
            return Err(format!("its configuration is of the issuer {:?}", text("issuer")));
        }
        let keys = text("jwks_uri").filter(|uri| uri.starts_with("https://"));
        let keys = keys.ok_or("its configuration has no jwks_uri that begins with https://")?;
        Jwks::parse(&(self.get.0)(keys.to_owned()).await?).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// An issuer with a key, and how often it was asked.
    fn keys(issuer: &'static str) -> (IssuerKeys, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let get = HttpsGet::new(move |url| {
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = if url.ends_with("/.well-known/openid-configuration") {
                format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://a.example/keys"}}"#)
            } else {
                // RFC 7515, A.3.
                r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","alg":"ES256","use":"sig",
                    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#
                    .to_owned()
            };
            Box::pin(std::future::ready(Ok(answer.into_bytes())))
        });
        (IssuerKeys::new(get), count)
    }

    #[tokio::test]
    async fn keys_are_fetched_once_and_again_for_a_key_that_is_new() {
        let (keys, count) = keys("https://a.example/id/");
        let now = Timestamp::UNIX_EPOCH;
        let first = keys.of("a.example/id", now, None).await.unwrap();
        let again = keys.of("a.example/id", now + SignedDuration::from_secs(60), None).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(count.load(Ordering::Relaxed), 2);
        // Tokens with keys that nobody has make nobody fetch without end.
        keys.of("a.example/id", now + SignedDuration::from_secs(5), Some(&first)).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 2);
        let newer = keys.of("a.example/id", now + SignedDuration::from_secs(61), Some(&first)).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &newer));
        assert_eq!(count.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn the_configuration_of_another_issuer_is_refused() {
        let (keys, _) = keys("https://b.example");
        let fault = keys.of("a.example", Timestamp::UNIX_EPOCH, None).await.unwrap_err();
        assert!(fault.contains("b.example"), "{fault}");
    }
}
