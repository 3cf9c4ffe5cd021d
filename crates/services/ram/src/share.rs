//! Resource shares: what is shared, with whom, and with which permissions.
//!
//! A share is one record, changed as a whole; [`save`] keeps what follows from it in step: the grants of
//! those who have accepted, the names of shares by resource, and by member.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trellis_frame::counted;
use trellis_frame::record::get;
use trellis_frame::sharing::{self, Given, Shareable, Shares};
use trellis_frame::{Context, Refusal, tags as tag_set};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{Home, Shared};
use trellis_model::{AccountId, Arn};
use trellis_store::{Read, Transaction};

use super::invitation;
use super::organization;
use super::permission::{self, Attached};
use super::resource::{self, Tag};
use super::{Done, arn, invalid, named, not_permitted, refuse, shown, unknown};

/// Shares of one account and region: AWS's default quota.
const MAX_SHARES: usize = 5000;

/// Resources, and receivers, of one share. A change of one rewrites as many grants as it has of the other.
const MAX_ENTITIES: usize = 100;

/// Characters of a name.
const MAX_NAME: usize = 255;

/// A share, at `ram/{account}/{region}/share/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    /// A UUID.
    pub(crate) id: String,
    pub(crate) home: Home,
    pub(crate) name: String,
    /// Whether accounts outside the owner's organization, which all are here, may be invited.
    pub(crate) allow_external: bool,
    pub(crate) permissions: BTreeMap<Shared, Attached>,
    /// By id, since the resource is in the share.
    pub(crate) resources: BTreeMap<String, (Shared, Moment)>,
    pub(crate) principals: BTreeMap<AccountId, Principal>,
    /// ARNs of the organisation or of units of it that it is shared with, since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) groups: BTreeMap<String, Moment>,
    /// The accounts in those: see [`super::organization`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) members: BTreeSet<AccountId>,
    pub(crate) created_at: Moment,
    pub(crate) last_updated_at: Moment,
}

/// An account that a share is offered to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Principal {
    /// Id of the newest invitation.
    pub(crate) invitation: String,
    pub(crate) has_accepted: bool,
    pub(crate) created_at: Moment,
    pub(crate) last_updated_at: Moment,
}

impl Principal {
    /// One of the owner's organisation was never invited.
    pub(crate) fn is_external(&self) -> bool {
        !self.invitation.is_empty()
    }
}

impl Share {
    pub(crate) fn arn(&self) -> String {
        arn_of(&self.home, &self.id)
    }

    /// Accounts that have accepted, and those that need not because of the organisation.
    pub(crate) fn receivers(&self) -> impl Iterator<Item = &AccountId> {
        let accepted = self.principals.iter().filter(|(_, principal)| principal.has_accepted);
        let accepted: BTreeSet<_> = accepted.map(|(account, _)| account).chain(&self.members).collect();
        accepted.into_iter()
    }

    /// What receivers may do with its resources of that kind: `vpc-lattice:GetService` and so on.
    pub(crate) fn actions(&self, shared: Shared) -> Vec<String> {
        self.permissions.get(&shared).map(|attached| attached.actions(shared)).unwrap_or_default()
    }

    /// Adds a resource; a kind without a permission gets its default one.
    pub(super) fn add_resource(&mut self, shared: Shared, id: &str, now: Moment) -> Result<(), Refusal> {
        if self.resources.len() >= MAX_ENTITIES && !self.resources.contains_key(id) {
            return Err(limit("resources"));
        }
        self.resources.entry(id.to_owned()).or_insert((shared, now));
        self.permissions.entry(shared).or_insert_with(|| Attached::default_of(shared));
        Ok(())
    }

    /// Whether one more account may be invited.
    pub(super) fn check_room(&self, account: &AccountId, is_external: bool) -> Result<(), Refusal> {
        if self.principals.len() >= MAX_ENTITIES && !self.principals.contains_key(account) {
            return Err(limit("principals"));
        }
        if !self.allow_external && is_external {
            return Err(not_permitted(format_args!(
                "The resource share {} does not allow external principals, and account {account} is external: \
                 sharing with the organization is not enabled.",
                self.arn()
            )));
        }
        Ok(())
    }

