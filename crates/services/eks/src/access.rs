//! Access entries: which IAM principals are whom in a cluster, and by which access policies they may what.

pub mod policy;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trellis_frame::{Context, Kind, Page, Paged, Records, Refusal, page, tags};
use trellis_model::moment::Moment;
use trellis_model::resource::iam::Named;
use trellis_model::resource::lattice::Home;
use trellis_model::{AccountId, Arn};
use trellis_store::{Read, Reader, Transaction};

use crate::cluster::{self, Cluster};
use crate::{invalid, invalid_request, tag, wire};
use policy::Association;

pub(crate) const ENTRIES: Records<AccessEntry> = Records::new("eks", "access-entry");
pub(crate) static ENTRY: Kind = Kind::new("access entry", "ACCESS_ENTRY");

/// "The value can't start with system:, eks:, aws:, amazon:, or iam:".
const RESERVED: [&str; 5] = ["system:", "eks:", "aws:", "amazon:", "iam:"];
/// What a user name may leave to be filled in.
const SESSION_NAME: [&str; 2] = ["{{SessionName}}", "{{SessionNameRaw}}"];
const NODE_NAME: &str = "{{EC2PrivateDNSName}}";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessEntry {
    pub home: Home,
    pub cluster: String,
    /// Of a user or a role.
    pub principal: String,
    /// The end of its ARN.
    pub id: String,
    /// `STANDARD`, `EC2_LINUX` and so on.
    pub kind: String,
    pub username: String,
    pub groups: Vec<String>,
    pub created_at: Moment,
    pub modified_at: Moment,
    /// By the ARN of the access policy.
    #[serde(default)]
    pub policies: BTreeMap<String, Association>,
}

impl AccessEntry {
    pub(crate) fn arn(&self) -> String {
        let named = Named::parse(&self.principal);
        let (kind, account, name) =
            named.map_or(("role", "", ""), |named| (named.kind, named.account, named.name));
        let Home { region, account: owner } = &self.home;
        let resource = format!("access-entry/{}/{kind}/{account}/{name}/{}", self.cluster, self.id);
        Arn::new("eks", region, owner, resource).to_string()
    }

    fn describe(self, state: &mut impl Read) -> Result<wire::AccessEntry, Refusal> {
        Ok(wire::AccessEntry {
            tags: tag::of(state, &self.home, &self.arn())?,
            access_entry_arn: Some(self.arn()),
            cluster_name: Some(self.cluster),
            principal_arn: Some(self.principal),
            kubernetes_groups: Some(self.groups),
            created_at: Some(self.created_at),
            modified_at: Some(self.modified_at),
            username: Some(self.username),
            r#type: Some(self.kind),
        })
    }
}

/// An ARN has slashes, and a key has them between its parts.
pub(crate) fn entry_id(cluster: &str, principal: &str) -> String {
    format!("{cluster}/{}", page::to_token(principal))
}

fn find(state: &mut impl Read, home: &Home, cluster: &str, principal: &str) -> Result<AccessEntry, Refusal> {
    cluster::find(state, home, cluster)?;
    ENTRIES.get(state, home, entry_id(cluster, principal))?.ok_or_else(|| {
        let principal = trellis_frame::refusal::shown(principal);
        crate::missing(format_args!("The specified principalArn could not be found: {principal}"))
    })
}

/// A principal that an entry can be of.
fn check_principal(arn: &str) -> Result<Named<'_>, Refusal> {
    let named = Named::parse(arn).filter(|named| matches!(named.kind, "user" | "role"));
    let named = named.filter(|named| named.account.parse::<AccountId>().is_ok());
    named.ok_or_else(|| {
        invalid(format_args!(
            "The principalArn parameter format is not valid: {}",
            trellis_frame::refusal::shown(arn)
        ))
    })
}

fn check_groups(groups: &[String]) -> Result<(), Refusal> {
    for group in groups {
        if group.is_empty() || RESERVED.iter().any(|prefix| group.starts_with(prefix)) {
            let message = format_args!(
                "The kubernetes group name {group:?} is invalid, it cannot start with {RESERVED:?}"
            );
            return Err(invalid(message));
        }
    }
    Ok(())
}

fn check_username(username: &str) -> Result<(), Refusal> {
    if username.is_empty() || RESERVED.iter().any(|prefix| username.starts_with(prefix)) {
        let message = format_args!("The username {username:?} is invalid, it cannot start with {RESERVED:?}");
        return Err(invalid(message));
    }
    Ok(())
}

