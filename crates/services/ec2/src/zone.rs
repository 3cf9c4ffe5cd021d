//! Regions and availability zones. Every region a signature names exists and has three zones.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::tags::Tags;
use trellis_frame::{Context, Refusal};
use trellis_model::Region;
use trellis_model::resource::vpc::Zone;

use super::fault;
use super::filter::{Filters, names};
use super::input::{Filter, Request};

/// `us-east-1a`.
pub(super) fn name(region: &Region, zone: Zone) -> String {
    format!("{region}{}", zone.letter())
}

/// `use1-az1`.
pub(super) fn id(region: &Region, zone: Zone) -> String {
    format!("{}-az{}", short_region(region), zone.number())
}

/// `us-east-1` is `use1`, `ap-northeast-2` is `apne2`, `us-gov-west-1` is `usgw1`.
fn short_region(region: &Region) -> String {
    let mut parts = region.as_str().split('-');
    let area = parts.next().unwrap_or_default();
    let rest: String = parts
        .map(|part| match part {
            "northeast" => "ne",
            "northwest" => "nw",
            "southeast" => "se",
            "southwest" => "sw",
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => number,
            word => word.get(..1).unwrap_or_default(),
        })
        .collect();
    format!("{area}{rest}")
}

/// The zone a subnet is asked to be in, by name or by id; the first when neither is given.
pub(super) fn chosen(region: &Region, by_name: Option<&str>, by_id: Option<&str>) -> Result<Zone, Refusal> {
    let invalid = |parameter: &str, text: &str| {
        let (text, names) = (fault::quoted(text), Zone::ALL.map(|zone| name(region, zone)).join(", "));
        fault::invalid_value(format_args!(
            "Value ({text}) for parameter {parameter} is invalid. Subnets can currently only be created in \
             the following availability zones: {names}."
        ))
    };
    let named = by_name
        .map(|text| {
            let zone = Zone::ALL.into_iter().find(|zone| name(region, *zone) == text);
            zone.ok_or_else(|| invalid("availabilityZone", text))
        })
        .transpose()?;
    let identified = by_id
        .map(|text| {
            let zone = Zone::ALL.into_iter().find(|zone| id(region, *zone) == text);
            zone.ok_or_else(|| invalid("availabilityZoneId", text))
        })
        .transpose()?;
    match (named, identified) {
        (Some(one), Some(other)) if one != other => {
            Err(fault::combination("availabilityZone and availabilityZoneId name different zones"))
        }
        (named, identified) => Ok(named.or(identified).unwrap_or(Zone::A)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ZonesInput {
    #[serde(default)]
    zone_names: Vec<String>,
    #[serde(default)]
    zone_ids: Vec<String>,
    /// Zones of every status; there are no others.
    #[serde(rename = "AllAvailabilityZones")]
    _all_availability_zones: Option<bool>,
    #[serde(default)]
    filters: Vec<Filter>,
}

pub(super) fn describe_zones(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<ZonesInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, names::ZONES)?;
    let region = &ctx.caller.region;
    let known_name = |text: &String| Zone::ALL.iter().any(|zone| name(region, *zone) == *text);
    let known_id = |text: &String| Zone::ALL.iter().any(|zone| id(region, *zone) == *text);
    let unknown = input.zone_names.iter().find(|text| !known_name(text));
    if let Some(text) = unknown.or_else(|| input.zone_ids.iter().find(|text| !known_id(text))) {
        let text = fault::quoted(text);
        return Err(fault::invalid_value(format_args!("Invalid availability zone: [{text}]")));
    }
    let wanted = |list: &[String], text: String| list.is_empty() || list.contains(&text);
    let zones: Vec<Value> = Zone::ALL
        .into_iter()
        .filter(|zone| wanted(&input.zone_names, name(region, *zone)))
        .filter(|zone| wanted(&input.zone_ids, id(region, *zone)))
        .filter(|zone| {
            filters.pass(&Tags::new(), |filter| match filter {
                "group-name" | "network-border-group" => vec![region.to_string()],
                "opt-in-status" => vec!["opt-in-not-required".into()],
                "region-name" => vec![region.to_string()],
                "state" => vec!["available".into()],
                "zone-id" => vec![id(region, *zone)],
                "zone-name" => vec![name(region, *zone)],
                "zone-type" => vec!["availability-zone".into()],
                _ => vec![],
            })
        })
        .map(|zone| {
            json!({
                "State": "available",
                "OptInStatus": "opt-in-not-required",
                "Messages": [],
                "RegionName": region,
                "ZoneName": name(region, zone),
                "ZoneId": id(region, zone),
                "GroupName": region,
                "NetworkBorderGroup": region,
                "ZoneType": "availability-zone",
            })
        })
        .collect();
    Ok(json!({"AvailabilityZones": zones}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RegionsInput {
    #[serde(default)]
    region_names: Vec<String>,
    /// Regions that have to be opted in to; there are none.
    #[serde(rename = "AllRegions")]
    _all_regions: Option<bool>,
    #[serde(default)]
    filters: Vec<Filter>,
}

/// The region of the call, and others by name: any name is a region here, so a list of all of them
/// would be made up.
pub(super) fn describe_regions(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<RegionsInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, &["endpoint", "opt-in-status", "region-name"])?;
    let mut regions = Vec::new();
    for text in &input.region_names {
        let region: Region = text.parse().map_err(|_| {
            let text = fault::quoted(text);
            fault::invalid_value(format_args!("Invalid region: [{text}]"))
        })?;
        regions.push(region);
    }
    if regions.is_empty() {
        regions.push(ctx.caller.region.clone());
    }
    regions.sort_unstable();
    regions.dedup();
    let endpoint = |region: &Region| format!("ec2.{region}.amazonaws.com");
    let regions: Vec<Value> = regions
        .iter()
        .filter(|region| {
            filters.pass(&Tags::new(), |filter| {
                vec![match filter {
                    "endpoint" => endpoint(region),
                    "opt-in-status" => "opt-in-not-required".into(),
                    _ => region.to_string(),
                }]
            })
        })
        .map(|region| {
            json!({
                "RegionName": region,
                "Endpoint": endpoint(region),
                "OptInStatus": "opt-in-not-required",
            })
        })
        .collect();
    Ok(json!({"Regions": regions}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(text: &str) -> Region {
        text.parse().unwrap()
    }

    #[test]
    fn zone_ids_abbreviate_the_region_as_aws_does() {
        for (text, expected) in [
            ("us-east-1", "use1-az1"),
            ("us-west-2", "usw2-az1"),
            ("eu-central-1", "euc1-az1"),
            ("ap-northeast-2", "apne2-az1"),
            ("ap-south-1", "aps1-az1"),
            ("us-gov-west-1", "usgw1-az1"),
            ("home", "home-az1"),
        ] {
            assert_eq!(id(&region(text), Zone::A), expected);
        }
        assert_eq!(name(&region("us-east-1"), Zone::C), "us-east-1c");
    }

    #[test]
    fn a_zone_is_chosen_by_name_or_id_and_both_must_agree() {
        let here = region("us-east-1");
        assert_eq!(chosen(&here, None, None).unwrap(), Zone::A);
        assert_eq!(chosen(&here, Some("us-east-1b"), None).unwrap(), Zone::B);
        assert_eq!(chosen(&here, None, Some("use1-az3")).unwrap(), Zone::C);
        assert_eq!(chosen(&here, Some("us-east-1b"), Some("use1-az2")).unwrap(), Zone::B);
        assert!(chosen(&here, Some("us-east-1b"), Some("use1-az1")).is_err());
        assert!(chosen(&here, Some("us-east-1d"), None).is_err());
        assert!(chosen(&here, Some("eu-west-1a"), None).is_err());
    }
}
