//! Addresses of links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::message::number;
use super::{
    Attributes, Message, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Netlink, NetlinkError, family, octets,
};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Usable at once: nobody else can have an address that was given out here.
const IFA_F_NODAD: u8 = 0x02;
/// The fixed part of an address message.
const IFADDRMSG: usize = 8;

/// An address as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) link: u32,
    /// The address itself with its subnet's prefix length, host bits kept.
    pub(crate) network: IpNet,
}

fn message(kind: u16, flags: u16, address: &Address) -> Message {
    let ip = address.network.addr();
    let mut fixed = [0; IFADDRMSG];
    fixed[0] = family(ip);
    fixed[1] = address.network.prefix_len();
    if ip.is_ipv6() {
        fixed[2] = IFA_F_NODAD;
    }
    fixed[4..8].copy_from_slice(&address.link.to_ne_bytes());
    let octets = octets(ip);
    Message::new(kind, flags, &fixed).attribute(IFA_LOCAL, &octets).attribute(IFA_ADDRESS, &octets)
}

/// The address in a payload. Of IPv4 it is the local one; IPv6 calls it the address.
fn parse(payload: &[u8]) -> Option<Address> {
    let fixed = payload.get(..IFADDRMSG)?;
    let wanted = match i32::from(fixed[0]) {
        libc::AF_INET => IFA_LOCAL,
        libc::AF_INET6 => IFA_ADDRESS,
        _ => return None,
    };
    let (_, value) = Attributes::new(&payload[IFADDRMSG..]).find(|(kind, _)| *kind == wanted)?;
    let ip: IpAddr = match value.len() {
        4 => Ipv4Addr::from(*value.first_chunk::<4>()?).into(),
        _ => Ipv6Addr::from(*value.first_chunk::<16>()?).into(),
    };
    Some(Address { link: number(&fixed[4..8])?, network: IpNet::new(ip, fixed[1]).ok()? })
}

impl Netlink {
    /// Of both families.
    pub(crate) fn addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        let mut addresses = Vec::new();
        self.dump(&Message::new(RTM_GETADDR, 0, &[0; IFADDRMSG]), "list addresses", |payload| {
            addresses.extend(parse(payload));
        })?;
        Ok(addresses)
    }

    pub(crate) fn add_address(&mut self, address: &Address) -> Result<(), NetlinkError> {
        self.new_address(NLM_F_EXCL, address)
    }

    /// Adds an address that may be there already.
    pub(crate) fn keep_address(&mut self, address: &Address) -> Result<(), NetlinkError> {
        self.new_address(NLM_F_REPLACE, address)
    }

    fn new_address(&mut self, flags: u16, address: &Address) -> Result<(), NetlinkError> {
        self.request(message(RTM_NEWADDR, NLM_F_CREATE | flags, address), || {
            format!("add address {} to link {}", address.network, address.link)
        })
    }

    pub(crate) fn delete_address(&mut self, address: &Address) -> Result<(), NetlinkError> {
        self.request(message(RTM_DELADDR, 0, address), || {
            format!("delete address {} of link {}", address.network, address.link)
        })
    }
}
