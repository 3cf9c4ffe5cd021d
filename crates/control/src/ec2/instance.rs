//! Instances and their network interfaces as the API shows them; `trellis run` makes them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_model::SubnetId;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Instance, SecurityGroup, Subnet};
use trellis_store::Read;

use super::filter::Filters;
use super::input::{Filter, Request, check_dry_run};
use super::listing::Page;
use super::place;
use super::{fault, host, tag, zone};
use crate::context::Context;
use crate::refusal::Refusal;
use crate::tag_set::Tags;

/// Instances of one TerminateInstances call.
const MAX_TERMINATED: usize = 1000;

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

    fn private_dns_name(&self, instance: &Instance) -> String {
        let region = &self.home.region;
        let domain = if region.as_str() == "us-east-1" {
            "ec2.internal".to_owned()
        } else {
            format!("{region}.compute.internal")
        };
        format!("ip-{}.{domain}", instance.address.to_string().replace('.', "-"))
    }

    fn describe(&self, instance: &Instance, tags: &Tags) -> Value {
        let mut value = json!({
            "InstanceId": instance.id,
            "AmiLaunchIndex": 0,
            "LaunchTime": instance.launched_at,
            "State": state_value(instance),
            "StateTransitionReason": instance.reason.as_deref().unwrap_or_default(),
            "Monitoring": {"State": "disabled"},
            "Tags": tag::describe(tags),
        });
        if let Some(reason) = &instance.reason {
            value["StateReason"] = json!({"Code": "Server.InternalError", "Message": reason});
        }
        if let Some((name, id)) = self.zone(instance) {
            value["Placement"] =
                json!({"AvailabilityZone": name, "AvailabilityZoneId": id, "Tenancy": "default"});
        }
        // "A terminated instance has no network any more."
        if instance.state.holds_resources() {
            value["VpcId"] = json!(instance.vpc);
            value["SubnetId"] = json!(instance.subnet);
            value["PrivateIpAddress"] = json!(instance.address);
            if let Some(address) = instance.ipv6_address {
                value["Ipv6Address"] = json!(address);
            }
            value["PrivateDnsName"] = json!(self.private_dns_name(instance));
            value["SourceDestCheck"] = json!(true);
            value["SecurityGroups"] = self.groups(instance).into();
            value["NetworkInterfaces"] = json!([self.interface(instance, true)]);
        }
        value
    }

    /// The interface, as part of its instance or for itself.
    fn interface(&self, instance: &Instance, inside_instance: bool) -> Value {
        let dns_name = self.private_dns_name(instance);
        let ipv6_addresses: Vec<Value> = instance
            .ipv6_address
            .iter()
            .map(|address| json!({"Ipv6Address": address, "IsPrimaryIpv6": false}))
            .collect();
        let mut attachment = json!({
            "AttachmentId": format!("eni-attach-{}", instance.id.suffix()),
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
            "OwnerId": self.home.account,
            "VpcId": instance.vpc,
            "SubnetId": instance.subnet,
            "Status": "in-use",
            "SourceDestCheck": true,
            "Groups": self.groups(instance),
            "Ipv6Addresses": ipv6_addresses,
            "PrivateDnsName": dns_name,
            "PrivateIpAddress": instance.address,
            "PrivateIpAddresses": [{
                "Primary": true,
                "PrivateIpAddress": instance.address,
                "PrivateDnsName": dns_name,
            }],
        });
        if !inside_instance {
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

    fn field(&self, instance: &Instance, name: &str) -> Vec<String> {
        let group_ids = || instance.security_groups.iter().map(ToString::to_string);
        let network = instance.state.holds_resources();
        let value = match name {
            "instance-id" => instance.id.to_string(),
            "instance-state-name" => instance.state.as_str().into(),
            "instance-state-code" => instance.state.code().to_string(),
            "owner-id" => self.home.account.to_string(),
            "reservation-id" => instance.reservation_id(),
            "launch-time" => instance.launched_at.to_string(),
            "availability-zone" => return self.zone(instance).map(|(name, _)| name).into_iter().collect(),
            _ if !network => return Vec::new(),
            "vpc-id" | "network-interface.vpc-id" => instance.vpc.to_string(),
            "subnet-id" | "network-interface.subnet-id" => instance.subnet.to_string(),
            "private-ip-address"
            | "network-interface.addresses.private-ip-address"
            | "network-interface.private-ip-address" => instance.address.to_string(),
            "ipv6-address" | "network-interface.ipv6-addresses.ipv6-address" => {
                return instance.ipv6_address.iter().map(ToString::to_string).collect();
            }
            "private-dns-name" | "network-interface.private-dns-name" => self.private_dns_name(instance),
            "network-interface.network-interface-id" => instance.interface_id(),
            "instance.group-id" | "group-id" | "network-interface.group-id" => return group_ids().collect(),
            "instance.group-name" | "group-name" | "network-interface.group-name" => {
                return group_ids().filter_map(|id| self.group_names.get(&id).cloned()).collect();
            }
            _ => return Vec::new(),
        };
        vec![value]
    }
}

fn state_value(instance: &Instance) -> Value {
    json!({"Code": instance.state.code(), "Name": instance.state.as_str()})
}

const FILTERS: [&str; 27] = [
    "availability-zone",
    "group-id",
    "group-name",
    "image-id",
    "instance-id",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ipv6-address",
    "launch-time",
    "network-interface.addresses.private-ip-address",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.network-interface-id",
    "network-interface.private-dns-name",
    "network-interface.private-ip-address",
    "network-interface.subnet-id",
    "network-interface.vpc-id",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "reservation-id",
    "subnet-id",
    "vpc-id",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInput {
    #[serde(default)]
    instance_ids: Vec<String>,
    /// There are none that somebody else manages.
    #[allow(dead_code)]
    include_managed_resources: Option<bool>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe(ctx: &Context, input: Value) -> Result<Value, Exception> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    if !input.instance_ids.is_empty() && input.max_results.is_some() {
        let message = "The parameter instancesSet cannot be used with the parameter maxResults";
        return Err(fault::combination(message).into());
    }
    let filters = Filters::new(input.filters, &FILTERS)?;
    let page = Page::of("DescribeInstances", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let surroundings = Surroundings::read(state, home.clone())?;
    let mut found = Vec::new();
    for instance in place::chosen::<Instance>(state, &home, &input.instance_ids)? {
        let tags = tag::of(state, &home, &instance.arn())?;
        if filters.pass(&tags, |name| surroundings.field(&instance, name)) {
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
    #[allow(dead_code)]
    force: Option<bool>,
    #[allow(dead_code)]
    skip_os_shutdown: Option<bool>,
}

pub(super) async fn terminate(ctx: &Context, input: Value) -> Result<Value, Exception> {
    let (input, dry_run) = Request::<TerminateInput>::read(input)?.into_parts();
    if input.instance_ids.is_empty() {
        return Err(fault::missing("The request must contain the parameter instanceIdSet").into());
    }
    if input.instance_ids.len() > MAX_TERMINATED {
        let message = format!("at most {MAX_TERMINATED} instances may be named");
        return Err(fault::invalid_value(message).into());
    }
    let (home, now) = (ctx.home(), ctx.now);
    let changes = ctx
        .transact(move |tx| {
            let mut changes = Vec::new();
            for before in place::chosen::<Instance>(tx, &home, &input.instance_ids)? {
                let previous = state_value(&before);
                let after = host::terminate(tx, before, None, now)?;
                changes.push(json!({
                    "InstanceId": after.id,
                    "PreviousState": previous,
                    "CurrentState": state_value(&after),
                }));
            }
            check_dry_run(dry_run)?;
            Ok(changes)
        })
        .await?;
    Ok(json!({"TerminatingInstances": changes}))
}

const INTERFACE_FILTERS: [&str; 18] = [
    "addresses.private-ip-address",
    "association.public-ip",
    "attachment.attachment-id",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "description",
    "group-id",
    "group-name",
    "interface-type",
    "ipv6-addresses.ipv6-address",
    "network-interface-id",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "status",
    "subnet-id",
    "vpc-id",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInterfacesInput {
    #[serde(default)]
    network_interface_ids: Vec<String>,
    #[allow(dead_code)]
    include_managed_resources: Option<bool>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// One interface for each instance that is not terminated; there are no others.
pub(super) fn describe_interfaces(ctx: &Context, input: Value) -> Result<Value, Exception> {
    let input = Request::<DescribeInterfacesInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, &INTERFACE_FILTERS)?;
    let page =
        Page::of("DescribeNetworkInterfaces", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let surroundings = Surroundings::read(state, home.clone())?;
    let mut all: Vec<(String, Instance)> = place::all::<Instance>(state, &home)?
        .into_iter()
        .filter(|instance| instance.state.holds_resources())
        .map(|instance| (instance.interface_id(), instance))
        .collect();
    let ids = &input.network_interface_ids;
    if let Some(id) = ids.iter().find(|id| !all.iter().any(|(known, _)| known == *id)) {
        let id = fault::quoted(id);
        let message = format!("The networkInterface ID '{id}' does not exist");
        return Err(fault::refuse("InvalidNetworkInterfaceID.NotFound", message).into());
    }
    all.retain(|(id, instance)| {
        (ids.is_empty() || ids.contains(id))
            && filters.pass(&Tags::new(), |name| {
                let of_instance = |name: &str| surroundings.field(instance, name);
                match name {
                    "network-interface-id" => vec![id.clone()],
                    "addresses.private-ip-address" => of_instance("private-ip-address"),
                    "ipv6-addresses.ipv6-address" => of_instance("ipv6-address"),
                    "attachment.attachment-id" => vec![format!("eni-attach-{}", instance.id.suffix())],
                    "attachment.instance-id" => of_instance("instance-id"),
                    "attachment.status" => vec!["attached".into()],
                    "description" => vec![String::new()],
                    "interface-type" => vec!["interface".into()],
                    "status" => vec!["in-use".into()],
                    other => of_instance(other),
                }
            })
    });
    let (found, next) = page.cut(all, |(id, _)| id.as_str());
    let interfaces: Vec<Value> =
        found.iter().map(|(_, instance)| surroundings.interface(instance, false)).collect();
    Ok(json!({"NetworkInterfaces": interfaces, "NextToken": next}))
}
