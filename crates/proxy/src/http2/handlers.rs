//! The requests of one connection, each a future in a place of its own, polled by the connection's
//! task. Places are used again, so that a request costs no allocation.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// Places kept while no request is under way.
const KEPT: usize = 2;

/// Which places are to be polled, the first to ask first, and who polls them. Wakers may go anywhere,
/// so it is locked; nobody ever waits for the lock, because everybody is on one thread.
#[derive(Debug, Default)]
struct Ready(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<u32>,
    task: Option<Waker>,
}

impl Ready {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one place.
#[derive(Debug)]
struct PlaceWaker {
    place: u32,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for PlaceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let mut queue = self.ready.queue();
            queue.order.push_back(self.place);
            if let Some(task) = &queue.task {
                task.wake_by_ref();
            }
        }
    }
}

#[derive(Debug)]
struct Place<F> {
    future: Option<Pin<Box<Option<F>>>>,
    wake: Arc<PlaceWaker>,
    waker: Waker,
}

/// Futures by the numbers of their places.
#[derive(Debug)]
pub(super) struct Handlers<F> {
    places: Vec<Place<F>>,
    ready: Arc<Ready>,
    running: usize,
}

impl<F: Future<Output = ()>> Handlers<F> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), ready: Arc::default(), running: 0 }
    }

    /// Futures that have not ended.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Puts a future into a place where none is.
    pub(super) fn start(&mut self, place: usize, future: F) {
        while self.places.len() <= place {
            let place = self.places.len() as u32;
            let wake =
                Arc::new(PlaceWaker { place, queued: AtomicBool::new(false), ready: self.ready.clone() });
            self.places.push(Place { future: None, waker: wake.clone().into(), wake });
        }
        let at = &mut self.places[place];
        match &mut at.future {
            Some(room) => room.as_mut().set(Some(future)),
            None => at.future = Some(Box::pin(Some(future))),
        }
        self.running += 1;
        at.waker.wake_by_ref();
    }

    /// The task that polls them is running: nobody needs to wake it.
    pub(super) fn begin_turn(&self) {
        self.ready.queue().task = None;
    }

    /// The task that polls them has done what it can: whoever is woken from now on, or has been since
    /// they were polled, wakes it.
    pub(super) fn end_turn(&self, task: &Context<'_>) {
        let mut queue = self.ready.queue();
        if !queue.order.is_empty() {
            task.waker().wake_by_ref();
        }
        queue.task = Some(task.waker().clone());
    }

    /// Polls those that have been woken, each once. To be called within a turn.
    pub(super) fn poll(&mut self) {
        let round = self.ready.queue().order.len();
        for _ in 0..round {
            let Some(place) = self.ready.queue().order.pop_front() else { break };
            self.poll_place(place as usize);
        }
    }

    fn poll_place(&mut self, place: usize) {
        let Some(place) = self.places.get_mut(place) else { return };
        place.wake.queued.store(false, Ordering::Release);
        let Some(room) = &mut place.future else { return };
        let Some(future) = room.as_mut().as_pin_mut() else { return };
        if future.poll(&mut Context::from_waker(&place.waker)).is_ready() {
            room.as_mut().set(None);
            self.running -= 1;
        }
    }

    /// Gives back memory that is not needed while nothing happens.
    pub(super) fn rest(&mut self) {
        if self.running == 0 {
            for place in self.places.iter_mut().skip(KEPT) {
                place.future = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[test]
    fn whoever_is_woken_is_polled_once_and_in_order() {
        let (polled, left) = (RefCell::new(Vec::new()), Cell::new(3));
        let wakers = RefCell::new(vec![None; 3]);
        let mut handlers = Handlers::new();
        for n in 0..3 {
            let (polled, left, wakers) = (&polled, &left, &wakers);
            handlers.start(n, async move {
                let mut rounds = 0;
                poll_fn(|cx| {
                    polled.borrow_mut().push(n);
                    wakers.borrow_mut()[n] = Some(cx.waker().clone());
                    rounds += 1;
                    if rounds < 3 { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                left.set(left.get() - 1);
            });
        }
        handlers.poll();
        handlers.poll();
        assert_eq!(*polled.borrow(), [0, 1, 2], "nobody has been woken since");
        let wake = |n: usize| wakers.borrow()[n].as_ref().unwrap().wake_by_ref();
        for n in [2, 0, 2] {
            wake(n);
        }
        handlers.poll();
        assert_eq!(*polled.borrow(), [0, 1, 2, 2, 0]);
        assert_eq!(handlers.running(), 3);
        for n in [2, 0, 1, 1] {
            wake(n);
        }
        handlers.poll();
        wake(1);
        handlers.poll();
        assert_eq!((handlers.running(), left.get()), (0, 0));
    }

    #[test]
    fn a_place_is_used_again() {
        let mut handlers = Handlers::new();
        for _ in 0..3 {
            handlers.start(1, std::future::ready(()));
            assert_eq!(handlers.running(), 1);
            handlers.poll();
            assert_eq!(handlers.running(), 0);
        }
    }
}
