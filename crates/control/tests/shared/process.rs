//! What a control plane under test starts with: a clock that can be put forward, a store that can be opened again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use trellis_control::{Clock, Config};
use trellis_store::{OpenError, Store};

use crate::client::{KEY_ID, SECRET};

/// Milliseconds a clock is ahead of the machine's.
#[derive(Clone, Default)]
pub(crate) struct Ahead(Arc<AtomicI64>);

impl Ahead {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let ahead = self.clone();
        Clock::new(move || {
            let now = Timestamp::now().as_millisecond() + ahead.0.load(Ordering::SeqCst);
            Timestamp::from_millisecond(now).unwrap()
        })
    }
}

/// AWS's quotas but for those given, the key of [`crate::client`], and a clock of its own.
pub(crate) fn config(quotas: &[(&str, u64)], ahead: &Ahead) -> Config {
    let frame = trellis_frame::Config {
        access_key_id: KEY_ID.into(),
        secret_access_key: SECRET.into(),
        quotas: quotas.iter().map(|(code, limit)| ((*code).to_owned(), *limit)).collect(),
        clock: ahead.clock(),
        ..trellis_frame::Config::default()
    };
    Config { frame, ..Config::default() }
}

/// The store in `dir` once more. The file is closed when the writer has seen that nobody is left.
pub(crate) async fn reopen(dir: &Path) -> Store {
    loop {
        match Store::open(dir) {
            Ok(store) => return store,
            Err(OpenError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    }
}