/// "If you don't specify a username, EKS autogenerates one."
fn default_username(named: &Named<'_>, arn: &str) -> String {
    match named.kind {
        "role" => format!("arn:aws:sts::{}:assumed-role/{}/{}", named.account, named.name, SESSION_NAME[0]),
        _ => arn.to_owned(),
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateAccessEntryInput,
) -> Result<wire::CreateAccessEntryOutput, Refusal> {
    let home = ctx.home();
    let cluster = cluster::find_active(tx, &home, &input.cluster_name)?;
    if cluster.authentication_mode == "CONFIG_MAP" {
        let message = "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.";
        return Err(invalid_request(message));
    }
    let named = check_principal(&input.principal_arn)?;
    let kind = input.r#type.as_deref().unwrap_or("STANDARD");
    let groups = input.kubernetes_groups.clone().unwrap_or_default();
    let (username, groups) = match kind {
        "STANDARD" => {
            check_groups(&groups)?;
            if let Some(username) = &input.username {
                check_username(username)?;
            }
            (input.username.clone().unwrap_or_else(|| default_username(&named, &input.principal_arn)), groups)
        }
        "EC2_LINUX" => {
            if !groups.is_empty() || input.username.is_some() {
                return Err(invalid("kubernetesGroups and username are only for entries of type STANDARD"));
            }
            (format!("system:node:{NODE_NAME}"), vec!["system:nodes".to_owned()])
        }
        other => return Err(invalid(format_args!("The type {other:?} is not supported by Trellis"))),
    };
    let id = entry_id(&cluster.name, &input.principal_arn);
    if ENTRIES.get(tx, &home, &id)?.is_some() {
        let message = "The specified access entry resource is already in use on this cluster.";
        return Err(Refusal::conflict(&ENTRY, &input.principal_arn, message));
    }
    let entry = AccessEntry {
        home,
        cluster: cluster.name,
        principal: input.principal_arn.clone(),
        id: ctx.surroundings.random.uuid(),
        kind: kind.to_owned(),
        username,
        groups,
        created_at: ctx.now,
        modified_at: ctx.now,
        policies: BTreeMap::new(),
    };
    ENTRIES.put(tx, &entry.home, id, &entry)?;
    tags::merge(tx, &entry.home, &entry.arn(), &input.tags.clone().unwrap_or_default())?;
    Ok(wire::CreateAccessEntryOutput { access_entry: Some(entry.describe(tx)?) })
}

/// Whoever makes a cluster is its administrator, if nothing else is said.
pub(crate) fn let_in_creator(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    cluster: &Cluster,
) -> Result<(), Refusal> {
    let principal = principal_of(tx, &ctx.caller.arn)?;
    let Ok(named) = check_principal(&principal) else {
        // The account itself: it is let in without an entry.
        return Ok(());
    };
    let policy = policy::arn("AmazonEKSClusterAdminPolicy");
    let everywhere = Association { namespaces: None, associated_at: ctx.now, modified_at: ctx.now };
    let entry = AccessEntry {
        home: cluster.home.clone(),
        cluster: cluster.name.clone(),
        username: default_username(&named, &principal),
        id: ctx.surroundings.random.uuid(),
        kind: "STANDARD".to_owned(),
        groups: Vec::new(),
        created_at: ctx.now,
        modified_at: ctx.now,
        policies: [(policy, everywhere)].into(),
        principal,
    };
    ENTRIES.put(tx, &entry.home, entry_id(&cluster.name, &entry.principal), &entry)
}

/// The user or role that a caller is, of what GetCallerIdentity says: a role's session is its role.
pub(crate) fn principal_of(state: &mut impl Read, caller: &str) -> Result<String, Refusal> {
    use trellis_model::resource::iam::{self, Role};
    const ROLES: Records<Role> = Records::new(iam::SERVICE, iam::ROLE);
    let session = caller.strip_prefix("arn:aws:sts::").and_then(|rest| rest.split_once(":assumed-role/"));
    let Some((account, rest)) = session else { return Ok(caller.to_owned()) };
    let role = rest.split('/').next().unwrap_or_default();
    let Ok(account) = account.parse::<AccountId>() else { return Ok(caller.to_owned()) };
    // The session does not say the role's path.
    let found = ROLES.get(state, &trellis_frame::key::global(&account), iam::id(role))?;
    Ok(found.map_or_else(|| format!("arn:aws:iam::{account}:role/{role}"), |role| role.arn()))
}

/// Who a caller is in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    /// Access policies that count in some namespaces alone: name and patterns.
    pub scoped: Vec<(String, Vec<String>)>,
}

