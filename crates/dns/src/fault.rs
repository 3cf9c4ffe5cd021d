//! A fault that a test of the whole instance asks for. No release build has it.

use std::sync::atomic::{AtomicBool, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(false);

/// Whether what serves a resolver's UDP socket panics as it begins, and at a question.
pub fn set(broken: bool) {
    BROKEN.store(broken, Ordering::Relaxed);
}

pub(crate) fn point() {
    assert!(!BROKEN.load(Ordering::Relaxed), "a test asked for this");
}
