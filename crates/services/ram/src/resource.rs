//! What callers name in shares: resources, principals, tags.

use serde::{Deserialize, Serialize};
use trellis_frame::sharing::{self, Shareable};
use trellis_frame::tags::{self as tag_set, MAX_TAGS, Tags};
use trellis_frame::{Context, Refusal};
use trellis_model::resource::lattice::{Home, Shared};
use trellis_model::{AccountId, Arn};
use trellis_store::{Read, Reader, Transaction};

use super::page::page;
use super::{arn, invalid, not_permitted, refuse, shown, unknown};

/// Kind and id of a resource of the caller's that may be shared.
///
/// # Errors
/// `MalformedArnException`; `InvalidParameterException` for kinds that cannot be shared;
/// `OperationNotPermittedException` for another account's ("re-sharing not allowed") and for a network
/// made not to be shared; `UnknownResourceException`.
pub(super) fn shareable(
    state: &mut impl Read,
    ctx: &Context,
    text: &str,
) -> Result<(Shared, String), Refusal> {
    let home = ctx.home();
    let parsed = arn(text)?;
    let Some((shared, id)) = Shared::of_arn(&parsed) else {
        return Err(invalid(format_args!("{} is not of a type that can be shared.", shown(text))));
    };
    if parsed.account != home.account.as_str() {
        return Err(not_permitted(format_args!(
            "{} belongs to another account: only its owner can share it.",
            shown(text)
        )));
    }
    let kind = kind(ctx, shared).ok_or_else(|| unknown("Resource", text))?;
    let is_there = parsed.region == home.region.as_str() && state.get(&kind.key(&home, id))?.is_some();
    if !is_there {
        return Err(unknown("Resource", text));
    }
    (kind.check)(state, &home, id).map_err(|refusal| match refusal {
        Refusal::Denied { message } => not_permitted(message),
        Refusal::Invalid { message, .. } => invalid(message),
        ours => ours,
    })?;
    Ok((shared, id.to_owned()))
}

/// What its service says of a kind.
fn kind(ctx: &Context, shared: Shared) -> Option<&'static Shareable> {
    ctx.surroundings.services.shareable().find(|kind| kind.resource_type == shared.resource_type())
}

/// The account that a principal means: twelve digits or the ARN of its root.
///
/// # Errors
/// `InvalidParameterException` for IAM users and roles, for services, and for an organisation, which is no account.
pub(super) fn account(text: &str) -> Result<AccountId, Refusal> {
    if let Ok(account) = text.parse() {
        return Ok(account);
    }
    let Some(parsed) = text.parse::<Arn>().ok().filter(|arn| arn.partition == "aws") else {
        return Err(invalid(format_args!(
            "Principal ID {} is malformed: 12 digits are expected.",
            shown(text)
        )));
    };
    match (parsed.service.as_str(), parsed.resource.as_str()) {
        ("iam", "root") => parsed
            .account
            .parse()
            .map_err(|_| invalid(format_args!("Principal ID {} is malformed.", shown(text)))),
        ("organizations", _) => {
            Err(invalid(format_args!("{} is no account and not in the share.", shown(text))))
        }
        _ => Err(invalid(format_args!(
            "{}: resources of VPC Lattice are shared with accounts, not with users, roles or services.",
            shown(text)
        ))),
    }
}

/// As [`account`], for one to be invited: any but the caller's own.
pub(super) fn principal(ctx: &Context, text: &str) -> Result<AccountId, Refusal> {
    let account = account(text)?;
    if account == ctx.caller.account {
        return Err(invalid(format_args!("Principal ID {account} is the owner of the resource share.")));
    }
    Ok(account)
}

/// Sources limit what service principals may do, which nothing here is shared with.
pub(super) fn check_no_sources(sources: &[String]) -> Result<(), Refusal> {
    match sources {
        [] => Ok(()),
        _ => Err(invalid("sources only go with service principals, which nothing here is shared with")),
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tag {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

pub(super) fn tag_list(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

/// Adds tags to a share.
pub(super) fn merge_tags(
    tx: &mut Transaction<'_>,
    home: &Home,
    share: &str,
    tags: &[Tag],
) -> Result<(), Refusal> {
    let tags: Tags = tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
    let mut all = tag_set::read(tx, home, share)?;
    all.extend(tags.clone());
    if all.len() > MAX_TAGS {
        let message = format_args!("A resource share has at most {MAX_TAGS} tags.");
        return Err(refuse("TagLimitExceededException", message));
    }
    tag_set::merge(tx, home, share, &tags)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Policies {
    resource_arns: Vec<String>,
    principal: Option<String>,
    next_token: Option<String>,
    max_results: Option<u16>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    policies: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// The policies that the caller's shares amount to, resource by resource.
pub(crate) fn policies(state: &mut Reader, ctx: &Context, input: &Policies) -> Result<Listed, Refusal> {
    let home = ctx.home();
    let receiver = input.principal.as_deref().map(account).transpose()?;
    let mut items = Vec::new();
    for text in &input.resource_arns {
        let parsed = arn(text)?;
        let named = Shared::of_arn(&parsed).filter(|_| parsed.account == home.account.as_str());
        let named = named.and_then(|(shared, id)| Some((kind(ctx, shared)?, id)));
        let Some((kind, id)) = named else { return Err(missing(text)) };
        if state.get(&kind.key(&home, id))?.is_none() {
            return Err(missing(text));
        }
        let services = &ctx.surroundings.services;
        let policy = sharing::shares_as_policy(state, services, &home, (kind, id), receiver.as_ref())?;
        items.extend(policy.map(|policy| (text.clone(), policy)));
    }
    let (policies, next_token) = page(items, input.max_results, input.next_token.as_deref())?;
    Ok(Listed { policies, next_token })
}

fn missing(text: &str) -> Refusal {
    refuse("ResourceArnNotFoundException", format_args!("Resource {} could not be found.", shown(text)))
}
