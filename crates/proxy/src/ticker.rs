//! One thread that tells every worker that a little time has passed.
//!
//! It is all the timers workers have. A timer in a worker's runtime would be armed and cancelled in
//! the kernel each time the worker goes to sleep, which is twice for a request when traffic is low.

use std::io;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::Notify;

/// Time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Ticks until every worker has gone. `started` is told once.
pub(crate) fn run(workers: &[Weak<Notify>], started: impl FnOnce(io::Result<()>)) {
    started(Ok(()));
    loop {
        std::thread::sleep(TICK);
        let mut alive = false;
        for worker in workers.iter().filter_map(Weak::upgrade) {
            worker.notify_one();
            alive = true;
        }
        if !alive {
            return;
        }
    }
}
