//! What an operator decides about the delivery of access logs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use trellis_model::resource::lattice::LogDestinationKind;

/// Everything [`crate::Delivery::start`] is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of lines that are not delivered yet; made when absent.
    pub spool: PathBuf,
    /// Bytes the spool may hold. Beyond it the oldest lines are dropped and counted. Default 1 GiB.
    pub spool_bytes: u64,
    /// Directory of the files of [`Endpoint::Files`], one for each subscription, `{id}.log`.
    pub files: PathBuf,
    /// Where each service is. Default: [`Endpoint::Files`].
    pub endpoints: BTreeMap<LogDestinationKind, Endpoint>,
    /// How long lines are gathered before they are delivered. Default: 60 s for S3, where each delivery
    /// is an object, 5 s for the others.
    pub intervals: BTreeMap<LogDestinationKind, Duration>,
    /// Whose keys calls are signed with. `None`, the default: those the SDK finds for this process.
    pub credentials: Option<SharedCredentialsProvider>,
}

impl Options {
    /// The defaults, with these two directories.
    pub fn new(spool: impl Into<PathBuf>, files: impl Into<PathBuf>) -> Self {
        Self {
            spool: spool.into(),
            spool_bytes: 1 << 30,
            files: files.into(),
            endpoints: BTreeMap::new(),
            intervals: BTreeMap::new(),
            credentials: None,
        }
    }

    pub(crate) fn endpoint(&self, kind: LogDestinationKind) -> &Endpoint {
        self.endpoints.get(&kind).unwrap_or(&Endpoint::Files)
    }

    pub(crate) fn interval(&self, kind: LogDestinationKind) -> Duration {
        let default = match kind {
            LogDestinationKind::S3 => Duration::from_secs(60),
            LogDestinationKind::Logs | LogDestinationKind::Firehose => Duration::from_secs(5),
        };
        self.intervals.get(&kind).copied().unwrap_or(default)
    }
}

/// Where a service that takes logs is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Nowhere: each subscription has a file on this machine instead. Written `files`.
    Files,
    /// Amazon's own, in the region of the destination. Written `aws`.
    Amazon,
    /// `http://` or `https://`, host, port and perhaps a path. S3 is asked with the bucket in the path.
    Url(String),
}

/// An endpoint is none of the three.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected files, aws, or a URL such as http://127.0.0.1:9000, found {found:?}")]
pub struct EndpointError {
    pub found: String,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text {
            "files" => Ok(Self::Files),
            "aws" => Ok(Self::Amazon),
            url if is_base(url) => Ok(Self::Url(url.to_owned())),
            _ => Err(EndpointError { found: text.to_owned() }),
        }
    }
}

/// `http://` or `https://`, host, port, path; nothing else.
fn is_base(text: &str) -> bool {
    let Ok(url) = text.parse::<http::Uri>() else { return false };
    let is_host =
        |authority: &http::uri::Authority| !authority.as_str().contains('@') && !authority.host().is_empty();
    matches!(url.scheme_str(), Some("http" | "https"))
        && url.authority().is_some_and(is_host)
        && url.query().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_word_or_a_url() {
        for (text, expected) in [
            ("files", Endpoint::Files),
            ("aws", Endpoint::Amazon),
            ("http://127.0.0.1:9000/", Endpoint::Url("http://127.0.0.1:9000/".into())),
            ("https://[::1]:9000/s3", Endpoint::Url("https://[::1]:9000/s3".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "s3",
            "ftp://host",
            "http://",
            "http:// host",
            "https://user:secret@host",
            "http://host/?query",
            "host:80",
            "//host",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
