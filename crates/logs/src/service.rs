//! Signed calls to an AWS service, at Amazon's or anybody's endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use jiff::Timestamp;
use serde::Deserialize;
use trellis_auth::{PathEncoding, Payload, Scope, SignOptions, SignedRequest, headers_of, sign};

use crate::connection::{Answer, Connection, Site};
use crate::credentials::Wallet;
use crate::failure::Failure;

/// One service in one region.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// The signing name.
    pub(crate) name: &'static str,
    pub(crate) region: String,
    pub(crate) site: Site,
    pub(crate) wallet: Arc<Wallet>,
}

/// Calls one after the other, over one connection while it lasts.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    service: &'a Service,
    connection: Option<Connection>,
}

/// Amazon's name of a service in a region.
pub(crate) fn amazon_host(service: &str, region: &str) -> String {
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("{service}.{region}.amazonaws.com{china}")
}

impl Service {
    pub(crate) fn session(&self) -> Session<'_> {
        Session { service: self, connection: None }
    }
}

impl Session<'_> {
    /// PUTs an object at an encoded path, as S3 wants it signed.
    pub(crate) async fn put(&mut self, path: &str, body: Bytes) -> Result<(), Failure> {
        let options =
            SignOptions { path: PathEncoding::Once, send_payload_hash: true, ..SignOptions::default() };
        let path = format!("{}{path}", self.service.site.path);
        let answer = self.call(Method::PUT, &path, "application/gzip", None, body, &options).await?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(xml_failure(&answer)),
        }
    }

    /// Calls an operation of a JSON 1.1 service. The answer's body.
    pub(crate) async fn post(&mut self, target: &str, body: Bytes) -> Result<Bytes, Failure> {
        let path = format!("{}/", self.service.site.path);
        let kind = "application/x-amz-json-1.1";
        let options = SignOptions::default();
        let answer = self.call(Method::POST, &path, kind, Some(target), body, &options).await?;
        match answer.status.is_success() {
            true => Ok(answer.body),
            false => Err(json_failure(&answer)),
        }
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        target: Option<&str>,
        body: Bytes,
        options: &SignOptions,
    ) -> Result<Answer, Failure> {
        let Service { name, region, site, wallet } = self.service;
        let now = Timestamp::now();
        let credentials = wallet.credentials(now).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, site.authority())
            .header(header::CONTENT_TYPE, content_type);
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        let mut request = request
            .body(Full::new(body.clone()))
            .map_err(|error| Failure::because("no request can be made of this", &error))?;
        let signed = sign(
            &SignedRequest {
                method: request.method().as_str(),
                path,
                query: "",
                headers: &headers_of(request.headers()),
                payload: Payload::Body(&body),
            },
            &credentials,
            Scope { region, service: name },
            now,
            options,
        )
        .map_err(|error| Failure::because("the request cannot be signed", &error))?;
        for (name, value) in signed {
            let value = value.parse().map_err(|_| Failure::new("the signature is no header"))?;
            request.headers_mut().insert(name, value);
        }
        let connection = match self.connection.take().filter(Connection::is_usable) {
            Some(connection) => self.connection.insert(connection),
            None => self.connection.insert(Connection::open(site).await?),
        };
        connection.call(request).await
    }
}

/// `{"__type":"...#ResourceNotFoundException","message":"..."}`; the code may also be in a header.
fn json_failure(answer: &Answer) -> Failure {
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(rename = "__type")]
        code: Option<String>,
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
    let header = answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    match body.code.as_deref().or(header) {
        Some(code) => {
            let code = code.rsplit('#').next().unwrap_or(code).split(':').next().unwrap_or(code);
            Failure::answered(code, body.message.as_deref().unwrap_or("no message"))
        }
        None => plain_failure(answer),
    }
}

/// `<Error><Code>NoSuchBucket</Code><Message>...`.
fn xml_failure(answer: &Answer) -> Failure {
    let text = String::from_utf8_lossy(&answer.body);
    match element(&text, "Code") {
        Some(code) => Failure::answered(code, element(&text, "Message").unwrap_or("no message")),
        None => plain_failure(answer),
    }
}

fn plain_failure(answer: &Answer) -> Failure {
    Failure::new(format!("the answer was {}", answer.status))
}

/// The text of the first element of that name: enough for answers that are a list of texts.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        let status = http::StatusCode::BAD_REQUEST;
        Answer { status, headers: http::HeaderMap::new(), body: body.to_owned().into() }
    }

    #[test]
    fn errors_are_read_from_either_protocol() {
        let failure = json_failure(&answer(
            r#"{"__type":"com.amazonaws.logs#ResourceNotFoundException","message":"no such group"}"#,
        ));
        assert!(failure.is("ResourceNotFoundException"));
        assert_eq!(failure.to_string(), "ResourceNotFoundException: no such group");
        let text =
            "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>It is\nnot</Message></Error>";
        assert_eq!(xml_failure(&answer(text)).to_string(), "NoSuchBucket: It isnot");
        for text in ["", "<html>", "{\"message\":1}"] {
            assert_eq!(json_failure(&answer(text)).to_string(), "the answer was 400 Bad Request", "{text}");
            assert_eq!(xml_failure(&answer(text)).to_string(), "the answer was 400 Bad Request", "{text}");
        }
        let mut in_header = answer("");
        in_header.headers.insert("x-amzn-errortype", "Throttling:http://x".parse().unwrap());
        assert!(json_failure(&in_header).is("Throttling"));
    }
}
