//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::message::number;
use super::{Attributes, Message, NLM_F_CREATE, NLM_F_REPLACE, Netlink, NetlinkError, family, octets};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTPROT_STATIC: u8 = 4;
/// The router is on the link, whatever the addresses there say.
const RTNH_F_ONLINK: u32 = 4;
/// The fixed part of a route message.
const RTMSG: usize = 12;

/// A route of the kinds a VPC has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// Every address of the network is this namespace's own (AnyIP).
    Local { network: IpNet, link: u32 },
    /// What nothing else matches is answered with "unreachable". Of IPv4: without a route IPv6 does so by itself.
    UnreachableDefault,
    /// What nothing else matches goes to a router on the link.
    DefaultVia { gateway: IpAddr, link: u32 },
}

fn message(kind: u16, flags: u16, route: &Route) -> Message {
    let (table, scope, route_type, prefix) = match route {
        Route::Local { network, .. } => {
            (libc::RT_TABLE_LOCAL, libc::RT_SCOPE_HOST, libc::RTN_LOCAL, network.prefix_len())
        }
        Route::UnreachableDefault => (libc::RT_TABLE_MAIN, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNREACHABLE, 0),
        Route::DefaultVia { .. } => (libc::RT_TABLE_MAIN, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST, 0),
    };
    let mut fixed = [0; RTMSG];
    fixed[0] = match route {
        Route::Local { network, .. } => family(network.addr()),
        Route::UnreachableDefault => libc::AF_INET as u8,
        Route::DefaultVia { gateway, .. } => family(*gateway),
    };
    fixed[1] = prefix;
    fixed[4] = table;
    fixed[5] = RTPROT_STATIC;
    fixed[6] = scope;
    fixed[7] = route_type;
    if matches!(route, Route::DefaultVia { .. }) {
        fixed[8..12].copy_from_slice(&RTNH_F_ONLINK.to_ne_bytes());
    }
    let message = Message::new(kind, flags, &fixed);
    match route {
        Route::Local { network, link } => {
            message.attribute(RTA_DST, &octets(network.network())).number(RTA_OIF, *link)
        }
        Route::UnreachableDefault => message,
        Route::DefaultVia { gateway, link } => {
            message.attribute(RTA_GATEWAY, &octets(*gateway)).number(RTA_OIF, *link)
        }
    }
}

/// What `payload` is, when it is one of the kinds above.
fn parse(payload: &[u8]) -> Option<Route> {
    let fixed = payload.get(..RTMSG)?;
    let is_ipv4 = match i32::from(fixed[0]) {
        libc::AF_INET => true,
        libc::AF_INET6 => false,
        _ => return None,
    };
    let unspecified = if is_ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let (mut destination, mut gateway, mut link): (IpAddr, _, _) = (unspecified, None, 0);
    for (kind, value) in Attributes::new(&payload[RTMSG..]) {
        let address = || -> Option<IpAddr> {
            Some(match is_ipv4 {
                true => Ipv4Addr::from(*value.first_chunk::<4>()?).into(),
                false => Ipv6Addr::from(*value.first_chunk::<16>()?).into(),
            })
        };
        match kind {
            RTA_DST => destination = address()?,
            RTA_GATEWAY => gateway = address(),
            RTA_OIF => link = number(value)?,
            _ => {}
        }
    }
    match (fixed[1], fixed[7]) {
        (0, libc::RTN_UNREACHABLE) if is_ipv4 => Some(Route::UnreachableDefault),
        (0, libc::RTN_UNICAST) => Some(Route::DefaultVia { gateway: gateway?, link }),
        (prefix, libc::RTN_LOCAL) => {
            Some(Route::Local { network: IpNet::new(destination, prefix).ok()?, link })
        }
        _ => None,
    }
}

impl Netlink {
    /// The routes of the kinds above; others (those of connected networks) are left out.
    pub(crate) fn routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let mut routes = Vec::new();
        self.dump(&Message::new(RTM_GETROUTE, 0, &[0; RTMSG]), "list routes", |payload| {
            routes.extend(parse(payload));
        })?;
        Ok(routes)
    }

    pub(crate) fn add_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.request(message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route), || {
            format!("add route {route:?}")
        })
    }

    pub(crate) fn delete_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.request(message(RTM_DELROUTE, 0, route), || format!("delete route {route:?}"))
    }
}
