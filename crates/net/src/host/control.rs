//! What a host's first process and the fabric tell each other: small messages over a socket pair.
//!
//! The command inside a host never has this socket, but it may be root there and could reach into
//! the first process: what comes from a host is read with care and obeyed in nothing.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, send,
    sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};
use trellis_model::resource::vpc::Sandbox;

/// The largest message, a host's configuration: room for a long command line, within a socket's default buffer.
const LARGEST: usize = 192 * 1024;

/// Descriptors that may come with a configuration; the kernel takes no more than 253.
const MAX_TREES: usize = 128;

/// Bytes of a complaint that are passed on.
const COMPLAINT: usize = 1024;

/// What a host is told once its network is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostConfig {
    pub(crate) name: String,
    /// What it is called by others.
    pub(crate) addresses: Vec<IpAddr>,
    /// Empty: none.
    pub(crate) command: Vec<String>,
    pub(crate) sandbox: Sandbox,
    /// What each of the descriptors that come along is for, in their order. The first is the file to see as
    /// /etc/resolv.conf.
    pub(crate) trees: Vec<Given>,
    /// Whether no cgroup limits the host's memory.
    pub(crate) memory_by_process: bool,
}

/// A piece of the machine's file system that is given to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Given {
    /// Where the host sees it.
    pub(crate) target: PathBuf,
    /// What in it, named as the host would, is not for the host.
    pub(crate) hidden: Vec<PathBuf>,
}

/// What a host reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Its namespaces exist; this is their first process.
    Made { pid: u32 },
    /// All is set up; the command is being started.
    Ready,
    /// The command ended.
    Exited { code: i32 },
    /// It could not be set up.
    Failed { reason: String },
}

impl Report {
    fn encode(&self) -> Vec<u8> {
        let tagged = |tag: u8, rest: &[u8]| [&[tag], rest].concat();
        match self {
            Report::Made { pid } => tagged(b'M', &pid.to_ne_bytes()),
            Report::Ready => tagged(b'R', &[]),
            Report::Exited { code } => tagged(b'X', &code.to_ne_bytes()),
            Report::Failed { reason } => tagged(b'F', &reason.as_bytes()[..reason.len().min(COMPLAINT)]),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Report> {
        let (tag, rest) = bytes.split_first()?;
        match tag {
            b'M' => Some(Report::Made { pid: u32::from_ne_bytes(rest.try_into().ok()?) }),
            b'R' if rest.is_empty() => Some(Report::Ready),
            b'X' => Some(Report::Exited { code: i32::from_ne_bytes(rest.try_into().ok()?) }),
            b'F' => {
                let reason = String::from_utf8_lossy(&rest[..rest.len().min(COMPLAINT)]);
                Some(Report::Failed { reason: reason.chars().filter(|c| !c.is_control()).collect() })
            }
            _ => None,
        }
    }
}

/// One end of the pair. The other end's closing ends it.
#[derive(Debug)]
pub(crate) struct Control {
    socket: OwnedFd,
}

impl Control {
    /// The fabric's end and the one to give to the host.
    pub(crate) fn pair() -> io::Result<(Control, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Control { socket: ours }, theirs))
    }

    pub(crate) fn from_socket(socket: OwnedFd) -> Control {
        Control { socket }
    }

    pub(crate) fn send_config(&self, config: &HostConfig, trees: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(config)?;
        if bytes.len() > LARGEST || trees.len() > MAX_TREES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "command, environment and mounts are longer than 192 KiB, or more than {MAX_TREES} mounts"
                ),
            ));
        }
        let descriptors: Vec<_> = trees.iter().map(AsRawFd::as_raw_fd).collect();
        // As `send`.
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let along = [ControlMessage::ScmRights(&descriptors)];
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&bytes)], &along, flags, None)?;
        Ok(())
    }

    /// Waits for the configuration and the trees it names; [`None`] when the fabric has gone.
    pub(crate) fn receive_config(&self) -> io::Result<Option<(HostConfig, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; LARGEST];
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; MAX_TREES]);
        let (length, descriptors) = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                Ok(message) => {
                    let mut descriptors = Vec::new();
                    for along in message.cmsgs()? {
                        if let ControlMessageOwned::ScmRights(received) = along {
                            // SAFETY: the kernel has just made these for us; nobody else has them.
                            descriptors
                                .extend(received.iter().map(|raw| unsafe { OwnedFd::from_raw_fd(*raw) }));
                        }
                    }
                    break (message.bytes, descriptors);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        };
        if length == 0 {
            return Ok(None);
        }
        let config: HostConfig = serde_json::from_slice(&buffer[..length])?;
        if config.trees.len() != descriptors.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "mounts were lost on the way"));
        }
        Ok(Some((config, descriptors)))
    }

    pub(crate) fn send_report(&self, report: &Report) -> io::Result<()> {
        self.send(&report.encode())
    }

    /// A report that has come, without waiting. `Ok(None)`: the host has closed its end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come, `InvalidData` for something else than a report.
    pub(crate) fn receive_report(&self) -> io::Result<Option<Report>> {
        let mut buffer = [0; 1 + COMPLAINT];
        match self.receive(&mut buffer, MsgFlags::MSG_DONTWAIT)? {
            0 => Ok(None),
            length => {
                Report::decode(&buffer[..length]).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // Never waits: few messages are sent, and a full buffer means that nobody reads them.
        send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    fn receive(&self, buffer: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
        loop {
            match recv(self.socket.as_raw_fd(), buffer, flags) {
                Ok(length) => return Ok(length),
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(0),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_and_the_end_is_seen() {
        let (fabric, host) = Control::pair().unwrap();
        let host = Control::from_socket(host);
        let config = HostConfig {
            name: "web".into(),
            addresses: vec!["10.0.0.9".parse().unwrap()],
            command: vec!["sh".into(), "-c".into(), String::new()],
            sandbox: Sandbox::default(),
            trees: vec![Given { target: "/etc/resolv.conf".into(), hidden: Vec::new() }],
            memory_by_process: false,
        };
        let file = tempfile::tempfile().unwrap();
        fabric.send_config(&config, &[file.as_fd()]).unwrap();
        let (received, trees) = host.receive_config().unwrap().unwrap();
        assert_eq!((received, trees.len()), (config.clone(), 1));
        let long = HostConfig { command: vec!["x".repeat(LARGEST)], ..config };
        assert_eq!(fabric.send_config(&long, &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(fabric.receive_report().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for report in [
            Report::Made { pid: 7 },
            Report::Ready,
            Report::Exited { code: -1 },
            Report::Failed { reason: "no".into() },
        ] {
            host.send_report(&report).unwrap();
            assert_eq!(fabric.receive_report().unwrap(), Some(report));
        }
        drop(host);
        assert_eq!(fabric.receive_report().unwrap(), None);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [&b""[..], b"M", b"M12345", b"R!", b"X", b"Z"] {
            assert_eq!(Report::decode(bytes), None, "{bytes:?}");
        }
    }
}
