//! Whether this machine can do what the fabric needs, and what is missing where it cannot.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use ipnet::{IpNet, Ipv4Net};
use trellis_model::fabric::{Firewall, FirewallRule, FirewallTraffic, GatewayPlan, VpcPlan};
use trellis_model::id::{ResourceGatewayId, VpcId};

use crate::firewall;
use crate::namespace::Namespace;
use crate::netlink::link::Peer;
use crate::netlink::{Netlink, NetlinkError};
use crate::{NetError, vpc};

/// Makes one of everything the fabric uses, in a namespace that is gone when this returns. Takes some
/// 20 milliseconds. [`crate::Fabric::start`] does it first.
///
/// # Errors
/// What is missing and what to do about it.
pub fn probe() -> Result<(), NetError> {
    let nft = firewall::find_nft()?;
    let user_namespaces = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    if user_namespaces.trim() == "0" {
        return Err(NetError::LimitReached { sysctl: "user.max_user_namespaces", value: "0".into() });
    }
    thread::Builder::new()
        .name("probe".into())
        .spawn(move || probe_here(&nft))
        .map_err(NetError::system("start a thread"))?
        .join()
        .unwrap_or_else(|_| Err(NetError::system("probe the kernel")(io::ErrorKind::Other.into())))
}

fn probe_here(nft: &Path) -> Result<(), NetError> {
    let namespace = Namespace::make_and_enter().map_err(|source| match source.raw_os_error() {
        Some(libc::EPERM) => NetError::NotPermitted {
            advice: "run as root, or as a user who may make user namespaces (in a container: CAP_SYS_ADMIN)"
                .into(),
        },
        Some(libc::ENOSPC) => NetError::LimitReached {
            sysctl: "user.max_net_namespaces",
            value: fs::read_to_string("/proc/sys/user/max_net_namespaces").unwrap_or_default().trim().into(),
        },
        Some(libc::EINVAL | libc::ENOSYS) => {
            NetError::MissingFeature { feature: "network namespaces", advice: "it needs CONFIG_NET_NS" }
        }
        _ => NetError::system("make a network namespace")(source),
    })?;
    let mut netlink = Netlink::open().map_err(NetError::system("open a netlink socket"))?;
    netlink
        .add_bridge("probe", [0x06, 0x74, 0, 0, 0, 1])
        .map_err(|error| lacking(error, "bridges", "as root: modprobe bridge (CONFIG_BRIDGE)"))?;
    let peer = Peer { name: "probe1", mac: [0x06, 0x74, 0, 0, 0, 2], namespace: namespace.as_fd() };
    netlink
        .add_veth("probe0", None, &peer)
        .map_err(|error| lacking(error, "veth pairs", "as root: modprobe veth (CONFIG_VETH)"))?;
    firewall::install(nft, &firewall::ruleset(&restricted(), &[vpc::network::RESOLVER])).map_err(|source| {
        let text = source.to_string();
        if ["not supported", "No such file", "Invalid argument"].iter().any(|sign| text.contains(sign)) {
            NetError::MissingFeature {
                feature: "nftables with connection tracking, reject and tproxy rules",
                advice: "as root: modprobe -a nf_tables nft_ct nft_reject_ipv4 nft_reject_ipv6 nft_tproxy (CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4, CONFIG_NF_TABLES_IPV6, CONFIG_NF_TABLES_ARP, CONFIG_NFT_CT, CONFIG_NFT_REJECT, CONFIG_NFT_TPROXY)",
            }
        } else {
            NetError::system("install firewall rules")(source)
        }
    })
}

/// A plan whose rules use everything that rules can.
fn restricted() -> VpcPlan {
    let rule = |traffic| FirewallRule {
        traffic,
        peers: [[192, 0, 2, 0], [198, 51, 100, 0]]
            .map(|block| IpNet::from(Ipv4Net::new_assert(block.into(), 24)))
            .into(),
    };
    let ingress = vec![
        rule(FirewallTraffic::Tcp { first: 1, last: 2 }),
        rule(FirewallTraffic::Icmp { kind: Some(8), code: Some(0) }),
    ];
    let firewall = Firewall { ingress, egress: vec![rule(FirewallTraffic::All)] };
    VpcPlan {
        id: VpcId::from_random(0),
        cidrs: Vec::new(),
        ipv6_cidr: None,
        private_dns_domain: "ec2.internal".into(),
        subnets: BTreeMap::new(),
        hosts: BTreeMap::new(),
        secondary_addresses: BTreeMap::new(),
        service_clients: Some(firewall.ingress.clone().into()),
        resources: [([129, 224, 0, 1].into(), [80..=80, 443..=444].into())].into(),
        gateways: [(
            ResourceGatewayId::from_random(0),
            GatewayPlan {
                addresses: vec![Ipv4Addr::new(192, 0, 2, 2).into()],
                egress: firewall.ingress.clone(),
            },
        )]
        .into(),
        firewalls: [(Ipv4Addr::new(192, 0, 2, 1).into(), Arc::new(firewall))].into(),
    }
}

fn lacking(error: NetlinkError, feature: &'static str, advice: &'static str) -> NetError {
    match error.errno() {
        Some(libc::EOPNOTSUPP | libc::ENODEV) => NetError::MissingFeature { feature, advice },
        _ => NetError::System { action: error.action, source: error.source },
    }
}
