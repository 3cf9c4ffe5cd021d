//! The one instance type: a host of `trellis run`. What it has is what the machine gives every host that asks for
//! nothing else.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::tags::Tags;
use trellis_frame::{Context, Refusal};
use trellis_model::Region;
pub(super) use trellis_model::resource::vpc::INSTANCE_TYPE as NAME;
use trellis_model::resource::vpc::Zone;

use super::address::MAX_SECONDARY;
use super::filter::{Filters, names};
use super::input::{Filter, Request};
use super::listing::Page;
use super::{fault, zone};

/// The operating system, in EC2's words.
pub(super) const PLATFORM: &str = "Linux/UNIX";

/// Mebibytes of a host that names no `--memory`.
const MEMORY: u32 = 2048;

/// What the machine is, and with it every host, in EC2's words; none for what EC2 has no word for.
pub(super) const ARCHITECTURE: Option<&str> = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => Some("x86_64"),
    b"aarch64" => Some("arm64"),
    _ => None,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Input {
    #[serde(default)]
    instance_types: Vec<String>,
    #[allow(dead_code)]
    include_unsupported_in_region: Option<bool>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe(_: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<Input>::read(input)?.into_read()?;
    if let Some(other) = input.instance_types.iter().find(|name| *name != NAME) {
        let other = fault::quoted(other);
        let message = format!("The following supplied instance types do not exist: [{other}]");
        return Err(fault::refuse("InvalidInstanceType", message));
    }
    let filters = Filters::new(input.filters, names::INSTANCE_TYPES)?;
    let page = Page::of("DescribeInstanceTypes", &filters, input.max_results, input.next_token.as_deref())?;
    let described = describe_one();
    let passes = filters.pass(&Tags::new(), |name| field(&described, name));
    let (found, next) = page.cut(passes.then_some(described).into_iter().collect(), |_| NAME);
    Ok(json!({"InstanceTypes": found, "NextToken": next}))
}

fn describe_one() -> Value {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    json!({
        "InstanceType": NAME,
        "CurrentGeneration": true,
        "FreeTierEligible": false,
        "SupportedUsageClasses": ["on-demand"],
        "BareMetal": false,
        "ProcessorInfo": {"SupportedArchitectures": ARCHITECTURE.into_iter().collect::<Vec<_>>()},
        "VCpuInfo": {"DefaultVCpus": processors},
        "MemoryInfo": {"SizeInMiB": MEMORY},
        "InstanceStorageSupported": false,
        "EbsInfo": {
            "EbsOptimizedSupport": "unsupported",
            "EncryptionSupport": "unsupported",
            "NvmeSupport": "unsupported",
        },
        "NetworkInfo": {
            "MaximumNetworkInterfaces": 1,
            "MaximumNetworkCards": 1,
            "DefaultNetworkCardIndex": 0,
            "Ipv4AddressesPerInterface": 1 + MAX_SECONDARY,
            "Ipv6AddressesPerInterface": 1,
            "Ipv6Supported": true,
            "EnaSupport": "unsupported",
            "EfaSupported": false,
        },
        "PlacementGroupInfo": {"SupportedStrategies": []},
        "HibernationSupported": false,
        "BurstablePerformanceSupported": false,
        "DedicatedHostsSupported": false,
        "AutoRecoverySupported": false,
    })
}

/// What the description says where a filter looks: `network-info.ipv6-supported` is `NetworkInfo.Ipv6Supported`.
fn field(described: &Value, filter: &str) -> Vec<String> {
    let member = |part: &str| match part {
        "vcpu-info" => "VCpuInfo".to_owned(),
        "default-vcpus" => "DefaultVCpus".to_owned(),
        "size-in-mib" => "SizeInMiB".to_owned(),
        "supported-usage-class" => "SupportedUsageClasses".to_owned(),
        "supported-architecture" => "SupportedArchitectures".to_owned(),
        _ => part.split('-').map(capital).collect(),
    };
    let found = filter.split('.').try_fold(described, |value, part| value.get(member(part)));
    match found {
        None | Some(Value::Null | Value::Object(_)) => Vec::new(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(text)) => vec![text.clone()],
        Some(other) => vec![other.to_string()],
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfferingsInput {
    location_type: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// Every zone of every region has it.
pub(super) fn offerings(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<OfferingsInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, &["instance-type", "location"])?;
    let kind = input.location_type.as_deref().unwrap_or("region");
    let list = format!("DescribeInstanceTypeOfferings;{kind};{}", filters.text());
    let page = Page::new(&list, input.max_results, input.next_token.as_deref())?;
    let mut found = locations(&ctx.caller.region, kind);
    found.retain(|location| {
        filters.pass(&Tags::new(), |name| {
            vec![if name == "location" { location.clone() } else { NAME.to_owned() }]
        })
    });
    let (found, next) = page.cut(found, String::as_str);
    let offerings: Vec<Value> = found
        .iter()
        .map(|location| json!({"InstanceType": NAME, "LocationType": kind, "Location": location}))
        .collect();
    Ok(json!({"InstanceTypeOfferings": offerings, "NextToken": next}))
}

fn locations(region: &Region, kind: &str) -> Vec<String> {
    match kind {
        "region" => vec![region.to_string()],
        "availability-zone" => Zone::ALL.iter().map(|zone| zone::name(region, *zone)).collect(),
        "availability-zone-id" => Zone::ALL.iter().map(|zone| zone::id(region, *zone)).collect(),
        // There are no outposts.
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_find_what_the_description_says() {
        let described = describe_one();
        for (filter, expected) in [
            ("instance-type", "trellis.host"),
            ("network-info.ipv6-supported", "true"),
            ("network-info.maximum-network-interfaces", "1"),
            ("ebs-info.ebs-optimized-support", "unsupported"),
            ("memory-info.size-in-mib", "2048"),
            ("supported-usage-class", "on-demand"),
            ("burstable-performance-supported", "false"),
        ] {
            assert_eq!(field(&described, filter), [expected], "{filter}");
        }
        assert!(field(&described, "vcpu-info.default-vcpus")[0].parse::<u32>().unwrap() >= 1);
        for absent in ["hypervisor", "instance-storage-info.disk.count", "processor-info", "network-info"] {
            assert!(field(&described, absent).is_empty(), "{absent}");
        }
        // Every filter that has a value here is one that is taken.
        let known = names::INSTANCE_TYPES.iter().filter(|name| !field(&described, name).is_empty());
        assert_eq!(known.count(), 23);
    }
}
