//! Links: bridges, veth pairs and what is set on them.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use super::message::number;
use super::{Attributes, Message, NLM_F_CREATE, NLM_F_EXCL, Netlink, NetlinkError};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_QDISC: u16 = 6;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_CARRIER: u16 = 33;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const IFLA_BRPORT_LOCKED: u16 = 39;
const IFLA_INET_CONF: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
const DEVCONF_FORWARDING: u16 = 1;
const DEVCONF_ACCEPT_REDIRECTS: u16 = 4;
const DEVCONF_SEND_REDIRECTS: u16 = 6;
const DEVCONF_RP_FILTER: u16 = 8;
const DEVCONF_PROXY_ARP_PVLAN: u16 = 25;
/// The fixed part of a link message.
const IFINFOMSG: usize = 16;

/// Largest packet of a VPC, in bytes: EC2's jumbo frames.
const MTU: u32 = 9001;

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

pub(crate) use trellis_model::fabric::mac_of;

/// A link as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `bridge`, `veth`; empty for the loopback.
    pub(crate) kind: String,
    pub(crate) up: bool,
}

/// The end of a veth pair that goes to another namespace.
#[derive(Debug)]
pub(crate) struct Peer<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Mac,
    pub(crate) namespace: BorrowedFd<'a>,
}

fn ifinfomsg(family: u8, index: u32, up: bool) -> [u8; IFINFOMSG] {
    let mut bytes = [0; IFINFOMSG];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    if up {
        let flag = (libc::IFF_UP as u32).to_ne_bytes();
        bytes[8..12].copy_from_slice(&flag);
        bytes[12..16].copy_from_slice(&flag);
    }
    bytes
}

/// How often, and how far apart, a link is looked at that should come to life: two seconds in all.
const LOOKS: u32 = 1000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

