//! Who is where on a bridge, told rather than asked.

use std::net::IpAddr;

use super::link::Mac;
use super::{Message, NLM_F_CREATE, NLM_F_REPLACE, Netlink, NetlinkError, family, octets};

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_SETNEIGHTBL: u16 = 67;
const NDTA_NAME: u16 = 1;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;
const NDTPA_PROXY_DELAY: u16 = 13;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
const NTF_MASTER: u8 = 0x04;

/// The fixed part of a neighbour message.
fn ndmsg(family: i32, link: u32, state: u16, flags: u8) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[0] = family as u8;
    bytes[4..8].copy_from_slice(&link.to_ne_bytes());
    bytes[8..10].copy_from_slice(&state.to_ne_bytes());
    bytes[10] = flags;
    bytes
}

impl Netlink {
    /// `address` is at `mac`, for good: nobody else can claim it with ARP or neighbour discovery, and nobody need be
    /// asked.
    pub(crate) fn add_neighbour(&mut self, link: u32, address: IpAddr, mac: Mac) -> Result<(), NetlinkError> {
        let fixed = ndmsg(family(address).into(), link, NUD_PERMANENT, 0);
        let message = Message::new(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &fixed)
            .attribute(NDA_DST, &octets(address))
            .attribute(NDA_LLADDR, &mac);
        self.request(message, || format!("add neighbour {address}"))
    }

    /// Forgets a neighbour; one that is not known is fine.
    pub(crate) fn delete_neighbour(&mut self, link: u32, address: IpAddr) -> Result<(), NetlinkError> {
        let fixed = ndmsg(family(address).into(), link, 0, 0);
        let message = Message::new(RTM_DELNEIGH, 0, &fixed).attribute(NDA_DST, &octets(address));
        match self.request(message, || format!("delete neighbour {address}")) {
            Err(error) if matches!(error.errno(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => Ok(()),
            outcome => outcome,
        }
    }

    /// Answers ARP in the name of others at once. By default the kernel waits up to 0.8 s, in case they do it themselves.
    pub(crate) fn set_prompt_proxy(&mut self, link: u32) -> Result<(), NetlinkError> {
        // An `ndtmsg`: the family and three bytes of nothing.
        let message = Message::new(RTM_SETNEIGHTBL, 0, &[libc::AF_INET as u8, 0, 0, 0])
            .text(NDTA_NAME, "arp_cache")
            .nested(NDTA_PARMS, |message| {
                message.number(NDTPA_IFINDEX, link).attribute(NDTPA_PROXY_DELAY, &0_u64.to_ne_bytes())
            });
        self.request(message, || format!("let link {link} answer for others at once"))
    }

    /// Frames for `mac` leave the bridge through `port`, and only there may they come from.
    pub(crate) fn add_port_mac(&mut self, port: u32, mac: Mac) -> Result<(), NetlinkError> {
        let fixed = ndmsg(libc::AF_BRIDGE, port, NUD_NOARP, NTF_MASTER);
        let message =
            Message::new(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &fixed).attribute(NDA_LLADDR, &mac);
        self.request(message, || format!("tie a MAC to bridge port {port}"))
    }
}
