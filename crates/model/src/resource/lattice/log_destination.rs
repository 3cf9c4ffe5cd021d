//! Where access logs may go, read from the ARN a subscription names.

use std::fmt;
use std::str::FromStr;

use crate::{AccountId, Arn, Region};

/// A place access logs are delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogDestination {
    /// `arn:aws:s3:::{bucket}` or `arn:aws:s3:::{bucket}/{prefix}`. The prefix has no slash at either
    /// end and may be empty.
    Bucket { bucket: String, prefix: String },
    /// `arn:aws:logs:{region}:{account}:log-group:{name}`, with or without `:*` at the end.
    LogGroup { region: Region, account: AccountId, name: String },
    /// `arn:aws:firehose:{region}:{account}:deliverystream/{name}`.
    DeliveryStream { region: Region, account: AccountId, name: String },
}

/// The services that take access logs; a resource has at most one subscription for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogDestinationKind {
    S3,
    Logs,
    Firehose,
}

impl LogDestinationKind {
    pub const ALL: [Self; 3] = [Self::S3, Self::Logs, Self::Firehose];

    /// The service's name in an ARN.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Logs => "logs",
            Self::Firehose => "firehose",
        }
    }
}

/// The ARN names no log group, bucket or delivery stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must name a log group, an S3 bucket or a Firehose stream")]
pub struct LogDestinationError;

impl LogDestination {
    pub fn kind(&self) -> LogDestinationKind {
        match self {
            Self::Bucket { .. } => LogDestinationKind::S3,
            Self::LogGroup { .. } => LogDestinationKind::Logs,
            Self::DeliveryStream { .. } => LogDestinationKind::Firehose,
        }
    }
}

impl FromStr for LogDestination {
    type Err = LogDestinationError;

    fn from_str(text: &str) -> Result<Self, LogDestinationError> {
        let arn: Arn = text.parse().map_err(|_| LogDestinationError)?;
        let place = || {
            let region = arn.region.parse().map_err(|_| LogDestinationError)?;
            let account = arn.account.parse().map_err(|_| LogDestinationError)?;
            Ok((region, account))
        };
        match arn.service.as_str() {
            "s3" => {
                let (bucket, prefix) = arn.resource.split_once('/').unwrap_or((&arn.resource, ""));
                if bucket.is_empty() {
                    return Err(LogDestinationError);
                }
                Ok(Self::Bucket { bucket: bucket.into(), prefix: prefix.trim_matches('/').into() })
            }
            "logs" => {
                let name = arn.resource.strip_prefix("log-group:").ok_or(LogDestinationError)?;
                let name = name.strip_suffix(":*").unwrap_or(name);
                if name.is_empty() || name.contains([':', '*']) {
                    return Err(LogDestinationError);
                }
                let (region, account) = place()?;
                Ok(Self::LogGroup { region, account, name: name.into() })
            }
            "firehose" => {
                let name = arn.resource.strip_prefix("deliverystream/").ok_or(LogDestinationError)?;
                if name.is_empty() || name.contains('/') {
                    return Err(LogDestinationError);
                }
                let (region, account) = place()?;
                Ok(Self::DeliveryStream { region, account, name: name.into() })
            }
            _ => Err(LogDestinationError),
        }
    }
}

impl fmt::Display for LogDestination {
    /// For an operator's eyes: `bucket logs/prefix`, `log group lattice`, `delivery stream lattice`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "bucket {bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "bucket {bucket}/{prefix}"),
            Self::LogGroup { name, .. } => write!(f, "log group {name}"),
            Self::DeliveryStream { name, .. } => write!(f, "delivery stream {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_from_their_arns() {
        let bucket = |bucket: &str, prefix: &str| LogDestination::Bucket {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        let group = LogDestination::LogGroup {
            region: "eu-west-1".parse().unwrap(),
            account: "111122223333".parse().unwrap(),
            name: "/lattice/shop".into(),
        };
        for (text, expected) in [
            ("arn:aws:s3:::logs", bucket("logs", "")),
            ("arn:aws:s3:::logs/", bucket("logs", "")),
            ("arn:aws:s3:::logs/a/b/", bucket("logs", "a/b")),
            ("arn:aws-cn:s3:::logs/a", bucket("logs", "a")),
            ("arn:aws:logs:eu-west-1:111122223333:log-group:/lattice/shop", group.clone()),
            ("arn:aws:logs:eu-west-1:111122223333:log-group:/lattice/shop:*", group),
        ] {
            assert_eq!(text.parse::<LogDestination>().unwrap(), expected, "{text}");
        }
        let stream = "arn:aws:firehose:us-east-1:111122223333:deliverystream/lattice";
        assert_eq!(stream.parse::<LogDestination>().unwrap().kind(), LogDestinationKind::Firehose);
    }

    #[test]
    fn other_arns_are_no_destinations() {
        for text in [
            "logs",
            "arn:aws:s3:::/prefix",
            "arn:aws:sqs:us-east-1:111122223333:queue",
            "arn:aws:logs:us-east-1:111122223333:log-group:",
            "arn:aws:logs:us-east-1:111122223333:log-group:a:log-stream:b",
            "arn:aws:logs:us-east-1::log-group:a",
            "arn:aws:firehose:us-east-1:111122223333:deliverystream/",
            "arn:aws:firehose:us-east-1:111122223333:stream/a",
        ] {
            assert_eq!(text.parse::<LogDestination>(), Err(LogDestinationError), "{text}");
        }
    }
}
