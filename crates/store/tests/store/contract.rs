//! What every engine promises. Each test takes a [`Place`] where one store lives, so that another
//! engine passes the same suite by naming its own place in `contract_tests!`.

pub(crate) mod reading;
pub(crate) mod transactions;
pub(crate) mod watching;

use std::future::Future;

use trellis_store::{Entry, Read as _, Store, StoreError, TransactError};

/// Somewhere that keeps one store's state: opening it again finds what was there.
pub(crate) trait Place: Sync {
    fn open(&self) -> impl Future<Output = Store> + Send;
}

/// One `#[tokio::test]` for each named function, on a fresh place.
#[macro_export]
macro_rules! contract_tests {
    ($place:expr; $($module:ident: $($name:ident),+ $(,)?;)+) => {$($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            $crate::contract::$module::$name(&$place).await;
        }
    )+)+};
}

pub(crate) async fn put(store: &Store, key: &str, value: &str) {
    let (key, value) = (key.to_owned(), value.to_owned());
    done(store.transact(move |t| {
        t.put(&key, value.clone().into_bytes());
        Ok(())
    }))
    .await;
}

pub(crate) async fn delete(store: &Store, key: &str) {
    let key = key.to_owned();
    done(store.transact(move |t| {
        t.delete(&key);
        Ok(())
    }))
    .await;
}

/// Awaits a transaction that only ends in a commit.
pub(crate) async fn done<T>(transaction: impl Future<Output = Result<T, TransactError<StoreError>>>) -> T {
    transaction.await.unwrap_or_else(|error| panic!("the transaction failed: {error:?}"))
}

pub(crate) fn all(store: &Store) -> Vec<Entry> {
    store.read().unwrap().scan("", None, usize::MAX).unwrap()
}

/// `key=value` words, for comparing at a glance.
pub(crate) fn words(entries: &[Entry]) -> String {
    let word = |entry: &Entry| format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value));
    entries.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Small deterministic numbers, the same on every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
