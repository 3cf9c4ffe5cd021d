//! Lines on their way, on disk: what was appended survives the process, whatever ends it.
//!
//! A subscription has a directory of its own with files ([`Segment`]) of whole lines. One is open and
//! grows; when it is large or old enough it is sealed, and after its lines were delivered it is removed.
//! An append is a `write(2)`: a process killed at any point loses none of it. The disk is asked to keep it
//! once a second ([`Spool::sync`]), so a machine that loses its power loses about that much.
//!
//! All files together have a bound. Beyond it the oldest file of the subscription that holds most is
//! dropped and its lines are counted: a destination that is away for days must not fill the disk, nor
//! cost the others their lines.

mod segment;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;
use trellis_model::AccessLogSubscriptionId;

use crate::tally::Tally;
pub(crate) use segment::{Segment, lines};

/// Bytes at which a segment is sealed; an object in a bucket is one segment.
const MAX_SEGMENT: u64 = 8 << 20;

#[derive(Debug)]
pub(crate) struct Spool {
    root: PathBuf,
    max_bytes: u64,
    max_segment: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<AccessLogSubscriptionId, Queue>,
    bytes: u64,
    /// Sealed files and directories the disk has not been asked to keep yet.
    unsynced: Vec<Arc<File>>,
}

/// The files of one subscription.
#[derive(Debug)]
struct Queue {
    directory: PathBuf,
    open: Option<Open>,
    /// Oldest first.
    sealed: VecDeque<Segment>,
    /// The oldest is being delivered and may not be dropped.
    in_flight: bool,
    bytes: u64,
    next_sequence: u64,
    tally: Arc<Tally>,
    news: Arc<Notify>,
}

#[derive(Debug)]
struct Open {
    segment: Segment,
    file: Arc<File>,
    since: Instant,
    is_unsynced: bool,
}

/// What there is to do for a subscription.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Deliver this; it stays until it is acknowledged or put back.
    Deliver(Segment),
    /// Nothing yet. With a time: an open segment is old enough then.
    Wait(Option<Instant>),
}

impl Spool {
    /// Opens the spool in `root`, which is made when absent, and takes in what is there.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub(crate) fn open(root: &Path, max_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let mut state = State::default();
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let Some(id) = id else {
                tracing::warn!(path = %path.display(), "not a part of the log spool, left alone");
                continue;
            };
            let queue = Queue::recover(path)?;
            state.bytes += queue.bytes;
            state.queues.insert(id, queue);
        }
        let spool = Self {
            root: root.to_owned(),
            max_bytes,
            max_segment: MAX_SEGMENT.min(max_bytes / 4),
            state: Mutex::new(state),
        };
        spool.lock().keep_bound(max_bytes);
        Ok(spool)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on lines of the subscription are taken.
    pub(crate) fn admit(&self, id: &AccessLogSubscriptionId) -> (Arc<Tally>, Arc<Notify>) {
        let mut state = self.lock();
        let queue = state.queues.entry(id.clone()).or_insert_with(|| Queue::new(self.root.join(id.as_str())));
        (queue.tally.clone(), queue.news.clone())
    }

    pub(crate) fn subscriptions(&self) -> Vec<AccessLogSubscriptionId> {
        self.lock().queues.keys().cloned().collect()
    }

    /// Appends `count` whole lines. A subscription that was not admitted has gone: nothing is kept for it.
    pub(crate) fn append(&self, id: &AccessLogSubscriptionId, lines: &[u8], count: u64, now: Timestamp) {
        let mut state = self.lock();
        let State { queues, bytes, unsynced } = &mut *state;
        let Some(queue) = queues.get_mut(id) else { return };
        match queue.append(lines, count, now, self.max_segment, unsynced) {
            Ok(()) => {
                *bytes += lines.len() as u64;
                queue.tally.accepted.add(count);
            }
            Err(error) => {
                queue.tally.dropped.add(count);
                tracing::error!(subscription = %id, %error, "cannot write the log spool; lines are lost");
            }
        }
        state.keep_bound(self.max_bytes);
    }

    /// The oldest segment, when one is sealed or the open one is `age` old.
    pub(crate) fn next(&self, id: &AccessLogSubscriptionId, age: Duration, now: Instant) -> Next {
        let mut state = self.lock();
        let State { queues, unsynced, .. } = &mut *state;
        let Some(queue) = queues.get_mut(id) else { return Next::Wait(None) };
        if queue.sealed.is_empty() {
            match &queue.open {
                Some(open) if now.duration_since(open.since) >= age => queue.seal(unsynced),
                open => return Next::Wait(open.as_ref().map(|open| open.since + age)),
            }
        }
        let Some(segment) = queue.sealed.front().cloned() else { return Next::Wait(None) };
        queue.in_flight = true;
        Next::Deliver(segment)
    }

    /// The segment that [`Spool::next`] gave was delivered.
    pub(crate) fn acknowledge(&self, id: &AccessLogSubscriptionId) {
        let mut state = self.lock();
        let Some(queue) = state.queues.get_mut(id) else { return };
        queue.in_flight = false;
        let Some(segment) = queue.sealed.pop_front() else { return };
        queue.forget(&segment);
        state.bytes -= segment.bytes;
        drop(state);
        segment.remove();
    }

    /// The segment that [`Spool::next`] gave was not delivered.
    pub(crate) fn put_back(&self, id: &AccessLogSubscriptionId) {
        if let Some(queue) = self.lock().queues.get_mut(id) {
            queue.in_flight = false;
        }
    }

    /// Drops everything of a subscription that is no more.
    pub(crate) fn discard(&self, id: &AccessLogSubscriptionId) {
        let mut state = self.lock();
        let Some(queue) = state.queues.remove(id) else { return };
        state.bytes -= queue.bytes;
        drop(state);
        let Queue { directory, open, sealed, .. } = queue;
        let mut lines = 0;
        for segment in sealed.into_iter().chain(open.map(|open| open.segment)) {
            lines += segment.lines;
            segment.remove();
        }
        if lines > 0 {
            tracing::warn!(subscription = %id, lines, "a subscription is gone; its undelivered lines are too");
        }
        // Made with the first line only; anything foreign in it keeps it.
        let _ = fs::remove_dir(directory);
    }

    /// Asks the disk to keep what was appended. Takes as long as the disk does, without the lock.
    pub(crate) fn sync(&self) {
        let mut state = self.lock();
        let mut files = std::mem::take(&mut state.unsynced);
        for open in state.queues.values_mut().filter_map(|queue| queue.open.as_mut()) {
            if std::mem::take(&mut open.is_unsynced) {
                files.push(open.file.clone());
            }
        }
        drop(state);
        for file in files {
            if let Err(error) = file.sync_all() {
                tracing::error!(%error, "the disk does not keep the log spool");
            }
        }
    }
}