    /// Shares it with the organisation or a unit of it.
    pub(super) fn add_group(&mut self, arn: &str, now: Moment) -> Result<(), Refusal> {
        if self.groups.len() >= MAX_ENTITIES && !self.groups.contains_key(arn) {
            return Err(limit("principals"));
        }
        self.groups.entry(arn.to_owned()).or_insert(now);
        Ok(())
    }
}

fn limit(what: &str) -> Refusal {
    refuse(
        "ResourceShareLimitExceededException",
        format_args!("A resource share has at most {MAX_ENTITIES} {what}."),
    )
}

pub(crate) fn arn_of(home: &Home, id: &str) -> String {
    format!("arn:aws:ram:{}:{}:resource-share/{id}", home.region, home.account)
}

/// What every share of `home` begins with.
pub(super) fn shares_of(home: &Home) -> String {
    format!("ram/{}/{}/share/", home.account, home.region)
}

fn key(home: &Home, id: &str) -> String {
    format!("{}{id}", shares_of(home))
}

/// `member/{receiver}/{region}/{share}` -> account of the share's owner.
pub(super) fn memberships(receiver: &Home) -> String {
    format!("member/{}/{}/", receiver.account, receiver.region)
}

fn membership(receiver: &AccountId, share: &Share) -> String {
    let home = Home { account: receiver.clone(), region: share.home.region.clone() };
    format!("{}{}", memberships(&home), share.id)
}

/// The share of `owner`, if it is there.
pub(crate) fn find(state: &mut impl Read, owner: &Home, id: &str) -> Result<Option<Share>, Refusal> {
    get(state, &key(owner, id))
}

/// The caller's own share that `text` is the ARN of.
///
/// # Errors
/// `MalformedArnException`; `UnknownResourceException`, also for another account's.
pub(super) fn own(state: &mut impl Read, ctx: &Context, text: &str) -> Result<Share, Refusal> {
    let home = ctx.home();
    let (owner, id) = named(text, "resource-share")?;
    let share = if owner == home { find(state, &owner, &id)? } else { None };
    share.ok_or_else(|| unknown("ResourceShare", text))
}

/// Who comes to what through a share.
fn grants_of(share: &Share) -> BTreeSet<(AccountId, Shared, String)> {
    let resources = || share.resources.iter().map(|(id, (shared, _))| (*shared, id.clone()));
    share
        .receivers()
        .flat_map(|account| resources().map(|(shared, id)| (account.clone(), shared, id)))
        .collect()
}

/// Writes `after` in place of `before`, either of which may be absent, with all that follows from it.
pub(super) fn save(
    tx: &mut Transaction<'_>,
    before: Option<&Share>,
    after: Option<&Share>,
) -> Result<(), Refusal> {
    let Some(any) = after.or(before) else { return Ok(()) };
    let (owner, id) = (&any.home, any.id.as_str());
    let grants = [before, after].map(|share| share.map(grants_of).unwrap_or_default());
    for (account, shared, resource) in grants[0].difference(&grants[1]) {
        sharing::set_share(tx, account, owner, (shared.record_kind(), resource), id, false)?;
    }
    for (account, shared, resource) in grants[1].difference(&grants[0]) {
        sharing::set_share(tx, account, owner, (shared.record_kind(), resource), id, true)?;
    }
    for resource in before.into_iter().flat_map(|share| share.resources.keys()) {
        tx.delete(&format!("{}{id}", sharing::shares_with(owner, resource)));
    }
    for account in before.into_iter().flat_map(|share| share.receivers().collect::<Vec<_>>()) {
        tx.delete(&membership(account, any));
    }
    let Some(after) = after else {
        counted::delete(tx, &key(owner, id))?;
        return Ok(());
    };
    for resource in after.resources.keys() {
        tx.put(&format!("{}{id}", sharing::shares_with(owner, resource)), Vec::new());
    }
    for account in after.receivers() {
        tx.put(&membership(account, after), owner.account.as_str().into());
    }
    counted::put_record(tx, &key(owner, id), after)
}

