//! Instances and their network interfaces as the API shows them; `trellis run` makes them.

pub(super) mod attribute;
mod field;
pub(super) mod health;
pub(super) mod metadata;
pub(super) mod profile;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::tags::Tags;
use trellis_frame::{Context, Refusal, record, settling};
use trellis_model::fabric::mac_text;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{
    Instance, SecurityGroup, Subnet, ec2_arn, private_dns_domain, private_dns_name,
};
use trellis_model::{InstanceId, SubnetId};
use trellis_store::Read;

use super::filter::{Filters, names};
use super::input::{Filter, Request, check_dry_run};
use super::listing::Page;
use super::place;
use super::{fault, host, instance_type, tag, zone};

/// Instances of one TerminateInstances call.
const MAX_TERMINATED: usize = 1000;

/// What everything shares that nobody asked to have for itself.
const TENANCY: &str = "default";

/// Why the kernel could not make or keep a host.
const REASON_CODE: &str = "Server.InternalError";

/// What instances are described with: their subnets' zones and their groups' names.
struct Surroundings {
    home: Home,
    zones: BTreeMap<SubnetId, Subnet>,
    group_names: BTreeMap<String, String>,
}

impl Surroundings {
    fn read(state: &mut impl Read, home: Home) -> Result<Self, Refusal> {
        let zones = place::all::<Subnet>(state, &home)?;
        let groups = place::all::<SecurityGroup>(state, &home)?;
        Ok(Self {
            zones: zones.into_iter().map(|subnet| (subnet.id.clone(), subnet)).collect(),
            group_names: groups.into_iter().map(|group| (group.id.to_string(), group.name)).collect(),
            home,
        })
    }

    fn groups(&self, instance: &Instance) -> Vec<Value> {
        instance
            .security_groups
            .iter()
            .map(|id| json!({"GroupId": id, "GroupName": self.group_names.get(id.as_str())}))
            .collect()
    }

    /// Name and id of the zone; none once the subnet is gone, which a terminated instance outlives.
    fn zone(&self, instance: &Instance) -> Option<(String, String)> {
        let zone = self.zones.get(&instance.subnet)?.zone;
        Some((zone::name(&self.home.region, zone), zone::id(&self.home.region, zone)))
    }

    fn describe(&self, instance: &Instance, tags: &Tags) -> Value {
        let mut value = json!({
            "InstanceId": instance.id,
            "AmiLaunchIndex": 0,
            "InstanceType": instance_type::NAME,
            "PlatformDetails": instance_type::PLATFORM,
            "LaunchTime": instance.launched_at,
            "State": state_value(instance),
            "StateTransitionReason": instance.reason.as_deref().unwrap_or_default(),
            "Monitoring": {"State": "disabled"},
            "Tags": tag::describe(tags),
        });
        if let Some(association) = instance.profile.as_ref().filter(|_| instance.state.holds_resources()) {
            value["IamInstanceProfile"] = profile::shown(association);
        }
        value["MetadataOptions"] = metadata::shown(&instance.metadata);
        if let Some(architecture) = instance_type::ARCHITECTURE {
            value["Architecture"] = json!(architecture);
        }
        if let Some(reason) = &instance.reason {
            value["StateReason"] = json!({"Code": REASON_CODE, "Message": reason});
        }
        if let Some((name, id)) = self.zone(instance) {
            value["Placement"] =
                json!({"AvailabilityZone": name, "AvailabilityZoneId": id, "Tenancy": TENANCY});
        }
        // "A terminated instance has no network any more."
        if instance.state.holds_resources() {
            value["VpcId"] = json!(instance.vpc);
            value["SubnetId"] = json!(instance.subnet);
            value["PrivateIpAddress"] = json!(instance.address);
            if let Some(address) = instance.ipv6_address {
                value["Ipv6Address"] = json!(address);
            }
            value["PrivateDnsName"] = json!(instance.private_dns_name());
            value["SourceDestCheck"] = json!(true);
            value["SecurityGroups"] = self.groups(instance).into();
            value["NetworkInterfaces"] = json!([self.interface(instance, None)]);
        }
        value
    }

