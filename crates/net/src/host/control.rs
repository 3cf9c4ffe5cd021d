//! What a host's first process and the fabric tell each other: small messages over a socket pair.
//!
//! The command inside a host never has this socket, but it may be root there and could reach into
//! the first process: what comes from a host is read with care and obeyed in nothing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

/// The largest message, a host's configuration: room for a long command line, within a socket's default buffer.
const LARGEST: usize = 128 * 1024;

/// Bytes of a complaint that are passed on.
const COMPLAINT: usize = 1024;

/// What a host is told once its network is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostConfig {
    pub(crate) name: String,
    /// The file to see as /etc/resolv.conf.
    pub(crate) resolv_conf: PathBuf,
    /// Empty: none.
    pub(crate) command: Vec<String>,
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

impl HostConfig {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let fields = [OsStr::new(&self.name), self.resolv_conf.as_os_str()];
        for field in fields.into_iter().chain(self.command.iter().map(OsStr::new)) {
            bytes.extend_from_slice(&(field.len() as u32).to_ne_bytes());
            bytes.extend_from_slice(field.as_bytes());
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<HostConfig> {
        let mut fields = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let (field, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
            fields.push(field.to_vec());
            bytes = rest;
        }
        let mut fields = fields.into_iter();
        Some(HostConfig {
            name: String::from_utf8(fields.next()?).ok()?,
            resolv_conf: Path::new(&OsString::from_vec(fields.next()?)).to_owned(),
            command: fields.map(String::from_utf8).collect::<Result<_, _>>().ok()?,
        })
    }
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

    pub(crate) fn send_config(&self, config: &HostConfig) -> io::Result<()> {
        let bytes = config.encode();
        if bytes.len() > LARGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the command line is longer than 128 KiB",
            ));
        }
        self.send(&bytes)
    }

    /// Waits for the configuration; [`None`] when the fabric has gone.
    pub(crate) fn receive_config(&self) -> io::Result<Option<HostConfig>> {
        let mut buffer = vec![0; LARGEST];
        match self.receive(&mut buffer, MsgFlags::empty())? {
            0 => Ok(None),
            length => HostConfig::decode(&buffer[..length])
                .map(Some)
                .ok_or_else(|| io::ErrorKind::InvalidData.into()),
        }
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
            resolv_conf: "/run/resolv.conf".into(),
            command: vec!["sh".into(), "-c".into(), String::new()],
        };
        fabric.send_config(&config).unwrap();
        assert_eq!(host.receive_config().unwrap(), Some(config));
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
        for bytes in [&b""[..], &[9, 0, 0, 0, 1], &[1, 0, 0, 0, 255, 0, 0, 0, 0]] {
            assert_eq!(HostConfig::decode(bytes), None, "{bytes:?}");
        }
    }
}
