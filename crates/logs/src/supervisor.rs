//! Runs a shipper for each subscription that is delivered somewhere, and follows their changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use trellis_model::AccessLogSubscriptionId;
use trellis_model::resource::lattice::{AccessLogSubscription, AccessLogSubscriptions};

use crate::options::Endpoint;
use crate::routes::Routes;
use crate::shipper::{Shipper, Stage, Surroundings};

/// How much a machine that loses its power may lose.
const SYNC: Duration = Duration::from_secs(1);

pub(crate) struct Supervisor {
    pub(crate) subscriptions: watch::Receiver<Arc<AccessLogSubscriptions>>,
    pub(crate) routes: watch::Sender<Arc<Routes>>,
    pub(crate) surroundings: Surroundings,
}

/// A shipper at work.
struct Running {
    subscription: watch::Sender<Option<Arc<AccessLogSubscription>>>,
    task: AbortHandle,
}

impl Supervisor {
    /// Runs until the stage is no longer [`Stage::Running`], then until everything was tried or the
    /// deadline has passed.
    pub(crate) async fn run(mut self) {
        let mut shippers = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut stage = self.surroundings.stage.clone();
        let mut is_told = true;
        let mut sync = tokio::time::interval(SYNC);
        sync.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.apply(&mut shippers, &mut tasks);
        let deadline = loop {
            tokio::select! {
                changed = self.subscriptions.changed(), if is_told => {
                    // Without a sender nothing will change any more: go on with what there is.
                    is_told = changed.is_ok();
                    self.apply(&mut shippers, &mut tasks);
                }
                Some(ended) = tasks.join_next() => self.ended(&mut shippers, ended.ok()),
                _ = sync.tick() => self.sync().await,
                changed = stage.changed() => match (*stage.borrow_and_update(), changed) {
                    (Stage::Draining(deadline), _) => break Some(deadline),
                    // Whoever owned the delivery is gone.
                    (Stage::Running, Err(_)) => break None,
                    (Stage::Running, Ok(())) => {}
                },
            }
        };
        if let Some(deadline) = deadline {
            let all = async { while tasks.join_next().await.is_some() {} };
            if tokio::time::timeout_at(deadline, all).await.is_err() {
                tracing::info!("some access logs are not delivered yet; they are kept for the next start");
            }
        }
        tasks.shutdown().await;
        self.sync().await;
    }

    /// Makes shippers and routes those of the newest subscriptions.
    fn apply(
        &mut self,
        shippers: &mut BTreeMap<AccessLogSubscriptionId, Running>,
        tasks: &mut JoinSet<AccessLogSubscriptionId>,
    ) {
        let newest = self.subscriptions.borrow_and_update().clone();
        let Self { routes, surroundings, .. } = self;
        let Surroundings { options, spool, .. } = &*surroundings;
        let before = routes.borrow().clone();
        // Routes first: nothing is taken any more for what is discarded below.
        routes.send_replace(Arc::new(Routes::new(&newest, options, spool, &before)));
        for (id, subscription) in &newest.by_id {
            let kind = match subscription.destination() {
                Some(destination) => destination.kind(),
                None => continue,
            };
            if *options.endpoint(kind) == Endpoint::Files {
                continue;
            }
            if let Some(running) = shippers.get(id).filter(|running| !running.task.is_finished()) {
                running.subscription.send_if_modified(|known| {
                    let is_new = known.as_ref() != Some(subscription);
                    *known = Some(subscription.clone());
                    is_new
                });
                continue;
            }
            let (sender, receiver) = watch::channel(Some(subscription.clone()));
            let (tally, news) = spool.admit(id);
            let shipper = Shipper {
                id: id.clone(),
                subscription: receiver,
                age: options.interval(kind),
                tally,
                news,
                surroundings: surroundings.clone(),
            };
            let id = id.clone();
            let of = id.clone();
            let task = tasks.spawn(async move {
                shipper.run().await;
                id
            });
            shippers.insert(of, Running { subscription: sender, task });
        }
        for (id, running) in shippers.iter().filter(|(id, _)| !newest.by_id.contains_key(*id)) {
            tracing::debug!(subscription = %id, "gone; what is left of it is tried once more");
            running.subscription.send_if_modified(|known| known.take().is_some());
        }
        for id in spool.subscriptions() {
            if !newest.by_id.contains_key(&id) && !shippers.contains_key(&id) {
                spool.discard(&id);
            }
        }
    }

    /// A shipper ended: of a subscription that is gone, nothing is kept.
    fn ended(
        &self,
        shippers: &mut BTreeMap<AccessLogSubscriptionId, Running>,
        id: Option<AccessLogSubscriptionId>,
    ) {
        let Some(id) = id else { return };
        shippers.remove(&id);
        if !self.subscriptions.borrow().by_id.contains_key(&id) {
            self.surroundings.spool.discard(&id);
        }
    }

    /// On a thread of its own: a disk may take its time.
    async fn sync(&self) {
        let spool = self.surroundings.spool.clone();
        let _ = tokio::task::spawn_blocking(move || spool.sync()).await;
    }
}

#[cfg(test)]
mod tests;
