//! The instance metadata service of one VPC.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use jiff::Timestamp;
use socket2::SockRef;
use tokio::net::TcpStream;
use trellis_control::{Control, Peer};
use trellis_metadata::{Asked, Refused, Tokens, answer, answer_token};
use trellis_model::{InstanceId, VpcId};

use crate::http_server::Handler;

pub(super) struct Metadata {
    control: Control,
    vpc: VpcId,
    tokens: Arc<Tokens>,
}

impl Metadata {
    pub(super) fn new(control: Control, vpc: VpcId, tokens: Arc<Tokens>) -> Self {
        Self { control, vpc, tokens }
    }

    /// Who asks is the host that has the address: a connection of another ends with its host.
    fn instance_at(&self, peer: SocketAddr) -> Option<InstanceId> {
        self.control.instance_at(&self.vpc, peer.ip())
    }

    fn serve(&self, head: &Parts, peer: SocketAddr) -> Result<Response<Vec<u8>>, Refused> {
        let instance = self.instance_at(peer).ok_or(Refused::Forbidden)?;
        let unread = |error| {
            tracing::error!(%instance, %error, "the metadata of an instance cannot be read");
            Refused::Unavailable
        };
        let options = self.control.metadata_options(&self.vpc, &instance).map_err(unread)?;
        let options = options.ok_or(Refused::Forbidden)?;
        if !options.is_enabled || (peer.ip().is_ipv6() && !options.has_ipv6) {
            return Err(Refused::Forbidden);
        }
        let now = Timestamp::now();
        match Asked::read(head)? {
            Asked::Token { seconds } => {
                Ok(answer_token(&self.tokens.make(&instance, seconds, now)?, seconds))
            }
            Asked::Read { path, token } => {
                self.tokens.check(&instance, &token, now)?;
                let known = self.control.instance_metadata(&self.vpc, &instance).map_err(unread)?;
                Ok(answer(&path, &known.ok_or(Refused::Forbidden)?))
            }
        }
    }
}

impl Handler for Metadata {
    fn body_limit(&self, _: &Parts) -> usize {
        0
    }

    /// From here on packets go as far as the instance's options say. One hop is the default: what forwards on its way,
    /// a container's bridge or an open proxy, is not reached.
    fn accepted(&self, stream: &TcpStream, peer: SocketAddr) {
        let options = self
            .instance_at(peer)
            .and_then(|instance| self.control.metadata_options(&self.vpc, &instance).ok().flatten());
        let hops = u32::from(options.map_or(1, |options| options.hop_limit));
        let socket = SockRef::from(stream);
        let limited = if peer.is_ipv6() { socket.set_unicast_hops_v6(hops) } else { socket.set_ttl_v4(hops) };
        if let Err(error) = limited {
            tracing::warn!(%peer, %error, "the hops of metadata are not limited");
        }
    }

    async fn call(&self, request: Request<Bytes>) -> Response<Vec<u8>> {
        let (head, _) = request.into_parts();
        let Some(Peer(peer)) = head.extensions.get() else { return Refused::Forbidden.into() };
        self.serve(&head, *peer).unwrap_or_else(Into::into)
    }
}
