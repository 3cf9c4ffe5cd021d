//! A fault that a test of the whole instance asks for. No release build has it.

use std::sync::atomic::{AtomicBool, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(false);

/// Whether the writer panics over its work.
pub fn set(broken: bool) {
    BROKEN.store(broken, Ordering::Relaxed);
}

pub(crate) fn point() {
    assert!(!BROKEN.load(Ordering::Relaxed), "a test asked for this");
}
