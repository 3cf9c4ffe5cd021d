//! rtnetlink, as much of it as a VPC needs: a socket, requests that are answered, dumps.
//!
//! Written by hand because the need is some fifteen fixed messages sent from plain threads; the
//! crates for it are asynchronous and bring a model of all of rtnetlink. Linux's own view of the
//! format: <https://docs.kernel.org/userspace-api/netlink/intro.html>.

pub(crate) mod address;
pub(crate) mod link;
mod message;
pub(crate) mod neighbour;
pub(crate) mod route;

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::sockets::set_option;

pub(crate) use message::{Attributes, Message};

/// How long the kernel may take to answer. It answers at once or is in trouble.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than the largest part of a dump the kernel makes (32 KiB).
const BUFFER: usize = 64 * 1024;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const HEADER: usize = 16;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// What the kernel refused, with its own words where it gave any.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {source}{}", if detail.is_empty() { String::new() } else { format!(" ({detail})") })]
pub(crate) struct NetlinkError {
    pub(crate) action: String,
    pub(crate) detail: String,
    pub(crate) source: io::Error,
}

impl NetlinkError {
    /// The kernel's error number; none when it did not answer.
    pub(crate) fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

/// The family of an address, as messages begin with it.
fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

/// A conversation with the network namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace; it stays with that namespace.
    pub(crate) fn open() -> io::Result<Netlink> {
        let socket = Socket::new(
            Domain::from(libc::AF_NETLINK),
            Type::RAW.cloexec(),
            Some(Protocol::from(libc::NETLINK_ROUTE)),
        )?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // The outcome is not needed: without extended acknowledgements errors have a number and no words.
        let _ = set_option(socket.as_fd(), libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1);
        Ok(Netlink { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Sends a request and waits for its acknowledgement. `action` says what for, in an error.
    pub(crate) fn request(
        &mut self,
        message: Message,
        action: impl FnOnce() -> String,
    ) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK, |_, _| {})
            .map_err(|(source, detail)| NetlinkError { action: action(), detail, source })
    }

    /// Sends a request that is answered with one object, shown to `each` as in [`Netlink::dump`].
    pub(crate) fn query(
        &mut self,
        message: Message,
        action: impl FnOnce() -> String,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK, |_, payload| each(payload))
            .map_err(|(source, detail)| NetlinkError { action: action(), detail, source })
    }

    /// Sends a dump request and shows each object of the answer to `each`: its payload after the netlink header.
    pub(crate) fn dump(
        &mut self,
        message: &Message,
        action: &str,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), NetlinkError> {
        self.exchange(message.clone(), NLM_F_REQUEST | NLM_F_DUMP, |_, payload| each(payload))
            .map_err(|(source, detail)| NetlinkError { action: action.to_owned(), detail, source })
    }

    fn exchange(
        &mut self,
        message: Message,
        flags: u16,
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<(), (io::Error, String)> {
        let plain = |source: io::Error| (source, String::new());
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = message.finish(flags, self.sequence);
        (&self.socket).write_all(&bytes).map_err(plain)?;
        let mut interrupted = false;
        loop {
            let length = match (&self.socket).read(&mut self.buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(plain(error)),
            };
            let mut rest = &self.buffer[..length];
            while rest.len() >= HEADER {
                let size = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
                if size < HEADER || size > rest.len() {
                    return Err(plain(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a netlink message with a wrong length",
                    )));
                }
                let kind = u16::from_ne_bytes([rest[4], rest[5]]);
                let answer_flags = u16::from_ne_bytes([rest[6], rest[7]]);
                let sequence = u32::from_ne_bytes([rest[8], rest[9], rest[10], rest[11]]);
                let payload = &rest[HEADER..size];
                rest = &rest[size.next_multiple_of(4).min(rest.len())..];
                // An answer to a request that was given up on.
                if sequence != self.sequence {
                    continue;
                }
                interrupted |= answer_flags & NLM_F_DUMP_INTR != 0;
                match kind {
                    NLMSG_ERROR => return acknowledged(payload, answer_flags),
                    // The list changed under the dump; whoever asked must ask again.
                    NLMSG_DONE if interrupted => return Err(plain(io::ErrorKind::Interrupted.into())),
                    NLMSG_DONE => return Ok(()),
                    _ => each(kind, payload),
                }
            }
        }
    }
}

/// Reads an `nlmsgerr`: an error number, 0 for success, and perhaps the kernel's explanation.
fn acknowledged(payload: &[u8], flags: u16) -> Result<(), (io::Error, String)> {
    let Some(code) = payload.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes)) else {
        return Err((io::ErrorKind::InvalidData.into(), String::new()));
    };
    if code == 0 {
        return Ok(());
    }
    let mut detail = String::new();
    if flags & NLM_F_ACK_TLVS != 0 {
        // After the number comes the request's header, and the request itself unless it was cut off.
        let echoed = payload
            .get(4..8)
            .map_or(HEADER, |bytes| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize);
        let skip = 4 + if flags & NLM_F_CAPPED != 0 { HEADER } else { echoed.next_multiple_of(4) };
        for (kind, value) in Attributes::new(payload.get(skip..).unwrap_or_default()) {
            if kind == NLMSGERR_ATTR_MSG {
                detail = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
            }
        }
    }
    Err((io::Error::from_raw_os_error(code.saturating_neg()), detail))
}