impl Netlink {
    pub(crate) fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let mut links = Vec::new();
        let message = Message::new(RTM_GETLINK, 0, &ifinfomsg(libc::AF_UNSPEC as u8, 0, false));
        self.dump(&message, "list links", |payload| {
            if payload.len() < IFINFOMSG {
                return;
            }
            let flags = number(&payload[8..12]).unwrap_or(0);
            let mut link = Link {
                index: number(&payload[4..8]).unwrap_or(0),
                name: String::new(),
                kind: String::new(),
                up: flags & libc::IFF_UP as u32 != 0,
            };
            let text = |value: &[u8]| String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
            for (kind, value) in Attributes::new(&payload[IFINFOMSG..]) {
                match kind {
                    IFLA_IFNAME => link.name = text(value),
                    IFLA_LINKINFO => {
                        for (kind, value) in Attributes::new(value) {
                            if kind == IFLA_INFO_KIND {
                                link.kind = text(value);
                            }
                        }
                    }
                    _ => {}
                }
            }
            links.push(link);
        })?;
        Ok(links)
    }

    /// The index of the link called `name`; an error when there is none.
    pub(crate) fn link_index(&mut self, name: &str) -> Result<u32, NetlinkError> {
        let message = Message::new(RTM_GETLINK, 0, &ifinfomsg(0, 0, false)).text(IFLA_IFNAME, name);
        let mut index = 0;
        self.query(
            message,
            || format!("find link {name}"),
            |payload| {
                index = payload.get(4..8).and_then(number).unwrap_or(0);
            },
        )?;
        Ok(index)
    }

    /// A bridge without spanning tree or multicast snooping: its ports forward at once, and it has nothing to learn.
    pub(crate) fn add_bridge(&mut self, name: &str, mac: Mac) -> Result<(), NetlinkError> {
        let message = Message::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifinfomsg(0, 0, false))
            .text(IFLA_IFNAME, name)
            .attribute(IFLA_ADDRESS, &mac)
            .number(IFLA_MTU, MTU)
            .nested(IFLA_LINKINFO, |message| {
                message.text(IFLA_INFO_KIND, "bridge").nested(IFLA_INFO_DATA, |message| {
                    message.number(IFLA_BR_FORWARD_DELAY, 0).attribute(IFLA_BR_MCAST_SNOOPING, &[0])
                })
            });
        self.request(message, || format!("make bridge {name}"))
    }

    /// A veth pair: `name` here, as a port of `bridge` when given, `peer` elsewhere.
    pub(crate) fn add_veth(
        &mut self,
        name: &str,
        bridge: Option<u32>,
        peer: &Peer<'_>,
    ) -> Result<(), NetlinkError> {
        let mut message = Message::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifinfomsg(0, 0, false))
            .text(IFLA_IFNAME, name)
            .number(IFLA_MTU, MTU);
        if let Some(bridge) = bridge {
            message = message.number(IFLA_MASTER, bridge);
        }
        let message = message.nested(IFLA_LINKINFO, |message| {
            message.text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, |message| {
                message.nested(VETH_INFO_PEER, |message| {
                    message
                        .raw(&ifinfomsg(0, 0, false))
                        .text(IFLA_IFNAME, peer.name)
                        .attribute(IFLA_ADDRESS, &peer.mac)
                        .number(IFLA_MTU, MTU)
                        .number(IFLA_NET_NS_FD, peer.namespace.as_raw_fd() as u32)
                })
            })
        });
        self.request(message, || format!("make veth {name}"))
    }

    /// Deletes a link by name; one that is not there is fine.
    pub(crate) fn delete_link(&mut self, name: &str) -> Result<(), NetlinkError> {
        let message = Message::new(RTM_DELLINK, 0, &ifinfomsg(0, 0, false)).text(IFLA_IFNAME, name);
        match self.request(message, || format!("delete link {name}")) {
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }

    pub(crate) fn set_up(&mut self, index: u32) -> Result<(), NetlinkError> {
        self.request(Message::new(RTM_SETLINK, 0, &ifinfomsg(0, index, true)), || {
            format!("set link {index} up")
        })
    }

    fn set_down(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut fixed = ifinfomsg(0, index, false);
        fixed[12..16].copy_from_slice(&(libc::IFF_UP as u32).to_ne_bytes());
        self.request(Message::new(RTM_SETLINK, 0, &fixed), || format!("set link {index} down"))
    }

    /// Waits until the link `name`, which is up and whose other side is, really sends. The kernel gives a link its
    /// queue some time after its carrier, up to a second for a bridge, and drops what is sent before. Recent kernels
    /// do it when asked about the link, which is all that happens here; with older ones a bridge is set down and up
    /// again (`restart`), which does it, too, and costs the bridge its neighbours.
    pub(crate) fn settle(&mut self, name: &str, restart: bool) -> Result<(), NetlinkError> {
        let what = || format!("wait for link {name}");
        for _ in 0..LOOKS {
            let (mut index, mut carrier, mut queue) = (0, false, false);
            let message = Message::new(RTM_GETLINK, 0, &ifinfomsg(0, 0, false)).text(IFLA_IFNAME, name);
            self.query(message, what, |payload| {
                index = payload.get(4..8).and_then(number).unwrap_or(0);
                for (kind, value) in Attributes::new(payload.get(IFINFOMSG..).unwrap_or_default()) {
                    match kind {
                        IFLA_CARRIER => carrier = value == [1],
                        IFLA_QDISC => queue = value != b"noop\0",
                        _ => {}
                    }
                }
            })?;
            match (carrier, queue) {
                (true, true) => return Ok(()),
                (true, false) if restart => {
                    self.set_down(index)?;
                    self.set_up(index)?;
                }
                _ => thread::sleep(BETWEEN_LOOKS),
            }
        }
        let source = std::io::ErrorKind::TimedOut.into();
        Err(NetlinkError { action: what(), detail: String::new(), source })
    }

    /// Makes a link route: forward, take only packets whose source routes back through it (strict reverse path), and
    /// stand in for the neighbours on it, which do not hear each other (RFC 3069).
    /// Through netlink rather than /proc/sys, which is read-only in many containers.
    pub(crate) fn set_routing(&mut self, index: u32) -> Result<(), NetlinkError> {
        let message =
            Message::new(RTM_SETLINK, 0, &ifinfomsg(0, index, false)).nested(IFLA_AF_SPEC, |message| {
                message.nested(libc::AF_INET as u16, |message| {
                    message.nested(IFLA_INET_CONF, |message| {
                        message
                            .number(DEVCONF_FORWARDING, 1)
                            .number(DEVCONF_RP_FILTER, 1)
                            .number(DEVCONF_ACCEPT_REDIRECTS, 0)
                            .number(DEVCONF_SEND_REDIRECTS, 0)
                            .number(DEVCONF_PROXY_ARP_PVLAN, 1)
                    })
                })
            });
        self.request(message, || format!("let link {index} route"))
    }

    /// Keeps IPv6 from giving a link an address by itself. A kernel without IPv6 has nothing to keep. Without a
    /// link-local address a router sends no redirects, which nothing else would keep IPv6 from.
    pub(crate) fn set_no_ipv6_address(&mut self, index: u32) -> Result<(), NetlinkError> {
        let message =
            Message::new(RTM_SETLINK, 0, &ifinfomsg(0, index, false)).nested(IFLA_AF_SPEC, |message| {
                message.nested(libc::AF_INET6 as u16, |message| {
                    message.attribute(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE])
                })
            });
        match self.request(message, || format!("keep IPv6 off link {index}")) {
            Err(error) if matches!(error.errno(), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)) => Ok(()),
            outcome => outcome,
        }
    }

    /// Ties a bridge port to the Ethernet addresses the bridge was told of: frames from others are dropped, and
    /// frames to unknown ones are not flooded to it. Ports do not hear each other: all that passes between hosts is
    /// routed, where the firewall sees it.
    pub(crate) fn set_port_locked(&mut self, index: u32) -> Result<(), NetlinkError> {
        let message = Message::new(RTM_SETLINK, 0, &ifinfomsg(libc::AF_BRIDGE as u8, index, false)).nested(
            IFLA_PROTINFO,
            |message| {
                message
                    .attribute(IFLA_BRPORT_LEARNING, &[0])
                    .attribute(IFLA_BRPORT_UNICAST_FLOOD, &[0])
                    .attribute(IFLA_BRPORT_LOCKED, &[1])
                    .attribute(IFLA_BRPORT_ISOLATED, &[1])
            },
        );
        self.request(message, || format!("lock bridge port {index}"))
    }
}
