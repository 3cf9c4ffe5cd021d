//! Servers that answer as a test wants.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{Message, Wire};

/// A server whose connections are served by a function, each on a thread of its own.
pub(crate) struct TestTarget {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Every request that [`TestTarget::answering`] has read.
    pub(crate) requests: Arc<Mutex<Vec<Message>>>,
    stop: Arc<AtomicUsize>,
}

impl TestTarget {
    /// `serve` gets each connection and its number, beginning with 0.
    pub(crate) fn new(serve: impl Fn(Wire, usize) + Send + Sync + 'static) -> Self {
        Self::on(Ipv4Addr::LOCALHOST, serve)
    }

    /// The same, on an address of this machine.
    pub(crate) fn on(
        address: impl Into<IpAddr>,
        serve: impl Fn(Wire, usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address.into(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicUsize::new(0));
        let (counter, stopped, serve) = (connections.clone(), stop.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) > 0 {
                    return;
                }
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                std::thread::spawn(move || serve(Wire::over(stream), number));
            }
        });
        Self { address, connections, requests: Arc::default(), stop }
    }

    /// Answers every request on every connection with `answer`.
    pub(crate) fn answering(answer: impl Fn(&Message) -> String + Send + Sync + 'static) -> Self {
        Self::answering_over(Some, answer)
    }

    /// The same, over what `begin` makes of each connection.
    pub(crate) fn answering_over(
        begin: impl Fn(Wire) -> Option<Wire> + Send + Sync + 'static,
        answer: impl Fn(&Message) -> String + Send + Sync + 'static,
    ) -> Self {
        let requests: Arc<Mutex<Vec<Message>>> = Arc::default();
        let seen = requests.clone();
        let mut target = Self::new(move |wire, _| {
            let Some(mut wire) = begin(wire) else { return };
            while let Some(request) = wire.read_message() {
                let answer = answer(&request);
                seen.lock().unwrap().push(request);
                if wire.write(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        target.requests = requests;
        target
    }

    /// Answers with 200 and `body`.
    pub(crate) fn saying(body: &'static str) -> Self {
        Self::answering(move |_| ok(body))
    }

    pub(crate) fn last_request(&self) -> Message {
        self.requests.lock().unwrap().last().expect("a request").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TestTarget {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An address nobody listens on.
pub(crate) fn nobody() -> SocketAddr {
    // Bound and dropped: connecting is refused.
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
