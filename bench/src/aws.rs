//! A small AWS client: enough of the wire to make a thousand services in seconds.
//!
//! Requests are signed like any client's and go over one keep-alive connection. It is not built for
//! endpoints it does not know: answers must have a Content-Length.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use trellis_auth::{Credentials, Payload, Scope, SecretKey, SignOptions, SignedRequest, sign};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a call that meets a conflict or a throttle is tried again.
const RETRY_PATIENCE: Duration = Duration::from_secs(60);
const MAX_BODY: usize = 4 << 20;
/// Of the EC2 API.
const EC2_VERSION: &str = "2016-11-15";

/// Where calls go and who makes them.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    region: String,
    credentials: Credentials,
}

impl Endpoint {
    /// For the endpoint at `url`, as the admin whose key is in a shared-credentials file.
    pub(crate) fn new(url: &str, credentials: &Path) -> anyhow::Result<Self> {
        let address = url.strip_prefix("http://").and_then(|rest| rest.trim_end_matches('/').parse().ok());
        let text = std::fs::read_to_string(credentials).context("reading the credentials")?;
        let value = |name: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            let found = pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
            found.with_context(|| format!("no {name} in the credentials"))
        };
        Ok(Self {
            address: address.with_context(|| format!("not an endpoint: {url}"))?,
            region: value("region").unwrap_or("us-east-1").to_owned(),
            credentials: Credentials {
                access_key_id: value("aws_access_key_id")?.parse()?,
                secret_key: SecretKey::new(value("aws_secret_access_key")?)?,
                session_token: None,
            },
        })
    }

    pub(crate) fn connect(&self) -> anyhow::Result<Client> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).context("connecting to the API")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client { endpoint: self.clone(), stream: BufReader::new(stream) })
    }
}

/// One connection to the API.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    stream: BufReader<TcpStream>,
}

/// An answer, whatever its status.
struct Answer {
    status: u16,
    error: String,
    body: Vec<u8>,
}

impl Client {
    /// A VPC Lattice call. Tried again for a while on 409 and 429: what it needs may still be coming up.
    pub(crate) fn lattice(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let deadline = Instant::now() + RETRY_PATIENCE;
        loop {
            let answer = self.call("vpc-lattice", method, path, "application/json", &bytes)?;
            let text = String::from_utf8_lossy(&answer.body);
            match answer.status {
                200..300 if answer.body.is_empty() => return Ok(Value::Null),
                200..300 => return serde_json::from_str(&text).with_context(|| format!("{method} {path}")),
                409 | 429 if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                status => bail!("{method} {path}: {status} {} {text}", answer.error),
            }
        }
    }

    /// An EC2 call; the answer is XML.
    pub(crate) fn ec2(&mut self, action: &str, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut form = format!("Action={action}&Version={EC2_VERSION}");
        for (name, value) in parameters {
            // Only CIDR blocks and ids are ever sent.
            form.push_str(&format!("&{name}={}", value.replace('/', "%2F")));
        }
        let answer = self.call("ec2", "POST", "/", "application/x-www-form-urlencoded", form.as_bytes())?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 200, "{action}: {} {text}", answer.status);
        Ok(text)
    }

    fn call(
        &mut self,
        service: &str,
        method: &str,
        target: &str,
        content_type: &str,
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let Endpoint { address, region, credentials } = &self.endpoint;
        let host = address.to_string();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = SignedRequest {
            method,
            path,
            query,
            headers: &[("host", host.as_bytes()), ("content-type", content_type.as_bytes())],
            payload: Payload::Body(body),
        };
        let scope = Scope { region, service };
        let added = sign(&request, credentials, scope, Timestamp::now(), &SignOptions::default())?;
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in added {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes)?;
        self.read_answer().with_context(|| format!("the answer to {method} {target}"))
    }

    fn read_answer(&mut self) -> anyhow::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.with_context(|| format!("not HTTP: {line:?}"))?;
        let (mut length, mut error) = (None, String::new());
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the answer ended in its head");
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok(),
                "x-amzn-errortype" => error = value.trim().to_owned(),
                _ => {}
            }
        }
        let length: usize = match length {
            None if status == 204 => 0,
            length => length.context("no Content-Length")?,
        };
        ensure!(length <= MAX_BODY, "a body of {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, error, body })
    }
}

/// The text of the first `<name>` in an XML answer.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let found = xml
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")))
        .map(|(text, _)| text);
    found.with_context(|| format!("no <{name}> in {xml}"))
}

/// A string member of a JSON answer.
pub(crate) fn member<'a>(answer: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    answer[name].as_str().with_context(|| format!("no {name} in {answer}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn endpoint(listener: &TcpListener) -> Endpoint {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials");
        let text =
            "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = a=b\nregion = eu-west-1\n";
        std::fs::write(&file, text).unwrap();
        Endpoint::new(&format!("http://{}", listener.local_addr().unwrap()), &file).unwrap()
    }

    #[test]
    fn a_conflict_is_tried_again_on_the_same_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = endpoint(&listener);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            for answer in [
                "409 Conflict\r\nContent-Length: 2\r\n\r\n{}",
                "201 Created\r\nContent-Length: 10\r\n\r\n{\"id\":\"x\"}",
            ] {
                let mut buffer = [0; 4096];
                let mut head = Vec::new();
                while !head.ends_with(b"{\"name\":\"n\"}") {
                    let length = stream.read(&mut buffer).unwrap();
                    head.extend_from_slice(&buffer[..length]);
                }
                seen.push(String::from_utf8(head).unwrap());
                write!(stream, "HTTP/1.1 {answer}").unwrap();
            }
            seen
        });
        let answer = endpoint
            .connect()
            .unwrap()
            .lattice("POST", "/services", Some(&serde_json::json!({ "name": "n" })))
            .unwrap();
        assert_eq!(member(&answer, "id").unwrap(), "x");
        let seen = server.join().unwrap();
        assert!(seen.iter().all(|head| head.starts_with("POST /services HTTP/1.1\r\n")), "{seen:?}");
        assert!(seen[0].contains("/eu-west-1/vpc-lattice/aws4_request"), "{}", seen[0]);
    }

    #[test]
    fn an_element_is_found_by_its_name() {
        let xml = "<r><vpc><vpcId>vpc-1</vpcId></vpc></r>";
        assert_eq!(element(xml, "vpcId").unwrap(), "vpc-1");
        assert!(element(xml, "subnetId").is_err());
    }
}
