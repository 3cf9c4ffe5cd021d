//! Either end of a connection, and the messages on it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;

/// One end of a connection, with or without TLS, that reads and writes HTTP by hand.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) tls: Option<rustls::Connection>,
    unread: Vec<u8>,
}

pub(crate) type Client = Wire;

/// A message as it came over the wire, its body decoded.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The values of a header, joined.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect();
        (!values.is_empty()).then(|| values.join(" | "))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Wire {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, tls: None, unread: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(bytes.as_ref()).unwrap();
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(bytes),
            Some(rustls::Connection::Client(tls)) => {
                rustls::Stream::new(tls, &mut self.stream).write_all(bytes)
            }
            Some(rustls::Connection::Server(tls)) => {
                rustls::Stream::new(tls, &mut self.stream).write_all(bytes)
            }
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.read(buffer),
            Some(rustls::Connection::Client(tls)) => rustls::Stream::new(tls, &mut self.stream).read(buffer),
            Some(rustls::Connection::Server(tls)) => rustls::Stream::new(tls, &mut self.stream).read(buffer),
        }
    }

    /// False at the end of the stream.
    fn read_more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 65536];
        let count = self.read(&mut buffer)?;
        self.unread.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }

    /// Everything up to and with `end`; `None` when the stream ends first.
    pub(crate) fn read_until(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self.unread.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let taken: Vec<u8> = self.unread.drain(..at + end.len()).collect();
                return Some(String::from_utf8_lossy(&taken).into_owned());
            }
            if !self.read_more().ok()? {
                return None;
            }
        }
    }

    pub(crate) fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.read_more().unwrap(), "the stream ended early");
        }
        self.unread.drain(..count).collect()
    }

    /// Everything until the stream ends or breaks.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more().unwrap_or(false) {}
        std::mem::take(&mut self.unread)
    }

    /// A request or a response, interim responses skipped; `None` when the stream has ended.
    pub(crate) fn read_message(&mut self) -> Option<Message> {
        self.read_answer_to("GET")
    }

    /// A response to `method`: one to HEAD has no body.
    pub(crate) fn read_answer_to(&mut self, method: &str) -> Option<Message> {
        let head = self.read_until("\r\n\r\n")?;
        if head.starts_with("HTTP/1.1 1") {
            return self.read_answer_to(method);
        }
        let mut message = Message { head, body: Vec::new(), trailers: String::new() };
        let response = message.head.starts_with("HTTP/");
        if method == "HEAD" || (response && matches!(message.status(), 204 | 304)) {
            return Some(message);
        }
        if message.header("transfer-encoding").is_some() {
            loop {
                let size = self.read_until("\r\n")?;
                let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
                if size == 0 {
                    break;
                }
                message.body.extend(self.read_exactly(size));
                assert_eq!(self.read_exactly(2), b"\r\n");
            }
            loop {
                let line = self.read_until("\r\n")?;
                if line == "\r\n" {
                    break;
                }
                message.trailers += &line;
            }
        } else if let Some(length) = message.header("content-length") {
            message.body = self.read_exactly(length.parse().unwrap());
        } else if response {
            message.body = self.read_to_end();
        }
        Some(message)
    }

    /// Sends a request and reads its response.
    pub(crate) fn call(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request);
        self.read_message().expect("an answer")
    }

    pub(crate) fn get(&mut self, host: &str, path: &str) -> Message {
        self.call(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Whether the other side has closed: nothing more comes.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read_to_end().is_empty()
    }

    /// Forgets what has been read and not been used; how much that was.
    pub(crate) fn take_unread(&mut self) -> usize {
        std::mem::take(&mut self.unread).len()
    }

    pub(crate) fn finish_sending(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() {
                tls.write_tls(&mut self.stream).unwrap();
            }
        }
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}
