//! Security groups: create, describe, delete. Their rules are in [`rule`], what a request says of
//! rules in [`permission`].
//!
//! The kernel enforces them: [`super::fabric`] resolves them to addresses.

mod permission;
pub(super) mod rule;

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::record;
use trellis_frame::{Context, Refusal, reference, tags as tag_set};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{
    DEFAULT_GROUP, Direction, Instance, IpProtocol, Peer, SecurityGroup, SecurityGroupRule, Traffic, Vpc,
};
use trellis_model::{SecurityGroupId, SecurityGroupRuleId};
use trellis_store::{Read, Transaction};

use super::filter::Filters;
use super::input::{Filter, Request, TagSpecification, check_dry_run};
use super::listing::Page;
use super::place;
use super::{fault, tag};
use crate::quota;

/// Longest name and description.
const MAX_TEXT: usize = 255;

/// "a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*": names and descriptions alike.
fn is_allowed(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ._-:/()#,@[]+=&;{}!$*".contains(&byte))
}

/// The group a VPC is made with.
pub(super) fn default_of(vpc: &Vpc, rule_ids: [SecurityGroupRuleId; 3]) -> SecurityGroup {
    let (id, name) = (vpc.default_security_group.clone(), DEFAULT_GROUP);
    of_members(vpc, (id, name, "default VPC security group"), rule_ids, vpc.created_at)
}

/// A group whose members reach each other, and everything: by its id, its name and its description.
pub(super) fn of_members(
    vpc: &Vpc,
    (id, name, description): (SecurityGroupId, &str, &str),
    rule_ids: [SecurityGroupRuleId; 3],
    created_at: Moment,
) -> SecurityGroup {
    let [ingress, egress, ipv6] = rule_ids;
    let from_members = SecurityGroupRule {
        id: ingress,
        direction: Direction::Ingress,
        traffic: Traffic { protocol: IpProtocol::All, from: None, to: None },
        peer: Peer::Group { account: vpc.home.account.clone(), group: id.clone() },
        description: None,
    };
    SecurityGroup {
        id,
        home: vpc.home.clone(),
        vpc: vpc.id.clone(),
        name: name.to_owned(),
        description: description.to_owned(),
        rules: std::iter::once(from_members).chain(first_egress(vpc, [egress, ipv6])).collect(),
        created_at,
    }
}

/// Takes a group out, with the tags of its rules and its own.
pub(super) fn remove(tx: &mut Transaction<'_>, group: &SecurityGroup) {
    tx.delete(&place::key::<SecurityGroup>(&group.home, group.id.as_str()));
    tag_set::forget(tx, &group.home, &group.arn());
    for rule in &group.rules {
        tag_set::forget(tx, &group.home, &rule::arn(&group.home, &rule.id));
    }
}

/// What a new group lets out: everything, of the families that the VPC has.
fn first_egress(vpc: &Vpc, ids: [SecurityGroupRuleId; 2]) -> impl Iterator<Item = SecurityGroupRule> {
    let [ipv4, ipv6] = ids;
    let ipv6 = vpc.ipv6.as_ref().map(|_| to_everywhere(ipv6, EVERYWHERE_IPV6));
    std::iter::once(to_everywhere(ipv4, EVERYWHERE)).chain(ipv6)
}

const EVERYWHERE: Peer = Peer::Ipv4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0));
const EVERYWHERE_IPV6: Peer = Peer::Ipv6(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 0));

fn to_everywhere(id: SecurityGroupRuleId, peer: Peer) -> SecurityGroupRule {
    SecurityGroupRule {
        id,
        direction: Direction::Egress,
        traffic: Traffic { protocol: IpProtocol::All, from: None, to: None },
        peer,
        description: None,
    }
}

