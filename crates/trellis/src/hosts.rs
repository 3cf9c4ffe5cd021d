//! What the kernel says of each host, for those who wait for one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use trellis_model::InstanceId;
use trellis_net::FabricEvent;

/// How long a host may take to appear or to go before the one who waits is told.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HostState {
    /// The host's first process, once it can be entered.
    pub(crate) pid: Option<u32>,
    /// Exit code of the detached command, once it has ended.
    pub(crate) exited: Option<i32>,
    pub(crate) failed: Option<String>,
}

/// States by instance, and a counter that moves with every change.
#[derive(Debug)]
pub(crate) struct Hosts {
    states: Mutex<HashMap<InstanceId, HostState>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum WaitError {
    #[error("the host could not be made: {0}")]
    Failed(String),
    #[error("the host is not there after {} seconds; see the log of `trellis up`", PATIENCE.as_secs())]
    TooSlow,
}

impl Hosts {
    pub(crate) fn new() -> Self {
        Self { states: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// Takes note of what the fabric reports.
    pub(crate) fn record(&self, event: &FabricEvent) {
        let mut states = self.states.lock().expect("no panic happens while the states are held");
        match event {
            FabricEvent::HostReady { instance, pid } => {
                states.insert(instance.clone(), HostState { pid: Some(*pid), ..HostState::default() });
            }
            FabricEvent::HostFailed { instance, reason } => {
                states.insert(
                    instance.clone(),
                    HostState { failed: Some(reason.to_string()), ..HostState::default() },
                );
            }
            FabricEvent::HostExited { instance, code } => {
                states.entry(instance.clone()).or_default().exited = Some(*code);
            }
            FabricEvent::HostGone { instance } => {
                states.remove(instance);
            }
            _ => return,
        }
        drop(states);
        self.changed.send_modify(|count| *count += 1);
    }

    /// What is known of a host; nothing yet is the default.
    pub(crate) fn state(&self, instance: &InstanceId) -> HostState {
        let states = self.states.lock().expect("no panic happens while the states are held");
        states.get(instance).cloned().unwrap_or_default()
    }

    /// Waits until the host can be entered; its first process.
    pub(crate) async fn ready(&self, instance: &InstanceId) -> Result<u32, WaitError> {
        self.wait(|| {
            let state = self.state(instance);
            match (state.pid, state.failed) {
                (Some(pid), _) => Some(Ok(pid)),
                (None, Some(reason)) => Some(Err(WaitError::Failed(reason))),
                (None, None) => None,
            }
        })
        .await?
    }

    /// Waits until nothing of the host is left.
    pub(crate) async fn gone(&self, instance: &InstanceId) -> Result<(), WaitError> {
        self.wait(|| (self.state(instance) == HostState::default()).then_some(())).await
    }

    async fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> Result<T, WaitError> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = look() {
                    return found;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.map_err(|_| WaitError::TooSlow)
    }
}
