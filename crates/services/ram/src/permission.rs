//! Permissions: what the receivers of a share may do with its resources. All are managed ones.
//!
//! The names are AWS's; the actions are those the reference's table of who may do what needs. Version 2
//! of two of them came with resource configurations: "check that it is version 2".

use serde::{Deserialize, Serialize};
use serde_json::json;
use trellis_frame::{Context, Refusal};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Shared;
use trellis_store::{Reader, Transaction};

use super::page::page;
use super::share;
use super::{Done, arn, invalid, shown, unknown};

/// One managed permission, the only one of its type.
struct Managed {
    shared: Shared,
    name: &'static str,
    /// Actions by version, the first version first; the last one is the default.
    versions: &'static [&'static [&'static str]],
}

static MANAGED: [Managed; 3] = [
    Managed {
        shared: Shared::ResourceConfiguration,
        name: "AWSRAMPermissionVpcLatticeResourceConfiguration",
        versions: &[
            &["AssociateViaAWSService", "GetResourceConfiguration"],
            &[
                "AssociateViaAWSService",
                "AssociateViaAWSService-EventsAndStates",
                "CreateServiceNetworkResourceAssociation",
                "GetResourceConfiguration",
            ],
        ],
    },
    Managed {
        shared: Shared::ServiceNetwork,
        name: "AWSRAMPermissionVpcLatticeServiceNetworkReadWrite",
        versions: &[
            &[
                "CreateServiceNetworkServiceAssociation",
                "CreateServiceNetworkVpcAssociation",
                "GetServiceNetwork",
                "ListServiceNetworkServiceAssociations",
                "ListServiceNetworkVpcAssociations",
            ],
            &[
                "CreateServiceNetworkResourceAssociation",
                "CreateServiceNetworkServiceAssociation",
                "CreateServiceNetworkVpcAssociation",
                "CreateServiceNetworkVpcEndpointAssociation",
                "GetServiceNetwork",
                "ListServiceNetworkResourceAssociations",
                "ListServiceNetworkServiceAssociations",
                "ListServiceNetworkVpcAssociations",
                "ListServiceNetworkVpcEndpointAssociations",
            ],
        ],
    },
    Managed {
        shared: Shared::Service,
        name: "AWSRAMPermissionVpcLatticeServiceReadWrite",
        versions: &[&["CreateServiceNetworkServiceAssociation", "GetService"]],
    },
];

impl Managed {
    fn of(shared: Shared) -> &'static Self {
        MANAGED.iter().find(|managed| managed.shared == shared).expect("every kind has a permission")
    }

    /// By ARN, without an account or a region, or by name.
    fn find(text: &str) -> Result<&'static Self, Refusal> {
        let parsed = arn(text)?;
        let name = parsed.resource.strip_prefix("permission/").unwrap_or_default();
        let is_managed = parsed.service == "ram" && parsed.account == "aws";
        MANAGED
            .iter()
            .find(|managed| is_managed && managed.name == name)
            .ok_or_else(|| unknown("Permission", text))
    }

    fn arn(&self) -> String {
        format!("arn:aws:ram::aws:permission/{}", self.name)
    }

    fn resource_type(&self) -> String {
        self.shared.resource_type().to_owned()
    }

    /// Counted from 1.
    fn default_version(&self) -> u32 {
        self.versions.len() as u32
    }

    fn actions(&self, version: u32) -> Vec<String> {
        let actions = self.versions.get(version as usize - 1).copied().unwrap_or_default();
        actions.iter().map(|action| format!("vpc-lattice:{action}")).collect()
    }
}

/// The version of a permission that a share has for one kind of resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attached {
    version: u32,
    since: Option<Moment>,
}

impl Attached {
    pub(super) fn default_of(shared: Shared) -> Self {
        Self { version: Managed::of(shared).default_version(), since: None }
    }

    pub(super) fn actions(&self, shared: Shared) -> Vec<String> {
        Managed::of(shared).actions(self.version.max(1))
    }
}

/// The permission `text` names, in the version that shares get.
pub(super) fn attachable(text: &str) -> Result<(Shared, Attached), Refusal> {
    let managed = Managed::find(text)?;
    Ok((managed.shared, Attached::default_of(managed.shared)))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    arn: String,
    version: String,
    default_version: bool,
    name: &'static str,
    resource_type: String,
    status: &'static str,
    creation_time: Moment,
    last_updated_time: Moment,
    is_resource_type_default: bool,
    permission_type: &'static str,
    feature_set: &'static str,
    /// Only of one permission.
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<String>,
}

