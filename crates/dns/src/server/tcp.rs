//! DNS over TCP (RFC 7766): length-prefixed, many queries on a connection, answered as they are
//! ready. A client that sends no whole query or takes no reply within the idle time is let go.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::Resolver;
use crate::answer::Answer;
use crate::upstream::Transport;

/// Queries of one connection that may wait for resolvers; further ones stay unread.
const MAX_PIPELINED: usize = 16;

const ERROR_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn serve(listener: Arc<TcpListener>, resolver: Resolver) {
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = resolver.limits.connections.clone().acquire_owned().await else { return };
        let accepted = loop {
            tokio::select! {
                accepted = listener.accept() => break accepted,
                Some(_) = connections.join_next() => {}
            }
        };
        match accepted {
            Ok((stream, client)) => {
                resolver.metrics.tcp_connections.add();
                let resolver = resolver.clone();
                connections.spawn(async move {
                    let _permit = permit;
                    if let Err(error) = converse(stream, client, &resolver).await {
                        tracing::debug!(whose = %resolver.whose, %client, %error, "connection ended early");
                    }
                });
            }
            Err(error) => {
                tracing::debug!(whose = %resolver.whose, %error, "cannot accept");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, client: SocketAddr, resolver: &Resolver) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut waiting: JoinSet<Option<Vec<u8>>> = JoinSet::new();
    let mut input = Vec::with_capacity(1024);
    let mut closed = false;
    let mut idle_until = Instant::now() + resolver.idle_timeout;
    loop {
        while waiting.len() < MAX_PIPELINED
            && let Some(query) = take_frame(&mut input)
        {
            idle_until = Instant::now() + resolver.idle_timeout;
            resolver.metrics.tcp_queries.add();
            let chain = match resolver.answer(&query) {
                Answer::Reply(reply) => {
                    write_frame(&mut stream, &reply, resolver.idle_timeout).await?;
                    continue;
                }
                Answer::Drop => return Ok(()),
                Answer::Forward => None,
                Answer::Follow(chain) => Some(chain),
            };
            let resolver = resolver.clone();
            waiting.spawn(async move { resolver.forward(&query, client, Transport::Tcp, chain).await });
        }
        if closed && waiting.is_empty() {
            return Ok(());
        }
        let may_read = !closed && waiting.len() < MAX_PIPELINED;
        tokio::select! {
            Some(done) = waiting.join_next() => {
                if let Ok(Some(reply)) = done {
                    write_frame(&mut stream, &reply, resolver.idle_timeout).await?;
                }
                idle_until = Instant::now() + resolver.idle_timeout;
            }
            // At most one frame is ever incomplete, so the buffer stays near 64 KiB.
            read = stream.read_buf(&mut input), if may_read => closed = read? == 0,
            () = sleep_until(idle_until), if waiting.is_empty() => return Ok(()),
        }
    }
}

/// The next whole message in `input`, taken out of it.
fn take_frame(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*input.first_chunk()?));
    let frame = input.get(2..2 + length)?.to_vec();
    input.drain(..2 + length);
    Some(frame)
}

async fn write_frame(stream: &mut TcpStream, reply: &[u8], limit: Duration) -> io::Result<()> {
    let length = u16::try_from(reply.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut frame = Vec::with_capacity(reply.len() + 2);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(reply);
    timeout(limit, stream.write_all(&frame)).await?
}
