//! The managed prefix lists of VPC Lattice: the ranges that services and resources are found in.
//!
//! "The names are `com.amazonaws.<region>.vpc-lattice` and `com.amazonaws.<region>.ipv6.vpc-lattice`."
//! They belong to AWS, cannot be changed, and have the same ids for as long as a region has its name.

use ipnet::IpNet;

use crate::{PrefixListId, Region};

/// A managed prefix list.
#[derive(Debug)]
pub struct PrefixList {
    pub id: String,
    pub name: String,
    pub family: &'static str,
    /// In the order of their texts.
    pub cidrs: &'static [&'static str],
}

impl PrefixList {
    /// Both lists of `region`, in id order.
    pub fn all(region: &Region) -> [Self; 2] {
        let list = |label: &str, family, cidrs| {
            let name = format!("com.amazonaws.{region}.{label}");
            let id = PrefixListId::from_random(stable_suffix(&name)).to_string();
            Self { id, name, family, cidrs }
        };
        let mut lists = [
            list("vpc-lattice", "IPv4", &["129.224.0.0/17", "169.254.171.0/24"]),
            list("ipv6.vpc-lattice", "IPv6", &["fd00:ec2:80::/64"]),
        ];
        lists.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        lists
    }

    /// The addresses it stands for.
    pub fn blocks(&self) -> impl Iterator<Item = IpNet> + use<> {
        self.cidrs.iter().filter_map(|cidr| cidr.parse().ok())
    }

    /// The addresses that the list with `id` stands for; none for one there is not.
    pub fn blocks_of(region: &Region, id: &PrefixListId) -> Vec<IpNet> {
        Self::all(region).iter().filter(|list| list.id == id.as_str()).flat_map(Self::blocks).collect()
    }
}

/// A number for ids that have to be stable rather than unique: FNV-1a.
pub fn stable_suffix(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
