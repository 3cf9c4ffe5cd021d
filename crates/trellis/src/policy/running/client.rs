//! Calls of the API of a running installation, signed with an operator's key.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use trellis_auth::{Credentials, Payload, Scope, SecretKey, SignOptions, SignedRequest, headers_of, sign};

use super::xml::{self, Element};
use crate::data_dir;

/// More than any answer asked for here has.
const MAX_ANSWER: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
/// Pages of one list.
const MAX_PAGES: usize = 1000;

pub(super) struct Client {
    authority: String,
    region: String,
    credentials: Credentials,
    runtime: tokio::runtime::Runtime,
}

/// What a call is made of.
struct Call<'a> {
    /// The signing name.
    service: &'a str,
    method: Method,
    target: &'a str,
    headers: &'a [(&'static str, &'a str)],
    body: String,
}

impl Client {
    pub(super) fn new(endpoint: &str, operator: &data_dir::Credentials) -> anyhow::Result<Self> {
        let authority = endpoint.trim().strip_prefix("http://");
        let authority =
            authority.with_context(|| format!("expected http://ADDRESS:PORT, found {endpoint:?}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            authority: authority.to_owned(),
            region: operator.region.clone(),
            credentials: Credentials {
                access_key_id: operator.access_key_id.parse().context("the operator's key")?,
                secret_key: SecretKey::new(&*operator.secret_access_key).context("the operator's key")?,
                session_token: None,
            },
            runtime: runtime.context("cannot start the runtime")?,
        })
    }

    /// What VPC Lattice has at `target`; `None` where it has nothing.
    pub(super) fn lattice(&self, target: &str) -> anyhow::Result<Option<Value>> {
        let call =
            Call { service: "vpc-lattice", method: Method::GET, target, headers: &[], body: String::new() };
        let (status, body) = self.call(call)?;
        match status {
            StatusCode::OK => Ok(Some(serde_json::from_slice(&body).context("VPC Lattice's answer")?)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => bail!("GET {target} is answered with {status}: {}", String::from_utf8_lossy(&body)),
        }
    }

    /// All items of a list of VPC Lattice.
    pub(super) fn lattice_list(&self, target: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut page = target.to_owned();
        for _ in 0..MAX_PAGES {
            let mut answer = self.lattice(&page)?.unwrap_or_default();
            if let Some(Value::Array(more)) = answer.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            let Some(token) = answer["nextToken"].as_str() else { return Ok(items) };
            let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
            let mark = if target.contains('?') { '&' } else { '?' };
            page = format!("{target}{mark}nextToken={token}");
        }
        bail!("{target} has more than {MAX_PAGES} pages")
    }

    /// An operation of IAM; `None` where what it is about does not exist.
    pub(super) fn iam(&self, action: &str, input: &[(&str, &str)]) -> anyhow::Result<Option<Element>> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", action).append_pair("Version", "2010-05-08").extend_pairs(input);
        let call = Call {
            service: "iam",
            method: Method::POST,
            target: "/",
            headers: &[("content-type", "application/x-www-form-urlencoded")],
            body: body.finish(),
        };
        let (status, body) = self.call(call)?;
        match status {
            StatusCode::OK => Ok(Some(xml::parse(&body).with_context(|| format!("the answer to {action}"))?)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => bail!("{action} is answered with {status}: {}", String::from_utf8_lossy(&body)),
        }
    }

    /// The text of each `field` (of each member, where `field` is empty) in the list `name` that `action` gives.
    pub(super) fn iam_list(
        &self,
        action: &str,
        input: &[(&str, &str)],
        (name, field): (&str, &str),
    ) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut marker: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut input = input.to_vec();
            input.extend(marker.as_deref().map(|marker| ("Marker", marker)));
            let Some(answer) = self.iam(action, &input)? else { return Ok(found) };
            for member in answer.find(name).iter().flat_map(|list| list.children("member")) {
                let element = if field.is_empty() { Some(member) } else { member.find(field) };
                found.extend(element.map(|element| element.text.clone()));
            }
            marker = answer.find("Marker").map(|marker| marker.text.clone());
            if marker.is_none() {
                return Ok(found);
            }
        }
        bail!("{action} has more than {MAX_PAGES} pages")
    }

    /// The id of the organisation.
    pub(super) fn organization(&self) -> anyhow::Result<Option<String>> {
        let call = Call {
            service: "organizations",
            method: Method::POST,
            target: "/",
            headers: &[
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amz-target", "AWSOrganizationsV20161128.DescribeOrganization"),
            ],
            body: "{}".to_owned(),
        };
        let (status, body) = self.call(call)?;
        if status != StatusCode::OK {
            bail!("DescribeOrganization is answered with {status}: {}", String::from_utf8_lossy(&body));
        }
        let answer: Value = serde_json::from_slice(&body).context("the answer to DescribeOrganization")?;
        Ok(answer["Organization"]["Id"].as_str().map(str::to_owned))
    }

    fn call(&self, call: Call<'_>) -> anyhow::Result<(StatusCode, Bytes)> {
        let Call { service, method, target, headers, body } = call;
        let mut request = Request::builder().method(method).uri(target).header(header::HOST, &self.authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Full::new(Bytes::from(body.clone())))?;
        let signed = SignedRequest {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            headers: &headers_of(request.headers()),
            payload: Payload::Body(body.as_bytes()),
        };
        // IAM and Organizations are signed for in one region alone.
        let region = if service == "vpc-lattice" { self.region.as_str() } else { "us-east-1" };
        let scope = Scope { region, service };
        let added = sign(&signed, &self.credentials, scope, jiff::Timestamp::now(), &SignOptions::default())?;
        for (name, value) in added {
            request.headers_mut().insert(name, value.parse()?);
        }
        let answer = async {
            let stream = TcpStream::connect(&self.authority).await?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            connection.abort();
            let body = body.map_err(|error| anyhow::anyhow!("the answer cannot be read: {error}"))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        let answer = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, answer).await });
        answer
            .context("no answer in half a minute")
            .flatten()
            .with_context(|| format!("the installation at http://{}", self.authority))
    }
}
