//! The zones that are ours in a VPC, and what is in them.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use trellis_model::fabric::VpcPlan;
use trellis_model::resource::vpc::private_dns_name;
use trellis_model::snapshot::{Ingress, SERVICE_VIP, SERVICE_VIP_IPV6};

use super::View;

/// Seconds the address of a service or a resource may be cached.
pub const SERVICE_TTL: u32 = 60;

/// Seconds the absence of a service or a resource may be cached: short, because the next thing a user does after
/// a look-up that failed is to make the association that was missing.
pub const NEGATIVE_TTL: u32 = 5;

/// What there is under a name of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Address(IpAddr),
    /// The host at an address that was asked backwards.
    Host(Name),
    /// The zone's own name, asked for its SOA.
    Authority,
    /// The name exists without a record of that type.
    NoData,
    NoName,
}

impl Found {
    /// The record of it that `owner` has.
    pub(super) fn record(&self, owner: &Name) -> Option<Record> {
        let data = match self {
            Self::Address(IpAddr::V4(address)) => RData::A(A(*address)),
            Self::Address(IpAddr::V6(address)) => RData::AAAA(AAAA(*address)),
            Self::Host(name) => RData::PTR(PTR(name.clone())),
            Self::Authority | Self::NoData | Self::NoName => return None,
        };
        Some(Record::from_rdata(owner.clone(), SERVICE_TTL, data))
    }
}

/// A zone of ours that a name is in: `vpc-lattice-svcs.<region>.on.aws`, `vpc-lattice-rsc.<region>.on.aws`, a private
/// DNS name of a resource, the domain of the VPC's hosts, or the reverse of its block.
pub(super) struct Zone {
    kind: Kind,
    apex: Name,
    /// The whole name, lower case, dots between labels. `None` when a label has a byte no
    /// generated name has; a dot inside a label would otherwise read as two labels.
    name: Option<String>,
    /// Labels in front of the apex.
    depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Services,
    Resources,
    Private(Ipv4Addr),
    Hosts,
    Reverse,
}

/// Those of `vpc-lattice-svcs.<region>.on.aws`.
const LATTICE_LABELS: usize = 4;
/// Those of `in-addr.arpa`.
const REVERSE_LABELS: usize = 2;

impl Zone {
    /// The zone of a generated name or of a resource's private one; `None`: it is neither in that VPC.
    pub(super) fn generated(name: &Name, view: View<'_>) -> Option<Self> {
        Self::lattice(name).or_else(|| Self::private(name, view.ingress?))
    }

    /// The zone of the VPC's hosts that `name` is in, forwards or backwards.
    pub(super) fn of_hosts(name: &Name, view: View<'_>) -> Option<Self> {
        Self::hosts(name, view.plan?).or_else(|| Self::reverse(name, view.plan?))
    }

    /// Those of the zone's own name.
    pub(super) fn labels(&self) -> usize {
        self.apex.num_labels().into()
    }

    fn lattice(name: &Name) -> Option<Self> {
        let labels: Vec<&[u8]> = name.iter().collect();
        let depth = labels.len().checked_sub(LATTICE_LABELS)?;
        let [first, _region, third, fourth] = labels.get(depth..)? else { return None };
        if !third.eq_ignore_ascii_case(b"on") || !fourth.eq_ignore_ascii_case(b"aws") {
            return None;
        }
        let kind = match first {
            first if first.eq_ignore_ascii_case(b"vpc-lattice-svcs") => Kind::Services,
            first if first.eq_ignore_ascii_case(b"vpc-lattice-rsc") => Kind::Resources,
            _ => return None,
        };
        Some(Self { kind, apex: name.trim_to(LATTICE_LABELS), name: host_text(&labels), depth })
    }

    /// The zone of a private name that the VPC has.
    fn private(name: &Name, ingress: &Ingress) -> Option<Self> {
        if ingress.resources.is_empty() {
            return None;
        }
        let labels: Vec<&[u8]> = name.iter().collect();
        let text = host_text(&labels)?;
        let address = ingress.resources.named(&text)?.address;
        Some(Self { kind: Kind::Private(address), apex: name.clone(), name: Some(text), depth: 0 })
    }

    /// The domain of the VPC's hosts.
    fn hosts(name: &Name, plan: &VpcPlan) -> Option<Self> {
        let labels: Vec<&[u8]> = name.iter().collect();
        let domain = plan.private_dns_domain.split('.');
        let count = domain.clone().count();
        let depth = labels.len().checked_sub(count)?;
        let same = labels
            .get(depth..)?
            .iter()
            .zip(domain)
            .all(|(ours, theirs)| ours.eq_ignore_ascii_case(theirs.as_bytes()));
        same.then(|| Self { kind: Kind::Hosts, apex: name.trim_to(count), name: host_text(&labels), depth })
    }

    /// The part of `in-addr.arpa` that a block of the VPC's is in, cut where labels are.
    fn reverse(name: &Name, plan: &VpcPlan) -> Option<Self> {
        let labels: Vec<&[u8]> = name.iter().collect();
        let numbers = labels.len().checked_sub(REVERSE_LABELS)?;
        let [first, second] = labels.get(numbers..)? else { return None };
        if !first.eq_ignore_ascii_case(b"in-addr") || !second.eq_ignore_ascii_case(b"arpa") {
            return None;
        }
        plan.cidrs.iter().find_map(|block| {
            let needed = usize::from(block.prefix_len().div_ceil(8));
            let depth = numbers.checked_sub(needed)?;
            let octets = reversed_octets(labels.get(depth..numbers)?)?;
            let mut start = [0; 4];
            start.get_mut(..needed)?.copy_from_slice(&octets);
            block.contains(&Ipv4Addr::from(start)).then(|| Self {
                kind: Kind::Reverse,
                apex: name.trim_to(REVERSE_LABELS + needed),
                name: host_text(&labels),
                depth,
            })
        })
    }

