//! What an authority lets ACM do by itself: issue and renew its certificates.

use serde::{Deserialize, Serialize};
use trellis_api::typed::{FromValue, IntoValue};
use trellis_frame::{Context, Page, Paged, Records, Refusal};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::authority::{self, Authority};
use crate::policy::{self, Want};
use crate::{refuse, wire};

/// By authority and principal.
const PERMISSIONS: Records<Permission> = Records::new("acm-pca", "permission");

/// "At this time, the only valid principal is acm.amazonaws.com."
pub(crate) const ACM: &str = "acm.amazonaws.com";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Permission {
    principal: String,
    source_account: String,
    actions: Vec<String>,
    created_at: Moment,
}

/// Whether the authority `arn` names lets ACM issue by itself, as it does to renew: by its permission, or, where it is
/// another account's, by its policy.
///
/// # Errors
/// A state that cannot be read.
pub(crate) fn lets_acm_issue(state: &mut impl Read, home: &Home, arn: &str) -> Result<bool, Refusal> {
    if let Ok((named, _)) = authority::named(arn)
        && named.account != home.account.as_str()
    {
        return policy::lets_account_issue(state, home, arn);
    }
    let id = arn.rsplit('/').next().unwrap_or_default();
    let found = PERMISSIONS.get(state, home, format_args!("{id}/{ACM}"))?;
    Ok(found.is_some_and(|found| found.actions.iter().any(|action| action == "IssueCertificate")))
}

/// The authority goes.
pub(crate) fn forget_all(tx: &mut Transaction<'_>, home: &Home, authority: &str) -> Result<(), Refusal> {
    PERMISSIONS.delete(tx, home, format_args!("{authority}/{ACM}"))
}

fn check_principal(authority: &Authority, principal: &str, source: Option<&str>) -> Result<(), Refusal> {
    if principal != ACM {
        return Err(Refusal::invalid("Principal", format_args!("expected {ACM}, found {principal}")));
    }
    match source {
        Some(source) if source != authority.home.account.as_str() => {
            Err(Refusal::invalid("SourceAccount", "is the account of the certificate authority"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreatePermissionInput,
) -> Result<wire::CreatePermissionOutput, Refusal> {
    let authority = Authority::find_live(tx, &ctx.home(), &input.certificate_authority_arn)?;
    check_principal(&authority, &input.principal, input.source_account.as_deref())?;
    let id = format!("{}/{ACM}", authority.id);
    if PERMISSIONS.get(tx, &authority.home, &id)?.is_some() {
        let message = format_args!("{ACM} has permissions on {} already: delete them first", authority.arn());
        return Err(refuse("PermissionAlreadyExistsException", message));
    }
    let permission = Permission {
        principal: ACM.to_owned(),
        source_account: authority.home.account.to_string(),
        actions: input.actions.iter().map(ToString::to_string).collect(),
        created_at: ctx.now,
    };
    PERMISSIONS.put(tx, &authority.home, &id, &permission)?;
    Ok(Default::default())
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeletePermissionInput,
) -> Result<wire::DeletePermissionOutput, Refusal> {
    let authority = Authority::find_live(tx, &ctx.home(), &input.certificate_authority_arn)?;
    check_principal(&authority, &input.principal, input.source_account.as_deref())?;
    let id = format!("{}/{ACM}", authority.id);
    if PERMISSIONS.get(tx, &authority.home, &id)?.is_none() {
        let message = format_args!("{ACM} has no permissions on {}", authority.arn());
        return Err(refuse("ResourceNotFoundException", message));
    }
    PERMISSIONS.delete(tx, &authority.home, &id)?;
    Ok(Default::default())
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListPermissionsInput,
    page: &Page,
) -> Result<Paged<wire::ListPermissionsOutput>, Refusal> {
    let want = Want::of(&ctx.caller, "ListPermissions");
    let authority = policy::reach_live(state, &ctx.home(), &input.certificate_authority_arn, want)?;
    let arn = authority.arn();
    let listing = PERMISSIONS.list_of(state, &authority.home, &authority.id, page, |_, permission| {
        let actions = permission
            .actions
            .iter()
            .filter_map(|action| wire::ActionType::from_value(action.clone().into_value()).ok());
        Ok(Some(wire::Permission {
            certificate_authority_arn: Some(arn.clone()),
            created_at: Some(permission.created_at),
            principal: Some(permission.principal),
            source_account: Some(permission.source_account),
            actions: Some(actions.collect()),
            policy: None,
        }))
    })?;
    Ok(listing.into_output(|permissions| wire::ListPermissionsOutput {
        next_token: None,
        permissions: Some(permissions),
    }))
}
