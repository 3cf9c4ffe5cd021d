//! What hyper understands of requests, for the comparison of parsers in e2e/test_parsers.py.
//!
//! Reads pieces from standard input, each behind its length (four bytes, big-endian): what one connection brought. Writes a line
//! of JSON for each: the requests in it, and whether something was left that is none.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    loop {
        let mut length = [0; 4];
        match input.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return output.flush(),
            outcome => outcome?,
        }
        let mut piece = vec![0; u32::from_be_bytes(length) as usize];
        input.read_exact(&mut piece)?;
        writeln!(output, "{}", runtime.block_on(understood(piece)))?;
    }
}

async fn understood(piece: Vec<u8>) -> Value {
    let requests: Arc<Mutex<Vec<Value>>> = Arc::default();
    let broken: Arc<Mutex<bool>> = Arc::default();
    let (near, far) = tokio::io::duplex(piece.len().max(1) + 65_536);
    let (mut answers, mut bytes) = tokio::io::split(far);
    let (seen, cut) = (requests.clone(), broken.clone());
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (seen, cut) = (seen.clone(), cut.clone());
        async move {
            let (head, body) = request.into_parts();
            match body.collect().await {
                Ok(body) => {
                    let text = |value: &http::HeaderValue| {
                        value.as_bytes().iter().map(|b| *b as char).collect::<String>()
                    };
                    let fields: Vec<_> = head
                        .headers
                        .iter()
                        .map(|(name, value)| json!([name.as_str(), text(value)]))
                        .collect();
                    let body: String = body.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(json!({
                        "method": head.method.as_str(), "target": head.uri.to_string(), "fields": fields, "body": body,
                    }));
                }
                Err(_) => *cut.lock().unwrap_or_else(PoisonError::into_inner) = true,
            }
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::new())))
        }
    });
    let serving = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(near), service);
    let speaking = async {
        // Nobody is left to hear the rest of it once the connection is given up.
        let _ = bytes.write_all(&piece).await;
        let _ = bytes.shutdown().await;
        let mut rest = Vec::new();
        let _ = answers.read_to_end(&mut rest).await;
    };
    let (served, ()) = tokio::join!(serving, speaking);
    let broken = served.is_err() || *broken.lock().unwrap_or_else(PoisonError::into_inner);
    let requests = requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
    json!({"requests": requests, "rest": broken})
}
