//! What an instance is told, as a tree of paths.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trellis_model::fabric::mac_text;
use trellis_model::resource::vpc::{INSTANCE_TYPE, Instance, Subnet, Vpc};

use crate::role::{Role, pretty};

/// What is known of an instance.
#[derive(Debug, Clone)]
pub struct Known {
    pub instance: Instance,
    pub network: Network,
    /// What is to be shown of its tags: nothing, unless its metadata options say so.
    pub tags: Vec<(String, String)>,
    /// Its instance profile, where it has one.
    pub role: Option<Role>,
}

/// Where it is.
#[derive(Debug, Clone)]
pub struct Network {
    pub vpc: Vpc,
    pub subnet: Subnet,
    /// `us-east-1a`, and `use1-az1`.
    pub zone: (String, String),
    /// Ids and names of its security groups.
    pub groups: Vec<(String, String)>,
}

/// Values by their paths. What is below a path is found by its beginning, so no path may continue another.
pub(crate) type Leaves = BTreeMap<String, String>;

/// The value at a path, or what is below: a name each line, with a slash where more is below that.
pub(crate) fn find(path: &[String], leaves: &Leaves) -> Option<String> {
    let path = path.join("/");
    if let Some(value) = leaves.get(&path) {
        return Some(value.clone());
    }
    let beginning = if path.is_empty() { path } else { path + "/" };
    let mut names: Vec<String> = Vec::new();
    for below in leaves.range(beginning.clone()..).map_while(|(leaf, _)| leaf.strip_prefix(&beginning)) {
        let name = match below.split_once('/') {
            Some((name, _)) => format!("{name}/"),
            None => below.to_owned(),
        };
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join("\n"))
}

impl Known {
    pub(crate) fn leaves(&self) -> Leaves {
        let mut leaves = Leaves::new();
        let Self { instance, network: Network { vpc, zone, groups, .. }, .. } = self;
        let names = || groups.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("\n");
        let dns_name = instance.private_dns_name();
        let mac = mac_text(instance.address);
        let mut put = |path: String, value: String| drop(leaves.insert(format!("meta-data/{path}"), value));
        for (path, value) in [
            ("ami-launch-index", "0".to_owned()),
            ("hostname", dns_name.clone()),
            ("instance-action", "none".into()),
            ("instance-id", instance.id.to_string()),
            ("instance-life-cycle", "on-demand".into()),
            ("instance-type", INSTANCE_TYPE.into()),
            ("local-hostname", dns_name),
            ("local-ipv4", instance.address.to_string()),
            ("mac", mac.clone()),
            ("placement/availability-zone", zone.0.clone()),
            ("placement/availability-zone-id", zone.1.clone()),
            ("placement/region", vpc.home.region.to_string()),
            ("reservation-id", instance.reservation_id()),
            ("services/domain", "amazonaws.com".into()),
            ("services/partition", "aws".into()),
        ] {
            put(path.into(), value);
        }
        if !groups.is_empty() {
            put("security-groups".into(), names());
        }
        if let Some(address) = instance.ipv6_address {
            put("ipv6".into(), address.to_string());
        }
        let account = json!({
            "Code": "Success",
            "LastUpdated": instance.launched_at,
            "AccountId": vpc.home.account,
        });
        put("identity-credentials/ec2/info".into(), pretty(&account));
        self.interface(&mut |path, value| put(format!("network/interfaces/macs/{mac}/{path}"), value));
        for (key, value) in &self.tags {
            put(format!("tags/instance/{key}"), value.clone());
        }
        if let Some(role) = &self.role {
            role.leaves(&mut put);
        }
        leaves.insert("dynamic/instance-identity/document".into(), pretty(&self.document()));
        leaves
    }

    /// What is below the Ethernet address of the one interface.
    fn interface(&self, put: &mut impl FnMut(&str, String)) {
        let Self { instance, network: Network { vpc, subnet, groups, .. }, .. } = self;
        for (path, value) in [
            ("device-number", "0".to_owned()),
            ("interface-id", instance.interface_id()),
            ("local-hostname", instance.private_dns_name()),
            ("mac", mac_text(instance.address)),
            ("network-card", "0".into()),
            ("owner-id", vpc.home.account.to_string()),
            ("subnet-id", subnet.id.to_string()),
            ("subnet-ipv4-cidr-block", subnet.cidr.to_string()),
            ("vpc-id", vpc.id.to_string()),
            ("vpc-ipv4-cidr-block", vpc.cidr.to_string()),
            ("vpc-ipv4-cidr-blocks", vpc.cidr.to_string()),
        ] {
            put(path, value);
        }
        let addresses = instance.addresses().filter(std::net::IpAddr::is_ipv4);
        put("local-ipv4s", addresses.map(|address| address.to_string()).collect::<Vec<_>>().join("\n"));
        if !groups.is_empty() {
            let lines = |which: fn(&(String, String)) -> &str| {
                groups.iter().map(which).collect::<Vec<_>>().join("\n")
            };
            put("security-group-ids", lines(|(id, _)| id));
            put("security-groups", lines(|(_, name)| name));
        }
        if let Some(address) = instance.ipv6_address {
            put("ipv6s", address.to_string());
        }
        if let Some(ipv6) = &subnet.ipv6 {
            put("subnet-ipv6-cidr-blocks", ipv6.cidr.to_string());
        }
        if let Some(ipv6) = &vpc.ipv6 {
            put("vpc-ipv6-cidr-blocks", ipv6.cidr.to_string());
        }
    }

    /// The instance identity document. A host has no image.
    fn document(&self) -> Value {
        let Self { instance, network: Network { vpc, zone, .. }, .. } = self;
        json!({
            "accountId": vpc.home.account,
            "architecture": std::env::consts::ARCH.replace("aarch64", "arm64"),
            "availabilityZone": zone.0,
            "billingProducts": null,
            "devpayProductCodes": null,
            "marketplaceProductCodes": null,
            "imageId": null,
            "instanceId": instance.id,
            "instanceType": INSTANCE_TYPE,
            "kernelId": null,
            "pendingTime": jiff::Timestamp::from(instance.launched_at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "privateIp": instance.address,
            "ramdiskId": null,
            "region": vpc.home.region,
            "version": "2017-09-30",
        })
    }
}
