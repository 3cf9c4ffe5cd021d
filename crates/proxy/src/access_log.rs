//! The access log: lines gathered by each worker, written by one thread, never waited for.
//!
//! A worker fills a chunk and hands it over when it is large or 200 ms old. What may wait for the
//! disk is bounded: beyond that the oldest chunks are dropped and their lines counted, because a
//! full disk must not stop traffic. When the oldest file goes, what quiet clients wrote stays a while longer.

mod quiet;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::AccessLogConfig;

/// Size at which a worker hands a chunk over.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Of a file that goes, this part may stay.
const QUIET_PART: u64 = 8;

/// How long the writer waits for more before it goes to sleep.
const DOZE: Duration = Duration::from_millis(20);

/// Whole lines of one worker.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: u64,
}

/// Where workers hand chunks over and the writer takes them.
#[derive(Debug)]
pub(crate) struct Sink {
    queue: Mutex<Queue>,
    filled: Condvar,
    max_waiting: usize,
    written: AtomicU64,
    dropped: AtomicU64,
    errors: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Chunk>,
    bytes: usize,
    unused: Vec<Vec<u8>>,
    /// The writer sleeps until it is told; otherwise it looks by itself before long.
    asleep: bool,
    closed: bool,
}

impl Sink {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lines out of `chunk`, leaving it empty with room for more.
    pub(crate) fn hand_over(&self, chunk: &mut Chunk) {
        if chunk.lines == 0 {
            return;
        }
        let mut queue = self.lock();
        let empty = Chunk { bytes: queue.unused.pop().unwrap_or_default(), lines: 0 };
        let full = std::mem::replace(chunk, empty);
        queue.bytes += full.bytes.len();
        queue.waiting.push_back(full);
        while queue.bytes > self.max_waiting
            && queue.waiting.len() > 1
            && let Some(oldest) = queue.waiting.pop_front()
        {
            queue.bytes -= oldest.bytes.len();
            self.dropped.fetch_add(oldest.lines, Ordering::Relaxed);
        }
        // Under load the writer is only dozing: waking it for each chunk would cost the worker more
        // than the chunk did.
        if std::mem::take(&mut queue.asleep) {
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// Lines written, lines dropped, failed writes.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        (
            self.written.load(Ordering::Relaxed),
            self.dropped.load(Ordering::Relaxed),
            self.errors.load(Ordering::Relaxed),
        )
    }

    /// Lets the writer end once everything handed over is written.
    fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// The next chunk, or `None` when closed and empty.
    fn take(&self) -> Option<Chunk> {
        let mut queue = self.lock();
        let mut dozed = false;
        loop {
            if let Some(chunk) = queue.waiting.pop_front() {
                queue.bytes -= chunk.bytes.len();
                return Some(chunk);
            }
            if queue.closed {
                return None;
            }
            if !dozed {
                dozed = true;
                let waited = self.filled.wait_timeout(queue, DOZE);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            queue.asleep = true;
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut queue = self.lock();
        if queue.unused.len() < 64 {
            queue.unused.push(bytes);
        }
    }
}

/// Opens the log and starts the thread that writes it.
///
/// # Errors
/// The directory or the file cannot be made or opened, or no thread is to be had.
pub(crate) fn start(config: AccessLogConfig) -> io::Result<Writer> {
    let AccessLogConfig { path, max_bytes, keep, max_waiting, reader } = config;
    let mut file = LogFile::open(path, max_bytes, keep)?;
    let sink = Arc::new(Sink {
        queue: Mutex::default(),
        filled: Condvar::new(),
        max_waiting,
        written: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
        errors: AtomicU64::new(0),
    });
    let source = sink.clone();
    let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || {
        let mut failing = false;
        while let Some(chunk) = source.take() {
            match file.append(&chunk.bytes) {
                Ok(()) => {
                    source.written.fetch_add(chunk.lines, Ordering::Relaxed);
                    failing = false;
                }
                Err(error) => {
                    source.errors.fetch_add(1, Ordering::Relaxed);
                    source.dropped.fetch_add(chunk.lines, Ordering::Relaxed);
                    // Once per trouble, not once per chunk.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, path = %file.path.display(), "cannot write the access log");
                    }
                }
            }
            // Whether the file took them or not.
            if let Some(reader) = &reader {
                // What a line did to the reader must not end the log.
                let read = catch_unwind(AssertUnwindSafe(|| reader.read(&chunk.bytes)));
                source.errors.fetch_add(u64::from(read.is_err()), Ordering::Relaxed);
            }
            source.give_back(chunk.bytes);
        }
    })?;
    Ok(Writer { sink, thread: Some(thread) })
}

/// The writing thread. It ends when this is dropped and everything handed over is written.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) sink: Arc<Sink>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Waits until everything handed over is written.
    pub(crate) fn finish(mut self) {
        self.sink.close();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sink.close();
    }
}

/// The file and its older siblings `PATH.1` to `PATH.keep`.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    max_bytes: u64,
    keep: usize,
    keeping: Option<JoinHandle<()>>,
}

impl Drop for LogFile {
    fn drop(&mut self) {
        if let Some(keeping) = self.keeping.take() {
            let _ = keeping.join();
        }
    }
}

