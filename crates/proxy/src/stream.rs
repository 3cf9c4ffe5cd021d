//! A connection, with or without TLS: what everything that moves bytes is written against.
//!
//! Without TLS it is the socket and nothing else: no allocation, no copy, no extra system call.

mod tls;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(crate) use tls::{Scratch, TlsStream};

/// Whether so many bytes can have come without the kernel acknowledging them at once, as it does with
/// two full segments. In a VPC those are of up to 8.5 KB.
pub(crate) fn is_little(bytes: u64) -> bool {
    (1..17_000).contains(&bytes)
}

/// A connection to a client or to a target.
///
/// What has been written may wait inside until it is flushed; a plain socket has nothing that
/// waits, so flushing it costs nothing.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// The socket under it.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Whether something that was written waits until the socket takes it.
    pub(crate) fn is_behind(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(stream) => stream.is_behind(),
        }
    }

    /// Memory of what was written and waits inside, at most.
    pub(crate) fn unsent(&self) -> u64 {
        if self.is_behind() { tls::MOST_UNSENT } else { 0 }
    }

    /// Closing resets the connection, so that nobody takes what was sent for all of it.
    pub(crate) fn reset_on_close(&self) -> io::Result<()> {
        self.socket().set_zero_linger()
    }

    /// Has what was read acknowledged now and not with what is sent next.
    pub(crate) fn acknowledge(&self) {
        // Without it the other side may wait a little longer.
        let _ = self.socket().set_quickack(true);
    }

    /// The error that waits on the socket, if one does.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket().take_error()
    }

    /// Whether nothing, not even the end, has arrived that nobody asked for. No system call, unless
    /// something has.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        match self {
            Self::Tcp(socket) => match socket.poll_read_ready(cx) {
                Poll::Pending => true,
                // Readiness is a hint that can outlive its cause; a read tells.
                Poll::Ready(_) => matches!(
                    socket.try_read(&mut [0]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock
                ),
            },
            // Session tickets and the like may come at any time; they are none of our business.
            Self::Tls(stream) => {
                Pin::new(&mut **stream).poll_read(cx, &mut ReadBuf::new(&mut [0])).is_pending()
            }
        }
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
