//! What protocol a connection speaks, by its first bytes, which its reader gets all the same.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" (RFC 9113, 3.4): HTTP/2 with prior knowledge.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The type of a record with a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    Tls,
    /// It ended before it said anything.
    Nothing,
}

/// A connection of which the first bytes have been read already.
#[derive(Debug)]
pub(crate) struct Begun {
    stream: TcpStream,
    first: [u8; PREFACE.len()],
    taken: usize,
    length: usize,
}

/// Reads as little of `stream` as says what it speaks.
pub(crate) async fn read(stream: TcpStream) -> io::Result<(Protocol, Begun)> {
    let mut begun = Begun { stream, first: [0; PREFACE.len()], taken: 0, length: 0 };
    loop {
        if let Some(protocol) = protocol(&begun.first[..begun.length]) {
            return Ok((protocol, begun));
        }
        let read = begun.stream.read(&mut begun.first[begun.length..]).await?;
        if read == 0 {
            let spoken = if begun.length == 0 { Protocol::Nothing } else { Protocol::Http1 };
            return Ok((spoken, begun));
        }
        begun.length += read;
    }
}

/// `None` when more has to be seen.
fn protocol(first: &[u8]) -> Option<Protocol> {
    match first {
        [] => None,
        [TLS_HANDSHAKE, ..] => Some(Protocol::Tls),
        _ if first == PREFACE => Some(Protocol::Http2),
        _ if PREFACE.starts_with(first) => None,
        _ => Some(Protocol::Http1),
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken < self.length {
            let count = buffer.remaining().min(self.length - self.taken);
            buffer.put_slice(&self.first[self.taken..self.taken + count]);
            self.taken += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        for (first, expected) in [
            (&b""[..], None),
            (b"GET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"P", None),
            (b"PO", Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Protocol::Http2)),
            (b"PRI * HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"\x16\x03\x01", Some(Protocol::Tls)),
        ] {
            assert_eq!(protocol(first), expected, "{first:?}");
        }
    }
}
