//! DNS over UDP: a datagram in, at most one out, never longer than the client takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::Resolver;
use crate::answer::Answer;
use crate::upstream::Transport;
use crate::wire;

/// Queries longer than this are cut by the read and then refused as malformed.
const MAX_QUERY: usize = 4096;

/// After a socket error, so that one that stays does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn serve(socket: Arc<UdpSocket>, resolver: Resolver) {
    let mut waiting = JoinSet::new();
    let mut buffer = vec![0; MAX_QUERY];
    #[cfg(debug_assertions)]
    crate::fault::point();
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = waiting.join_next() => continue,
        };
        let (length, client) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(whose = %resolver.whose, %error, "cannot receive");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        #[cfg(debug_assertions)]
        crate::fault::point();
        resolver.metrics.udp_queries.add();
        let query = &buffer[..length];
        let chain = match resolver.answer(query) {
            Answer::Reply(reply) => {
                send(&socket, &resolver, reply, query, client).await;
                continue;
            }
            Answer::Drop => continue,
            Answer::Forward => None,
            Answer::Follow(chain) => Some(chain),
        };
        // As many wait as may be forwarded; one more is answered here with SERVFAIL, at once.
        if resolver.limits.in_flight.available_permits() == 0 {
            if let Some(reply) = resolver.forward(query, client, Transport::Udp, chain).await {
                send(&socket, &resolver, reply, query, client).await;
            }
            continue;
        }
        let (socket, resolver, query) = (socket.clone(), resolver.clone(), query.to_vec());
        waiting.spawn(async move {
            if let Some(reply) = resolver.forward(&query, client, Transport::Udp, chain).await {
                send(&socket, &resolver, reply, &query, client).await;
            }
        });
    }
}

async fn send(socket: &UdpSocket, resolver: &Resolver, mut reply: Vec<u8>, query: &[u8], client: SocketAddr) {
    if wire::truncate(&mut reply, query, wire::udp_limit(query)) {
        resolver.metrics.truncated.add();
    }
    if let Err(error) = socket.send_to(&reply, client).await {
        tracing::debug!(whose = %resolver.whose, %client, %error, "cannot send");
    }
}
