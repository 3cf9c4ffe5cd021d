//! A read-only registry over [`Images`]: what a node's containerd asks for, of whatever registry an image names.
//!
//! The part of the OCI distribution specification that pulls: `/v2/`, manifests by tag and by digest, blobs. Containerd
//! says with `?ns=` which registry it means. What is not there is 404, and it asks the registry itself.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, ReadBuf};

use super::{INDEX, Images, LARGEST_DOCUMENT, MANIFEST};
use crate::relay::Listener;

/// Connections at a time; one more waits.
const CONNECTIONS: usize = 64;
/// Bytes of a blob in memory, for each connection.
const PIECE: usize = 64 << 10;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

type Answer = Response<BoxBody<Bytes, io::Error>>;

/// Serves the images in `directory` until dropped.
pub async fn serve(listener: Listener, directory: PathBuf) {
    let images = Arc::new(Images::at(directory));
    let serve = |stream| {
        let images = images.clone();
        async move {
            let service = service_fn(move |request| {
                let images = images.clone();
                async move { Ok::<_, Infallible>(answer(&images, &request).await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A client that goes away is no matter.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    };
    listener.serve_each(CONNECTIONS, serve).await;
}

/// What is asked for.
enum Asked<'a> {
    Version,
    Manifest { repository: &'a str, reference: &'a str },
    Blob { digest: &'a str },
}

fn asked(path: &str) -> Option<Asked<'_>> {
    let path = path.strip_prefix("/v2/")?;
    if path.is_empty() {
        return Some(Asked::Version);
    }
    if let Some((_, digest)) = path.rsplit_once("/blobs/") {
        return Some(Asked::Blob { digest });
    }
    let (repository, reference) = path.rsplit_once("/manifests/")?;
    Some(Asked::Manifest { repository, reference })
}

async fn answer(images: &Images, request: &Request<Incoming>) -> Answer {
    let is_head = request.method() == Method::HEAD;
    if !is_head && request.method() != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    }
    let query = request.uri().query().unwrap_or_default();
    let registry = query.split('&').find_map(|pair| pair.strip_prefix("ns="));
    let found = match asked(request.uri().path()) {
        Some(Asked::Version) => return respond(Response::builder(), Bytes::from_static(b"{}"), is_head),
        Some(Asked::Manifest { repository, reference }) => {
            manifest(images, registry, repository, reference, is_head)
        }
        Some(Asked::Blob { digest }) => blob(images, digest, is_head).await,
        None => None,
    };
    found.unwrap_or_else(|| refuse(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"))
}

fn manifest(
    images: &Images,
    registry: Option<&str>,
    repository: &str,
    reference: &str,
    is_head: bool,
) -> Option<Answer> {
    let digest = if reference.starts_with("sha256:") {
        reference.to_owned()
    } else {
        let registry = registry?;
        images.find(&format!("{registry}/{repository}:{reference}"))?.digest
    };
    let path = images.blob(&digest)?;
    if std::fs::metadata(&path).ok()?.len() > LARGEST_DOCUMENT {
        return None;
    }
    let content = std::fs::read(path).ok()?;
    let document: serde_json::Value = serde_json::from_slice(&content).ok()?;
    let is_index = document.get("manifests").is_some();
    if !is_index && document.get("layers").is_none() {
        return None;
    }
    let kind = document["mediaType"].as_str().unwrap_or(if is_index { INDEX } else { MANIFEST });
    let head = Response::builder().header(header::CONTENT_TYPE, kind).header("Docker-Content-Digest", digest);
    Some(respond(head, content.into(), is_head))
}

async fn blob(images: &Images, digest: &str, is_head: bool) -> Option<Answer> {
    let file = tokio::fs::File::open(images.blob(digest)?).await.ok()?;
    let length = file.metadata().await.ok()?.len();
    let head = Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, length)
        .header("Docker-Content-Digest", digest);
    if is_head {
        return Some(respond(head, Bytes::new(), true));
    }
    head.body(Pieces { file, left: length }.boxed()).ok()
}

fn respond(head: http::response::Builder, content: Bytes, is_head: bool) -> Answer {
    let head = match is_head {
        true if head.headers_ref().is_some_and(|known| known.contains_key(header::CONTENT_LENGTH)) => head,
        true => head.header(header::CONTENT_LENGTH, content.len()),
        false => head,
    };
    let body = Full::new(if is_head { Bytes::new() } else { content });
    let body = body.map_err(|never: Infallible| match never {}).boxed();
    head.body(body).unwrap_or_else(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"))
}

fn refuse(status: StatusCode, code: &str) -> Answer {
    let body = Full::new(Bytes::from(format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#)));
    let mut response = Response::new(body.map_err(|never: Infallible| match never {}).boxed());
    *response.status_mut() = status;
    response
}

/// A file in pieces, exactly as long as it was said to be.
struct Pieces {
    file: tokio::fs::File,
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; PIECE.min(usize::try_from(self.left).unwrap_or(PIECE))];
        let mut buffer = ReadBuf::new(&mut piece);
        match Pin::new(&mut self.file).poll_read(context, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) => {}
        }
        let length = buffer.filled().len();
        if length == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        self.left -= length as u64;
        piece.truncate(length);
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}
