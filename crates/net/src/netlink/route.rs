//! IPv4 routes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::message::number;
use super::{Attributes, Message, NLM_F_CREATE, NLM_F_REPLACE, Netlink, NetlinkError};

const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTPROT_STATIC: u8 = 4;
/// The fixed part of a route message.
const RTMSG: usize = 12;

/// A route of the kinds a VPC has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// Every address of the network is this namespace's own (AnyIP).
    Local { network: Ipv4Net, link: u32 },
    /// What nothing else matches is answered with "unreachable".
    UnreachableDefault,
    /// What nothing else matches goes to a router.
    DefaultVia { gateway: Ipv4Addr, link: u32 },
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
    fixed[0] = libc::AF_INET as u8;
    fixed[1] = prefix;
    fixed[4] = table;
    fixed[5] = RTPROT_STATIC;
    fixed[6] = scope;
    fixed[7] = route_type;
    let message = Message::new(kind, flags, &fixed);
    match route {
        Route::Local { network, link } => {
            message.attribute(RTA_DST, &network.network().octets()).number(RTA_OIF, *link)
        }
        Route::UnreachableDefault => message,
        Route::DefaultVia { gateway, link } => {
            message.attribute(RTA_GATEWAY, &gateway.octets()).number(RTA_OIF, *link)
        }
    }
}

/// What `payload` is, when it is one of the kinds above.
fn parse(payload: &[u8]) -> Option<Route> {
    if payload.len() < RTMSG || payload[0] != libc::AF_INET as u8 {
        return None;
    }
    let (mut destination, mut gateway, mut link) = (Ipv4Addr::UNSPECIFIED, None, 0);
    for (kind, value) in Attributes::new(&payload[RTMSG..]) {
        let octets = value.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
        match kind {
            RTA_DST => destination = octets?,
            RTA_GATEWAY => gateway = octets,
            RTA_OIF => link = number(value)?,
            _ => {}
        }
    }
    match (payload[1], payload[7]) {
        (0, libc::RTN_UNREACHABLE) => Some(Route::UnreachableDefault),
        (0, libc::RTN_UNICAST) => Some(Route::DefaultVia { gateway: gateway?, link }),
        (prefix, libc::RTN_LOCAL) => {
            Some(Route::Local { network: Ipv4Net::new(destination, prefix).ok()?, link })
        }
        _ => None,
    }
}

impl Netlink {
    /// The routes of the kinds above; others (those of connected networks) are left out.
    pub(crate) fn routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let mut fixed = [0; RTMSG];
        fixed[0] = libc::AF_INET as u8;
        let mut routes = Vec::new();
        self.dump(&Message::new(RTM_GETROUTE, 0, &fixed), "list routes", |payload| {
            routes.extend(parse(payload));
        })?;
        Ok(routes)
    }

    pub(crate) fn add_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.request(message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route), || {
            format!("add route {route:?}")
        })
    }
}
