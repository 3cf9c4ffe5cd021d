//! What has to run for as long as the proxy does: after a panic it begins anew. The panic hook has told where.
//!
//! Whatever state it was in is dropped with it, so what one connection or one answer did to a worker costs the
//! connections of that worker, and nothing later.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ProxyError;

/// So that what panics at once, again and again, does not spin.
const PAUSE: Duration = Duration::from_millis(20);

/// Told once whether a thread could begin.
pub(crate) type Started = Box<dyn FnOnce(io::Result<()>)>;

/// Threads started so far; each says whether it could begin before the next is started.
#[derive(Default)]
pub(crate) struct Threads {
    all: Vec<JoinHandle<()>>,
    /// How often one has begun anew.
    restarts: Arc<AtomicU64>,
}

impl Threads {
    /// Starts a thread that runs `run` until it returns, and once more whenever it panics.
    pub(crate) fn spawn<F>(&mut self, name: String, run: F) -> Result<(), ProxyError>
    where
        F: Fn(Started) + Send + 'static,
    {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let (restarts, called) = (self.restarts.clone(), name.clone());
        let body = move || {
            let mut tell = Some(tell);
            let mut was_up = false;
            loop {
                let (tell, began) = (tell.take(), Rc::new(Cell::new(false)));
                let begins = began.clone();
                let started: Started = Box::new(move |outcome| {
                    begins.set(outcome.is_ok());
                    match tell {
                        // Whoever started this thread waits for it.
                        Some(tell) => drop(tell.send(outcome)),
                        None => {
                            if let Err(error) = outcome {
                                tracing::error!(%error, "a thread of the data plane cannot begin anew, will go on trying");
                            }
                        }
                    }
                });
                let has_returned = catch_unwind(AssertUnwindSafe(|| run(started))).is_ok();
                was_up |= began.get();
                if !was_up || (has_returned && began.get()) {
                    return;
                }
                restarts.fetch_add(1, Ordering::Relaxed);
                tracing::error!(thread = called, "a thread of the data plane begins anew");
                std::thread::sleep(PAUSE);
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(body).map_err(ProxyError::Worker)?;
        self.all.push(thread);
        let outcome = told.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")));
        outcome.map_err(ProxyError::Worker)
    }

    pub(crate) fn restarts(&self) -> Arc<AtomicU64> {
        self.restarts.clone()
    }

    pub(crate) fn into_handles(self) -> Vec<JoinHandle<()>> {
        self.all
    }
}

/// Runs what `start` makes until it ends by itself; where it panics, another is started, after a `pause`.
pub(crate) async fn whenever_it_panics<F, P>(start: impl Fn() -> F, pause: impl Fn() -> P)
where
    F: Future<Output = ()>,
    P: Future<Output = ()>,
{
    loop {
        let mut task = Box::pin(start());
        let has_ended =
            poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready(true),
                Err(_) => Poll::Ready(false),
            });
        if has_ended.await {
            return;
        }
        drop(task);
        pause().await;
    }
}
