//! Network namespaces: made by a thread that stays in them, kept by descriptor, entered by data-plane threads.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sched::{CloneFlags, setns, unshare};

thread_local! {
    /// Which of our namespaces this thread is in; 0 when it never entered one.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// The last number given to a namespace.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A network namespace. It lives as long as a process, a thread, a socket or a descriptor is in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    descriptor: OwnedFd,
    /// Ours, never used twice: inode numbers are.
    number: u64,
}

impl Namespace {
    fn new(descriptor: OwnedFd) -> Namespace {
        Namespace { descriptor, number: LAST.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Makes a namespace and moves the calling thread into it.
    pub(crate) fn make_and_enter() -> io::Result<Namespace> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let namespace = Namespace::new(File::open("/proc/thread-self/ns/net")?.into());
        CURRENT.set(namespace.number);
        Ok(namespace)
    }

    /// The namespace that process `pid` is in.
    pub(crate) fn of_process(pid: u32) -> io::Result<Namespace> {
        Ok(Namespace::new(File::open(format!("/proc/{pid}/ns/net"))?.into()))
    }

    /// Moves the calling thread here, at no cost when it is here already.
    pub(crate) fn enter(&self) -> io::Result<()> {
        if CURRENT.get() == self.number {
            return Ok(());
        }
        setns(&self.descriptor, CloneFlags::CLONE_NEWNET)?;
        CURRENT.set(self.number);
        Ok(())
    }

    /// Does `work` in this namespace on a thread whose place is `home`.
    ///
    /// # Panics
    /// When the thread cannot return home: it must not go on elsewhere.
    pub(crate) fn visit<T>(&self, home: &Namespace, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.enter()?;
        let outcome = work();
        home.enter().expect("a thread may return to the namespace it made");
        outcome
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