/// An account is gone: out of every share that it was offered, whether it has accepted or not.
pub(crate) fn drop_account(tx: &mut Transaction<'_>, account: &AccountId) -> Result<(), Refusal> {
    for (owner, id) in invitation::shares_offered_to(tx, account)? {
        let Some(before) = find(tx, &owner, &id)? else { continue };
        let mut after = before.clone();
        if let Some(principal) = after.principals.remove(account) {
            invitation::forget(tx, &owner, account, &principal.invitation);
        }
        save(tx, Some(&before), Some(&after))?;
    }
    Ok(())
}

/// Shares, for who asks what accounts have been given.
#[derive(Debug)]
pub(super) struct Keeper;

impl Shares for Keeper {
    fn find(
        &self,
        mut state: &mut dyn Read,
        owner: &Home,
        share: &str,
        kind: &Shareable,
    ) -> Result<Option<Given>, Refusal> {
        let Some(share) = find(&mut state, owner, share)? else { return Ok(None) };
        let shared = Shared::ALL.into_iter().find(|shared| shared.resource_type() == kind.resource_type);
        let actions = shared.map(|shared| share.actions(shared)).unwrap_or_default();
        Ok(Some(Given { receivers: share.receivers().cloned().collect(), actions }))
    }

    fn drop_resource(
        &self,
        tx: &mut Transaction<'_>,
        owner: &Home,
        share: &str,
        resource: &str,
    ) -> Result<(), Refusal> {
        drop_resource(tx, owner, share, resource)
    }
}

/// A resource is gone: out of the share with it.
fn drop_resource(tx: &mut Transaction<'_>, owner: &Home, share: &str, resource: &str) -> Result<(), Refusal> {
    let Some(before) = find(tx, owner, share)? else { return Ok(()) };
    let mut after = before.clone();
    after.resources.remove(resource);
    save(tx, Some(&before), Some(&after))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    resource_share_arn: String,
    name: String,
    owning_account_id: AccountId,
    allow_external_principals: bool,
    status: &'static str,
    /// Only for the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<Tag>>,
    creation_time: Moment,
    last_updated_time: Moment,
    feature_set: &'static str,
}

