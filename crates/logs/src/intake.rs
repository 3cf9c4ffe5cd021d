//! Takes the lines of the access log and hands each to the subscriptions it belongs to.
//!
//! It runs on the thread that writes the access log, never on that of a request.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use trellis_model::AccessLogSubscriptionId;

use crate::local_file::LocalFile;
use crate::record::Subject;
use crate::routes::{Route, Routes};
use crate::spool::{Spool, lines};

#[derive(Debug)]
pub(crate) struct Intake {
    routes: watch::Receiver<Arc<Routes>>,
    spool: Arc<Spool>,
    desk: Mutex<Desk>,
}

#[derive(Debug, Default)]
struct Desk {
    sorted: FxHashMap<AccessLogSubscriptionId, Pile>,
    files: FxHashMap<AccessLogSubscriptionId, LocalFile>,
    /// The routes `files` was last compared with.
    compared: Arc<Routes>,
}

/// The lines of one subscription among those handed over together.
#[derive(Debug)]
struct Pile {
    route: Route,
    bytes: Vec<u8>,
    lines: u64,
}

impl Intake {
    pub(crate) fn new(routes: watch::Receiver<Arc<Routes>>, spool: Arc<Spool>) -> Self {
        Self { routes, spool, desk: Mutex::default() }
    }

    /// Takes whole lines. They are in the spool, or in a local file, when this returns.
    pub(crate) fn take(&self, chunk: &[u8], now: Timestamp) {
        let routes = self.routes.borrow().clone();
        if routes.is_empty() {
            return;
        }
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let Desk { sorted, files, compared } = &mut *desk;
        for line in lines(chunk) {
            for route in routes.of(&Subject::of(line)) {
                let pile = sorted.entry(route.id.clone()).or_insert_with(|| Pile::new(route));
                pile.bytes.extend_from_slice(line);
                pile.bytes.push(b'\n');
                pile.lines += 1;
            }
        }
        for (id, Pile { route, bytes, lines }) in sorted.drain() {
            match &route.file {
                None => self.spool.append(&id, &bytes, lines, now),
                Some(path) => {
                    let file = files.entry(id).or_insert_with(|| LocalFile::new(path.clone()));
                    write(file, path, &route, &bytes, lines);
                }
            }
        }
        if !Arc::ptr_eq(compared, &routes) {
            // Files of subscriptions that are gone are closed.
            files.retain(|id, _| routes.all().any(|route| route.id == *id));
            *compared = routes;
        }
    }
}

fn write(file: &mut LocalFile, path: &Path, route: &Route, bytes: &[u8], lines: u64) {
    match file.append(bytes) {
        Ok(()) => {
            route.tally.accepted.add(lines);
            route.tally.delivered.add(lines);
            route.tally.is_failing.store(false, Ordering::Relaxed);
        }
        Err(error) => {
            route.tally.dropped.add(lines);
            route.tally.failures.add(1);
            // Once per trouble, not once per chunk.
            if !route.tally.is_failing.swap(true, Ordering::Relaxed) {
                tracing::error!(path = %path.display(), %error, "cannot write an access log; lines are lost");
            }
        }
    }
}

impl Pile {
    fn new(route: &Route) -> Self {
        Self { route: route.clone(), bytes: Vec::new(), lines: 0 }
    }
}

#[cfg(test)]
mod tests;
