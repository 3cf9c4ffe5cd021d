//! What settles at once is answered as settled: an answer waits a little for the kernel and the data plane, so that
//! callers who would look again in ten seconds need not.
//!
//! The call has been done by then and holds nothing but a watch of its own record. How long it waits at most is
//! [`Config::settling`](crate::Config::settling); nothing, where nobody acts on Snapshots and plans.

use tokio::time::{Instant, timeout_at};
use trellis_store::Event;

use crate::context::Context;

/// When the answer of a call that is done now goes out at the latest; `None`: at once.
pub fn deadline(ctx: &Context) -> Option<Instant> {
    let longest = ctx.surroundings.settling;
    (!longest.is_zero()).then(|| Instant::now() + longest)
}

/// What `look` finds in the record at `key`, of which there may be none any more, as soon as it finds anything;
/// `None` when that is not before `deadline`.
pub async fn wait<T>(
    ctx: &Context,
    deadline: Instant,
    key: &str,
    look: impl Fn(Option<&[u8]>) -> Option<T>,
) -> Option<T> {
    let follow = async {
        let mut changes = ctx.surroundings.store.watch(key).ok()?;
        loop {
            let found = match changes.next().await.ok()? {
                Event::Resync { entries, .. } => {
                    look(entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_ref()))
                }
                Event::Changes { changes, .. } => {
                    let last = changes.iter().rev().find(|change| change.key == key);
                    last.and_then(|change| look(change.value.as_deref()))
                }
            };
            if found.is_some() {
                return found;
            }
        }
    };
    timeout_at(deadline, follow).await.ok().flatten()
}