/// As the caller sees it.
pub(super) fn describe(state: &mut impl Read, ctx: &Context, share: &Share) -> Result<Description, Refusal> {
    let tags = match share.home == ctx.home() {
        true => Some(resource::tag_list(tag_set::read(state, &share.home, &share.arn())?)),
        false => None,
    };
    Ok(Description {
        resource_share_arn: share.arn(),
        name: share.name.clone(),
        owning_account_id: share.home.account.clone(),
        allow_external_principals: share.allow_external,
        status: "ACTIVE",
        tags,
        creation_time: share.created_at,
        last_updated_time: share.last_updated_at,
        feature_set: "STANDARD",
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    name: String,
    #[serde(default)]
    resource_arns: Vec<String>,
    #[serde(default)]
    principals: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    allow_external_principals: Option<bool>,
    #[serde(default)]
    permission_arns: Vec<String>,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    permission_template_parameters: Vec<serde_json::Value>,
    /// Speaks of accounts that leave an organization, which there is none of.
    #[serde(rename = "resourceShareConfiguration")]
    _resource_share_configuration: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    resource_share: Description,
}

fn check_name(name: &str) -> Result<(), Refusal> {
    match name.chars().count() {
        1..=MAX_NAME => Ok(()),
        _ => Err(invalid(format_args!("name has 1 to {MAX_NAME} characters"))),
    }
}

pub(crate) fn create(tx: &mut Transaction<'_>, ctx: &Context, input: &Create) -> Result<Answer, Refusal> {
    let home = ctx.home();
    check_name(&input.name)?;
    resource::check_no_sources(&input.sources)?;
    if !input.permission_template_parameters.is_empty() {
        return Err(invalid("permissionTemplateParameters: no permission here has parameters"));
    }
    if counted::count(tx, &shares_of(&home))? >= MAX_SHARES {
        let message = format_args!("An account has at most {MAX_SHARES} resource shares in a region.");
        return Err(refuse("ResourceShareLimitExceededException", message));
    }
    let mut share = Share {
        id: ctx.surroundings.random.uuid(),
        home: home.clone(),
        name: input.name.clone(),
        allow_external: input.allow_external_principals.unwrap_or(true),
        permissions: BTreeMap::new(),
        resources: BTreeMap::new(),
        principals: BTreeMap::new(),
        groups: BTreeMap::new(),
        members: BTreeSet::new(),
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    for text in &input.permission_arns {
        let (shared, attached) = permission::attachable(text)?;
        if share.permissions.insert(shared, attached).is_some() {
            return Err(invalid(format_args!(
                "permissionArns: more than one for {}",
                shared.resource_type()
            )));
        }
    }
    for text in &input.resource_arns {
        let (shared, id) = resource::shareable(tx, ctx, text)?;
        share.add_resource(shared, &id, ctx.now)?;
    }
    for text in &input.principals {
        organization::offer(tx, ctx, &mut share, text)?;
    }
    resource::merge_tags(tx, &home, &share.arn(), &input.tags)?;
    save(tx, None, Some(&share))?;
    Ok(Answer { resource_share: describe(tx, ctx, &share)? })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    resource_share_arn: String,
    name: Option<String>,
    allow_external_principals: Option<bool>,
}

pub(crate) fn update(tx: &mut Transaction<'_>, ctx: &Context, input: &Update) -> Result<Answer, Refusal> {
    let before = own(tx, ctx, &input.resource_share_arn)?;
    let mut share = before.clone();
    if let Some(name) = &input.name {
        check_name(name)?;
        share.name = name.clone();
    }
    let is_external = !organization::is_sharing(tx)?;
    if input.allow_external_principals == Some(false) && is_external && !share.principals.is_empty() {
        let arn = shown(&input.resource_share_arn);
        return Err(not_permitted(format_args!("{arn} has external principals: disassociate them first.")));
    }
    share.allow_external = input.allow_external_principals.unwrap_or(share.allow_external);
    share.last_updated_at = ctx.now;
    save(tx, Some(&before), Some(&share))?;
    Ok(Answer { resource_share: describe(tx, ctx, &share)? })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Delete {
    resource_share_arn: String,
}

/// The share, its invitations and its tags are gone at once; associations that consumers have made stay.
pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Delete) -> Result<Done, Refusal> {
    let share = own(tx, ctx, &input.resource_share_arn)?;
    for (account, principal) in &share.principals {
        invitation::forget(tx, &share.home, account, &principal.invitation);
    }
    tag_set::forget(tx, &share.home, &share.arn());
    save(tx, Some(&share), None)?;
    Ok(Done::DONE)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enable {}

pub(crate) fn enable_organization(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    _: &Enable,
) -> Result<Done, Refusal> {
    organization::enable(tx, ctx)?;
    Ok(Done::DONE)
}

/// For the Resource Groups Tagging API.
pub(super) fn locate_arn(mut state: &mut dyn Read, home: &Home, arn: &Arn) -> Result<(), Refusal> {
    locate(&mut state, home, &arn.to_string())
}

/// Checks that `text` is the ARN of a share of `home` that is there.
pub(crate) fn locate(state: &mut impl Read, home: &Home, text: &str) -> Result<(), Refusal> {
    if exists(state, home, text)? { Ok(()) } else { Err(unknown("ResourceShare", text)) }
}

/// Whether the share of `home` that `text` is the ARN of is there.
pub(crate) fn exists(state: &mut impl Read, home: &Home, text: &str) -> Result<bool, Refusal> {
    arn(text)?;
    let (owner, id) = named(text, "resource-share")?;
    Ok(owner == *home && find(state, &owner, &id)?.is_some())
}