impl State {
    fn keep_bound(&mut self, max_bytes: u64) {
        while self.bytes > max_bytes {
            let droppable =
                |queue: &Queue| queue.open.is_some() || queue.sealed.len() > usize::from(queue.in_flight);
            let largest = self.queues.iter_mut().filter(|(_, queue)| droppable(queue));
            let Some((id, queue)) = largest.max_by_key(|(_, queue)| queue.bytes) else { return };
            let oldest = queue.sealed.remove(usize::from(queue.in_flight));
            let Some(segment) = oldest.or_else(|| queue.open.take().map(|open| open.segment)) else { return };
            queue.forget(&segment);
            self.bytes -= segment.bytes;
            queue.tally.dropped.add(segment.lines);
            tracing::warn!(subscription = %id, lines = segment.lines, "the log spool is full; its oldest lines are lost");
            segment.remove();
        }
    }
}

impl Queue {
    fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            open: None,
            sealed: VecDeque::new(),
            in_flight: false,
            bytes: 0,
            next_sequence: 0,
            tally: Arc::default(),
            news: Arc::default(),
        }
    }

    /// What an earlier process left, all of it sealed.
    fn recover(directory: PathBuf) -> io::Result<Self> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&directory)? {
            found.extend(Segment::recover(entry?.path())?);
        }
        found.sort_by_key(|segment| segment.sequence);
        let mut queue = Self::new(directory);
        queue.bytes = found.iter().map(|segment| segment.bytes).sum();
        queue.tally.waiting.add(queue.bytes);
        queue.next_sequence = found.last().map_or(0, |last| last.sequence + 1);
        queue.sealed = found.into();
        Ok(queue)
    }

    fn append(
        &mut self,
        lines: &[u8],
        count: u64,
        now: Timestamp,
        max_segment: u64,
        unsynced: &mut Vec<Arc<File>>,
    ) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.begin(now, unsynced)?);
            self.news.notify_one();
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Err(error) = (&*open.file).write_all(lines) {
            // A part of a line must not be continued by the next one.
            if open.file.set_len(open.segment.bytes).is_err() {
                self.seal(unsynced);
            }
            return Err(error);
        }
        open.segment.bytes += lines.len() as u64;
        open.segment.lines += count;
        open.is_unsynced = true;
        self.bytes += lines.len() as u64;
        self.tally.waiting.add(lines.len() as u64);
        if open.segment.bytes >= max_segment {
            self.seal(unsynced);
            self.news.notify_one();
        }
        Ok(())
    }

    fn begin(&mut self, now: Timestamp, unsynced: &mut Vec<Arc<File>>) -> io::Result<Open> {
        if !self.directory.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        }
        let segment = Segment::new(&self.directory, self.next_sequence, now);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&segment.path)?;
        self.next_sequence += 1;
        unsynced.push(Arc::new(File::open(&self.directory)?));
        Ok(Open { segment, file: Arc::new(file), since: Instant::now(), is_unsynced: true })
    }

    fn seal(&mut self, unsynced: &mut Vec<Arc<File>>) {
        let Some(open) = self.open.take() else { return };
        if open.is_unsynced {
            unsynced.push(open.file);
        }
        self.sealed.push_back(open.segment);
    }

    fn forget(&mut self, segment: &Segment) {
        self.bytes -= segment.bytes;
        self.tally.waiting.subtract(segment.bytes);
    }
}

#[cfg(test)]
mod tests;
