//! Shares with the organisation and with its units: whoever is in them receives, without an invitation.
//!
//! A share has the accounts of its groups written down, as all that follows from a share is found by account; [`follow`]
//! writes them anew when accounts come, go or move.

use std::sync::Arc;

use trellis_frame::record::{decode, scan_all};
use trellis_frame::{Context, Refusal, Surroundings, account, organization, task};
use trellis_model::resource::organization::{PREFIX, Record, Tree};
use trellis_model::{AccountId, Arn};
use trellis_store::{Event, Read, StoreError, Transaction};

use super::share::{self, Share};
use super::{invalid, invitation, not_permitted, resource, shown};

/// The service principal of RAM.
const SERVICE: &str = "ram.amazonaws.com";

/// The organisation, where sharing within it is enabled.
pub(super) struct Sharing(Tree);

impl Sharing {
    pub(super) fn read(state: &mut impl Read) -> Result<Option<Self>, Refusal> {
        let tree = organization::read(state)?;
        let is_enabled =
            tree.organization.as_ref().is_some_and(|organization| organization.trusted.contains_key(SERVICE));
        Ok(is_enabled.then_some(Self(tree)))
    }

    /// Whether an account is in it: every account there is, is.
    pub(super) fn has(&self, state: &mut impl Read, account: &AccountId) -> bool {
        account::exists(state, account).unwrap_or(false)
    }

    /// Whether an ARN is that of the organisation or of a unit of it.
    fn has_group(&self, arn: &str) -> bool {
        self.node(arn).is_some()
    }

    /// The root or the unit that an ARN means.
    fn node(&self, arn: &str) -> Option<&str> {
        let organization = self.0.organization.as_ref()?;
        let prefix = format!("arn:aws:organizations::{}:", organization.management);
        let rest = arn.strip_prefix(&prefix)?;
        if rest == format!("organization/{}", organization.id) {
            return Some(&organization.root);
        }
        let unit = rest.strip_prefix(&format!("ou/{}/", organization.id))?;
        self.0.units.get(unit).map(|unit| unit.id.as_str())
    }

    /// Whether an account is in what an ARN means, at any depth.
    fn is_in(&self, account: &AccountId, arn: &str) -> bool {
        let (Some(node), Some(organization)) = (self.node(arn), &self.0.organization) else { return false };
        let Some(member) = self.0.member(account) else { return false };
        node == organization.root || self.0.units_to(&member.parent).iter().any(|unit| unit.id == node)
    }
}

/// "You must use the management account."
///
/// # Errors
/// `OperationNotPermittedException` for any other account.
pub(super) fn enable(tx: &mut Transaction<'_>, ctx: &Context) -> Result<(), Refusal> {
    let found = organization::read(tx)?.organization;
    let Some(mut organization) = found.filter(|found| found.management == ctx.caller.account) else {
        return Err(not_permitted(format_args!(
            "Account {} is not the management account of an organization.",
            ctx.caller.account
        )));
    };
    organization.trusted.entry(SERVICE.to_owned()).or_insert(ctx.now);
    organization::put(tx, &Record::Organization(organization))
}

/// Offers a share to what a caller names: an account, which it gives back, or the organisation or a unit of it.
///
/// # Errors
/// What cannot be shared with.
pub(super) fn offer(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    share: &mut Share,
    text: &str,
) -> Result<Option<AccountId>, Refusal> {
    let is_group = text.parse::<Arn>().is_ok_and(|arn| arn.service == "organizations");
    if !is_group {
        let account = resource::principal(ctx, text)?;
        invitation::invite(tx, ctx, share, &account)?;
        return Ok(Some(account));
    }
    let Some(sharing) = Sharing::read(tx)? else {
        return Err(not_permitted(format_args!(
            "{}: sharing with the organization is not enabled: its management account enables it with EnableSharingWithAwsOrganization.",
            shown(text)
        )));
    };
    if !sharing.has_group(text) {
        return Err(invalid(format_args!("{} is not the organization or a unit of it.", shown(text))));
    }
    share.add_group(text, ctx.now)?;
    expand(tx, share)?;
    Ok(None)
}

/// Writes down who is in the groups of a share now. Where sharing within the organisation is not enabled any more,
/// nobody is.
pub(super) fn expand(state: &mut impl Read, share: &mut Share) -> Result<(), Refusal> {
    share.members.clear();
    if share.groups.is_empty() {
        return Ok(());
    }
    let Some(sharing) = Sharing::read(state)? else { return Ok(()) };
    for account in account::every(state)? {
        let is_in = share.groups.keys().any(|arn| sharing.is_in(&account.id, arn));
        if is_in && account.id != share.home.account {
            share.members.insert(account.id);
        }
    }
    Ok(())
}

/// Keeps the accounts of shares with groups as the organisation has them, as long as the control plane lives.
pub(super) async fn follow(surroundings: Arc<Surroundings>) {
    let mut moves = task::Changes::of(&surroundings.store, PREFIX);
    let mut accounts = task::Changes::of(&surroundings.store, account::PREFIX);
    loop {
        let event: Option<Event> = tokio::select! {
            event = moves.next() => event,
            event = accounts.next() => event,
        };
        if event.is_none() {
            return;
        }
        match surroundings.store.transact(expand_all).await.map_err(Refusal::from) {
            Ok(()) => {}
            Err(Refusal::Store(StoreError::Closed)) => return,
            Err(refusal) => tracing::error!(?refusal, "shares with the organization are not as it is"),
        }
    }
}

fn expand_all(tx: &mut Transaction<'_>) -> Result<(), Refusal> {
    for entry in scan_all(tx, "ram/")? {
        // ram/{account}/{region}/share/{id}
        if entry.key.rsplit('/').nth(1) != Some("share") {
            continue;
        }
        let before: Share = decode(&entry)?;
        let mut after = before.clone();
        expand(tx, &mut after)?;
        // An account that was never invited has no invitation to be found by when it is gone.
        let own = before.principals.iter().filter(|(_, principal)| !principal.is_external());
        for (account, _) in own {
            if !account::exists(tx, account)? {
                after.principals.remove(account);
            }
        }
        if after != before {
            share::save(tx, Some(&before), Some(&after))?;
        }
    }
    Ok(())
}
