//! Delivers access logs to where their subscriptions say: S3, CloudWatch Logs, Firehose, or local files.
//!
//! [`Delivery::reader`] is given the lines of the access log on the thread that writes it, finds the
//! subscriptions of each (service, service network, resource configuration) and appends it to their spool
//! on disk. A thread of its own ships the spool through the AWS SDK. A segment is removed when
//! its destination has acknowledged it, and is found again by the next process otherwise: records arrive
//! at least once.
//!
//! Nothing here is on the path of a request, and nothing waits for a destination: what cannot be delivered
//! stays in the spool, up to its bound, and is tried again and again.

mod backoff;
mod batch;
mod courier;
mod failure;
mod intake;
mod local_file;
mod metrics;
mod naming;
mod options;
mod record;
mod routes;
mod sdk;
mod shipper;
mod spool;
mod supervisor;
mod tally;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use trellis_model::resource::lattice::AccessLogSubscriptions;

use crate::intake::Intake;
use crate::routes::Routes;
use crate::sdk::Sdk;
use crate::shipper::{Stage, Surroundings};
use crate::spool::Spool;
use crate::supervisor::Supervisor;

pub use metrics::Metrics;
pub use options::{Endpoint, EndpointError, Options};

/// Segments that are in memory at once, over all subscriptions.
const IN_MEMORY: usize = 32;

/// Why the delivery did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot open the log spool {path}")]
    Spool { path: PathBuf, source: io::Error },
    #[error("cannot start the thread that delivers access logs")]
    Thread(#[source] io::Error),
}

/// A running delivery. Dropped without [`Delivery::finish`], it ends where it is; the spool keeps the rest.
#[derive(Debug)]
pub struct Delivery {
    intake: Arc<Intake>,
    routes: watch::Receiver<Arc<Routes>>,
    stage: watch::Sender<Stage>,
    thread: JoinHandle<()>,
}

impl Delivery {
    /// Takes in what an earlier process left in the spool, and starts to deliver for whatever
    /// `subscriptions` holds, now and later.
    ///
    /// # Errors
    /// A spool that cannot be made or read; no thread to be had.
    pub fn start(
        options: Options,
        subscriptions: watch::Receiver<Arc<AccessLogSubscriptions>>,
    ) -> Result<Self, StartError> {
        let spool = Spool::open(&options.spool, options.spool_bytes)
            .map_err(|source| StartError::Spool { path: options.spool.clone(), source })?;
        let spool = Arc::new(spool);
        let first = Routes::new(&subscriptions.borrow(), &options, &spool, &Routes::default());
        let (publish, routes) = watch::channel(Arc::new(first));
        let intake = Arc::new(Intake::new(routes.clone(), spool.clone()));
        let (stage, stages) = watch::channel(Stage::Running);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let surroundings = Surroundings {
            spool,
            sdk: Sdk::new(options.credentials.clone()),
            options: Arc::new(options),
            places: Arc::new(Semaphore::new(IN_MEMORY)),
            stage: stages,
        };
        let supervisor = Supervisor { subscriptions, routes: publish, surroundings };
        let thread = std::thread::Builder::new()
            .name("log-delivery".into())
            .spawn(move || {
                runtime.block_on(supervisor.run());
                // A name that is still being looked up must not hold up the end.
                runtime.shutdown_background();
            })
            .map_err(StartError::Thread)?;
        Ok(Self { intake, routes, stage, thread })
    }

    /// What is to be given the lines of the access log, many whole ones at a time, by one thread. They
    /// are in the spool, or in a local file, when it returns.
    pub fn reader(&self) -> impl Fn(&[u8]) + Send + Sync + 'static {
        let intake = self.intake.clone();
        move |lines| intake.take(lines, jiff::Timestamp::now())
    }

    /// What the delivery has counted; cheap to clone.
    pub fn metrics(&self) -> Metrics {
        Metrics { routes: self.routes.clone() }
    }

    /// Tries once more to deliver everything that was taken, for `limit` at most, and ends. What is left
    /// is delivered after the next start.
    pub async fn finish(self, limit: Duration) {
        let Self { intake: _, routes: _, stage, thread } = self;
        stage.send_replace(Stage::Draining(Instant::now() + limit));
        // A thread that panicked has said so.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

#[cfg(test)]
mod tests;
