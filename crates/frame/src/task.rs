//! What runs beside calls: tasks that live as long as the control plane, and their two loops.

use std::sync::Arc;
use std::time::Duration;

use trellis_store::{Event, Store, StoreError, Watch};

use crate::operation::BoxFuture;
use crate::refusal::Refusal;
use crate::surroundings::Surroundings;

/// Between attempts to watch again after the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// Something that has to be done before the first call is served.
pub type Start = fn(Arc<Surroundings>) -> BoxFuture<'static, Result<(), Refusal>>;

/// Something that runs as long as the control plane, and is aborted with it.
#[derive(Clone, Copy)]
pub struct Task {
    /// For logs.
    pub name: &'static str,
    pub run: fn(Arc<Surroundings>) -> BoxFuture<'static, ()>,
}

/// All that is under a prefix of the store and then every change, for ever. When the store fails it begins anew, with
/// all there is, as soon as that is possible.
#[derive(Debug)]
pub struct Changes {
    store: Store,
    prefix: String,
    watch: Option<Watch>,
}

impl Changes {
    pub fn of(store: &Store, prefix: impl Into<String>) -> Self {
        Self { store: store.clone(), prefix: prefix.into(), watch: None }
    }

    /// What comes next; `None` once the store is closed. A dropped future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = match &mut self.watch {
                Some(watch) => watch.next().await,
                None => match self.store.watch(&self.prefix) {
                    Ok(watch) => {
                        self.watch = Some(watch);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match event {
                Ok(event) => return Some(event),
                Err(StoreError::Closed) => return None,
                Err(error) => {
                    tracing::error!(%error, self.prefix, "changes are not seen for now; it is tried again");
                    self.watch = None;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// Does `work` for ever, first after one `period`. A failure is logged and the next time is another try; ends when the
/// store is closed. `what` is a sentence: `certificates could not be looked through`.
pub async fn every<F>(period: Duration, what: &'static str, mut work: impl FnMut() -> F)
where
    F: Future<Output = Result<(), Refusal>>,
{
    loop {
        tokio::time::sleep(period).await;
        match work().await {
            Ok(()) => {}
            Err(Refusal::Store(StoreError::Closed)) => return,
            Err(refusal) => tracing::error!(?refusal, what, "it is tried again"),
        }
    }
}
