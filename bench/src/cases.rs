//! What is asked for: the three kinds of request, and the virtual hosts and path rules every
//! candidate is configured with.
//!
//! Load generator, upstream and candidates agree on this file alone.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Body of a small answer, in bytes.
pub(crate) const SMALL: usize = 128;
/// Body of a large answer and of a POST, in bytes.
pub(crate) const LARGE: usize = 16 * 1024;

/// Last path segment that asks the upstream for a [`LARGE`] body; every other one gets [`SMALL`].
pub(crate) const LARGE_PATH: &str = "large";
/// Last path segment that asks the upstream to send back the request head it saw.
pub(crate) const ECHO_PATH: &str = "echo";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// GET, 128 byte answer.
    SmallGet,
    /// GET, 16 KiB answer.
    LargeGet,
    /// POST of 16 KiB, 128 byte answer once the whole body was read.
    LargePost,
}

impl Case {
    pub(crate) const ALL: [Self; 3] = [Self::SmallGet, Self::LargeGet, Self::LargePost];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::SmallGet => "GET 128 B",
            Self::LargeGet => "GET 16 KiB",
            Self::LargePost => "POST 16 KiB",
        }
    }

    /// Bytes of every answer's body.
    pub(crate) fn response_len(self) -> usize {
        match self {
            Self::LargeGet => LARGE,
            Self::SmallGet | Self::LargePost => SMALL,
        }
    }

    /// Bytes of every request's body.
    pub(crate) fn request_len(self) -> usize {
        match self {
            Self::LargePost => LARGE,
            Self::SmallGet | Self::LargeGet => 0,
        }
    }

    /// The head of a request of this case for one host and one rule.
    pub(crate) fn head(self, host: &str, rule: usize) -> String {
        let prefix = rule_prefix(rule);
        let last = if self == Self::LargeGet { LARGE_PATH } else { "small" };
        match self.request_len() {
            0 => format!(
                "GET {prefix}{last} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
            ),
            length => format!(
                "POST {prefix}{last} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\nAccept: */*\r\n\
                 Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
            ),
        }
    }
}

/// Name of the `n`-th virtual host: the custom domain of the `n`-th service.
pub(crate) fn host_name(n: usize) -> String {
    format!("s{n:04}.bench.example")
}

/// Path prefix of the `n`-th rule of every host.
pub(crate) fn rule_prefix(n: usize) -> String {
    format!("/p{n}/")
}

/// The bytes every body is made of, so that each byte of an answer can be checked.
pub(crate) fn body(length: usize) -> Cow<'static, [u8]> {
    (b'a'..=b'z').cycle().take(length).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_head_announces_the_body_that_follows() {
        let head = Case::LargePost.head(&host_name(7), 3);
        assert!(head.starts_with("POST /p3/small HTTP/1.1\r\nHost: s0007.bench.example\r\n"), "{head}");
        assert!(head.contains("Content-Length: 16384\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn no_rule_prefix_is_the_beginning_of_another() {
        for a in 0..30 {
            for b in 0..30 {
                assert!(a == b || !rule_prefix(a).starts_with(&rule_prefix(b)), "{a} {b}");
            }
        }
    }
}
