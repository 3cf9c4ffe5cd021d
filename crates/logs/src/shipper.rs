//! Delivers what the spool holds for one subscription, segment by segment, for as long as it lasts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use trellis_model::AccessLogSubscriptionId;
use trellis_model::resource::lattice::AccessLogSubscription;

use crate::backoff::Backoff;
use crate::courier::{Courier, Progress};
use crate::failure::Failure;
use crate::options::Options;
use crate::sdk::Sdk;
use crate::spool::{Next, Segment, Spool};
use crate::tally::Tally;

/// The same trouble is told again after so long.
const TELL_AGAIN: Duration = Duration::from_secs(300);

/// Where the delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Running,
    /// One more attempt for everything there is, until then.
    Draining(Instant),
}

/// What every shipper is given.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) spool: Arc<Spool>,
    pub(crate) options: Arc<Options>,
    pub(crate) sdk: Sdk,
    /// Segments in memory at once, over all subscriptions.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) stage: watch::Receiver<Stage>,
}

/// The delivery of one subscription.
#[derive(Debug)]
pub(crate) struct Shipper {
    pub(crate) id: AccessLogSubscriptionId,
    /// `None` once it was deleted.
    pub(crate) subscription: watch::Receiver<Option<Arc<AccessLogSubscription>>>,
    /// How old an open segment gets.
    pub(crate) age: Duration,
    pub(crate) tally: Arc<Tally>,
    pub(crate) news: Arc<Notify>,
    pub(crate) surroundings: Surroundings,
}

/// What the last attempts came to.
#[derive(Debug, Default)]
struct Trouble {
    backoff: Backoff,
    told: Option<(Failure, Instant)>,
}

impl Shipper {
    /// Runs until the subscription is gone or the process ends; then everything is tried once more.
    pub(crate) async fn run(mut self) {
        let mut trouble = Trouble::default();
        let mut progress = Progress::default();
        let mut courier = None;
        loop {
            // Before anything is looked at, so that a change after the look is not missed.
            let Ok(changed) = self.subscription.has_changed() else { return };
            if changed || courier.is_none() {
                let current = self.subscription.borrow_and_update().clone();
                // A subscription that was deleted is brought to where it went last.
                if let Some(subscription) = current {
                    let Some(destination) = subscription.destination() else { return };
                    let Surroundings { options, sdk, .. } = &self.surroundings;
                    match Courier::new(options, sdk, subscription, &destination) {
                        Ok(made) => courier = Some(made),
                        Err(failure) => {
                            tracing::error!(subscription = %self.id, reason = %failure, "cannot be delivered");
                            return;
                        }
                    }
                    progress = Progress::default();
                }
            }
            let Some(courier) = &courier else { return };
            let is_last = self.is_ending();
            let age = if is_last { Duration::ZERO } else { self.age };
            match self.surroundings.spool.next(&self.id, age, Instant::now()) {
                Next::Wait(_) if is_last => return,
                Next::Wait(until) => self.wait(until).await,
                Next::Deliver(segment) => match self.attempt(courier, &segment, &mut progress).await {
                    Ok(()) => {
                        self.surroundings.spool.acknowledge(&self.id);
                        trouble.over(&self.id, &self.tally);
                    }
                    Err(failure) => {
                        self.surroundings.spool.put_back(&self.id);
                        let pause = trouble.again(&self.id, &self.tally, failure);
                        if is_last {
                            return;
                        }
                        self.pause(pause).await;
                    }
                },
            }
        }
    }

    fn is_ending(&self) -> bool {
        *self.surroundings.stage.borrow() != Stage::Running || self.subscription.borrow().is_none()
    }

    async fn attempt(
        &self,
        courier: &Courier,
        segment: &Segment,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let _place = self.surroundings.places.acquire().await.expect("the semaphore is never closed");
        courier.deliver(segment, progress, &self.tally).await
    }

    /// Until there may be something to deliver.
    async fn wait(&mut self, until: Option<Instant>) {
        let old_enough = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.news.notified() => {}
            () = old_enough => {}
            _ = self.subscription.changed() => self.subscription.mark_changed(),
            _ = self.surroundings.stage.changed() => {}
        }
    }

    /// After a failure. A changed destination and the end of the process are worth an attempt at once.
    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.subscription.changed() => self.subscription.mark_changed(),
            _ = self.surroundings.stage.changed() => {}
        }
    }
}

impl Trouble {
    fn over(&mut self, id: &AccessLogSubscriptionId, tally: &Tally) {
        if self.told.is_some() {
            tracing::info!(subscription = %id, "access logs are delivered again");
        }
        tally.is_failing.store(false, Ordering::Relaxed);
        *self = Self::default();
    }

    /// Counts a failure and says how long to wait.
    fn again(&mut self, id: &AccessLogSubscriptionId, tally: &Tally, failure: Failure) -> Duration {
        tally.failures.add(1);
        tally.is_failing.store(true, Ordering::Relaxed);
        let is_known =
            self.told.as_ref().is_some_and(|(told, when)| *told == failure && when.elapsed() < TELL_AGAIN);
        if !is_known {
            tracing::warn!(subscription = %id, reason = %failure, "access logs are not delivered, will go on trying");
            self.told = Some((failure, Instant::now()));
        }
        // Without random bits subscriptions knock together, no more.
        self.backoff.after_failure(getrandom::u64().unwrap_or(u64::MAX))
    }
}
