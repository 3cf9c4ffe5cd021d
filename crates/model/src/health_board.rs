//! The health cells of all registered targets, found by target.
//!
//! The Snapshot builder puts a cell here when a target group in use gets a target and hands the same
//! cell to every Snapshot while the target stays registered; the health checker writes it; ListTargets
//! reads it. When the board's is the only reference left, no request can still be using the target.

use std::sync::{Arc, Mutex};

use crate::TargetGroupId;
use crate::health::{TargetHealth, TargetStatus};
use rustc_hash::FxHashMap;

/// A target within its group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetKey {
    pub id: String,
    /// 0 where the group's type has no ports.
    pub port: u16,
}

type Cells = FxHashMap<TargetGroupId, FxHashMap<TargetKey, Arc<TargetHealth>>>;

/// Shared between the builder, ListTargets and the workflows.
#[derive(Debug, Clone, Default)]
pub struct HealthBoard(Arc<Mutex<Cells>>);

impl HealthBoard {
    /// The cell of a target, made with `status` where there is none.
    pub fn cell(&self, group: &TargetGroupId, key: &TargetKey, status: TargetStatus) -> Arc<TargetHealth> {
        let mut cells = self.lock();
        let group = match cells.get_mut(group) {
            Some(group) => group,
            None => cells.entry(group.clone()).or_default(),
        };
        match group.get(key) {
            Some(cell) => cell.clone(),
            None => group.entry(key.clone()).or_insert(Arc::new(TargetHealth::new(status))).clone(),
        }
    }

    /// What is known of a target; `None` while no Snapshot has held it.
    pub fn status(&self, group: &TargetGroupId, key: &TargetKey) -> Option<TargetStatus> {
        Some(self.lock().get(group)?.get(key)?.status())
    }

    /// Whether anyone but the board holds the target's cell.
    pub fn is_held(&self, group: &TargetGroupId, key: &TargetKey) -> bool {
        let cells = self.lock();
        cells.get(group).and_then(|group| group.get(key)).is_some_and(|cell| Arc::strong_count(cell) > 1)
    }

    /// Forgets one target.
    pub fn forget(&self, group: &TargetGroupId, key: &TargetKey) {
        let mut cells = self.lock();
        if let Some(targets) = cells.get_mut(group) {
            targets.remove(key);
            if targets.is_empty() {
                cells.remove(group);
            }
        }
    }

    /// Forgets a group: gone, out of use, or its health checks were switched on or off.
    pub fn forget_group(&self, group: &TargetGroupId) {
        self.lock().remove(group);
    }

    /// Forgets the targets for which `keep` is false.
    pub fn retain(&self, keep: impl Fn(&TargetGroupId, &TargetKey) -> bool) {
        self.lock().retain(|group, targets| {
            targets.retain(|key, _| keep(group, key));
            !targets.is_empty()
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cells> {
        self.0.lock().expect("nothing panics while it holds the board")
    }
}
