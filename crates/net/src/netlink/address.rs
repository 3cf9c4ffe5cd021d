//! IPv4 addresses of links.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::message::number;
use super::{Attributes, Message, NLM_F_CREATE, NLM_F_EXCL, Netlink, NetlinkError};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// The fixed part of an address message.
const IFADDRMSG: usize = 8;

/// An address as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) link: u32,
    /// The address itself with its subnet's prefix length, host bits kept.
    pub(crate) network: Ipv4Net,
}

fn message(kind: u16, flags: u16, address: &Address) -> Message {
    let mut fixed = [0; IFADDRMSG];
    fixed[0] = libc::AF_INET as u8;
    fixed[1] = address.network.prefix_len();
    fixed[4..8].copy_from_slice(&address.link.to_ne_bytes());
    let octets = address.network.addr().octets();
    Message::new(kind, flags, &fixed).attribute(IFA_LOCAL, &octets).attribute(IFA_ADDRESS, &octets)
}

impl Netlink {
    pub(crate) fn addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        let mut fixed = [0; IFADDRMSG];
        fixed[0] = libc::AF_INET as u8;
        let mut addresses = Vec::new();
        self.dump(&Message::new(RTM_GETADDR, 0, &fixed), "list addresses", |payload| {
            if payload.len() < IFADDRMSG || payload[0] != libc::AF_INET as u8 {
                return;
            }
            for (kind, value) in Attributes::new(&payload[IFADDRMSG..]) {
                let (IFA_LOCAL, Some(octets)) = (kind, value.first_chunk::<4>()) else { continue };
                if let Ok(network) = Ipv4Net::new(Ipv4Addr::from(*octets), payload[1]) {
                    addresses.push(Address { link: number(&payload[4..8]).unwrap_or(0), network });
                }
            }
        })?;
        Ok(addresses)
    }

    pub(crate) fn add_address(&mut self, address: &Address) -> Result<(), NetlinkError> {
        self.request(message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address), || {
            format!("add address {} to link {}", address.network, address.link)
        })
    }

    pub(crate) fn delete_address(&mut self, address: &Address) -> Result<(), NetlinkError> {
        self.request(message(RTM_DELADDR, 0, address), || {
            format!("delete address {} of link {}", address.network, address.link)
        })
    }
}
