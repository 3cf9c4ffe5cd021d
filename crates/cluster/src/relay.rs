//! Bytes from one socket to another, both ways: how the machine reaches an API server in a host, and a program in a host
//! something of ours, through Unix sockets in a directory that both see.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::plan::Endpoint;

/// Connections of one relay at a time; one more waits.
const CONNECTIONS: usize = 1024;
/// After a failure to accept, which is a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the other side may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Both directions of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A listening socket of either kind.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Opens it. A Unix socket left by a process that is gone is replaced; the new one is for its owner alone.
    ///
    /// # Errors
    /// What bind(2) says.
    pub async fn open(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            Endpoint::Unix(path) => {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                let (_directory, short) = short(path)?;
                let listener = UnixListener::bind(short)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
                Ok(Self::Unix(listener))
            }
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// What accept(2) says.
    pub async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }

    /// Has every connection served until dropped, `at_once` of them at a time; one more waits. Those that are served
    /// then are served to their end.
    pub async fn serve_each<S>(self, at_once: usize, serve: impl Fn(Box<dyn Stream>) -> S)
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(at_once));
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            let stream = match self.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let serving = serve(stream);
            tokio::spawn(async move {
                serving.await;
                drop(place);
            });
        }
    }
}

/// A way to a socket that fits into an address: data directories may be deep, and a Unix address has 108 bytes.
fn short(path: &Path) -> io::Result<(fs::File, PathBuf)> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let directory = fs::File::open(parent)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((directory, short))
}

/// Connects, within ten seconds.
///
/// # Errors
/// What connect(2) says; `TimedOut`.
pub async fn connect(endpoint: &Endpoint) -> io::Result<Box<dyn Stream>> {
    let connecting = async {
        Ok::<Box<dyn Stream>, io::Error>(match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Endpoint::Unix(path) => {
                let (_directory, short) = short(path)?;
                Box::new(UnixStream::connect(short).await?)
            }
        })
    };
    tokio::time::timeout(PATIENCE, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Relays until dropped.
pub async fn serve(listener: Listener, to: Endpoint) {
    let to = Arc::new(to);
    let relay = |mut from: Box<dyn Stream>| {
        let to = to.clone();
        async move {
            match connect(&to).await {
                // Either side's end is the end; what it was is theirs to know.
                Ok(mut other) => drop(copy_bidirectional(&mut from, &mut other).await),
                Err(error) => tracing::debug!(%error, %to, "nobody is there"),
            }
        }
    };
    listener.serve_each(CONNECTIONS, relay).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_go_through_both_ways_and_so_does_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let middle = Endpoint::unix(directory.path().join("middle.sock"));
        let to = Endpoint::Tcp(far.local_addr().unwrap());
        let relay = tokio::spawn(serve(Listener::open(&middle).await.unwrap(), to));
        let mut near = connect(&middle).await.unwrap();
        near.write_all(b"ask").await.unwrap();
        near.shutdown().await.unwrap();
        let (mut answering, _) = far.accept().await.unwrap();
        let mut asked = String::new();
        answering.read_to_string(&mut asked).await.unwrap();
        answering.write_all(b"answer").await.unwrap();
        drop(answering);
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert_eq!((asked.as_str(), answer.as_str()), ("ask", "answer"));
        relay.abort();
        // A socket that is left does not keep the next from being opened.
        Listener::open(&middle).await.unwrap();
    }
}
