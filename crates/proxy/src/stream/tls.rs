//! A TLS connection over a socket: rustls does the protocol, this moves the bytes.
//!
//! One read takes all the socket has, up to two full records, and one write carries all that is
//! ready, so a request costs as many system calls as without TLS. What was encrypted and the socket
//! did not take waits in the session, at most 64 KiB; more is not accepted until it is gone.
//!
//! The end of the stream is an end only after `close_notify`: a connection that just stops reads as
//! `UnexpectedEof`, so that nobody takes the part for the whole.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustls::{Connection, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What the session takes of what is written before the socket has taken what it made of it: the TLS library's own bound.
pub(super) const MOST_UNSENT: u64 = 64 * 1024;

/// What a peer may send in a row that brings no data, once the handshake is through: a record that is not whole, and
/// updates of keys.
const MOST_SILENT: usize = 2 * 17 * 1024;

/// Two full records, and a little.
const SCRATCH: usize = 36 * 1024;

/// Where one thread's connections put what they read, until it is decrypted.
#[derive(Debug)]
pub(crate) struct Scratch(RefCell<Box<[u8]>>);

impl Default for Scratch {
    fn default() -> Self {
        Self(RefCell::new(vec![0; SCRATCH].into()))
    }
}

/// A TLS connection, of either side.
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: Connection,
    scratch: Rc<Scratch>,
    /// Read and not decrypted, because whoever reads had no room; `..used` has been decrypted since.
    rest: Vec<u8>,
    used: usize,
    /// Bytes read since there was data in them.
    silent: usize,
    /// The socket has not taken all that is encrypted.
    behind: bool,
    /// The peer broke the protocol; said once all that came before is read.
    broken: Option<rustls::Error>,
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl TlsStream {
    /// `session` over `socket`; `rest` has been read from the socket already.
    pub(crate) fn new(
        socket: TcpStream,
        session: impl Into<Connection>,
        rest: Vec<u8>,
        scratch: Rc<Scratch>,
    ) -> Self {
        Self {
            socket,
            session: session.into(),
            scratch,
            rest,
            used: 0,
            silent: 0,
            behind: false,
            broken: None,
        }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// What has been agreed on.
    pub(crate) fn session(&self) -> &Connection {
        &self.session
    }

    /// Whether the socket has not taken all that is encrypted.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Ready when the handshake is through. What it leaves to be sent, if nobody waits for it, goes
    /// out with what is written next.
    ///
    /// # Errors
    /// `InvalidData`, with the `rustls::Error` in it, when the peer breaks the protocol or nothing
    /// can be agreed on; `UnexpectedEof` when it goes away; what the socket says.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            if let Some(error) = &self.broken {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())));
            }
            ready!(self.poll_send(cx))?;
            if ready!(self.poll_receive(cx, |session| session.is_handshaking()))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        match self.session.protocol_version() {
            // What is left are session tickets of a server, or the end of a client's handshake.
            Some(ProtocolVersion::TLSv1_3) => Poll::Ready(Ok(())),
            // The peer waits for it.
            _ => self.poll_send(cx),
        }
    }

    /// Sends what is encrypted. Ready when all of it has gone.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let sent = self.session.write_tls(&mut Outgoing { socket: &mut self.socket, cx });
            match sent {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.behind = true;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.behind = false;
        Poll::Ready(Ok(()))
    }

    /// Gives the session what waits, or else what one read brings, for as long as `hungry`; the
    /// remainder waits. How much there was; 0 is the end of what the peer sends.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        mut hungry: impl FnMut(&mut Connection) -> bool,
    ) -> Poll<io::Result<usize>> {
        if self.used < self.rest.len() {
            let rest = std::mem::take(&mut self.rest);
            let before = self.used;
            self.used += self.feed(&rest[before..], &mut hungry);
            let taken = self.used - before;
            if self.used < rest.len() {
                self.rest = rest;
            } else {
                self.used = 0;
            }
            return Poll::Ready(Ok(taken));
        }
        let scratch = self.scratch.clone();
        let mut scratch = scratch.0.borrow_mut();
        let mut came = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut came))?;
        let came = came.filled();
        if came.is_empty() {
            // Lets the session tell an end from a cut.
            let _ = self.session.read_tls(&mut io::empty());
            return Poll::Ready(Ok(0));
        }
        let fed = self.feed(came, &mut hungry);
        self.rest.extend_from_slice(&came[fed..]);
        Poll::Ready(Ok(came.len()))
    }

    /// How much of `bytes` the session has taken.
    fn feed(&mut self, bytes: &[u8], hungry: &mut impl FnMut(&mut Connection) -> bool) -> usize {
        let mut unread = bytes;
        while !unread.is_empty() && self.broken.is_none() {
            let processed = match self.session.read_tls(&mut unread) {
                // It has been told the end and takes nothing more; what follows does not count.
                Ok(0) => return bytes.len(),
                Ok(count) => self.process(count),
                Err(_) => Err(rustls::Error::General("a message is larger than what is kept of one".into())),
            };
            if let Err(error) = processed {
                self.broken = Some(error);
                // The alert, if there is one: a last word that is lost when the socket is full.
                let _ = self.session.write_tls(&mut LastWord(&self.socket));
                return bytes.len();
            }
            if !hungry(&mut self.session) {
                break;
            }
        }
        bytes.len() - unread.len()
    }
}

impl TlsStream {
    /// Has the session look at what it was given last. A message of a handshake that is never whole could fill it with
    /// far more than a record.
    fn process(&mut self, given: usize) -> Result<rustls::IoState, rustls::Error> {
        let state = self.session.process_new_packets()?;
        let is_of_use = state.plaintext_bytes_to_read() > 0 || self.session.is_handshaking();
        self.silent = if is_of_use { 0 } else { self.silent + given };
        if self.silent > MOST_SILENT {
            return Err(rustls::Error::General("much has come that brings no data".into()));
        }
        Ok(state)
    }
}

/// Moves what has been decrypted to where there is room. Whether more may come that way.
fn take_decrypted(session: &mut Connection, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
    while buffer.remaining() > 0 {
        match session.reader().read(buffer.initialize_unfilled()) {
            Ok(0) => return Ok(false),
            Ok(count) => buffer.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            let more = match take_decrypted(&mut this.session, buffer) {
                Ok(more) => more,
                // Said again at the next read.
                Err(_) if buffer.filled().len() > before => false,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if !more || (buffer.filled().len() > before && this.used >= this.rest.len()) {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = &this.broken {
                if buffer.filled().len() > before {
                    return Poll::Ready(Ok(()));
                }
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())));
            }
            // A failed take is an end, which the next round reports.
            ready!(this.poll_receive(cx, |session| take_decrypted(session, buffer).unwrap_or(false)))?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.behind {
            ready!(this.poll_send(cx))?;
        }
        let taken = this.session.writer().write_vectored(parts)?;
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What the socket did not take waits for a flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Says so once, however often it is polled.
        this.session.send_close_notify();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// The socket as the session writes to it.
struct Outgoing<'a, 'b> {
    socket: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl Outgoing<'_, '_> {
    fn now(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
        match poll {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Outgoing<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::now(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::now(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The socket as it is written to when nobody will wait for it.
struct LastWord<'a>(&'a TcpStream);

impl Write for LastWord<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
