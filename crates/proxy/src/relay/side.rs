//! One end of a relay: a socket that need not be listened to.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::task::{Context, Poll};

use nix::sys::socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

use super::pipe::Pipe;

/// Epoll tells of every segment that arrives on a socket registered for reading, whether anybody
/// waits for it or not. While the other side is slower there is no room for more, and a worker would
/// wake up for nothing some thousand times a GiB. So a side can be deaf: nothing is heard of it but
/// that it can be written to, or has broken.
#[derive(Debug)]
pub(super) enum Side {
    Listening(TcpStream),
    Deaf(AsyncFd<std::net::TcpStream>),
    /// It could not be registered anew.
    Lost,
}

impl Side {
    /// Whether there may be something to read. A deaf side may always have something.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Listening(socket) => socket.poll_read_ready(cx),
            Self::Deaf(_) => Poll::Ready(Ok(())),
            Self::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Listening(socket) => socket.poll_write_ready(cx),
            Self::Deaf(socket) => socket.poll_write_ready(cx).map_ok(|_| ()),
            Self::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Moves up to `most` bytes of what there is into `pipe`, which is empty. 0 is the end. When there is nothing, the side
    /// listens, so as to hear when something comes.
    pub(super) fn read_into(&mut self, pipe: &Pipe, most: usize) -> io::Result<usize> {
        match self {
            Self::Listening(socket) => socket.try_io(Interest::READABLE, || pipe.fill(&*socket, most)),
            Self::Deaf(socket) => {
                let read = pipe.fill(socket.get_ref(), most);
                if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                    self.listen()?;
                }
                read
            }
            Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Moves what there is into `pipe`, which has `held` bytes and may have `most`. That there is nothing may as well mean
    /// that the pipe is full, so it says nothing of the side.
    pub(super) fn read_more_into(&self, pipe: &Pipe, held: usize, most: usize) -> io::Result<usize> {
        pipe.fill(self.socket()?, most.saturating_sub(held))
    }

    pub(super) fn write_from(&self, pipe: &Pipe, count: usize) -> io::Result<usize> {
        match self {
            Self::Listening(socket) => socket.try_io(Interest::WRITABLE, || pipe.drain(socket, count)),
            Self::Deaf(socket) => socket.try_io(Interest::WRITABLE, |socket| pipe.drain(socket, count)),
            Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Has what was read acknowledged now and not with what is sent next.
    pub(super) fn acknowledge(&self) {
        if let Self::Listening(socket) = self {
            let _ = socket.set_quickack(true);
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self, Self::Listening(_))
    }

    /// Stops listening. Whoever waits for this side must ask again.
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe, for types whose descriptor may change; a socket of std keeps its own"
    )]
    pub(super) fn turn_deaf(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Listening(socket) => {
                Self::Deaf(AsyncFd::with_interest(socket.into_std()?, Interest::WRITABLE)?)
            }
            other => other,
        };
        Ok(())
    }

    fn listen(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Deaf(socket) => Self::Listening(TcpStream::from_std(socket.into_inner())?),
            other => other,
        };
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&self) -> io::Result<()> {
        match socket::shutdown(self.socket()?.as_raw_fd(), socket::Shutdown::Write) {
            Ok(()) | Err(nix::Error::ENOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// When it is dropped, the other end gets a reset and no end.
    pub(super) fn break_off(&self) {
        let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        if let Ok(fd) = self.socket() {
            // Fails only on a socket that is broken already.
            let _ = socket::setsockopt(&fd, socket::sockopt::Linger, &now);
        }
    }

    fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::Listening(socket) => Ok(socket.as_fd()),
            Self::Deaf(socket) => Ok(socket.get_ref().as_fd()),
            Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::pipe::{Pipes, SIZE};
    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    /// Waits until there is something, and moves it.
    async fn read(side: &mut Side, pipe: &Pipe) -> usize {
        loop {
            poll_fn(|cx| side.poll_readable(cx)).await.unwrap();
            match side.read_into(pipe, SIZE) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.unwrap(),
            }
        }
    }

    #[tokio::test]
    async fn a_deaf_side_has_what_came_meanwhile_and_listens_again_when_that_is_all() {
        let (mut peer, socket) = pair().await;
        let mut side = Side::Listening(socket);
        let pipes = Pipes::default();
        let pipe = pipes.take().unwrap();
        side.turn_deaf().unwrap();
        peer.write_all(b"meanwhile").await.unwrap();
        assert_eq!(read(&mut side, &pipe).await, 9);
        assert!(!side.is_listening(), "there may be more");
        assert_eq!(pipe.drain(side.socket().unwrap(), 9).unwrap(), 9);
        let later = tokio::spawn(async move {
            tokio::task::yield_now().await;
            peer.write_all(b"later").await.unwrap();
            peer
        });
        assert_eq!(read(&mut side, &pipe).await, 5);
        assert!(side.is_listening());
        poll_fn(|cx| side.poll_writable(cx)).await.unwrap();
        assert_eq!(side.write_from(&pipe, 5).unwrap(), 5);
        side.turn_deaf().unwrap();
        poll_fn(|cx| side.poll_writable(cx)).await.unwrap();
        let mut peer = later.await.unwrap();
        peer.read_exact(&mut [0; 9 + 5]).await.unwrap();
        drop(peer);
        assert_eq!(read(&mut side, &pipe).await, 0, "the end is heard of");
    }
}
