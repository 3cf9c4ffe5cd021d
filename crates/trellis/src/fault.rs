//! Faults that a test of the whole instance asks for: a part of it panics whenever it has something to do. No release build has
//! them.

use std::sync::atomic::{AtomicBool, Ordering};

static API: AtomicBool = AtomicBool::new(false);

/// Breaks a part, or mends it. False: there is no such part.
pub(crate) fn set(part: &str, broken: bool) -> bool {
    match part {
        "api" => API.store(broken, Ordering::Relaxed),
        "store" => trellis_store::fault::set(broken),
        "resolvers" => trellis_dns::fault::set(broken),
        "workers" => trellis_proxy::fault::set(broken),
        _ => return false,
    }
    true
}

/// Whoever accepts connections for the API has accepted one.
pub(crate) fn accepted() {
    assert!(!API.load(Ordering::Relaxed), "a test asked for this");
}
