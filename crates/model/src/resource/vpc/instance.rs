//! Instances: the hosts that `trellis run` makes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{Sandbox, ec2_arn};
use crate::moment::Moment;
use crate::resource::lattice::{DatabaseArn, Home};
use crate::{InstanceId, Region, SecurityGroupId, SubnetId, VpcId};

/// The one instance type. EC2's names are a family and a size.
pub const INSTANCE_TYPE: &str = "trellis.host";

/// A host in a subnet. To the API it is an EC2 instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub id: InstanceId,
    pub home: Home,
    /// Unique among the hosts of the installation that are not terminated.
    pub name: String,
    pub vpc: VpcId,
    pub subnet: SubnetId,
    pub address: Ipv4Addr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<Ipv6Addr>,
    /// Further private addresses of its interface, of its subnet: its pods', for a node of Kubernetes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secondary_addresses: BTreeSet<Ipv4Addr>,
    pub security_groups: Vec<SecurityGroupId>,
    /// What runs inside; empty: nothing.
    pub command: Vec<String>,
    /// Whether it outlives the command that made it, and a restart of the process that holds it.
    pub detached: bool,
    /// What it sees of the machine and may take of it.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// The database that resource configurations of type ARN mean with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<HostedDatabase>,
    /// The IAM instance profile it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileAssociation>,
    #[serde(default, skip_serializing_if = "MetadataOptions::is_default")]
    pub metadata: MetadataOptions,
    pub state: InstanceState,
    pub launched_at: Moment,
    /// Since when it is terminated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminated_at: Option<Moment>,
    /// Why it came to its state, where somebody or something else than its user brought it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Instance {
    pub fn arn(&self) -> String {
        ec2_arn(&self.home, format_args!("instance/{}", self.id))
    }

    /// Its addresses, of one family or of both, and the secondary ones.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let own = [Some(self.address.into()), self.ipv6_address.map(IpAddr::from)];
        own.into_iter().flatten().chain(self.secondary_addresses.iter().copied().map(IpAddr::from))
    }

    /// The name its VPC's resolver knows it by.
    pub fn private_dns_name(&self) -> String {
        private_dns_name(self.address, &private_dns_domain(&self.home.region))
    }

    /// Its one network interface.
    pub fn interface_id(&self) -> String {
        format!("eni-{}", self.id.suffix())
    }

    /// Each instance is a reservation of its own.
    pub fn reservation_id(&self) -> String {
        format!("r-{}", self.id.suffix())
    }
}

/// What private DNS names of a region's hosts end in.
pub fn private_dns_domain(region: &Region) -> String {
    match region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

/// `ip-10-3-1-10.ec2.internal`.
pub fn private_dns_name(address: Ipv4Addr, domain: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}.{domain}")
}

/// That an instance has an IAM instance profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileAssociation {
    /// `iip-assoc-` and 17 digits.
    pub id: String,
    /// Of the instance profile.
    pub arn: String,
    /// `AIPA...`: a successor of the same name is another.
    pub profile: String,
    pub since: Moment,
}

/// How an instance is told about itself. Only version 2 of the service is there, whose tokens are always required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    pub is_enabled: bool,
    /// At fd00:ec2::254 too.
    pub has_ipv6: bool,
    /// How many hops an answer may take, 1 to 64: 1 is the host itself, and none of the containers behind it.
    pub hop_limit: u8,
    /// Whether its tags are shown.
    pub has_tags: bool,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self { is_enabled: true, has_ipv6: true, hop_limit: 1, has_tags: false }
    }
}

impl MetadataOptions {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a host is to resource configurations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedDatabase {
    pub arn: DatabaseArn,
    /// Where it listens: 1 to 65535.
    pub port: u16,
}

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Recorded; the kernel does not have it yet.
    Pending,
    Running,
    /// To be taken out of the kernel; its address is still its own.
    ShuttingDown,
    /// Gone; kept to be described for a while.
    Terminated,
}

impl InstanceState {
    /// The API's word, e.g. `shutting-down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }

    /// The API's number.
    pub fn code(self) -> u16 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
        }
    }

    /// Whether the host should exist in the kernel.
    pub fn is_wanted(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    /// Whether its address, its groups and its subnet are in use.
    pub fn holds_resources(self) -> bool {
        self != Self::Terminated
    }
}
