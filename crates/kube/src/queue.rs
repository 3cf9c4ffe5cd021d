//! What is to be looked at: each key once, by one worker at a time, again after a failure with growing waits.
//!
//! Bounded by what the cluster holds, as a key is in it at most once.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::world::Key;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Look again, each time later.
    Retry,
    /// Look again in a while, as nobody will say when.
    After(Duration),
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Key>,
    /// What is in `ready`.
    waiting: HashSet<Key>,
    busy: HashSet<Key>,
    /// Asked for while busy.
    again: HashSet<Key>,
    /// When keys are looked at that nobody asks for; once each, at the instant that `due` says.
    later: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

impl State {
    fn add(&mut self, key: Key) {
        if self.busy.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn put_off(&mut self, key: &Key, wait: Duration) {
        self.forget(key);
        let at = Instant::now() + wait;
        self.due.insert(key.clone(), at);
        self.later.insert((at, key.clone()));
    }

    fn forget(&mut self, key: &Key) {
        if let Some(at) = self.due.remove(key) {
            self.later.remove(&(at, key.clone()));
        }
    }
}

impl Queue {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the queue open")
    }

    pub(crate) fn add(&self, keys: impl IntoIterator<Item = Key>) {
        let mut state = self.state();
        keys.into_iter().for_each(|key| state.add(key));
        drop(state);
        self.wake.notify_waiters();
    }

    pub(crate) fn len(&self) -> usize {
        let state = self.state();
        state.ready.len() + state.busy.len()
    }

    /// The next key; it is this worker's until [`Queue::done`].
    pub(crate) async fn next(&self) -> Key {
        loop {
            // Registered before the look, so that what is added in between wakes it.
            let woken = self.wake.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let until = {
                let mut state = self.state();
                let now = Instant::now();
                while let Some((at, _)) = state.later.first()
                    && *at <= now
                    && let Some((_, key)) = state.later.pop_first()
                {
                    state.due.remove(&key);
                    state.add(key);
                }
                if let Some(key) = state.ready.pop_front() {
                    state.waiting.remove(&key);
                    // This is the look that was put off; what comes of it says when the next is.
                    state.forget(&key);
                    state.busy.insert(key.clone());
                    return key;
                }
                state.later.first().map(|(at, _)| *at)
            };
            match until {
                Some(at) => drop(tokio::time::timeout_at(at, woken).await),
                None => woken.await,
            }
        }
    }

    pub(crate) fn done(&self, key: &Key, outcome: Outcome) {
        let mut state = self.state();
        state.busy.remove(key);
        if state.again.remove(key) {
            state.add(key.clone());
        }
        match outcome {
            Outcome::Done => {
                state.failures.remove(key);
            }
            Outcome::After(wait) => {
                state.failures.remove(key);
                state.put_off(key, wait);
            }
            Outcome::Retry => {
                let failures = state.failures.entry(key.clone()).or_default();
                let wait = wait_after(*failures);
                *failures += 1;
                state.put_off(key, wait);
            }
        }
        drop(state);
        self.wake.notify_waiters();
    }
}

/// How long after so many failures before.
fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::objects::Name;

    fn key(name: &str) -> Key {
        Key::Gateway(Name::new("shop", name))
    }

    #[tokio::test]
    async fn a_key_is_with_one_worker_at_a_time_and_again_when_it_was_asked_for_meanwhile() {
        let queue = Queue::default();
        queue.add([key("a"), key("a"), key("b")]);
        assert_eq!(queue.next().await, key("a"));
        queue.add([key("a")]);
        assert_eq!(queue.next().await, key("b"));
        queue.done(&key("b"), Outcome::Done);
        assert_eq!(queue.next().now_or_never(), None, "a is still being looked at, and b was asked for once");
        queue.done(&key("a"), Outcome::Done);
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test]
    async fn a_key_that_failed_comes_again_and_one_that_waits_is_not_in_the_way() {
        let queue = Queue::default();
        queue.add([key("a")]);
        assert_eq!(queue.next().await, key("a"));
        queue.done(&key("a"), Outcome::Retry);
        queue.add([key("b")]);
        assert_eq!(queue.next().await, key("b"));
        assert_eq!(queue.next().await, key("a"));
        queue.done(&key("a"), Outcome::After(Duration::ZERO));
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test]
    async fn a_key_that_is_put_off_again_waits_once_and_not_at_all_when_it_was_looked_at_since() {
        let queue = Queue::default();
        for outcome in [Outcome::After(LONGEST_WAIT), Outcome::Retry, Outcome::After(LONGEST_WAIT)] {
            queue.add([key("a")]);
            assert_eq!(queue.next().await, key("a"));
            queue.done(&key("a"), outcome);
            assert_eq!(queue.state().later.len(), 1);
        }
        queue.add([key("a")]);
        assert_eq!(queue.next().await, key("a"));
        queue.done(&key("a"), Outcome::Done);
        assert!(queue.state().later.is_empty());
    }

    #[test]
    fn waits_grow_with_failures_up_to_a_minute() {
        let waits: Vec<_> = (0..10).map(|failures| wait_after(failures).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000]);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }
}
