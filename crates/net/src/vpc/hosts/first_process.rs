//! The processes a host begins with: one that makes its namespaces and ends, and the first of those inside.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;

use nix::sys::signal::Signal;

use crate::host::control::{Control, Report};
use crate::process::{pidfd_open, reap, signal};

#[derive(Debug)]
pub(super) struct Process {
    pub(super) control: Control,
    /// Makes the namespaces and ends.
    pub(super) starter: Option<Child>,
    /// The host's first process.
    pub(super) init: Option<(u32, OwnedFd)>,
}

impl Process {
    /// What tells of the next thing to happen to it.
    pub(super) fn watched(&self, ending: bool) -> BorrowedFd<'_> {
        match &self.init {
            Some((_, process)) if ending => process.as_fd(),
            _ => self.control.as_fd(),
        }
    }

    /// Kills it and with it all that runs in the host. Where there is only the starter, it is let finish: it takes a
    /// moment, and what it makes must be known to be ended.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.init.as_ref().map_or(Ok(()), |(_, process)| signal(process.as_fd(), Signal::SIGKILL))
    }

    /// The host's first process exists.
    pub(super) fn adopt(&mut self, pid: u32) -> io::Result<()> {
        self.init = Some((pid, pidfd_open(pid)?));
        self.end_starter()
    }

    /// Its work is done; killing it makes the wait short, whatever it is doing.
    pub(super) fn end_starter(&mut self) -> io::Result<()> {
        let Some(mut starter) = self.starter.take() else { return Ok(()) };
        starter.kill()?;
        starter.wait().map(drop)
    }

    /// Takes note of what happened since it was killed. True when nothing of it is left.
    pub(super) fn has_ended(&mut self) -> io::Result<bool> {
        if let Some((_, process)) = &self.init {
            return Ok(reap(process.as_fd())?.is_some());
        }
        loop {
            match self.control.receive_report() {
                Ok(Some(Report::Made { pid })) => {
                    self.adopt(pid)?;
                    self.kill()?;
                    return Ok(false);
                }
                Ok(Some(_)) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Ok(None) | Err(_) => return self.end_starter().map(|()| true),
            }
        }
    }
}
