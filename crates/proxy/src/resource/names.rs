//! Step 3: where a resource with a name is, remembered for as long as its records say.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rustc_hash::FxHashMap;
use trellis_model::VpcId;
use trellis_model::snapshot::AddressFamily;

use crate::clock::Millis;
use crate::watchdog::Watched;
use crate::worker::Worker;

/// Names remembered; when more come, those that have expired are forgotten, and if there are none, all.
const MAX_NAMES: usize = 1024;

/// A name is asked for again at most once a second, and at least every five minutes.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(8);

#[derive(Debug)]
struct Known {
    addresses: Rc<[IpAddr]>,
    expires: Millis,
}

/// Whose question about what.
type Key = (VpcId, Box<str>, AddressFamily);

/// What one worker has learnt.
#[derive(Debug, Default)]
pub(super) struct Names(RefCell<FxHashMap<Key, Known>>);

impl Names {
    fn find(&self, key: &Key, now: Millis) -> Option<Rc<[IpAddr]>> {
        let names = self.0.borrow();
        names.get(key).filter(|known| now < known.expires).map(|known| known.addresses.clone())
    }

    fn learn(&self, key: Key, known: Known, now: Millis) {
        let mut names = self.0.borrow_mut();
        if names.len() >= MAX_NAMES {
            names.retain(|_, known| now < known.expires);
            if names.len() >= MAX_NAMES {
                names.clear();
            }
        }
        names.insert(key, known);
    }
}

/// The addresses of `name` of a family for hosts of `vpc`. `watched` is the connection that waits.
pub(super) async fn resolve(
    worker: &Worker,
    watched: &Watched,
    vpc: &VpcId,
    name: &str,
    family: AddressFamily,
) -> io::Result<Rc<[IpAddr]>> {
    let key = (vpc.clone(), Box::from(name), family);
    if let Some(known) = worker.resources.names.find(&key, worker.clock.coarse()) {
        return Ok(known);
    }
    let mut resolving = (worker.resources.resolve)(vpc, name, family);
    watched.arm(worker.clock.coarse().saturating_add(PATIENCE.as_millis() as Millis));
    let resolved = poll_fn(|cx| {
        if let Poll::Ready(resolved) = resolving.as_mut().poll(cx) {
            return Poll::Ready(resolved);
        }
        watched.register(cx);
        watched.alarm().map_or(Poll::Pending, |_| Poll::Ready(Err(io::ErrorKind::TimedOut.into())))
    })
    .await?;
    let addresses: Rc<[IpAddr]> = resolved.addresses.into();
    let now = worker.clock.coarse();
    let ttl = resolved.ttl.clamp(TTL.0, TTL.1).as_millis() as Millis;
    let known = Known { addresses: addresses.clone(), expires: now.saturating_add(ttl) };
    worker.resources.names.learn(key, known, now);
    Ok(addresses)
}
