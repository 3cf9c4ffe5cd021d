//! What the streams of one client hold, and that others notice nothing of it.

use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;

use super::sharing::half_deaf;
use super::*;

const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A body of this size and its answer, which is the same.
async fn upload(client: &mut Http2, size: usize) {
    let body = vec![b'x'; size];
    let mut asked = request("POST", "a", "/");
    asked.headers_mut().insert("content-length", size.into());
    let (answer, mut upload) = client.begin(asked).await;
    let sending = async {
        send(&mut upload, body.clone().into()).await.unwrap();
        upload.send_data(Bytes::new(), true).unwrap();
    };
    let reading = async { read(answer.await.unwrap()).await.unwrap() };
    let ((), answer) = tokio::join!(sending, reading);
    assert!(answer.body == body);
}

/// Large bodies nobody reads, on connections of their own: what becomes of each.
async fn stuck(
    fixture: &Fixture,
    connections: usize,
    each: usize,
) -> Vec<tokio::task::JoinHandle<Option<h2::Reason>>> {
    let (mut all, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        clients.push(Http2::connect(fixture).await);
    }
    for client in &clients {
        for _ in 0..each {
            let mut client = Http2 { sender: client.sender.clone(), ended: tokio::spawn(async { Ok(()) }) };
            all.push(tokio::spawn(async move {
                let mut asked = request("POST", "a", "/hold");
                asked.headers_mut().insert("content-length", 1_100_000.into());
                let (answer, mut upload) = client.begin(asked).await;
                let sending = async {
                    let _ = send(&mut upload, vec![0; 1_100_000].into()).await;
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    answer = answer => answer.err().and_then(|error| error.reason()),
                    () = sending => None,
                }
            }));
        }
    }
    all
}

#[test]
fn requests_at_a_silent_target_hold_no_more_memory_than_their_client_may() {
    let silent = TestTarget::new(|mut wire, _| drop(wire.read_to_end()));
    let target = TestTarget::saying("x");
    // Of which a worker has half, and a client a third of that: a hundred requests or so.
    let limits = Limits { client_memory: 200 * 32 * 1024, ..Limits::default() };
    let mut service = spec("a", forward(&group(1, &[target.address])));
    service.rules = vec![(prefix("/silent"), forward(&group(2, &[silent.address])))];
    let fixture = Fixture::with(world(vec![service]), limits);
    run(async {
        let mut greedy = Vec::new();
        let mut answers = Vec::new();
        for _ in 0..8 {
            greedy.push(Http2::connect(&fixture).await);
        }
        for client in &greedy {
            for _ in 0..100 {
                let mut ready = client.sender.clone().ready().await.unwrap();
                let (answer, _) = ready.send_request(get("a", "/silent"), true).unwrap();
                answers.push(tokio::spawn(answer));
            }
        }
        let mut refused = 0;
        while refused < 400 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            for ended in answers.extract_if(.., |answer| answer.is_finished()) {
                let answer = ended.await.unwrap();
                assert_eq!(answer.unwrap_err().reason(), Some(h2::Reason::REFUSED_STREAM));
                refused += 1;
            }
        }
        assert!(answers.len() > 20, "what there is room for goes on: {}", answers.len());
        // Its neighbour.
        assert_eq!(Http2::from(NEIGHBOUR, &fixture).await.get("/").await.status, 200);
        // What it gives back it may have again.
        drop(greedy);
    });
    eventually("its connections are over", || fixture.metric("trellis_proxy_connections_open") == 0.0);
    run(async { assert_eq!(Http2::connect(&fixture).await.get("/").await.status, 200) });
}

#[test]
fn bodies_that_wait_for_a_silent_target_hold_no_more_memory_than_their_client_may() {
    let target = half_deaf();
    let limits = Limits { client_memory: 16 << 20, ..Limits::default() };
    let group = group_speaking(1, ProtocolVersion::Http2, &[target.address]);
    let fixture = Fixture::with(world(vec![spec("a", forward(&group))]), limits);
    run(async {
        // As much as their windows let them: a megabyte for each connection, where a client has less than three.
        let mut stuck = stuck(&fixture, 24, 2).await;
        let mut shed = 0;
        while shed == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            for ended in stuck.extract_if(.., |body| body.is_finished()) {
                match ended.await.unwrap() {
                    Some(h2::Reason::ENHANCE_YOUR_CALM) => shed += 1,
                    // It came when there was no room left for another.
                    reason => assert_eq!(reason, Some(h2::Reason::REFUSED_STREAM)),
                }
            }
        }
        // How many depends on who came first: there is room for two connections that are full, or for many that are not.
        assert!(stuck.len() >= 2, "what there is room for goes on: {}", stuck.len());
        upload(&mut Http2::from(NEIGHBOUR, &fixture).await, 150_000).await;
        stuck.iter().for_each(|body| body.abort());
    });
}

#[test]
fn bodies_one_client_leaves_stuck_use_up_no_target() {
    let target = half_deaf();
    let limits = Limits { http2_connections_per_target: 8, ..Limits::default() };
    let group = group_speaking(1, ProtocolVersion::Http2, &[target.address]);
    let fixture = Fixture::with(world(vec![spec("a", forward(&group))]), limits);
    run(async {
        let stuck = stuck(&fixture, 8, 9).await;
        eventually_async(|| target.requests.lock().unwrap().len() == 72).await;
        for _ in 0..4 {
            upload(&mut Http2::from(NEIGHBOUR, &fixture).await, 150_000).await;
        }
        stuck.iter().for_each(|body| body.abort());
    });
    assert!(target.connections() <= 12, "{}", target.connections());
}

