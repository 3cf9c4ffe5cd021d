//! The floor: bytes copied between a client and a connection to the upstream of its own, with the system calls every
//! proxy makes and nothing between them. It reads no request, so what it costs is what the kernel costs.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockRef, Socket, Type};

use crate::upstream;

/// Holds any request or answer whole, as the buffers of the peers do.
const BUFFER: usize = 32 * 1024;
const MAX_PAIRS: usize = 8 * 1024;
const LISTENER: Token = Token(usize::MAX);

/// Relays until the process is ended. `source` is the address connections to `upstream` come from.
pub(crate) fn serve(listen: SocketAddr, upstream: SocketAddr, source: Option<IpAddr>) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.context("waiting for events")?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let index = pairs.iter().position(Option::is_none).unwrap_or(pairs.len());
                    if index >= MAX_PAIRS {
                        continue;
                    }
                    let pair = Pair::new(client, upstream, source, index, &poll)?;
                    if index == pairs.len() {
                        pairs.push(None);
                    }
                    pairs[index] = Some(pair);
                }
                continue;
            }
            let index = event.token().0 / 2;
            let Some(pair) = pairs.get_mut(index).and_then(Option::as_mut) else { continue };
            if !pair.serve(event.token().0 % 2, event.is_writable(), &mut buffer) {
                pairs[index] = None;
            }
        }
    }
}

/// A client and its upstream: ends 0 and 1.
struct Pair {
    ends: [TcpStream; 2],
    /// What the end did not take yet.
    pending: [Vec<u8>; 2],
}

impl Pair {
    fn new(
        client: TcpStream,
        upstream: SocketAddr,
        source: Option<IpAddr>,
        index: usize,
        poll: &Poll,
    ) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::for_address(upstream), Type::STREAM, None)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect(&upstream.into()).with_context(|| format!("connecting to {upstream}"))?;
        socket.set_nonblocking(true)?;
        let mut ends = [client, TcpStream::from_std(socket.into())];
        for (side, end) in ends.iter_mut().enumerate() {
            SockRef::from(&*end).set_tcp_nodelay(true)?;
            poll.registry().register(
                end,
                Token(2 * index + side),
                Interest::READABLE | Interest::WRITABLE,
            )?;
        }
        Ok(Self { ends, pending: [Vec::new(), Vec::new()] })
    }

    /// Handles one event of end `side`. `false` when both are to be closed.
    fn serve(&mut self, side: usize, writable: bool, buffer: &mut [u8]) -> bool {
        if writable && !self.pending[side].is_empty() {
            let pending = std::mem::take(&mut self.pending[side]);
            if !self.send(side, &pending) {
                return false;
            }
        }
        loop {
            match self.ends[side].read(buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    if !self.send(1 - side, &buffer[..length]) {
                        return false;
                    }
                    // A short read drained the socket; the next bytes are another event.
                    if length < buffer.len() {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn send(&mut self, side: usize, bytes: &[u8]) -> bool {
        upstream::send(&mut self.ends[side], &mut self.pending[side], bytes)
    }
}
