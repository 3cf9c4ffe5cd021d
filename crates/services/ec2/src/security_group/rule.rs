//! Rules of security groups: authorize, revoke, modify, describe.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_frame::{Context, Refusal};
use trellis_model::SecurityGroupRuleId;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Direction, IpProtocol, Peer, SecurityGroup, SecurityGroupRule, ec2_arn};
use trellis_store::Read;

use super::identified;
use super::permission::{self, Allowance, IpPermission};
use crate::filter::Filters;
use crate::input::{Filter, Request, TagSpecification, check_dry_run};
use crate::listing::Page;
use crate::quota;
use crate::{fault, place, tag};

/// Rules that one request may bring: more than a group may have by default.
const MAX_RULES: usize = 1000;

pub(crate) fn arn(home: &Home, id: &SecurityGroupRuleId) -> String {
    ec2_arn(home, format_args!("security-group-rule/{id}"))
}

/// The group that has the rule, and the rule.
pub(crate) fn find(
    state: &mut impl Read,
    home: &Home,
    text: &str,
) -> Result<(SecurityGroup, SecurityGroupRule), Refusal> {
    let quoted = fault::quoted(text);
    let id: SecurityGroupRuleId = text.parse().map_err(|_| {
        fault::refuse("InvalidSecurityGroupRuleId.Malformed", format_args!("Invalid id: \"{quoted}\""))
    })?;
    let groups = place::all::<SecurityGroup>(state, home)?;
    let found = groups.into_iter().find_map(|group| {
        let rule = group.rules.iter().find(|rule| rule.id == id)?.clone();
        Some((group, rule))
    });
    found.ok_or_else(|| not_found(&quoted))
}

