//! A control plane of the toy service alone, for a client to call: prints its endpoint and serves until its standard
//! input ends. `e2e/test_toy_service.py` is that client.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trellis_frame::{Config, Frame, Service};
use trellis_store::Store;

/// The services there are. One more is one line.
const SERVICES: &[&Service] = &[&trellis_toy::SERVICE];

/// The longest request: this is no server for strangers.
const MAX_REQUEST: usize = 1 << 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let [_, access_key_id, secret] = std::env::args().collect::<Vec<_>>().try_into().map_err(|_| {
        anyhow::anyhow!("expected two arguments, an access key id and its secret: serve AKIA... SECRET")
    })?;
    let dir = tempfile::tempdir()?;
    let config = Config { access_key_id, secret_access_key: secret.into(), ..Config::default() };
    let frame = Arc::new(Frame::start(Store::open(dir.path())?, SERVICES, config).await?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    let serving = frame.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let frame = serving.clone();
            tokio::spawn(async move {
                // What goes wrong with a connection is for its client to notice.
                let _ = converse(stream, &frame).await;
            });
        }
    });
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    frame.stop().await;
    Ok(())
}

/// One request and its answer; then the connection is closed.
async fn converse(mut stream: TcpStream, frame: &Frame) -> anyhow::Result<()> {
    let mut received = Vec::new();
    let request = loop {
        if let Some(request) = parse(&received)? {
            break request;
        }
        if stream.read_buf(&mut received).await? == 0 || received.len() > MAX_REQUEST {
            bail!("the request does not end");
        }
    };
    let response = frame.serve(request).await;
    stream.write_all(&render(&response)).await?;
    Ok(stream.shutdown().await?)
}

/// The request, once it is there whole.
fn parse(received: &[u8]) -> anyhow::Result<Option<Request<Bytes>>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(received)? else { return Ok(None) };
    let mut request =
        Request::builder().method(head.method.context("a method")?).uri(head.path.context("a path")?);
    let mut body_length = 0;
    for header in head.headers.iter() {
        request = request.header(header.name, header.value);
        if header.name.eq_ignore_ascii_case("content-length") {
            body_length = std::str::from_utf8(header.value)?.parse()?;
        }
    }
    let body = &received[length..];
    if body.len() < body_length {
        return Ok(None);
    }
    Ok(Some(request.body(Bytes::copy_from_slice(&body[..body_length]))?))
}

fn render(response: &Response<Vec<u8>>) -> Vec<u8> {
    let (status, body) = (response.status(), response.body());
    let mut text =
        format!("HTTP/1.1 {} \r\ncontent-length: {}\r\nconnection: close\r\n", status.as_u16(), body.len());
    for (name, value) in response.headers() {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    [text.as_bytes(), b"\r\n", body].concat()
}
