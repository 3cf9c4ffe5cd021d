//! Events on their way to whoever started the fabric.
//!
//! VPC threads must not wait for a reader that may itself be waiting for a VPC thread (to make a
//! socket), so a queue and a thread stand between them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use tokio::sync::mpsc;

use super::FabricEvent;

/// Events nobody has read yet. At this many, those who report wait.
const LONGEST: usize = 16 * 1024;

/// What the receiver's own channel holds.
const CHANNEL: usize = 256;

#[derive(Debug, Default)]
struct Contents {
    events: VecDeque<FabricEvent>,
    /// Nobody reads any more.
    closed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    contents: Mutex<Contents>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "nothing that can panic is done while the queue is held";

/// Where events are put. The delivering thread ends with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    writer: Arc<Writer>,
}

#[derive(Debug)]
struct Writer {
    queue: Arc<Queue>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

impl Events {
    pub(crate) fn start() -> io::Result<(Events, mpsc::Receiver<FabricEvent>)> {
        let queue = Arc::new(Queue::default());
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let delivered = queue.clone();
        thread::Builder::new().name("fabric-events".into()).spawn(move || deliver(&delivered, &sender))?;
        Ok((Events { writer: Arc::new(Writer { queue }) }, receiver))
    }

    pub(crate) fn push(&self, event: FabricEvent) {
        let queue = &self.writer.queue;
        let mut contents = queue.lock();
        while contents.events.len() >= LONGEST && !contents.closed {
            contents = queue.changed.wait(contents).expect(UNPOISONED);
        }
        if !contents.closed {
            contents.events.push_back(event);
            queue.changed.notify_all();
        }
    }
}

fn deliver(queue: &Queue, sender: &mpsc::Sender<FabricEvent>) {
    loop {
        let mut contents = queue.lock();
        let event = loop {
            match contents.events.pop_front() {
                Some(event) => break event,
                None if contents.closed => return,
                None => contents = queue.changed.wait(contents).expect(UNPOISONED),
            }
        };
        drop(contents);
        queue.changed.notify_all();
        if sender.blocking_send(event).is_err() {
            let mut contents = queue.lock();
            contents.closed = true;
            contents.events.clear();
            queue.changed.notify_all();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_arrive_in_order_and_their_end_is_seen() {
        let (events, mut receiver) = Events::start().unwrap();
        for revision in 0..1000 {
            events.push(FabricEvent::Converged { revision });
        }
        drop(events);
        for revision in 0..1000 {
            assert_eq!(receiver.blocking_recv(), Some(FabricEvent::Converged { revision }));
        }
        assert_eq!(receiver.blocking_recv(), None);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_gone() {
        let (events, receiver) = Events::start().unwrap();
        drop(receiver);
        for revision in 0..(2 * LONGEST as u64) {
            events.push(FabricEvent::Converged { revision });
        }
    }
}
