//! Databases that resource configurations name by ARN. One is a host whose operator says so: there is no RDS here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ResourceGatewayIpAddressType;
use crate::{Arn, InstanceId, VpcId};

/// The ARN of an RDS instance or cluster: `arn:aws:rds:{region}:{account}:db:{id}` or `...:cluster:{id}`. It is written
/// as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DatabaseArn(Box<Arn>);

/// Why a text is not the ARN of a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected arn:aws:rds:REGION:ACCOUNT:db:ID or arn:aws:rds:REGION:ACCOUNT:cluster:ID, found {found:?}"
)]
pub struct DatabaseArnError {
    pub found: String,
}

/// Letters and digits in the part of a name that tells accounts apart.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

impl DatabaseArn {
    pub fn account(&self) -> &str {
        &self.0.account
    }

    pub fn region(&self) -> &str {
        &self.0.region
    }

    /// Whether it is a cluster, and its id.
    fn parts(&self) -> Option<(bool, &str)> {
        let (kind, id) = self.0.resource.split_once(':')?;
        match kind {
            "db" => Some((false, id)),
            "cluster" => Some((true, id)),
            _ => None,
        }
    }

    /// The name clients know the database by, lower case, in the form of RDS:
    /// `{id}.{of the account}.{region}.rds.amazonaws.com`, `{id}.cluster-{of the account}...` for a cluster.
    pub fn domain_name(&self) -> String {
        let (is_cluster, id) = self.parts().unwrap_or_default();
        let cluster = if is_cluster { "cluster-" } else { "" };
        let region = self.region();
        let id = id.to_ascii_lowercase();
        format!("{id}.{cluster}{}.{region}.rds.amazonaws.com", tag(self.account(), region))
    }
}

/// Twelve letters and digits, the same for an account and region on every installation: FNV-1a.
fn tag(account: &str, region: &str) -> String {
    let mut hash = [account, "/", region].concat().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut tag = String::from("c");
    for _ in 0..11 {
        tag.push(char::from(DIGITS[(hash % 36) as usize]));
        hash /= 36;
    }
    tag
}

impl FromStr for DatabaseArn {
    type Err = DatabaseArnError;

    fn from_str(text: &str) -> Result<Self, DatabaseArnError> {
        let wrong = || DatabaseArnError { found: text.chars().take(128).collect() };
        let arn = Self(Box::new(text.parse().map_err(|_| wrong())?));
        let is_label = |id: &str| {
            (1..=63).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !id.starts_with('-')
                && !id.ends_with('-')
        };
        let is_database = arn.0.partition == "aws"
            && arn.0.service == "rds"
            && arn.parts().is_some_and(|(_, id)| is_label(id));
        if is_database { Ok(arn) } else { Err(wrong()) }
    }
}

impl fmt::Display for DatabaseArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for DatabaseArn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatabaseArn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which host a database is. There is one host of an ARN at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    pub instance: InstanceId,
    pub vpc: VpcId,
    pub address: Ipv4Addr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<Ipv6Addr>,
    /// Where it listens: 1 to 65535.
    pub port: u16,
}

impl Database {
    /// Where a gateway reaches it: by IPv4 where the gateway has that.
    pub fn address_for(&self, gateway: ResourceGatewayIpAddressType) -> Option<IpAddr> {
        match gateway.has_ipv4() {
            true => Some(self.address.into()),
            false => self.ipv6_address.map(IpAddr::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_name_instances_and_clusters_and_are_written_as_they_were_read() {
        for text in [
            "arn:aws:rds:us-east-1:111122223333:db:orders",
            "arn:aws:rds:us-east-1:111122223333:cluster:Orders-2",
        ] {
            assert_eq!(text.parse::<DatabaseArn>().unwrap().to_string(), text);
        }
        let long = format!("arn:aws:rds:us-east-1:111122223333:db:{}", "x".repeat(64));
        for text in [
            "orders",
            "arn:aws-cn:rds:us-east-1:111122223333:db:orders",
            "arn:aws:rds:us-east-1:111122223333:snapshot:orders",
            "arn:aws:rds:us-east-1:111122223333:db:",
            "arn:aws:rds:us-east-1:111122223333:db:a:b",
            "arn:aws:rds:us-east-1:111122223333:db:a/b",
            "arn:aws:rds:us-east-1:111122223333:db:-a",
            "arn:aws:s3:us-east-1:111122223333:db:orders",
            &long,
        ] {
            assert!(text.parse::<DatabaseArn>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_have_the_form_of_rds_and_tell_accounts_and_regions_apart() {
        let name = |text: &str| text.parse::<DatabaseArn>().unwrap().domain_name();
        let one = name("arn:aws:rds:us-east-1:111122223333:db:Orders");
        let of_account = one.strip_prefix("orders.").unwrap().strip_suffix(".us-east-1.rds.amazonaws.com");
        let of_account = of_account.unwrap();
        assert_eq!(of_account.len(), 12, "{one}");
        assert_eq!(
            name("arn:aws:rds:us-east-1:111122223333:cluster:orders"),
            format!("orders.cluster-{of_account}.us-east-1.rds.amazonaws.com")
        );
        assert!(!name("arn:aws:rds:us-east-1:444455556666:db:orders").contains(of_account));
        assert!(!name("arn:aws:rds:eu-west-1:111122223333:db:orders").contains(of_account));
    }

    #[test]
    fn a_database_is_reached_by_ipv4_where_the_gateway_has_it() {
        use ResourceGatewayIpAddressType::{Dualstack, Ipv4, Ipv6};
        let one = Database {
            instance: InstanceId::from_random(1),
            vpc: VpcId::from_random(1),
            address: Ipv4Addr::new(10, 0, 1, 4),
            ipv6_address: None,
            port: 5432,
        };
        let two = Database { ipv6_address: Some("fd12::4".parse().unwrap()), ..one.clone() };
        let text = |database: &Database, gateway| database.address_for(gateway).map(|ip| ip.to_string());
        assert_eq!(
            [Ipv4, Dualstack].map(|gateway| text(&two, gateway)),
            [(); 2].map(|()| Some("10.0.1.4".into()))
        );
        assert_eq!([text(&one, Ipv6), text(&two, Ipv6)], [None, Some("fd12::4".into())]);
    }
}
