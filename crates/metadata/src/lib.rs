//! The instance metadata service, version 2 (IMDSv2): requests in, answers out, without I/O.
//!
//! Who asks is the caller's to know, by the VPC of the socket and the address in it, never by what a request says.
//! [`Asked::read`] says what is asked and refuses what can be refused unseen; [`Tokens`] makes and checks the tokens that
//! every read needs (version 1, without one, is not served); [`answer`] looks a path up in what is known.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>

mod refused;
mod role;
mod token;
mod tree;

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};

pub use refused::Refused;
pub use role::{Credentials, Role, Unusable};
pub use token::Tokens;
pub use tree::{Known, Network};

/// Whether a version of the tree is known: the newest by its name, and dates of those that clients ask for.
const VERSIONS: &[&str] = &["2016-09-02", "2018-09-24", "2019-10-01", "2020-10-27", "2021-03-23", "latest"];

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A token, good for so many seconds.
    Token { seconds: u32 },
    /// What is at a path.
    Read { path: Vec<String>, token: String },
}

impl Asked {
    /// # Errors
    /// What the caller is told.
    pub fn read(head: &Parts) -> Result<Self, Refused> {
        let path: Vec<String> =
            head.uri.path().split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if head.method == Method::PUT {
            // "Requests with an X-Forwarded-For header are rejected": an open proxy in the host is asked by strangers.
            if head.headers.contains_key("x-forwarded-for") {
                return Err(Refused::Forbidden);
            }
            return match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [version, "api", "token"] if VERSIONS.contains(&version) => {
                    let seconds = text(head, TOKEN_TTL).and_then(|text| text.parse().ok());
                    let seconds = seconds.filter(|seconds| token::SECONDS.contains(seconds));
                    seconds.map(|seconds| Self::Token { seconds }).ok_or(Refused::BadRequest)
                }
                _ => Err(Refused::NotAllowed),
            };
        }
        if head.method != Method::GET && head.method != Method::HEAD {
            return Err(Refused::NotAllowed);
        }
        let token = text(head, TOKEN).ok_or(Refused::Unauthorized)?.to_owned();
        Ok(Self::Read { path, token })
    }
}

fn text<'h>(head: &'h Parts, name: &str) -> Option<&'h str> {
    let mut values = head.headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    only.to_str().ok()
}

/// The answer with a new token.
pub fn answer_token(token: &str, seconds: u32) -> Response<Vec<u8>> {
    let mut response = plain(StatusCode::OK, token.to_owned());
    response.headers_mut().insert(TOKEN_TTL, HeaderValue::from(seconds));
    response
}

/// What is at `path`: a value, or the names of what is below.
pub fn answer(path: &[String], known: &Known) -> Response<Vec<u8>> {
    let [version, rest @ ..] = path else { return plain(StatusCode::OK, VERSIONS.join("\n")) };
    if !VERSIONS.contains(&version.as_str()) {
        return Refused::NotFound.into();
    }
    match tree::find(rest, &known.leaves()) {
        Some(text) => plain(StatusCode::OK, text),
        None => Refused::NotFound.into(),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Vec<u8>> {
    let mut response = Response::new(text.into_bytes());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::SERVER, HeaderValue::from_static("EC2ws"));
    response
}

#[cfg(test)]
mod tests;
