//! The machine's `/etc/resolv.conf`: its `nameserver` lines, read again when the file changes.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// As many servers as the C library reads (`MAXNS`).
const MAX_SERVERS: usize = 3;

/// The file is looked at no more often than this.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

const MAX_FILE: u64 = 64 * 1024;

/// The servers of a resolv.conf text, in order, at `port`. Lines that make no sense are passed over,
/// as the C library does.
pub(crate) fn parse(text: &str, port: u16) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            if words.next()? != "nameserver" {
                return None;
            }
            server(words.next()?.trim_end(), port)
        })
        .take(MAX_SERVERS)
        .collect()
}

fn server(text: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, port));
    }
    // fe80::1%2: only a numeric scope; a name would need the machine's interface table.
    let (address, scope) = text.split_once('%')?;
    Some(SocketAddr::V6(SocketAddrV6::new(address.parse().ok()?, port, 0, scope.parse().ok()?)))
}

/// The servers of a file, kept current.
#[derive(Debug)]
pub(crate) struct ResolvConf {
    path: PathBuf,
    port: u16,
    check_interval: Duration,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    servers: Arc<[SocketAddr]>,
    modified: Option<SystemTime>,
    checked: Option<Instant>,
}

impl ResolvConf {
    pub(crate) fn new(path: PathBuf, port: u16) -> Self {
        let loaded = Loaded { servers: Arc::new([]), modified: None, checked: None };
        Self { path, port, check_interval: CHECK_INTERVAL, loaded: Mutex::new(loaded) }
    }

    /// The servers now; none when the file is absent, unreadable or names none.
    pub(crate) fn servers(&self) -> Arc<[SocketAddr]> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.checked.is_some_and(|at| at.elapsed() < self.check_interval) {
            return loaded.servers.clone();
        }
        loaded.checked = Some(Instant::now());
        let modified = std::fs::metadata(&self.path).and_then(|data| data.modified()).ok();
        if modified.is_none() || modified != loaded.modified {
            loaded.modified = modified;
            loaded.servers = self.load().into();
        }
        loaded.servers.clone()
    }

    fn load(&self) -> Vec<SocketAddr> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
        match read {
            Ok(_) => parse(&String::from_utf8_lossy(&bytes), self.port),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "no resolvers: cannot read the file");
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines_are_read_in_order_and_nonsense_is_passed_over() {
        let text = "# made by hand\n; old style\nsearch example.com\nnameserver 10.0.0.2\n\
                    nameserver\t fd00::1  \nnameserver nonsense\nnameserver\noptions ndots:5\n\
                    nameserver fe80::1%3\nnameserver 192.0.2.1\n";
        let servers: Vec<String> = parse(text, 53).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "[fd00::1]:53", "[fe80::1%3]:53"]);
        assert!(parse("", 53).is_empty());
        assert_eq!(parse("nameserver 10.0.0.2 # the router", 53).len(), 1);
        assert_eq!(parse("nameserver 10.0.0.2\r\n", 53).len(), 1);
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_names_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        let mut conf = ResolvConf::new(path.clone(), 53);
        conf.check_interval = Duration::ZERO;
        assert!(conf.servers().is_empty());
        for (second, server) in [(1, "192.0.2.1"), (2, "192.0.2.2")] {
            std::fs::write(&path, format!("nameserver {server}\n")).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            assert_eq!(&*conf.servers(), [SocketAddr::new(server.parse().unwrap(), 53)]);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(conf.servers().is_empty());
    }
}
