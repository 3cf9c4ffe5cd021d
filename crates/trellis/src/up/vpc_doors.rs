//! What is served to hosts inside their VPCs at link-local addresses: the AWS APIs, and the metadata of instances.
//!
//! A socket keeps the namespace it was made in, so which VPC a request is from is known by the socket alone. Every VPC
//! has listeners, and a bound on connections, of its own: what hosts of one do to them is no matter to another.

mod metadata;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::watch;
use trellis_control::Control;
use trellis_metadata::Tokens;
use trellis_model::VpcId;
use trellis_model::fabric::LinkLocal;
use trellis_model::snapshot::AddressFamily;
use trellis_net::Sockets;

use super::Api;
use crate::http_server::{Door, Terms};
use metadata::Metadata;

/// Connections of one VPC to each of them; one host has half of them at most.
const CONNECTIONS: usize = 128;

/// How long requests in flight may take once the VPC goes.
const DRAIN: Duration = Duration::from_secs(1);

/// Where commands in hosts find the API.
pub(super) fn environment() -> Vec<(String, String)> {
    vec![("AWS_ENDPOINT_URL".to_owned(), format!("http://{}", LinkLocal::API.ipv4))]
}

/// The listeners of every VPC.
pub(super) struct VpcDoors {
    sockets: Sockets,
    control: Control,
    has_api: bool,
    tokens: Arc<Tokens>,
    /// Dropped, a listener ends.
    open: Mutex<BTreeMap<VpcId, BTreeMap<SocketAddr, watch::Sender<bool>>>>,
}

impl VpcDoors {
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn new(sockets: Sockets, control: Control, has_api: bool) -> anyhow::Result<Self> {
        let tokens = Tokens::new().map_err(|_| anyhow!("the system gives no random numbers"))?;
        Ok(Self { sockets, control, has_api, tokens: Arc::new(tokens), open: Mutex::default() })
    }

    /// Serves hosts of a VPC that is in force. What is served already stays as it is.
    pub(super) fn open(&self, vpc: &VpcId, has_ipv6: bool) {
        let mut wanted = Vec::new();
        for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
            if family == AddressFamily::Ipv4 || has_ipv6 {
                let services = LinkLocal::ALL.into_iter();
                let services = services.filter(|service| self.has_api || *service != LinkLocal::API);
                wanted.extend(services.map(|of| (SocketAddr::new(of.of(family), LinkLocal::PORT), of)));
            }
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let served = open.entry(vpc.clone()).or_default();
        served.retain(|address, _| wanted.iter().any(|(other, _)| other == address));
        for (address, service) in wanted {
            if served.contains_key(&address) {
                continue;
            }
            match self.serve(vpc, address, service) {
                Ok(stop) => drop(served.insert(address, stop)),
                Err(error) => tracing::error!(%vpc, %address, %error, "hosts of a VPC are not served"),
            }
        }
    }

    fn serve(&self, vpc: &VpcId, address: SocketAddr, service: LinkLocal) -> io::Result<watch::Sender<bool>> {
        let door = Door::of(self.sockets.listen(vpc, address, false)?)?;
        let (stop, stopped) = watch::channel(false);
        let terms = Terms { tls: None, most_connections: CONNECTIONS, drain: DRAIN };
        let control = self.control.clone();
        if service == LinkLocal::METADATA {
            let metadata = Arc::new(Metadata::new(control, vpc.clone(), self.tokens.clone()));
            super::serve_http("instance metadata", &door, &metadata, &terms, &stopped);
        } else {
            let api = Arc::new(Api { control, vpc: Some(vpc.clone()) });
            super::serve_http("api in a VPC", &door, &api, &terms, &stopped);
        }
        Ok(stop)
    }

    /// The VPC is gone.
    pub(super) fn close(&self, vpc: &VpcId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(vpc);
    }

    pub(super) fn close_all(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