fn not_found(id: &str) -> Refusal {
    let message = format!("The security group rule ID '{id}' does not exist");
    fault::refuse("InvalidSecurityGroupRuleId.NotFound", message)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ChangeInput {
    group_id: Option<String>,
    group_name: Option<String>,
    #[serde(default)]
    ip_permissions: Vec<IpPermission>,
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ip: Option<String>,
    source_security_group_name: Option<String>,
    source_security_group_owner_id: Option<String>,
    /// Revoke only.
    #[serde(default)]
    security_group_rule_ids: Vec<String>,
    /// Authorize only.
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

impl ChangeInput {
    /// The permissions in either form of the request.
    fn permissions(&self) -> Result<Vec<IpPermission>, Refusal> {
        if self.source_security_group_name.is_some() || self.source_security_group_owner_id.is_some() {
            return Err(fault::combination(
                "sourceSecurityGroupName belongs to a default VPC: name the group in ipPermissions",
            ));
        }
        let is_flat = self.ip_protocol.is_some()
            || self.cidr_ip.is_some()
            || self.from_port.is_some()
            || self.to_port.is_some();
        match (is_flat, self.ip_permissions.is_empty()) {
            (true, false) => Err(fault::combination("ipPermissions excludes ipProtocol, ports and cidrIp")),
            (true, true) => Ok(vec![IpPermission::flat(
                self.ip_protocol.clone(),
                self.from_port,
                self.to_port,
                self.cidr_ip.clone(),
            )]),
            (false, _) => Ok(self.ip_permissions.clone()),
        }
    }

    fn allowances(&self, state: &mut impl Read, group: &SecurityGroup) -> Result<Vec<Allowance>, Refusal> {
        let mut all = Vec::new();
        for permission in self.permissions()? {
            all.extend(permission.allowances(state, group)?);
            if all.len() > MAX_RULES {
                return Err(fault::invalid_value(format_args!("at most {MAX_RULES} rules may be named")));
            }
        }
        Ok(all)
    }
}

pub(crate) async fn authorize(ctx: &Context, input: Value, direction: Direction) -> Result<Value, Refusal> {
    let (mut input, dry_run) = Request::<ChangeInput>::read(input)?.into_parts();
    if !input.security_group_rule_ids.is_empty() {
        return Err(fault::combination("securityGroupRuleIds belongs to the Revoke operations"));
    }
    let tags = tag::specified(std::mem::take(&mut input.tag_specifications), "security-group-rule")?;
    let named: usize = input.permissions()?.len().max(1);
    let home = ctx.home();
    let limit = ctx.quotas().limit(&quota::RULES_PER_SECURITY_GROUP);
    // Ids are drawn before the transaction: one for each rule that it may come to.
    let random = ctx.surroundings.random.clone();
    let seeds: Vec<u64> = (0..MAX_RULES.min(named * 64)).map(|_| random.draw()).collect();
    let shown = tags.clone();
    let (group, rules) = ctx
        .transact(move |tx| {
            let mut group = identified(tx, &home, input.group_id.as_deref(), input.group_name.as_deref())?;
            let mut made: Vec<SecurityGroupRule> = Vec::new();
            let allowances = input.allowances(tx, &group)?;
            if allowances.is_empty() {
                return Err(fault::missing("The request must contain the parameter ipPermissions"));
            }
            if allowances.len() > seeds.len() {
                return Err(limit_exceeded(limit));
            }
            for (Allowance { traffic, peer, description }, seed) in allowances.into_iter().zip(&seeds) {
                let id = SecurityGroupRuleId::from_random(*seed);
                let rule = SecurityGroupRule { id, direction, traffic, peer, description };
                if made.iter().any(|other| other.allows_the_same(&rule)) {
                    let message = "The same permission must not appear multiple times";
                    return Err(fault::invalid_value(message));
                }
                if group.rules.iter().any(|other| other.allows_the_same(&rule)) {
                    return Err(duplicate(&rule));
                }
                made.push(rule);
            }
            let have = group.rules.iter().filter(|rule| rule.direction == direction).count();
            if (have + made.len()) as u64 > limit {
                return Err(limit_exceeded(limit));
            }
            check_dry_run(dry_run)?;
            group.rules.extend(made.iter().cloned());
            place::put(tx, &group);
            for rule in &made {
                tag::apply(tx, &home, &arn(&home, &rule.id), &tags)?;
            }
            Ok((group, made))
        })
        .await?;
    let rules: Vec<Value> = rules.iter().map(|rule| describe_one(&group, rule, &shown)).collect();
    Ok(json!({"Return": true, "SecurityGroupRules": rules}))
}

fn duplicate(rule: &SecurityGroupRule) -> Refusal {
    let words = permission::in_words(rule.traffic, &rule.peer);
    fault::refuse(
        "InvalidPermission.Duplicate",
        format_args!("the specified rule \"{words}\" already exists"),
    )
}

fn no_such_permission() -> Refusal {
    fault::refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
}

fn limit_exceeded(limit: u64) -> Refusal {
    let message = format!("The maximum number of rules per security group has been reached: {limit}.");
    fault::refuse("RulesPerSecurityGroupLimitExceeded", message)
}

pub(crate) async fn revoke(ctx: &Context, input: Value, direction: Direction) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<ChangeInput>::read(input)?.into_parts();
    let home = ctx.home();
    let (group, gone) = ctx
        .transact(move |tx| {
            let mut group = identified(tx, &home, input.group_id.as_deref(), input.group_name.as_deref())?;
            let mut gone: Vec<SecurityGroupRule> = Vec::new();
            for text in &input.security_group_rule_ids {
                let place = group
                    .rules
                    .iter()
                    .position(|rule| rule.id.as_str() == text.as_str() && rule.direction == direction);
                let place = place.ok_or_else(|| not_found(&fault::quoted(text)))?;
                gone.push(group.rules.remove(place));
            }
            for Allowance { traffic, peer, .. } in input.allowances(tx, &group)? {
                let place = group.rules.iter().position(|rule| {
                    rule.direction == direction && rule.traffic == traffic && rule.peer == peer
                });
                let place = place.ok_or_else(no_such_permission)?;
                gone.push(group.rules.remove(place));
            }
            if gone.is_empty() {
                return Err(fault::missing(
                    "The request must contain the parameter ipPermissions or securityGroupRuleIds",
                ));
            }
            check_dry_run(dry_run)?;
            place::put(tx, &group);
            for rule in &gone {
                tag_set::forget(tx, &home, &arn(&home, &rule.id));
            }
            Ok((group, gone))
        })
        .await?;
    let revoked: Vec<Value> = gone
        .iter()
        .map(|rule| {
            let mut value = describe_one(&group, rule, &Tags::new());
            if let Peer::Group { group, .. } = &rule.peer {
                value["ReferencedGroupId"] = json!(group);
            }
            value
        })
        .collect();
    Ok(json!({"Return": true, "UnknownIpPermissions": [], "RevokedSecurityGroupRules": revoked}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ModifyInput {
    group_id: String,
    security_group_rules: Vec<Update>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Update {
    security_group_rule_id: String,
    security_group_rule: Option<Replacement>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Replacement {
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    prefix_list_id: Option<String>,
    referenced_group_id: Option<String>,
    description: Option<String>,
}

impl Replacement {
    fn permission(self) -> IpPermission {
        let peers = [self.cidr_ipv4, self.cidr_ipv6, self.prefix_list_id, self.referenced_group_id];
        IpPermission::single(self.ip_protocol, (self.from_port, self.to_port), peers, self.description)
    }
}

/// Each named rule becomes what is said in its place; it keeps its id and its direction.
pub(crate) async fn modify(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<ModifyInput>::read(input)?.into_parts();
    let home = ctx.home();
    ctx.transact(move |tx| {
        let mut group: SecurityGroup = place::find(tx, &home, &input.group_id)?;
        for update in &input.security_group_rules {
            let text = &update.security_group_rule_id;
            let place = group.rules.iter().position(|rule| rule.id.as_str() == text.as_str());
            let place = place.ok_or_else(|| not_found(&fault::quoted(text)))?;
            let replacement = update
                .security_group_rule
                .clone()
                .ok_or_else(|| fault::missing("The request must contain the parameter securityGroupRule"))?;
            let mut allowances = replacement.permission().allowances(tx, &group)?;
            let (Some(allowance), true) = (allowances.pop(), allowances.is_empty()) else {
                return Err(fault::combination("A rule has exactly one source or destination"));
            };
            let Allowance { traffic, peer, description } = allowance;
            let old = &group.rules[place];
            let (id, direction) = (old.id.clone(), old.direction);
            let new = SecurityGroupRule { id, direction, traffic, peer, description };
            let taken =
                |(index, other): (usize, &SecurityGroupRule)| index != place && other.allows_the_same(&new);
            if group.rules.iter().enumerate().any(taken) {
                return Err(duplicate(&new));
            }
            group.rules[place] = new;
        }
        check_dry_run(dry_run)?;
        place::put(tx, &group);
        Ok(())
    })
    .await?;
    Ok(json!({"Return": true}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescriptionsInput {
    group_id: Option<String>,
    group_name: Option<String>,
    #[serde(default)]
    ip_permissions: Vec<IpPermission>,
    #[serde(default)]
    security_group_rule_descriptions: Vec<RuleDescription>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RuleDescription {
    security_group_rule_id: Option<String>,
    description: Option<String>,
}

/// Rules named by what they allow or by id get another description, or none.
pub(crate) async fn update_descriptions(
    ctx: &Context,
    input: Value,
    direction: Direction,
) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<DescriptionsInput>::read(input)?.into_parts();
    match (input.ip_permissions.len(), input.security_group_rule_descriptions.len()) {
        (0, 0) => {
            return Err(fault::missing(
                "The request must contain the parameter ipPermissions or securityGroupRuleDescriptions",
            ));
        }
        (0, 1..=MAX_RULES) | (1..=MAX_RULES, 0) => {}
        (0, _) | (_, 0) => {
            return Err(fault::invalid_value(format_args!("at most {MAX_RULES} rules may be named")));
        }
        _ => return Err(fault::combination("ipPermissions excludes securityGroupRuleDescriptions")),
    }
    let home = ctx.home();
    ctx.transact(move |tx| {
        let mut group = identified(tx, &home, input.group_id.as_deref(), input.group_name.as_deref())?;
        for permission in &input.ip_permissions {
            for Allowance { traffic, peer, description } in permission.allowances(tx, &group)? {
                let mut rules = group.rules.iter_mut().filter(|rule| rule.direction == direction);
                let rule = rules.find(|rule| rule.traffic == traffic && rule.peer == peer);
                rule.ok_or_else(no_such_permission)?.description = description;
            }
        }
        for RuleDescription { security_group_rule_id, description } in &input.security_group_rule_descriptions
        {
            permission::check_description(description.as_deref())?;
            let id = security_group_rule_id.as_deref().unwrap_or_default();
            let mut rules = group.rules.iter_mut().filter(|rule| rule.direction == direction);
            let rule = rules.find(|rule| rule.id.as_str() == id);
            rule.ok_or_else(|| not_found(&fault::quoted(id)))?.description =
                description.clone().filter(|text| !text.is_empty());
        }
        check_dry_run(dry_run)?;
        place::put(tx, &group);
        Ok(())
    })
    .await?;
    Ok(json!({"Return": true}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInput {
    #[serde(default)]
    security_group_rule_ids: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(crate) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, &["group-id", "security-group-rule-id"])?;
    let page =
        Page::of("DescribeSecurityGroupRules", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let groups = place::all::<SecurityGroup>(state, &home)?;
    let mut all: Vec<(&SecurityGroup, &SecurityGroupRule)> =
        groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule))).collect();
    let ids = &input.security_group_rule_ids;
    if let Some(id) = ids.iter().find(|id| !all.iter().any(|(_, rule)| rule.id.as_str() == id.as_str())) {
        find(state, &home, id)?;
    }
    all.retain(|(_, rule)| ids.is_empty() || ids.iter().any(|id| id == rule.id.as_str()));
    let mut found = Vec::new();
    for (group, rule) in all {
        let tags = tag::of(state, &home, &arn(&home, &rule.id))?;
        let field =
            |name: &str| vec![if name == "group-id" { group.id.to_string() } else { rule.id.to_string() }];
        if filters.pass(&tags, field) {
            found.push((group, rule, tags));
        }
    }
    found.sort_by(|(_, one, _), (_, other, _)| one.id.cmp(&other.id));
    let (found, next) = page.cut(found, |(_, rule, _)| rule.id.as_str());
    let rules: Vec<Value> = found.iter().map(|(group, rule, tags)| describe_one(group, rule, tags)).collect();
    Ok(json!({"SecurityGroupRules": rules, "NextToken": next}))
}

fn describe_one(group: &SecurityGroup, rule: &SecurityGroupRule, tags: &Tags) -> Value {
    // Protocols without ports show -1 here, and nothing in a group's permissions.
    let port = |port: Option<i32>| match rule.traffic.protocol {
        IpProtocol::All => -1,
        IpProtocol::Number(_) => port.unwrap_or(-1),
    };
    let mut value = json!({
        "SecurityGroupRuleId": rule.id,
        "SecurityGroupRuleArn": arn(&group.home, &rule.id),
        "GroupId": group.id,
        "GroupOwnerId": group.home.account,
        "IsEgress": rule.direction == Direction::Egress,
        "IpProtocol": rule.traffic.protocol,
        "FromPort": port(rule.traffic.from),
        "ToPort": port(rule.traffic.to),
        "Description": rule.description,
        "Tags": tag::describe(tags),
    });
    match &rule.peer {
        Peer::Ipv4(net) => value["CidrIpv4"] = json!(net),
        Peer::Ipv6(net) => value["CidrIpv6"] = json!(net),
        Peer::PrefixList(id) => value["PrefixListId"] = json!(id),
        Peer::Group { account, group: id } => {
            value["ReferencedGroupInfo"] = json!({"GroupId": id, "UserId": account, "VpcId": group.vpc});
        }
    }
    value
}
