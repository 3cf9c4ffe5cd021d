//! Ctrl-C and SIGTERM: the run stops at the next wait, and everything it started is cleaned up on
//! the way out by the owners' `Drop`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use nix::sys::signal::{SigSet, Signal};

/// Whether the user wants the run to stop. Cheap to clone and to ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes SIGINT, SIGTERM and SIGHUP over. Call it before any thread is started: threads inherit
    /// the mask, and so do child processes, which is why those begin with [`Interrupt::unwatch`].
    pub(crate) fn watch() -> anyhow::Result<Self> {
        let signals = signals();
        signals.thread_block().context("blocking signals")?;
        let interrupt = Self::default();
        let flag = interrupt.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            while signals.wait().is_ok() {
                flag.0.store(true, Ordering::Relaxed);
            }
        })?;
        Ok(interrupt)
    }

    /// Gives the signals back their usual effect in a process that [`Interrupt::watch`]'s has started.
    pub(crate) fn unwatch() -> anyhow::Result<()> {
        signals().thread_unblock().context("unblocking signals")
    }

    /// # Errors
    /// When the run is to stop.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }
}

fn signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}