async fn eventually_async(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Takes what comes until it is told not to read any more.
struct Deaf {
    io: Box<dyn Io>,
    hears_nothing: Arc<AtomicBool>,
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.hears_nothing.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A target whose every answer is a megabyte.
fn generous(version: ProtocolVersion) -> (Box<dyn std::any::Any>, Arc<TargetGroup>) {
    if version == ProtocolVersion::Http1 {
        let target = TestTarget::answering(|_| ok(&"x".repeat(1 << 20)));
        let group = group(1, &[target.address]);
        return (Box::new(target), group);
    }
    let target = Http2Target::new(|_, mut respond| {
        Box::pin(async move {
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            if send(&mut body, vec![b'x'; 1 << 20].into()).await.is_ok() {
                let _ = body.send_data(Bytes::new(), true);
            }
        })
    });
    let group = group_speaking(1, version, &[target.address]);
    (Box::new(target), group)
}

#[test]
fn answers_that_nobody_reads_hold_no_more_memory_than_their_client_may() {
    for version in [ProtocolVersion::Http1, ProtocolVersion::Http2] {
        let (_target, group) = generous(version);
        // Of which a worker has half, and a client a third of that.
        let limits = Limits { client_memory: 12 << 20, ..Limits::default() };
        let fixture = Fixture::with(world(vec![spec("a", forward(&group))]), limits);
        run(async {
            let (mut greedy, mut answers) = (Vec::new(), Vec::new());
            for _ in 0..8 {
                greedy.push(Http2::connect(&fixture).await);
            }
            for client in &greedy {
                for _ in 0..60 {
                    let mut ready = client.sender.clone().ready().await.unwrap();
                    let (answer, _) = ready.send_request(get("a", "/"), true).unwrap();
                    // Its head is read, its body is not.
                    answers.push(tokio::spawn(async move {
                        let mut body = answer.await?.into_body();
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        let mut came = 0;
                        while came < 1 << 20 {
                            // Without saying that there is room for more.
                            came += body.data().await.expect("it is not over")?.len();
                        }
                        Ok::<_, h2::Error>(())
                    }));
                }
            }
            let mut ended = 0;
            while ended < 60 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                for answer in answers.extract_if(.., |answer| answer.is_finished()) {
                    let reason = answer.await.unwrap().unwrap_err().reason();
                    let told = [Some(h2::Reason::ENHANCE_YOUR_CALM), Some(h2::Reason::REFUSED_STREAM)];
                    assert!(told.contains(&reason), "{reason:?}");
                    ended += 1;
                }
            }
            assert!(answers.len() > 10, "what there is room for goes on: {}", answers.len());
            let mut neighbour = Http2::from(NEIGHBOUR, &fixture).await;
            assert_eq!(neighbour.get("/").await.body.len(), 1 << 20);
            answers.iter().for_each(|answer| answer.abort());
        });
    }
}

#[test]
fn output_that_waits_for_a_client_that_reads_nothing_is_its_own() {
    let (_target, group) = generous(ProtocolVersion::Http1);
    // Of which a worker has half, and a client a third of that: some connections.
    let limits = Limits { client_memory: 12 << 20, ..Limits::default() };
    let fixture = Fixture::with(world(vec![spec("a", forward(&group))]), limits);
    let limited = || fixture.metric("trellis_unrouted_failures_total{reason=\"ClientRateLimited\"}");
    run(async {
        let mut greedy = Vec::new();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
        for _ in 0..30 {
            let hears_nothing = Arc::new(AtomicBool::new(false));
            let io = over(small_socket().connect(door(&fixture)).await.unwrap()).await;
            let io = Deaf { io, hears_nothing: hears_nothing.clone() };
            greedy.push((Http2::over(Box::new(io), &builder).await, hears_nothing));
        }
        for (client, hears_nothing) in &mut greedy {
            assert_eq!(client.get("/").await.status, 200);
            hears_nothing.store(true, Ordering::SeqCst);
        }
        // More than the kernel takes; and on, for what is asked at once may all be taken before any of it is held.
        while limited() < 5.0 {
            for (client, _) in &greedy {
                ask_without_hearing(client).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let open = fixture.metric("trellis_proxy_connections_open");
        assert!(open > 2.0, "what there is room for goes on: {open}");
        let mut neighbour = Http2::from(NEIGHBOUR, &fixture).await;
        assert_eq!(neighbour.get("/").await.body.len(), 1 << 20);
    });
}

/// One more request on a connection that may not take any more.
async fn ask_without_hearing(client: &Http2) {
    let ready = tokio::time::timeout(Duration::from_millis(10), client.sender.clone().ready()).await;
    let Ok(Ok(mut sender)) = ready else { return };
    drop(sender.send_request(get("a", "/"), true).map(|(answer, _)| tokio::spawn(answer)));
}

/// Of which the kernel keeps little that nobody reads.
fn small_socket() -> tokio::net::TcpSocket {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket
}
