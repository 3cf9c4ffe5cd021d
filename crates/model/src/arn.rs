//! Amazon Resource Names: `arn:partition:service:region:account:resource`.

use std::fmt;
use std::str::FromStr;

use crate::id::{AccountId, Region};

/// An ARN taken apart. Region and account are empty for some kinds (S3 buckets, global services),
/// so they are text here; [`Arn::new`] takes the typed ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arn {
    pub partition: String,
    pub service: String,
    pub region: String,
    pub account: String,
    /// Everything after the fifth colon, slashes and colons included.
    pub resource: String,
}

/// Why a text is not an ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected arn:partition:service:region:account:resource, found {found:?}")]
pub struct ArnError {
    pub found: String,
}

impl Arn {
    /// An ARN in the `aws` partition.
    pub fn new(service: &str, region: &Region, account: &AccountId, resource: impl fmt::Display) -> Self {
        Self {
            partition: "aws".into(),
            service: service.into(),
            region: region.to_string(),
            account: account.to_string(),
            resource: resource.to_string(),
        }
    }

    /// The last `/`-separated segment of the resource: the id, for every VPC Lattice ARN.
    pub fn resource_id(&self) -> &str {
        self.resource.rsplit('/').next().unwrap_or(&self.resource)
    }
}

impl FromStr for Arn {
    type Err = ArnError;
    fn from_str(text: &str) -> Result<Self, ArnError> {
        let malformed = || ArnError { found: text.chars().take(128).collect() };
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().ok_or_else(malformed);
        if part()? != "arn" {
            return Err(malformed());
        }
        let arn = Self {
            partition: part()?.into(),
            service: part()?.into(),
            region: part()?.into(),
            account: part()?.into(),
            resource: part()?.into(),
        };
        if arn.partition.is_empty() || arn.service.is_empty() || arn.resource.is_empty() {
            return Err(malformed());
        }
        Ok(arn)
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_reads_back_as_it_was_written() {
        let text = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1/listener/listener-2";
        let arn: Arn = text.parse().unwrap();
        assert_eq!(arn.to_string(), text);
        assert_eq!(arn.resource_id(), "listener-2");
    }

    #[test]
    fn text_without_six_parts_is_refused() {
        for text in ["", "arn", "arn:aws", "arn:aws:s3:::", "x:aws:s3:r:a:b", "arn::s3:r:a:b"] {
            assert!(text.parse::<Arn>().is_err(), "{text}");
        }
        assert_eq!("arn:aws:s3:::bucket".parse::<Arn>().unwrap().resource, "bucket");
    }
}