    /// The primary one first.
    fn private_addresses(&self, instance: &Instance) -> Vec<Value> {
        let domain = private_dns_domain(&instance.home.region);
        let all = std::iter::once(&instance.address).chain(&instance.secondary_addresses);
        all.map(|address| {
            json!({
                "Primary": *address == instance.address,
                "PrivateIpAddress": address,
                "PrivateDnsName": private_dns_name(*address, &domain),
            })
        })
        .collect()
    }

    /// The interface, as part of its instance or, with its tags, for itself.
    fn interface(&self, instance: &Instance, tags: Option<&Tags>) -> Value {
        let dns_name = instance.private_dns_name();
        let ipv6_addresses: Vec<Value> = instance
            .ipv6_address
            .iter()
            .map(|address| json!({"Ipv6Address": address, "IsPrimaryIpv6": false}))
            .collect();
        let mut attachment = json!({
            "AttachmentId": attachment_id(instance),
            "AttachTime": instance.launched_at,
            "DeleteOnTermination": true,
            "DeviceIndex": 0,
            "NetworkCardIndex": 0,
            "Status": "attached",
        });
        let mut value = json!({
            "NetworkInterfaceId": instance.interface_id(),
            "InterfaceType": "interface",
            "Description": "",
            "MacAddress": mac_text(instance.address),
            "OwnerId": self.home.account,
            "VpcId": instance.vpc,
            "SubnetId": instance.subnet,
            "Status": "in-use",
            "SourceDestCheck": true,
            "Groups": self.groups(instance),
            "Ipv6Addresses": ipv6_addresses,
            "PrivateDnsName": dns_name,
            "PrivateIpAddress": instance.address,
            "PrivateIpAddresses": self.private_addresses(instance),
        });
        if let Some(tags) = tags {
            value["TagSet"] = tag::describe(tags);
            attachment["InstanceId"] = json!(instance.id);
            attachment["InstanceOwnerId"] = json!(self.home.account);
            value["RequesterManaged"] = json!(false);
            if let Some((name, id)) = self.zone(instance) {
                value["AvailabilityZone"] = name.into();
                value["AvailabilityZoneId"] = id.into();
            }
        }
        value["Attachment"] = attachment;
        value
    }
}

fn attachment_id(instance: &Instance) -> String {
    format!("eni-attach-{}", instance.id.suffix())
}

/// The ARN of the interface of an instance.
pub(super) fn interface_arn(instance: &Instance) -> String {
    ec2_arn(&instance.home, format_args!("network-interface/{}", instance.interface_id()))
}

/// The instance whose interface `id` is, while it has one.
pub(super) fn with_interface(
    state: &mut impl Read,
    home: &Home,
    id: &str,
) -> Result<Option<Instance>, Refusal> {
    let instance = id.strip_prefix("eni-").map(|suffix| format!("i-{suffix}"));
    let Some(instance) = instance.filter(|id| id.parse::<InstanceId>().is_ok()) else { return Ok(None) };
    let found: Option<Instance> = record::get(state, &place::key::<Instance>(home, &instance))?;
    Ok(found.filter(|instance| instance.state.holds_resources()))
}

pub(super) fn no_interface(id: &str) -> Refusal {
    let message = format!("The networkInterface ID '{}' does not exist", fault::quoted(id));
    fault::refuse("InvalidNetworkInterfaceID.NotFound", message)
}

