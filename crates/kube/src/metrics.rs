//! Prometheus metrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::reconcile::Controller;

/// Outcomes of looks, by kind.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Metrics {
    pub(crate) fn count(&self, kind: &'static str, result: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((kind, result)).or_default() += 1;
    }
}

pub(crate) fn render(controller: &Controller) -> String {
    let mut text = String::from(
        "# HELP trellis_kube_reconcile_total Looks at objects, by kind and by what came of them.\n\
         # TYPE trellis_kube_reconcile_total counter\n",
    );
    for ((kind, result), count) in &*controller.metrics.0.lock().unwrap_or_else(PoisonError::into_inner) {
        let _ = writeln!(text, "trellis_kube_reconcile_total{{kind=\"{kind}\",result=\"{result}\"}} {count}");
    }
    let _ = write!(
        text,
        "# HELP trellis_kube_queue_objects Objects that are looked at or wait for it.\n\
         # TYPE trellis_kube_queue_objects gauge\n\
         trellis_kube_queue_objects {}\n",
        controller.queue.len()
    );
    text
}