/// Who the caller with this ARN, which GetCallerIdentity said, is in `cluster`; `None`: nobody.
///
/// # Errors
/// A state that cannot be read.
pub fn user(state: &mut impl Read, cluster: &Cluster, caller: &str) -> Result<Option<User>, Refusal> {
    let account = caller.split(':').nth(4).unwrap_or_default();
    // The account's own key is above all policies, here as everywhere.
    if account == cluster.home.account.as_str() && caller.ends_with(":root") {
        let groups = vec![policy::group("AmazonEKSClusterAdminPolicy")];
        return Ok(Some(User { name: caller.to_owned(), groups, scoped: Vec::new() }));
    }
    let principal = principal_of(state, caller)?;
    let entry = ENTRIES.get(state, &cluster.home, entry_id(&cluster.name, &principal))?;
    let Some(entry) = entry else { return Ok(None) };
    let session = caller.rsplit('/').next().unwrap_or_default();
    let name = entry.username.replace(SESSION_NAME[1], session);
    // "The @ in session names is replaced by -".
    let name = name.replace(SESSION_NAME[0], &session.replace('@', "-"));
    if name.contains(NODE_NAME) {
        // Nodes here have certificates of their own.
        return Ok(None);
    }
    let mut user = User { name, groups: entry.groups, scoped: Vec::new() };
    for (arn, association) in &entry.policies {
        let Some(policy) = policy::named(arn) else { continue };
        match &association.namespaces {
            None => user.groups.push(policy::group(policy)),
            Some(namespaces) => user.scoped.push((policy.to_owned(), namespaces.clone())),
        }
    }
    Ok(Some(user))
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeAccessEntryInput,
) -> Result<wire::DescribeAccessEntryOutput, Refusal> {
    let entry = find(state, &ctx.home(), &input.cluster_name, &input.principal_arn)?;
    Ok(wire::DescribeAccessEntryOutput { access_entry: Some(entry.describe(state)?) })
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateAccessEntryInput,
) -> Result<wire::UpdateAccessEntryOutput, Refusal> {
    let mut entry = find(tx, &ctx.home(), &input.cluster_name, &input.principal_arn)?;
    if entry.kind != "STANDARD" {
        return Err(invalid_request("Only access entries of type STANDARD can be updated"));
    }
    if let Some(groups) = &input.kubernetes_groups {
        check_groups(groups)?;
        entry.groups.clone_from(groups);
    }
    if let Some(username) = &input.username {
        check_username(username)?;
        entry.username.clone_from(username);
    }
    entry.modified_at = ctx.now;
    ENTRIES.put(tx, &entry.home, entry_id(&entry.cluster, &entry.principal), &entry)?;
    Ok(wire::UpdateAccessEntryOutput { access_entry: Some(entry.describe(tx)?) })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteAccessEntryInput,
) -> Result<wire::DeleteAccessEntryOutput, Refusal> {
    let entry = find(tx, &ctx.home(), &input.cluster_name, &input.principal_arn)?;
    forget(tx, &entry)?;
    Ok(Default::default())
}

/// Drops an entry, and its tags.
pub(crate) fn forget(tx: &mut Transaction<'_>, entry: &AccessEntry) -> Result<(), Refusal> {
    tags::forget(tx, &entry.home, &entry.arn());
    ENTRIES.delete(tx, &entry.home, entry_id(&entry.cluster, &entry.principal))
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListAccessEntriesInput,
    page: &Page,
) -> Result<Paged<wire::ListAccessEntriesOutput>, Refusal> {
    let home = ctx.home();
    cluster::find(state, &home, &input.cluster_name)?;
    let entries = ENTRIES.list_of(state, &home, &input.cluster_name, page, |_, entry| {
        let is_asked =
            input.associated_policy_arn.as_ref().is_none_or(|arn| entry.policies.contains_key(arn));
        Ok(is_asked.then_some(entry.principal))
    })?;
    Ok(entries.into_output(|entries| wire::ListAccessEntriesOutput {
        access_entries: Some(entries),
        next_token: None,
    }))
}
