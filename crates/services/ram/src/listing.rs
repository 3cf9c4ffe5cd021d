//! Shares, resources and principals, as their owner lists them and as those they are shared with do.

use serde::{Deserialize, Serialize};
use trellis_frame::record::{all, scan_all};
use trellis_frame::{Context, Refusal, tags as tag_set};
use trellis_model::Arn;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{Home, Shared};
use trellis_store::{Read, Reader};

use super::page::page;
use super::share::{self, Share};
use super::{arn, invalid, named, refuse, resource, shown, unknown};
use trellis_frame::key::last_part;

/// Whose shares are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Owner {
    /// The caller's.
    #[serde(rename = "SELF")]
    Myself,
    /// Those the caller has accepted.
    #[serde(rename = "OTHER-ACCOUNTS")]
    Others,
}

/// The shares asked for, of those of `owner`.
///
/// # Errors
/// `MalformedArnException`; `UnknownResourceException` for an ARN that names none of them.
fn chosen(
    state: &mut impl Read,
    ctx: &Context,
    owner: Owner,
    arns: &[String],
) -> Result<Vec<Share>, Refusal> {
    let home = ctx.home();
    let mut shares = match owner {
        Owner::Myself => all(state, &share::shares_of(&home))?,
        Owner::Others => {
            let mut shares = Vec::new();
            for entry in scan_all(state, &share::memberships(&home))? {
                let Ok(account) = String::from_utf8_lossy(&entry.value).parse() else { continue };
                let owner = Home { account, region: home.region.clone() };
                shares.extend(share::find(state, &owner, last_part(&entry.key))?);
            }
            shares
        }
    };
    for text in arns {
        named(text, "resource-share")?;
        if !shares.iter().any(|share| share.arn() == *text) {
            return Err(unknown("ResourceShare", text));
        }
    }
    shares.retain(|share| arns.is_empty() || arns.contains(&share.arn()));
    Ok(shares)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TagFilter {
    tag_key: Option<String>,
    #[serde(default)]
    tag_values: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GetShares {
    #[serde(default)]
    resource_share_arns: Vec<String>,
    resource_share_status: Option<String>,
    resource_owner: Owner,
    name: Option<String>,
    #[serde(default)]
    tag_filters: Vec<TagFilter>,
    next_token: Option<String>,
    max_results: Option<u16>,
    permission_arn: Option<String>,
    permission_version: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shares {
    resource_shares: Vec<share::Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) fn shares(state: &mut Reader, ctx: &Context, input: &GetShares) -> Result<Shares, Refusal> {
    let permission = input.permission_arn.as_deref().map(super::permission::attachable).transpose()?;
    if input.permission_version.is_some() && permission.is_none() {
        return Err(invalid("permissionVersion only goes with permissionArn"));
    }
    let mut items = Vec::new();
    for share in chosen(state, ctx, input.resource_owner, &input.resource_share_arns)? {
        let tags = tag_set::read(state, &share.home, &share.arn())?;
        let has = |filter: &TagFilter| {
            let value = filter.tag_key.as_ref().and_then(|key| tags.get(key));
            value.is_some_and(|value| filter.tag_values.is_empty() || filter.tag_values.contains(value))
        };
        // Shares of others show no tags, so none of theirs is found by tag.
        let is_found =
            input.tag_filters.iter().all(|filter| input.resource_owner == Owner::Myself && has(filter));
        let is_wanted = input.name.as_ref().is_none_or(|name| *name == share.name)
            && input.resource_share_status.as_deref().is_none_or(|status| status == "ACTIVE")
            && permission.as_ref().is_none_or(|(shared, _)| share.permissions.contains_key(shared));
        if is_found && is_wanted {
            items.push((share.id.clone(), share::describe(state, ctx, &share)?));
        }
    }
    let (resource_shares, next_token) = page(items, input.max_results, input.next_token.as_deref())?;
    Ok(Shares { resource_shares, next_token })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resource {
    arn: String,
    #[serde(rename = "type")]
    kind: String,
    resource_share_arn: String,
    status: &'static str,
    creation_time: Moment,
    last_updated_time: Moment,
    resource_region_scope: &'static str,
}

/// The resources of a share, with their keys for paging.
pub(super) fn resources_of(share: &Share) -> impl Iterator<Item = (String, Resource)> {
    share.resources.iter().map(|(id, (shared, since))| {
        let resource = Resource {
            arn: shared.arn(&share.home, id),
            kind: shared.resource_type().to_owned(),
            resource_share_arn: share.arn(),
            status: "AVAILABLE",
            creation_time: *since,
            last_updated_time: *since,
            resource_region_scope: "REGIONAL",
        };
        (format!("{id}/{}", share.id), resource)
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resources {
    resources: Vec<Resource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Resources {
    pub(super) fn page(
        items: Vec<(String, Resource)>,
        max_results: Option<u16>,
        next_token: Option<&str>,
    ) -> Result<Self, Refusal> {
        let (resources, next_token) = page(items, max_results, next_token)?;
        Ok(Self { resources, next_token })
    }
}

/// A type of resource as RAM names it, in any case.
fn check_type(text: Option<&str>) -> Result<(), Refusal> {
    let is_known =
        |text: &str| Shared::ALL.iter().any(|shared| text.eq_ignore_ascii_case(shared.resource_type()));
    match text {
        Some(text) if !is_known(text) => {
            Err(refuse("InvalidResourceTypeException", format_args!("{} cannot be shared.", shown(text))))
        }
        _ => Ok(()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListResources {
    resource_owner: Owner,
    principal: Option<String>,
    resource_type: Option<String>,
    #[serde(default)]
    resource_arns: Vec<String>,
    #[serde(default)]
    resource_share_arns: Vec<String>,
    next_token: Option<String>,
    max_results: Option<u16>,
    resource_region_scope: Option<String>,
}

pub(crate) fn resources(
    state: &mut Reader,
    ctx: &Context,
    input: &ListResources,
) -> Result<Resources, Refusal> {
    check_type(input.resource_type.as_deref())?;
    input.resource_arns.iter().try_for_each(|text| arn(text).map(drop))?;
    let principal = input.principal.as_deref().map(resource::account).transpose()?;
    let shares = chosen(state, ctx, input.resource_owner, &input.resource_share_arns)?;
    let is_with = |share: &&Share| {
        principal.as_ref().is_none_or(|principal| match input.resource_owner {
            Owner::Myself => share.principals.contains_key(principal),
            Owner::Others => share.home.account == *principal,
        })
    };
    let is_wanted = |resource: &Resource| {
        (input.resource_arns.is_empty() || input.resource_arns.contains(&resource.arn))
            && input.resource_type.as_ref().is_none_or(|kind| kind.eq_ignore_ascii_case(&resource.kind))
            && input.resource_region_scope.as_deref() != Some("GLOBAL")
    };
    let found = shares.iter().filter(is_with).flat_map(resources_of);
    let items = found.filter(|(_, resource)| is_wanted(resource)).collect();
    Resources::page(items, input.max_results, input.next_token.as_deref())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListPrincipals {
    resource_owner: Owner,
    resource_arn: Option<String>,
    #[serde(default)]
    principals: Vec<String>,
    resource_type: Option<String>,
    #[serde(default)]
    resource_share_arns: Vec<String>,
    next_token: Option<String>,
    max_results: Option<u16>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Principal {
    id: String,
    resource_share_arn: String,
    creation_time: Moment,
    last_updated_time: Moment,
    external: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Principals {
    principals: Vec<Principal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Accounts that the caller's resources are shared with, or that share theirs with the caller.
pub(crate) fn principals(
    state: &mut Reader,
    ctx: &Context,
    input: &ListPrincipals,
) -> Result<Principals, Refusal> {
    check_type(input.resource_type.as_deref())?;
    input.resource_arn.as_deref().map(arn).transpose()?;
    let named = |text: &String| match text.parse::<Arn>() {
        Ok(arn) if arn.service == "organizations" => Ok(text.clone()),
        _ => resource::account(text).map(|account| account.to_string()),
    };
    let asked = input.principals.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    let mut items = Vec::new();
    for share in chosen(state, ctx, input.resource_owner, &input.resource_share_arns)? {
        let has =
            |is_it: &dyn Fn(&Resource) -> bool| resources_of(&share).any(|(_, resource)| is_it(&resource));
        if input.resource_arn.as_ref().is_some_and(|arn| !has(&|resource| resource.arn == *arn))
            || input
                .resource_type
                .as_ref()
                .is_some_and(|kind| !has(&|resource| kind.eq_ignore_ascii_case(&resource.kind)))
        {
            continue;
        }
        let found: Vec<(String, Moment, Moment, bool)> = match input.resource_owner {
            Owner::Myself => {
                let accounts = share.principals.iter().filter(|(_, principal)| principal.has_accepted);
                let accounts = accounts.map(|(account, principal)| {
                    let external = principal.is_external();
                    (account.to_string(), principal.created_at, principal.last_updated_at, external)
                });
                let groups = share.groups.iter().map(|(arn, since)| (arn.clone(), *since, *since, false));
                accounts.chain(groups).collect()
            }
            Owner::Others => {
                let owner = share.home.account.to_string();
                let own = share.principals.get(&ctx.caller.account);
                let external = own.is_some_and(share::Principal::is_external);
                vec![(owner, share.created_at, share.last_updated_at, external)]
            }
        };
        for (id, creation_time, last_updated_time, external) in found {
            if asked.is_empty() || asked.contains(&id) {
                let key = format!("{id}/{}", share.id);
                let resource_share_arn = share.arn();
                items.push((
                    key,
                    Principal { id, resource_share_arn, creation_time, last_updated_time, external },
                ));
            }
        }
    }
    let (principals, next_token) = page(items, input.max_results, input.next_token.as_deref())?;
    Ok(Principals { principals, next_token })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListTypes {
    next_token: Option<String>,
    max_results: Option<u16>,
    resource_region_scope: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceType {
    resource_type: String,
    service_name: &'static str,
    resource_region_scope: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Types {
    resource_types: Vec<ResourceType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) fn types(_: &mut Reader, _: &Context, input: &ListTypes) -> Result<Types, Refusal> {
    let kinds =
        if input.resource_region_scope.as_deref() == Some("GLOBAL") { &[][..] } else { &Shared::ALL[..] };
    let items = kinds.iter().map(|shared| {
        let resource_type = shared.resource_type().to_owned();
        let described =
            ResourceType { resource_type, service_name: "vpc-lattice", resource_region_scope: "REGIONAL" };
        (described.resource_type.clone(), described)
    });
    let (resource_types, next_token) = page(items.collect(), input.max_results, input.next_token.as_deref())?;
    Ok(Types { resource_types, next_token })
}
