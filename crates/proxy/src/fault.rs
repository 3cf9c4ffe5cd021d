//! A fault that a test of the whole instance asks for. No release build has it.

use std::sync::atomic::{AtomicBool, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(false);

/// Whether workers panic as they begin, and while they run.
pub fn set(broken: bool) {
    BROKEN.store(broken, Ordering::Relaxed);
}

pub(crate) fn point() {
    assert!(!BROKEN.load(Ordering::Relaxed), "a test asked for this");
}