/// "When you associate an IPv6 block with your VPC, the default group lets out all IPv6": unless somebody has changed
/// what it lets out.
pub(super) fn let_ipv6_out(
    tx: &mut Transaction<'_>,
    vpc: &Vpc,
    rule_id: SecurityGroupRuleId,
) -> Result<(), Refusal> {
    let key = place::key::<SecurityGroup>(&vpc.home, vpc.default_security_group.as_str());
    let Some(mut group) = record::get::<SecurityGroup>(tx, &key)? else { return Ok(()) };
    let added = to_everywhere(rule_id, EVERYWHERE_IPV6);
    let untouched = to_everywhere(added.id.clone(), EVERYWHERE);
    let mut egress = group.rules.iter().filter(|rule| rule.direction == Direction::Egress);
    if egress.next().is_some_and(|rule| rule.allows_the_same(&untouched)) && egress.next().is_none() {
        group.rules.push(added);
        place::put(tx, &group);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateInput {
    group_name: String,
    description: String,
    vpc_id: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

impl CreateInput {
    fn check(&self) -> Result<(), Refusal> {
        let Self { group_name: name, description, .. } = self;
        if name.is_empty() || name.len() > MAX_TEXT || !is_allowed(name) || name.starts_with("sg-") {
            let name = fault::quoted(name);
            return Err(fault::invalid_value(format_args!(
                "Value ({name}) for parameter GroupName is invalid. A name has at most {MAX_TEXT} letters, \
                 digits, spaces and ._-:/()#,@[]+=&;{{}}!$* and does not begin with sg-."
            )));
        }
        if name.eq_ignore_ascii_case(DEFAULT_GROUP) {
            return Err(fault::invalid_value(format_args!(
                "Cannot use reserved security group name: {name}"
            )));
        }
        if description.is_empty() || description.len() > MAX_TEXT || !is_allowed(description) {
            let description = fault::quoted(description);
            return Err(fault::invalid_value(format_args!(
                "Value ({description}) for parameter GroupDescription is invalid. Character sets beyond \
                 ASCII are not supported, and it has 1 to {MAX_TEXT} characters."
            )));
        }
        Ok(())
    }
}

pub(super) async fn create(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<CreateInput>::read(input)?.into_parts();
    input.check()?;
    let vpc_id = input
        .vpc_id
        .clone()
        .ok_or_else(|| fault::refuse("VPCIdNotSpecified", "No default VPC for this user"))?;
    let tags = tag::specified(input.tag_specifications, "security-group")?;
    let (home, now) = (ctx.home(), ctx.now);
    let id = SecurityGroupId::from_random(ctx.random());
    let rule_ids = [(); 2].map(|()| SecurityGroupRuleId::from_random(ctx.random()));
    let limit = ctx.quotas().limit(&quota::SECURITY_GROUPS_PER_REGION);
    let (name, description) = (input.group_name, input.description);
    let shown = tag::describe(&tags);
    let group = ctx
        .transact(move |tx| {
            let vpc: Vpc = place::find(tx, &home, &vpc_id)?;
            let groups = place::all::<SecurityGroup>(tx, &home)?;
            if groups.iter().any(|group| group.vpc == vpc.id && group.name == name) {
                let message = format!("The security group '{name}' already exists for VPC '{}'", vpc.id);
                return Err(fault::refuse("InvalidGroup.Duplicate", message));
            }
            if groups.len() as u64 >= limit {
                let message = format!("The maximum number of security groups has been reached: {limit}.");
                return Err(fault::refuse("SecurityGroupLimitExceeded", message));
            }
            check_dry_run(dry_run)?;
            let group = SecurityGroup {
                id: id.clone(),
                home: home.clone(),
                rules: first_egress(&vpc, rule_ids.clone()).collect(),
                vpc: vpc.id,
                name: name.clone(),
                description: description.clone(),
                created_at: now,
            };
            place::put(tx, &group);
            tag::apply(tx, &home, &group.arn(), &tags)?;
            Ok(group)
        })
        .await?;
    Ok(json!({"GroupId": group.id, "SecurityGroupArn": group.arn(), "Tags": shown}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteInput {
    group_id: Option<String>,
    group_name: Option<String>,
}

/// The group a request means. Names alone belong to a default VPC, which there is none of.
fn identified(
    state: &mut impl Read,
    home: &Home,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<SecurityGroup, Refusal> {
    match (id, name) {
        (Some(id), None) => place::find(state, home, id),
        (None, Some(name)) => Err(not_in_default_vpc(name)),
        (Some(_), Some(_)) => {
            Err(fault::combination("The parameters groupId and groupName exclude each other"))
        }
        (None, None) => Err(fault::missing("The request must contain the parameter groupName or groupId")),
    }
}

fn not_in_default_vpc(name: &str) -> Refusal {
    let name = fault::quoted(name);
    let message = format!("The security group '{name}' does not exist in default VPC");
    fault::refuse("InvalidGroup.NotFound", message)
}

pub(super) async fn delete(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<DeleteInput>::read(input)?.into_parts();
    let home = ctx.home();
    let id = ctx
        .transact(move |tx| {
            let group = identified(tx, &home, input.group_id.as_deref(), input.group_name.as_deref())?;
            if group.name == DEFAULT_GROUP {
                let message = format!(
                    "the specified group: \"{}\" name: \"{}\" cannot be deleted by a user",
                    group.id, group.name
                );
                return Err(fault::refuse("CannotDelete", message));
            }
            if is_in_use(tx, &group)? {
                return Err(fault::dependency(format_args!("resource {} has a dependent object", group.id)));
            }
            check_dry_run(dry_run)?;
            remove(tx, &group);
            Ok(group.id)
        })
        .await?;
    Ok(json!({"Return": true, "GroupId": id}))
}

/// Whether an instance or an association has the group, or a rule of another group names it.
pub(super) fn is_in_use(state: &mut impl Read, group: &SecurityGroup) -> Result<bool, Refusal> {
    let names_it = |rule: &SecurityGroupRule| matches!(&rule.peer, Peer::Group { group: named, .. } if *named == group.id);
    let groups = place::all::<SecurityGroup>(state, &group.home)?;
    if groups.iter().any(|other| other.id != group.id && other.rules.iter().any(names_it)) {
        return Ok(true);
    }
    let instances = place::all::<Instance>(state, &group.home)?;
    if instances
        .iter()
        .any(|instance| instance.state.holds_resources() && instance.security_groups.contains(&group.id))
    {
        return Ok(true);
    }
    reference::is_held(state, &group.arn())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInput {
    #[serde(default)]
    group_ids: Vec<String>,
    #[serde(default)]
    group_names: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

const FILTERS: [&str; 23] = [
    "description",
    "egress.ip-permission.cidr",
    "egress.ip-permission.from-port",
    "egress.ip-permission.group-id",
    "egress.ip-permission.group-name",
    "egress.ip-permission.ipv6-cidr",
    "egress.ip-permission.prefix-list-id",
    "egress.ip-permission.protocol",
    "egress.ip-permission.to-port",
    "egress.ip-permission.user-id",
    "group-id",
    "group-name",
    "ip-permission.cidr",
    "ip-permission.from-port",
    "ip-permission.group-id",
    "ip-permission.group-name",
    "ip-permission.ipv6-cidr",
    "ip-permission.prefix-list-id",
    "ip-permission.protocol",
    "ip-permission.to-port",
    "ip-permission.user-id",
    "owner-id",
    "vpc-id",
];

pub(super) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    if let Some(name) = input.group_names.first() {
        return Err(not_in_default_vpc(name));
    }
    let filters = Filters::new(input.filters, &FILTERS)?;
    let page = Page::of("DescribeSecurityGroups", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let names: std::collections::BTreeMap<SecurityGroupId, String> =
        place::all::<SecurityGroup>(state, &home)?.into_iter().map(|group| (group.id, group.name)).collect();
    let mut found = Vec::new();
    for group in place::chosen::<SecurityGroup>(state, &home, &input.group_ids)? {
        let tags = tag::of(state, &home, &group.arn())?;
        let passes = filters.pass(&tags, |name| match name {
            "description" => vec![group.description.clone()],
            "group-id" => vec![group.id.to_string()],
            "group-name" => vec![group.name.clone()],
            "owner-id" => vec![home.account.to_string()],
            "vpc-id" => vec![group.vpc.to_string()],
            other => permission::field(&group.rules, other, |id| names.get(id).cloned()),
        });
        if passes {
            found.push((group, tags));
        }
    }
    let (found, next) = page.cut(found, |(group, _)| group.id.as_str());
    let groups: Vec<Value> = found
        .iter()
        .map(|(group, tags)| {
            json!({
                "GroupId": group.id,
                "GroupName": group.name,
                "Description": group.description,
                "OwnerId": home.account,
                "VpcId": group.vpc,
                "SecurityGroupArn": group.arn(),
                "IpPermissions": permission::describe(&group.rules, Direction::Ingress),
                "IpPermissionsEgress": permission::describe(&group.rules, Direction::Egress),
                "Tags": tag::describe(tags),
            })
        })
        .collect();
    Ok(json!({"SecurityGroups": groups, "NextToken": next}))
}
