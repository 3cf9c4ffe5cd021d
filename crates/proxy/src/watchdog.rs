//! Deadlines without timers: each connection writes down when it should be looked at, and a sweep
//! a few times a second wakes those whose time has come.
//!
//! Arming a deadline is one store, so it can be done with every read and write. The price is that
//! a deadline is met up to one [`SWEEP`] late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::clock::Millis;
use crate::ticker::TICK;
use crate::worker::Entrance;

/// Ticks between two sweeps: 200 ms.
pub(crate) const SWEEP: u32 = (200 / TICK.as_millis()) as u32;

/// Why a connection is being woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// The deadline it armed has passed.
    Deadline,
    /// It has reached the greatest age a connection may have.
    Lifetime,
    /// The proxy is going away at once.
    Cut,
}

/// One connection's deadline.
#[derive(Debug)]
pub(crate) struct Watched {
    deadline: Cell<Millis>,
    /// Never later than this.
    end_of_life: Millis,
    alarm: Cell<Option<Alarm>>,
    /// Between two requests: nothing is lost by closing now.
    idle: Cell<bool>,
    close: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    pub(crate) entrance: Rc<Entrance>,
    index: Cell<usize>,
}

impl Watched {
    /// Asks for an alarm at `deadline`.
    pub(crate) fn arm(&self, deadline: Millis) {
        self.deadline.set(deadline);
        // An alarm nobody has heard yet was about the deadline before this one.
        if self.alarm.get() == Some(Alarm::Deadline) {
            self.alarm.set(None);
        }
    }

    /// What the connection was woken for. [`Alarm::Deadline`] is reported once.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        let alarm = self.alarm.get();
        if alarm == Some(Alarm::Deadline) {
            self.alarm.set(None);
        }
        alarm
    }

    /// To be called when an operation is left pending, so that an alarm finds the task.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(crate) fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
    }

    /// The connection should end once it is idle.
    pub(crate) fn should_close(&self) -> bool {
        self.close.get() || self.entrance.is_closed()
    }

    pub(crate) fn end_of_life(&self) -> Millis {
        self.end_of_life
    }

    /// Has the connection look after itself.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// Every connection of a worker.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    all: RefCell<Vec<Rc<Watched>>>,
}

impl Watchdog {
    /// A connection that began at `now` and may last for `lifetime`.
    pub(crate) fn add(&self, now: Millis, lifetime: Duration, entrance: Rc<Entrance>) -> Rc<Watched> {
        let mut all = self.all.borrow_mut();
        let end_of_life = now.saturating_add(lifetime.as_millis() as Millis);
        let watched = Rc::new(Watched {
            deadline: Cell::new(end_of_life),
            end_of_life,
            alarm: Cell::new(None),
            idle: Cell::new(false),
            close: Cell::new(false),
            waker: RefCell::new(None),
            entrance,
            index: Cell::new(all.len()),
        });
        all.push(watched.clone());
        watched
    }

    pub(crate) fn remove(&self, watched: &Watched) {
        let mut all = self.all.borrow_mut();
        let index = watched.index.get();
        if all.get(index).is_some_and(|found| std::ptr::eq(&raw const **found, watched)) {
            all.swap_remove(index);
            if let Some(moved) = all.get(index) {
                moved.index.set(index);
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.all.borrow().len()
    }

    /// Wakes every connection whose deadline has passed.
    pub(crate) fn sweep(&self, now: Millis) {
        for watched in &*self.all.borrow() {
            if now >= watched.end_of_life {
                watched.alarm.set(watched.alarm.get().max_of(Alarm::Lifetime));
                watched.wake();
            } else if now >= watched.deadline.get() {
                watched.deadline.set(Millis::MAX);
                watched.alarm.set(watched.alarm.get().max_of(Alarm::Deadline));
                watched.wake();
            }
        }
    }

    /// Tells the connections `which` to end: idle ones at once, others after their request.
    pub(crate) fn close(&self, which: impl Fn(&Watched) -> bool) {
        for watched in self.all.borrow().iter().filter(|watched| which(watched)) {
            watched.close.set(true);
            if watched.idle.get() {
                watched.wake();
            }
        }
    }

    /// Ends every connection whatever it is doing.
    pub(crate) fn cut(&self) {
        for watched in &*self.all.borrow() {
            watched.alarm.set(Some(Alarm::Cut));
            watched.wake();
        }
    }
}

trait MaxOf {
    fn max_of(self, other: Alarm) -> Self;
}

impl MaxOf for Option<Alarm> {
    /// The graver of two alarms; what is past mending stays so.
    fn max_of(self, other: Alarm) -> Self {
        match (self, other) {
            (Some(Alarm::Cut), _) | (_, Alarm::Cut) => Some(Alarm::Cut),
            (Some(Alarm::Lifetime), _) | (_, Alarm::Lifetime) => Some(Alarm::Lifetime),
            _ => Some(Alarm::Deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrance() -> Rc<Entrance> {
        Rc::new(Entrance::new(trellis_model::VpcId::from_random(1), 80))
    }

    #[test]
    fn a_sweep_alarms_what_is_due_and_nothing_else() {
        let dog = Watchdog::default();
        let early = dog.add(0, Duration::from_secs(10), entrance());
        let late = dog.add(0, Duration::from_secs(10), entrance());
        early.arm(100);
        late.arm(200);
        dog.sweep(150);
        assert_eq!((early.alarm(), late.alarm()), (Some(Alarm::Deadline), None));
        assert_eq!(early.alarm(), None, "a deadline is reported once");
        dog.sweep(10_000);
        assert_eq!((early.alarm(), late.alarm()), (Some(Alarm::Lifetime), Some(Alarm::Lifetime)));
        assert_eq!(early.alarm(), Some(Alarm::Lifetime), "the end of life stays");
    }

    #[test]
    fn removing_connections_in_any_order_keeps_the_rest() {
        let dog = Watchdog::default();
        let all: Vec<_> = (0..5).map(|_| dog.add(0, Duration::from_secs(1), entrance())).collect();
        for index in [0, 4, 2] {
            dog.remove(&all[index]);
            dog.remove(&all[index]);
        }
        assert_eq!(dog.count(), 2);
        dog.close(|_| true);
        let closing: Vec<_> = all.iter().map(|watched| watched.should_close()).collect();
        assert_eq!(closing, [false, true, false, true, false]);
    }
}
