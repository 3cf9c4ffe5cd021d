//! Tasks that have to run for as long as the process: one that panics is started again.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

/// So that what panics at once, again and again, does not spin.
const PAUSE: Duration = Duration::from_millis(100);

static RESTARTS: AtomicU64 = AtomicU64::new(0);

/// Runs what `start` makes until it ends by itself; where it panics, another is started. Dropped, it ends the task.
pub(crate) async fn supervise<F>(name: &'static str, start: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut task = JoinSet::new();
    loop {
        task.spawn(start());
        match task.join_next().await {
            // The panic hook has told what and where.
            Some(Err(error)) if error.is_panic() => {
                RESTARTS.fetch_add(1, Ordering::Relaxed);
                tracing::error!(name, "a task panicked and is started again");
                tokio::time::sleep(PAUSE).await;
            }
            _ => return,
        }
    }
}

/// Counters as Prometheus text.
pub(crate) fn render_metrics() -> String {
    let mut text =
        "# HELP trellis_task_restarts_total Tasks of the process that panicked and were started again.\n\
                    # TYPE trellis_task_restarts_total counter\n"
            .to_owned();
    let _ = writeln!(text, "trellis_task_restarts_total {}", RESTARTS.load(Ordering::Relaxed));
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_and_one_that_ends_is_not() {
        let starts = Arc::new(AtomicU64::new(0));
        let counter = starts.clone();
        supervise("test", move || {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            async move { assert!(number == 3, "not yet") }
        })
        .await;
        assert_eq!(starts.load(Ordering::Relaxed), 4);
        assert!(render_metrics().ends_with("trellis_task_restarts_total 3\n"));
    }
}