fn state_value(instance: &Instance) -> Value {
    json!({"Code": instance.state.code(), "Name": instance.state.as_str()})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInput {
    #[serde(default)]
    instance_ids: Vec<String>,
    /// There are none that somebody else manages.
    #[serde(rename = "IncludeManagedResources")]
    _include_managed_resources: Option<bool>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// Instances are named, or come in pages.
fn ids_or_pages(ids: &[String], max_results: Option<i64>) -> Result<(), Refusal> {
    if ids.is_empty() || max_results.is_none() {
        return Ok(());
    }
    Err(fault::combination("The parameter instancesSet cannot be used with the parameter maxResults"))
}

pub(super) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    ids_or_pages(&input.instance_ids, input.max_results)?;
    let filters = Filters::new(input.filters, names::INSTANCES)?;
    let page = Page::of("DescribeInstances", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let surroundings = Surroundings::read(state, home.clone())?;
    let mut found = Vec::new();
    for instance in place::chosen::<Instance>(state, &home, &input.instance_ids)? {
        let tags = tag::of(state, &home, &instance.arn())?;
        let interface_tags = tag::of(state, &home, &interface_arn(&instance))?;
        if filters.pass(&tags, |name| surroundings.field(&instance, &interface_tags, name)) {
            found.push((instance, tags));
        }
    }
    let (found, next) = page.cut(found, |(instance, _)| instance.id.as_str());
    let reservations: Vec<Value> = found
        .iter()
        .map(|(instance, tags)| {
            json!({
                "ReservationId": instance.reservation_id(),
                "OwnerId": home.account,
                "Groups": [],
                "Instances": [surroundings.describe(instance, tags)],
            })
        })
        .collect();
    Ok(json!({"Reservations": reservations, "NextToken": next}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TerminateInput {
    instance_ids: Vec<String>,
    /// Nothing here waits for an operating system to shut down.
    #[serde(rename = "Force")]
    _force: Option<bool>,
    #[serde(rename = "SkipOsShutdown")]
    _skip_os_shutdown: Option<bool>,
}

pub(super) async fn terminate(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<TerminateInput>::read(input)?.into_parts();
    if input.instance_ids.is_empty() {
        return Err(fault::missing("The request must contain the parameter instanceIdSet"));
    }
    if input.instance_ids.len() > MAX_TERMINATED {
        let message = format!("at most {MAX_TERMINATED} instances may be named");
        return Err(fault::invalid_value(message));
    }
    let (home, now, inside) = (ctx.home(), ctx.now, ctx.surroundings.clone());
    let ended = ctx
        .transact(move |tx| {
            let mut ended = Vec::new();
            for before in place::chosen::<Instance>(tx, &home, &input.instance_ids)? {
                let previous = state_value(&before);
                ended.push((previous, host::terminate(tx, &inside, before, None, now)?));
            }
            check_dry_run(dry_run)?;
            Ok(ended)
        })
        .await?;
    let deadline = settling::deadline(ctx);
    let mut changes = Vec::new();
    for (previous, mut after) in ended {
        if let Some(deadline) = deadline {
            let key = place::key::<Instance>(&after.home, after.id.as_str());
            let gone = settling::wait(ctx, deadline, &key, |record| {
                let found: Instance = serde_json::from_slice(record?).ok()?;
                (!found.state.holds_resources()).then_some(found)
            });
            after = gone.await.unwrap_or(after);
        }
        changes.push(json!({
            "InstanceId": after.id,
            "PreviousState": previous,
            "CurrentState": state_value(&after),
        }));
    }
    Ok(json!({"TerminatingInstances": changes}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInterfacesInput {
    #[serde(default)]
    network_interface_ids: Vec<String>,
    #[serde(rename = "IncludeManagedResources")]
    _include_managed_resources: Option<bool>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// One interface for each instance that is not terminated; there are no others.
pub(super) fn describe_interfaces(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInterfacesInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, names::NETWORK_INTERFACES)?;
    let page =
        Page::of("DescribeNetworkInterfaces", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let surroundings = Surroundings::read(state, home.clone())?;
    let ids = &input.network_interface_ids;
    let mut all = Vec::new();
    for instance in place::all::<Instance>(state, &home)? {
        if instance.state.holds_resources() {
            all.push((instance.interface_id(), tag::of(state, &home, &interface_arn(&instance))?, instance));
        }
    }
    if let Some(id) = ids.iter().find(|id| !all.iter().any(|(known, _, _)| known == *id)) {
        return Err(no_interface(id));
    }
    all.retain(|(id, tags, instance)| {
        (ids.is_empty() || ids.contains(id))
            && filters.pass(tags, |name| surroundings.interface_field(instance, tags, name))
    });
    let (found, next) = page.cut(all, |(id, _, _)| id.as_str());
    let interfaces: Vec<Value> =
        found.iter().map(|(_, tags, instance)| surroundings.interface(instance, Some(tags))).collect();
    Ok(json!({"NetworkInterfaces": interfaces, "NextToken": next}))
}
