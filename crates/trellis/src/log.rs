//! The process's own log on stderr: lossy, bounded, never waited for.
//!
//! Whoever logs puts a line into a buffer and goes on; one thread of its own writes. Where stderr is a closed pipe, a
//! full disk or a pipe that nobody reads, lines are lost and counted, and nothing else happens. One message that comes
//! again and again, because a stranger makes it come, is let through a few times in a while and counted after that.
//! Messages below `info` are not: they are there because somebody asked for them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// What may wait to be written; beyond it new lines are dropped.
const MAX_WAITING: usize = 1 << 20;
/// How often one message may come in a window.
const MESSAGES_PER_WINDOW: u32 = 50;
const WINDOW: Duration = Duration::from_secs(10);
/// How long the end of the process waits for the last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// Installs the log for the whole process, panics included.
pub(crate) fn start() {
    let log = Arc::new(Log::default());
    if LOG.set(log.clone()).is_err() {
        return;
    }
    // A descriptor of its own: what blocks here must not hold the lock of `std::io::stderr`.
    let ansi = io::stderr().is_terminal();
    if let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() {
        let source = log.clone();
        let written = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || source.write_out(&mut File::from(stderr)));
        drop(written);
    }
    tracing_subscriber::registry()
        .with(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with(Moderation { log: log.clone(), messages: Messages(Mutex::default()) })
        .with(tracing_subscriber::fmt::layer().with_writer(Lines(log)).with_ansi(ansi))
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(thread, "{panic}");
    }));
}

/// Says why the process ends.
pub(crate) fn complain(text: &str) {
    match LOG.get() {
        Some(log) => {
            log.push(format!("trellis: {text}\n").as_bytes());
            log.flush(LAST_WORDS);
        }
        // Nobody may be there to read it.
        None => drop(writeln!(io::stderr(), "trellis: {text}")),
    }
}

/// Waits for what is logged already, not long.
pub(crate) fn finish() {
    if let Some(log) = LOG.get() {
        log.flush(LAST_WORDS);
    }
}

/// Counters as Prometheus text.
pub(crate) fn render_metrics() -> String {
    let Some(log) = LOG.get() else { return String::new() };
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "# HELP trellis_log_lines_total Lines of the process's own log, by what became of them.\n\
         # TYPE trellis_log_lines_total counter\n\
         trellis_log_lines_total{{outcome=\"written\"}} {}\n\
         trellis_log_lines_total{{outcome=\"dropped\"}} {}\n\
         trellis_log_lines_total{{outcome=\"suppressed\"}} {}\n",
        count(&log.written),
        count(&log.dropped),
        count(&log.suppressed),
    )
}

/// Lines on their way to stderr.
#[derive(Debug, Default)]
struct Log {
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
    written: AtomicU64,
    /// There was no room, or the write failed.
    dropped: AtomicU64,
    /// As many of the same message had come already.
    suppressed: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    lines: u64,
    /// Dropped since the last line that was written.
    dropped: u64,
    is_writing: bool,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        if queue.bytes.len() + line.len() > MAX_WAITING {
            queue.dropped += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes.extend_from_slice(line);
        queue.lines += 1;
        drop(queue);
        self.filled.notify_one();
    }

    /// Runs for as long as the process.
    fn write_out(&self, to: &mut impl Write) {
        let mut taken = Vec::new();
        loop {
            let (lines, dropped) = {
                let mut queue = self.lock();
                queue.is_writing = false;
                self.emptied.notify_all();
                while queue.bytes.is_empty() {
                    queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                queue.is_writing = true;
                taken.clear();
                std::mem::swap(&mut taken, &mut queue.bytes);
                (std::mem::take(&mut queue.lines), std::mem::take(&mut queue.dropped))
            };
            if dropped > 0 {
                taken.extend_from_slice(
                    format!("trellis: {dropped} log lines were dropped here\n").as_bytes(),
                );
            }
            let counter = if to.write_all(&taken).is_ok() { &self.written } else { &self.dropped };
            counter.fetch_add(lines, Ordering::Relaxed);
        }
    }

    fn flush(&self, patience: Duration) {
        let queue = self.lock();
        let waits = |queue: &mut Queue| !queue.bytes.is_empty() || queue.is_writing;
        drop(self.emptied.wait_timeout_while(queue, patience, waits));
    }
}

/// Where `tracing` writes: whole lines, and never an error.
struct Lines(Arc<Log>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

struct Line<'a>(&'a Log);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets each message through as often as a reader can bear.
struct Moderation {
    log: Arc<Log>,
    /// By the place in the code; there are as many as the code has.
    messages: Messages<Identifier>,
}

/// How often each message came.
#[derive(Debug)]
struct Messages<M>(Mutex<HashMap<M, Seen>>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    since: Instant,
    count: u32,
}

impl<M: Eq + std::hash::Hash> Messages<M> {
    /// Whether the message comes through, and how many of it did not since it last did.
    fn admit(&self, message: M, now: Instant) -> (bool, u32) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.entry(message).or_insert(Seen { since: now, count: 0 });
        let mut left_out = 0;
        if now.duration_since(entry.since) >= WINDOW {
            left_out = entry.count.saturating_sub(MESSAGES_PER_WINDOW);
            *entry = Seen { since: now, count: 0 };
        }
        entry.count = entry.count.saturating_add(1);
        (entry.count <= MESSAGES_PER_WINDOW, left_out)
    }
}

impl<S: Subscriber> Layer<S> for Moderation {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        let (is_admitted, left_out) = self.messages.admit(metadata.callsite(), Instant::now());
        if left_out > 0 {
            let line = format!("trellis: the next message came {left_out} times more and was left out\n");
            self.log.push(line.as_bytes());
        }
        if !is_admitted {
            self.log.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_reader_that_never_reads_costs_lines_and_nobody_waits() {
        struct Stuck(mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = mpsc::channel();
        let log = Arc::new(Log::default());
        let writer = log.clone();
        std::thread::spawn(move || writer.write_out(&mut Stuck(stuck)));
        let line = [b'x'; 1024];
        for _ in 0..4096 {
            log.push(&line);
        }
        assert!(log.dropped.load(Ordering::Relaxed) >= 2048, "{log:?}");
        assert!(log.lock().bytes.len() <= MAX_WAITING);
        drop(release);
        log.flush(Duration::from_secs(20));
        let counts = log.written.load(Ordering::Relaxed) + log.dropped.load(Ordering::Relaxed);
        assert_eq!(counts, 4096);
    }

    #[test]
    fn failed_writes_are_counted_and_the_next_is_tried() {
        struct Full(u32);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 == 1 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let log = Arc::new(Log::default());
        let writer = log.clone();
        std::thread::spawn(move || writer.write_out(&mut Full(0)));
        for _ in 0..2 {
            log.push(b"line\n");
            log.flush(Duration::from_secs(20));
        }
        assert_eq!((log.written.load(Ordering::Relaxed), log.dropped.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn a_message_that_comes_again_and_again_is_let_through_a_few_times_in_a_while() {
        let messages = Messages(Mutex::default());
        let start = Instant::now();
        let admitted = (0..500).filter(|_| messages.admit("a", start).0).count();
        assert_eq!(admitted, MESSAGES_PER_WINDOW as usize);
        assert_eq!(messages.admit("b", start), (true, 0), "others are not held back");
        assert_eq!(messages.admit("a", start + WINDOW), (true, 500 - MESSAGES_PER_WINDOW));
    }
}
