//! What serves a socket goes on whatever one query did to it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::metrics::Metrics;

/// So that what panics at once, again and again, does not spin.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs what `start` makes until it ends by itself; where it panics, another is started, and until then it `rests`. The panic
/// hook tells of it.
pub(super) async fn whenever_it_panics<F: Future<Output = ()>>(
    metrics: Arc<Metrics>,
    rests: Arc<AtomicBool>,
    start: impl Fn() -> F,
) {
    loop {
        let mut task = Box::pin(start());
        let has_ended = poll_fn(|context| {
            // Whatever state it was in is dropped with it.
            match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready(true),
                Err(_) => Poll::Ready(false),
            }
        });
        if has_ended.await {
            return;
        }
        metrics.panics.add();
        drop(task);
        rests.store(true, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
        rests.store(false, Ordering::Relaxed);
    }
}
