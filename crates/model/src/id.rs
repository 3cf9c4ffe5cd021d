//! Identifiers. Each kind of resource has a type of its own, so two ids cannot be swapped.
//!
//! An id is a prefix and 17 lower-case characters. The API description admits `[0-9a-z]{17}`; the
//! ones made here are hexadecimal and begin with `0`, as those seen from AWS are.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("expected {expected}, found {found:?}")]
    Malformed { expected: &'static str, found: String },
}

/// Characters after the prefix.
const SUFFIX: usize = 17;

fn is_suffix(text: &str) -> bool {
    text.len() == SUFFIX && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

/// A string newtype that is cheap to clone, hashes like the `str` it holds, and parses itself.
macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $expected:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as it is written on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError::Malformed { expected: $expected, found: text.chars().take(64).collect() })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A generated id: a prefix and [`SUFFIX`] characters.
macro_rules! generated_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        text_newtype!(
            $(#[$doc])*
            $name,
            concat!($prefix, " and 17 characters of [0-9a-z]"),
            |text| text.strip_prefix($prefix).is_some_and(is_suffix)
        );

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A new id out of 64 random bits.
            pub fn from_random(random: u64) -> Self {
                Self(format!(concat!($prefix, "0{:016x}"), random).into())
            }

            /// The 17 characters after the prefix.
            pub fn suffix(&self) -> &str {
                &self.0[$prefix.len()..]
            }
        }
    };
}

generated_id!(/// A service network, `sn-`.
    ServiceNetworkId, "sn-");
generated_id!(/// A service, `svc-`.
    ServiceId, "svc-");
generated_id!(/// A listener of a service, `listener-`.
    ListenerId, "listener-");
generated_id!(/// A rule of a listener, `rule-`; the default rule has one too.
    RuleId, "rule-");
generated_id!(/// A target group, `tg-`.
    TargetGroupId, "tg-");
generated_id!(/// An access log subscription, `als-`.
    AccessLogSubscriptionId, "als-");
generated_id!(/// An association of a service network with a VPC, `snva-`.
    VpcAssociationId, "snva-");
generated_id!(/// An association of a service network with a service, `snsa-`.
    ServiceAssociationId, "snsa-");
generated_id!(/// An association of a service network with a resource configuration, `snra-`.
    ResourceAssociationId, "snra-");
generated_id!(/// A resource configuration, `rcfg-`.
    ResourceConfigurationId, "rcfg-");
generated_id!(/// A resource gateway, `rgw-`.
    ResourceGatewayId, "rgw-");
generated_id!(/// A resource endpoint association, `rea-`.
    ResourceEndpointAssociationId, "rea-");
generated_id!(/// A domain verification, `dv-`.
    DomainVerificationId, "dv-");
generated_id!(/// An EC2 VPC, `vpc-`.
    VpcId, "vpc-");
generated_id!(/// An EC2 subnet, `subnet-`.
    SubnetId, "subnet-");
generated_id!(/// An EC2 instance, `i-`: a host made by `trellis run`.
    InstanceId, "i-");
generated_id!(/// An EC2 security group, `sg-`.
    SecurityGroupId, "sg-");
generated_id!(/// A rule of a security group, `sgr-`.
    SecurityGroupRuleId, "sgr-");
generated_id!(/// An EC2 managed prefix list, `pl-`.
    PrefixListId, "pl-");

text_newtype!(
    /// An AWS account: exactly twelve digits.
    AccountId,
    "an account id of 12 digits",
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
);

text_newtype!(
    /// A region name such as `us-east-1`. Any region a signature names is a region here.
    Region,
    "a region name of 1 to 32 lower-case letters, digits and hyphens",
    |text| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'-')
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_id_parses_as_its_kind_and_as_no_other() {
        let id = ServiceId::from_random(0x1234);
        assert_eq!(id.as_str(), "svc-00000000000001234");
        assert_eq!(id.suffix(), "00000000000001234");
        assert_eq!(id.as_str().parse::<ServiceId>(), Ok(id.clone()));
        assert!(id.as_str().parse::<ServiceNetworkId>().is_err());
    }

    #[test]
    fn foreign_text_is_refused_and_quoted_only_in_part() {
        for text in ["", "svc-", "svc-0123456789ABCDEF0", "svc-012345678901234567", "svc-0123456789/23456"] {
            assert!(text.parse::<ServiceId>().is_err(), "{text}");
        }
        let Err(IdError::Malformed { found, .. }) = "x".repeat(5000).parse::<AccountId>() else {
            panic!("accepted")
        };
        assert_eq!(found.len(), 64);
    }

    #[test]
    fn ids_travel_through_json_as_plain_strings() {
        let id = VpcId::from_random(7);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"vpc-00000000000000007\"");
        assert_eq!(serde_json::from_str::<VpcId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<VpcId>("\"subnet-00000000000000007\"").is_err());
    }
}
