//! Raw bytes behind a TLS greeting: the upstream that sends them and the client that fetches them.
//!
//! The client opens with a ClientHello that names the service and ends it with how much it wants, which the upstream
//! sends as it is. No key is ever agreed: to whoever passes the connection through, the bytes are opaque anyway.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::load::FETCHERS;

const CHUNK: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves bytes on `listen` until the process is ended, a thread a connection.
pub(crate) fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    for stream in listener.incoming() {
        let mut stream = stream.context("accepting a connection")?;
        std::thread::Builder::new().name("bytes".into()).spawn(move || {
            // A client that goes away ends its connection and nothing else.
            let _ = answer(&mut stream);
        })?;
    }
    Ok(())
}

fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting)?;
    let mut rest = vec![0; usize::from(u16::from_be_bytes([greeting[3], greeting[4]]))];
    stream.read_exact(&mut rest)?;
    let mut wanted = [0; 8];
    stream.read_exact(&mut wanted)?;
    let mut left = u64::from_be_bytes(wanted);
    let chunk = vec![0x5a; CHUNK];
    while left > 0 {
        let count = left.min(CHUNK as u64) as usize;
        stream.write_all(&chunk[..count])?;
        left -= count as u64;
    }
    Ok(())
}

/// Fetches `mebibytes` of `name` from `target`, shared out among connections; prints the seconds it took.
#[allow(clippy::print_stdout)]
pub(crate) fn fetch(target: SocketAddr, name: &str, mebibytes: u64) -> anyhow::Result<()> {
    let hello = client_hello(name);
    let each = mebibytes / FETCHERS * (1 << 20);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let fetchers: Vec<_> =
            (0..FETCHERS).map(|_| scope.spawn(|| fetch_one(target, &hello, each))).collect();
        fetchers.into_iter().try_for_each(|fetcher| fetcher.join().expect("a fetcher does not panic"))
    })?;
    println!("{}", began.elapsed().as_secs_f64());
    Ok(())
}

fn fetch_one(target: SocketAddr, hello: &[u8], bytes: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(target).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[hello, &bytes.to_be_bytes()].concat())?;
    let mut buffer = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let count = stream.read(&mut buffer).context("reading")? as u64;
        ensure!(count > 0, "closed {left} bytes early");
        left = left.checked_sub(count).context("more bytes than asked for")?;
    }
    Ok(())
}

/// A TLS 1.2 record with a ClientHello that names a server.
fn client_hello(name: &str) -> Vec<u8> {
    let long = |bytes: Vec<u8>| [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
    let host = [&[0][..], &long(name.as_bytes().to_vec())].concat();
    let server_name = [&[0, 0][..], &long(long(host))].concat();
    // TLS 1.3 and 1.2; ECDSA and RSA-PSS with SHA-256; X25519 and P-256; a share of X25519.
    let versions = vec![0, 43, 0, 5, 4, 3, 4, 3, 3];
    let schemes = vec![0, 13, 0, 6, 0, 4, 4, 3, 8, 4];
    let groups = vec![0, 10, 0, 6, 0, 4, 0, 29, 0, 23];
    let share = [&[0, 51, 0, 38, 0, 36, 0, 29, 0, 32][..], &[9; 32]].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(long(vec![0x13, 0x01, 0xc0, 0x2b]));
    body.extend([1, 0]);
    body.extend(long([server_name, versions, schemes, groups, share].concat()));
    let handshake = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    [&[22, 3, 1][..], &long(handshake)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_one_record_that_names_the_server() {
        let hello = client_hello("passed.bench.example");
        assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
        assert_eq!(usize::from(u16::from_be_bytes([hello[7], hello[8]])), hello.len() - 9);
        assert!(hello.windows(20).any(|part| part == b"passed.bench.example"));
    }

    #[test]
    fn bytes_come_as_many_as_were_asked_for() {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        std::thread::spawn(move || serve(address));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        fetch_one(address, &client_hello("x"), 300_000).unwrap();
    }
}