impl LogFile {
    fn open(path: PathBuf, max_bytes: u64, keep: usize) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)?;
        }
        let file = open_for_append(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size, max_bytes, keep, keeping: None })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + bytes.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let path = self.path.clone();
        let numbered = |n: usize| with_suffix(&path, &format!(".{n}"));
        if self.keep > 0 {
            self.keep_quiet(&numbered(self.keep));
        }
        for n in (1..self.keep).rev() {
            rename_if_there(&numbered(n), &numbered(n + 1))?;
        }
        if self.keep > 0 {
            rename_if_there(&self.path, &numbered(1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        self.file = open_for_append(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

/// Takes the lines of quiet clients out of the file that goes, on a thread of their own: the log is not kept waiting.
/// Where that thread is not done with the file before, this one goes without.
impl LogFile {
    fn keep_quiet(&mut self, oldest: &Path) {
        if self.keeping.as_ref().is_some_and(|keeping| !keeping.is_finished()) {
            return;
        }
        let leaving = with_suffix(&self.path, ".leaving");
        match std::fs::rename(oldest, &leaving) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return tracing::warn!(%error, path = %oldest.display(), "cannot be moved"),
        }
        let (quiet, max_bytes) = (with_suffix(&self.path, ".quiet"), self.max_bytes);
        let keep = move || {
            if let Err(error) = append_quiet(&leaving, &quiet, max_bytes) {
                tracing::warn!(%error, path = %quiet.display(), "cannot keep the lines of quiet clients");
            }
            let _ = std::fs::remove_file(&leaving);
        };
        self.keeping = std::thread::Builder::new().name("access-log-quiet".into()).spawn(keep).ok();
    }
}

fn append_quiet(leaving: &Path, quiet: &Path, max_bytes: u64) -> io::Result<()> {
    let mut file = open_for_append(quiet)?;
    if file.metadata()?.len() >= max_bytes / 2 {
        rename_if_there(quiet, &with_suffix(quiet, ".1"))?;
        file = open_for_append(quiet)?;
    }
    quiet::keep(leaving, &mut file, max_bytes / QUIET_PART).map(drop)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str) -> Chunk {
        Chunk { bytes: text.as_bytes().to_vec(), lines: 1 }
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs").join("access.log");
        let mut file = LogFile::open(path, 10, 2).unwrap();
        for text in ["first 6\n", "second\n", "third 6\n", "fourth\n"] {
            file.append(text.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join("logs").join(name)).unwrap();
        assert_eq!(read("access.log"), "fourth\n");
        assert_eq!(read("access.log.1"), "third 6\n");
        assert_eq!(read("access.log.2"), "second\n");
        drop(file);
        assert_eq!(read("access.log.quiet"), "", "of ten bytes nothing can stay");
        assert_eq!(std::fs::read_dir(directory.path().join("logs")).unwrap().count(), 4);
    }

    #[test]
    fn what_one_client_writes_does_not_push_out_what_another_did() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let mut file = LogFile::open(path, 4096, 2).unwrap();
        let line = |vpc: &str, number: usize| {
            format!("{{\"sourceVpcArn\":\"{vpc}\",\"sourceIpPort\":\"10.0.0.1:{number}\"}}\n")
        };
        file.append(line("quiet", 1).as_bytes()).unwrap();
        for number in 0..2000 {
            file.append(line("loud", number).as_bytes()).unwrap();
            // As fast as the disk of a test: the next file goes when the one before is done with.
            if let Some(keeping) = file.keeping.take() {
                keeping.join().unwrap();
            }
        }
        drop(file);
        let all: String = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        assert!(all.contains(&line("quiet", 1)) && all.contains(&line("loud", 1999)));
        assert!(all.len() < 5 * 4096, "{}", all.len());
    }

    #[test]
    fn a_reopened_log_is_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        for text in ["one\n", "two\n"] {
            let writer = start(AccessLogConfig::new(&path)).unwrap();
            let sink = writer.sink.clone();
            sink.hand_over(&mut chunk(text));
            writer.finish();
            assert_eq!(sink.counts(), (1, 0, 0));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_reader_is_given_every_line_before_the_writer_ends() {
        let directory = tempfile::tempdir().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = seen.clone();
        let reader = crate::LineReader::new(move |lines| into.lock().unwrap().extend_from_slice(lines));
        let config = AccessLogConfig::new(directory.path().join("access.log"));
        let writer = start(AccessLogConfig { reader: Some(reader), ..config }).unwrap();
        for text in ["one\n", "two\n"] {
            writer.sink.hand_over(&mut chunk(text));
        }
        writer.finish();
        assert_eq!(*seen.lock().unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn beyond_the_bound_the_oldest_lines_are_dropped_and_counted() {
        let sink = Sink {
            queue: Mutex::default(),
            filled: Condvar::new(),
            max_waiting: 8,
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        };
        for text in ["aaaa", "bbbb", "cccc"] {
            sink.hand_over(&mut chunk(text));
        }
        sink.close();
        assert_eq!(sink.take().unwrap().bytes, b"bbbb");
        assert_eq!(sink.take().unwrap().bytes, b"cccc");
        assert!(sink.take().is_none());
        assert_eq!(sink.counts(), (0, 1, 0));
    }
}