fn summarise(managed: &Managed, version: u32) -> Summary {
    // Managed permissions are as old as the program.
    let since = Moment::from(jiff::Timestamp::UNIX_EPOCH);
    Summary {
        arn: managed.arn(),
        version: version.to_string(),
        default_version: version == managed.default_version(),
        name: managed.name,
        resource_type: managed.resource_type(),
        status: if version == managed.default_version() { "ATTACHABLE" } else { "UNATTACHABLE" },
        creation_time: since,
        last_updated_time: since,
        is_resource_type_default: true,
        permission_type: "AWS_MANAGED",
        feature_set: "STANDARD",
        permission: None,
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Get {
    permission_arn: String,
    permission_version: Option<u32>,
    #[serde(default)]
    permission_template_parameters: Vec<serde_json::Value>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Got {
    permission: Summary,
}

pub(crate) fn get_one(_: &mut Reader, _: &Context, input: &Get) -> Result<Got, Refusal> {
    let managed = Managed::find(&input.permission_arn)?;
    if !input.permission_template_parameters.is_empty() {
        return Err(invalid("permissionTemplateParameters: no permission here has parameters"));
    }
    let version = input.permission_version.unwrap_or(managed.default_version());
    if !(1..=managed.default_version()).contains(&version) {
        return Err(unknown("Permission version", &format!("{version} of {}", managed.name)));
    }
    let text = json!({"Effect": "Allow", "Action": managed.actions(version)}).to_string();
    Ok(Got { permission: Summary { permission: Some(text), ..summarise(managed, version) } })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    permissions: Vec<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

fn listed(
    found: impl Iterator<Item = Summary>,
    max_results: Option<u16>,
    next_token: Option<&str>,
) -> Result<Listed, Refusal> {
    let items = found.map(|summary| (format!("{}/{}", summary.name, summary.version), summary)).collect();
    let (permissions, next_token) = page(items, max_results, next_token)?;
    Ok(Listed { permissions, next_token })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    resource_type: Option<String>,
    resource_owner: Option<String>,
    next_token: Option<String>,
    max_results: Option<u16>,
    permission_type: Option<String>,
    permission_status: Option<String>,
}

/// Types are compared as RAM does: without regard to case.
pub(crate) fn list(_: &mut Reader, _: &Context, input: &List) -> Result<Listed, Refusal> {
    let none = input.permission_type.as_deref() == Some("CUSTOMER_MANAGED")
        || input.resource_owner.as_deref() == Some("SELF")
        || input.permission_status.as_deref().is_some_and(|status| status != "ATTACHABLE");
    let wanted = |managed: &&Managed| {
        let kind = managed.resource_type();
        !none && input.resource_type.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&kind))
    };
    let found = MANAGED.iter().filter(wanted).map(|managed| summarise(managed, managed.default_version()));
    listed(found, input.max_results, input.next_token.as_deref())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Versions {
    permission_arn: String,
    next_token: Option<String>,
    max_results: Option<u16>,
}

pub(crate) fn versions(_: &mut Reader, _: &Context, input: &Versions) -> Result<Listed, Refusal> {
    let managed = Managed::find(&input.permission_arn)?;
    let found = (1..=managed.default_version()).map(|version| summarise(managed, version));
    listed(found, input.max_results, input.next_token.as_deref())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OfShare {
    resource_share_arn: String,
    next_token: Option<String>,
    max_results: Option<u16>,
}

pub(crate) fn of_share(state: &mut Reader, ctx: &Context, input: &OfShare) -> Result<Listed, Refusal> {
    let share = share::own(state, ctx, &input.resource_share_arn)?;
    let found = share.permissions.iter().map(|(shared, attached)| {
        let since = attached.since.unwrap_or(share.created_at);
        Summary {
            status: "ASSOCIATED",
            creation_time: since,
            last_updated_time: since,
            ..summarise(Managed::of(*shared), attached.version)
        }
    });
    listed(found, input.max_results, input.next_token.as_deref())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Associate {
    resource_share_arn: String,
    permission_arn: String,
    #[serde(default)]
    permission_template_parameters: Vec<serde_json::Value>,
    replace: Option<bool>,
    permission_version: Option<u32>,
}

/// "You can specify only the version that is currently set as the default version."
pub(crate) fn associate(tx: &mut Transaction<'_>, ctx: &Context, input: &Associate) -> Result<Done, Refusal> {
    let before = share::own(tx, ctx, &input.resource_share_arn)?;
    let managed = Managed::find(&input.permission_arn)?;
    let default = managed.default_version();
    if !input.permission_template_parameters.is_empty() {
        return Err(invalid("permissionTemplateParameters: no permission here has parameters"));
    }
    if input.permission_version.is_some_and(|version| version != default) {
        return Err(invalid(format_args!("permissionVersion: {} is at version {default}", managed.name)));
    }
    let mut share = before.clone();
    let is_replaced = share
        .permissions
        .insert(managed.shared, Attached { version: default, since: Some(ctx.now) })
        .is_some_and(|attached| attached.version != default);
    if is_replaced && input.replace != Some(true) {
        return Err(invalid(format_args!(
            "{} has another version of the permission: set replace",
            shown(&input.resource_share_arn)
        )));
    }
    share.last_updated_at = ctx.now;
    share::save(tx, Some(&before), Some(&share))?;
    Ok(Done::DONE)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Disassociate {
    resource_share_arn: String,
    permission_arn: String,
}

/// A kind of which the share has resources keeps its permission.
pub(crate) fn disassociate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Disassociate,
) -> Result<Done, Refusal> {
    let before = share::own(tx, ctx, &input.resource_share_arn)?;
    let managed = Managed::find(&input.permission_arn)?;
    let mut share = before.clone();
    if share.resources.values().any(|(shared, _)| *shared == managed.shared) {
        return Err(super::refuse(
            "InvalidStateTransitionException",
            format_args!("the share has resources of type {}", managed.resource_type()),
        ));
    }
    if share.permissions.remove(&managed.shared).is_none() {
        return Err(unknown("Permission of the share", &input.permission_arn));
    }
    share.last_updated_at = ctx.now;
    share::save(tx, Some(&before), Some(&share))?;
    Ok(Done::DONE)
}