    pub(super) fn look_up(&self, view: View<'_>, kind: RecordType) -> Found {
        let of_type = |wanted, found| if kind == wanted { found } else { Found::NoData };
        if kind == RecordType::SOA && self.depth == 0 {
            return Found::Authority;
        }
        match self.kind {
            Kind::Private(address) => of_type(RecordType::A, Found::Address(address.into())),
            Kind::Reverse => self.host_backwards(view, kind),
            _ if self.depth == 0 => Found::NoData,
            Kind::Hosts => {
                let (Some(plan), Some(name)) = (view.plan, self.name.as_deref()) else {
                    return Found::NoName;
                };
                match host_address(name, &plan.private_dns_domain)
                    .filter(|address| plan.has_host_at(*address))
                {
                    Some(address) => of_type(RecordType::A, Found::Address(address.into())),
                    None => Found::NoName,
                }
            }
            Kind::Resources => self.resource(view, kind),
            Kind::Services => self.service(view, kind),
        }
    }

    fn resource(&self, view: View<'_>, kind: RecordType) -> Found {
        let (Some(ingress), Some(name)) = (view.ingress, self.name.as_deref()) else { return Found::NoName };
        if let Some(resource) = ingress.resources.named(name) {
            let found = Found::Address(resource.address.into());
            return if kind == RecordType::A { found } else { Found::NoData };
        }
        // Here that is the partition label, and the resource configuration's in front of it.
        let mut names = ingress.resources.iter().flat_map(|resource| &resource.names);
        let exists = self.depth <= 2 && names.any(|known| is_above(name, known));
        if exists { Found::NoData } else { Found::NoName }
    }

    fn service(&self, view: View<'_>, kind: RecordType) -> Found {
        let (Some(ingress), Some(name)) = (view.ingress, self.name.as_deref()) else { return Found::NoName };
        // A custom domain is in `hosts` too; only the generated name is the resolver's to answer.
        let hosts = &ingress.network.hosts;
        if hosts.get(name).is_some_and(|service| &*service.dns_name == name) {
            // "A and AAAA are both returned for services."
            return match kind {
                RecordType::A => Found::Address(SERVICE_VIP.into()),
                RecordType::AAAA => Found::Address(SERVICE_VIP_IPV6.into()),
                _ => Found::NoData,
            };
        }
        // Here that is the partition label alone.
        let exists = self.depth == 1 && hosts.values().any(|service| is_above(name, &service.dns_name));
        if exists { Found::NoData } else { Found::NoName }
    }

    /// The host whose address this name has backwards.
    fn host_backwards(&self, view: View<'_>, kind: RecordType) -> Found {
        let labels: Vec<&[u8]> =
            self.name.as_deref().map_or_else(Vec::new, |name| name.split('.').map(str::as_bytes).collect());
        let numbers = labels.len().saturating_sub(REVERSE_LABELS);
        if numbers < 4 {
            return Found::NoData;
        }
        let address = labels
            .get(..numbers)
            .and_then(reversed_octets)
            .and_then(|octets| <[u8; 4]>::try_from(octets).ok())
            .map(Ipv4Addr::from);
        let (Some(plan), Some(address)) = (view.plan, address) else { return Found::NoName };
        if !plan.has_host_at(address) {
            return Found::NoName;
        }
        match Name::from_ascii(private_dns_name(address, &plan.private_dns_domain) + ".") {
            Ok(name) if kind == RecordType::PTR => Found::Host(name),
            _ => Found::NoData,
        }
    }

    pub(super) fn authority(&self) -> Record {
        let mailbox = self.apex.prepend_label("hostmaster").unwrap_or_else(|_| self.apex.clone());
        let data = SOA::new(self.apex.clone(), mailbox, 1, 7200, 900, 1_209_600, NEGATIVE_TTL);
        Record::from_rdata(self.apex.clone(), NEGATIVE_TTL, RData::SOA(data))
    }
}

/// RFC 8020: a name with names below it exists.
fn is_above(name: &str, known: &str) -> bool {
    known.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

/// The address in `ip-10-3-1-10.ec2.internal`, spelt as [`private_dns_name`] does and in no other way.
fn host_address(name: &str, domain: &str) -> Option<Ipv4Addr> {
    let label = name.strip_prefix("ip-")?.strip_suffix(domain)?.strip_suffix('.')?;
    let address = label.replace('-', ".").parse().ok()?;
    (private_dns_name(address, domain) == name).then_some(address)
}

/// `10 1 3 10` of a reverse name as the octets 10.3.1.10, or as many as there are.
fn reversed_octets(labels: &[&[u8]]) -> Option<Vec<u8>> {
    let octet = |label: &&[u8]| {
        let text = std::str::from_utf8(label).ok()?;
        text.parse::<u8>().ok().filter(|octet| octet.to_string() == text)
    };
    labels.iter().rev().map(octet).collect()
}

fn host_text(labels: &[&[u8]]) -> Option<String> {
    let mut text = String::with_capacity(255);
    for label in labels {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in *label {
            let lower = byte.to_ascii_lowercase();
            if !(lower.is_ascii_alphanumeric() || matches!(lower, b'-' | b'_')) {
                return None;
            }
            text.push(char::from(lower));
        }
    }
    Some(text)
}
