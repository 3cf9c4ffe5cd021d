//! Invitations: what an account is offered, for as long as it has not answered.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use trellis_frame::record::{all, get, put};
use trellis_frame::{Context, Refusal};
use trellis_model::AccountId;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use super::page::page;
use super::share::{self, Principal, Share};
use super::{listing, named, organization, refuse, shown};

/// An invitation that is not answered lapses: "within seven days" in AWS.
const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An invitation, at `invitation/{receiver}/{region}/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    /// A UUID.
    id: String,
    share: String,
    share_name: String,
    /// Where the share is.
    sender: Home,
    receiver: AccountId,
    answer: Option<Given>,
    sent_at: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Given {
    Accepted,
    Rejected,
}

impl Invitation {
    fn arn(&self) -> String {
        let Home { account, region } = &self.sender;
        format!("arn:aws:ram:{region}:{account}:resource-share-invitation/{}", self.id)
    }

    fn status(&self, now: Moment) -> &'static str {
        match self.answer {
            Some(Given::Accepted) => "ACCEPTED",
            Some(Given::Rejected) => "REJECTED",
            None if is_over(self.sent_at, now) => "EXPIRED",
            None => "PENDING",
        }
    }
}

fn is_over(sent_at: Moment, now: Moment) -> bool {
    Timestamp::from(now).duration_since(Timestamp::from(sent_at)) > LIFETIME
}

fn invitations(receiver: &Home) -> String {
    format!("invitation/{}/{}/", receiver.account, receiver.region)
}

fn key(sender: &Home, receiver: &AccountId, id: &str) -> String {
    let receiver = Home { account: receiver.clone(), region: sender.region.clone() };
    format!("{}{id}", invitations(&receiver))
}

/// Where a principal of a share stands: status, and why where it says so.
pub(super) fn standing(
    state: &mut impl Read,
    share: &Share,
    account: &AccountId,
    principal: &Principal,
    now: Moment,
) -> Result<(&'static str, Option<&'static str>), Refusal> {
    if principal.has_accepted {
        return Ok(("ASSOCIATED", None));
    }
    let invitation: Option<Invitation> = get(state, &key(&share.home, account, &principal.invitation))?;
    Ok(match invitation.map(|invitation| invitation.status(now)) {
        Some("REJECTED") => ("FAILED", Some("The invitation was rejected.")),
        Some("EXPIRED") | None => ("FAILED", Some("The invitation expired.")),
        Some(_) => ("ASSOCIATING", None),
    })
}

/// Offers the share to an account, unless it has accepted it or can still answer.
pub(super) fn invite(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    share: &mut Share,
    account: &AccountId,
) -> Result<(), Refusal> {
    let is_external = !organization::is_shared_with(tx, account)?;
    share.check_room(account, is_external)?;
    if let Some(principal) = share.principals.get(account) {
        if standing(tx, share, account, principal, ctx.now)?.0 != "FAILED" {
            return Ok(());
        }
        forget(tx, &share.home, account, &principal.invitation);
    }
    // "If the account is in your organization, and sharing with it is enabled, it gets no invitation."
    if !is_external {
        let principal = Principal {
            invitation: String::new(),
            has_accepted: true,
            created_at: ctx.now,
            last_updated_at: ctx.now,
        };
        share.principals.insert(account.clone(), principal);
        return Ok(());
    }
    let invitation = Invitation {
        id: ctx.surroundings.random.uuid(),
        share: share.id.clone(),
        share_name: share.name.clone(),
        sender: share.home.clone(),
        receiver: account.clone(),
        answer: None,
        sent_at: ctx.now,
    };
    let principal = Principal {
        invitation: invitation.id.clone(),
        has_accepted: false,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    put(tx, &key(&share.home, account, &invitation.id), &invitation);
    share.principals.insert(account.clone(), principal);
    Ok(())
}

/// Owner and id of every share that the account has an invitation to, in any region.
pub(super) fn shares_offered_to(
    state: &mut impl Read,
    account: &AccountId,
) -> Result<Vec<(Home, String)>, Refusal> {
    let invitations: Vec<Invitation> = all(state, &format!("invitation/{account}/"))?;
    Ok(invitations.into_iter().map(|invitation| (invitation.sender, invitation.share)).collect())
}

/// Takes an invitation back.
pub(super) fn forget(tx: &mut Transaction<'_>, sender: &Home, receiver: &AccountId, id: &str) {
    tx.delete(&key(sender, receiver, id));
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    resource_share_invitation_arn: String,
    resource_share_name: String,
    resource_share_arn: String,
    sender_account_id: AccountId,
    receiver_account_id: AccountId,
    invitation_timestamp: Moment,
    status: &'static str,
}

fn describe(invitation: Invitation, now: Moment) -> Description {
    Description {
        resource_share_invitation_arn: invitation.arn(),
        resource_share_arn: share::arn_of(&invitation.sender, &invitation.share),
        status: invitation.status(now),
        resource_share_name: invitation.share_name,
        sender_account_id: invitation.sender.account,
        receiver_account_id: invitation.receiver,
        invitation_timestamp: invitation.sent_at,
    }
}

/// The invitation to the caller that `text` is the ARN of.
fn received(state: &mut impl Read, ctx: &Context, text: &str) -> Result<Invitation, Refusal> {
    let home = ctx.home();
    let (sender, id) = named(text, "resource-share-invitation")?;
    let found: Option<Invitation> = get(state, &format!("{}{id}", invitations(&home)))?;
    found.filter(|invitation| invitation.sender == sender).ok_or_else(|| {
        refuse(
            "ResourceShareInvitationArnNotFoundException",
            format_args!("ResourceShareInvitation {} could not be found.", shown(text)),
        )
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    resource_share_invitation_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    resource_share_invitation: Description,
}

pub(crate) fn accept(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Answer, Refusal> {
    give(tx, ctx, &input.resource_share_invitation_arn, Given::Accepted)
}

pub(crate) fn reject(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Answer, Refusal> {
    give(tx, ctx, &input.resource_share_invitation_arn, Given::Rejected)
}

fn give(tx: &mut Transaction<'_>, ctx: &Context, text: &str, answer: Given) -> Result<Answer, Refusal> {
    let mut invitation = received(tx, ctx, text)?;
    check_open(&invitation, ctx.now)?;
    invitation.answer = Some(answer);
    put(tx, &key(&invitation.sender, &invitation.receiver, &invitation.id), &invitation);
    if let Some(before) = share::find(tx, &invitation.sender, &invitation.share)? {
        let mut after = before.clone();
        if let Some(principal) = after.principals.get_mut(&invitation.receiver) {
            principal.has_accepted = answer == Given::Accepted;
            principal.last_updated_at = ctx.now;
        }
        share::save(tx, Some(&before), Some(&after))?;
    }
    Ok(Answer { resource_share_invitation: describe(invitation, ctx.now) })
}

/// An invitation is answered once, and in time.
fn check_open(invitation: &Invitation, now: Moment) -> Result<(), Refusal> {
    let arn = invitation.arn();
    match invitation.status(now) {
        "PENDING" => Ok(()),
        "ACCEPTED" => Err(refuse(
            "ResourceShareInvitationAlreadyAcceptedException",
            format_args!("{arn} has been accepted already."),
        )),
        "REJECTED" => Err(refuse(
            "ResourceShareInvitationAlreadyRejectedException",
            format_args!("{arn} has been rejected already."),
        )),
        _ => Err(refuse("ResourceShareInvitationExpiredException", format_args!("{arn} has expired."))),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    #[serde(default)]
    resource_share_invitation_arns: Vec<String>,
    #[serde(default)]
    resource_share_arns: Vec<String>,
    next_token: Option<String>,
    max_results: Option<u16>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    resource_share_invitations: Vec<Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Those the caller has received.
pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listed, Refusal> {
    for text in &input.resource_share_invitation_arns {
        received(state, ctx, text)?;
    }
    for text in &input.resource_share_arns {
        named(text, "resource-share")?;
    }
    let invitations: Vec<Invitation> = all(state, &invitations(&ctx.home()))?;
    let asked = |asked: &[String], arn: &str| asked.is_empty() || asked.iter().any(|text| text == arn);
    let items = invitations
        .into_iter()
        .map(|invitation| (invitation.id.clone(), describe(invitation, ctx.now)))
        .filter(|(_, found)| {
            asked(&input.resource_share_invitation_arns, &found.resource_share_invitation_arn)
                && asked(&input.resource_share_arns, &found.resource_share_arn)
        })
        .collect();
    let (resource_share_invitations, next_token) =
        page(items, input.max_results, input.next_token.as_deref())?;
    Ok(Listed { resource_share_invitations, next_token })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListResources {
    resource_share_invitation_arn: String,
    next_token: Option<String>,
    max_results: Option<u16>,
    resource_region_scope: Option<String>,
}

/// What an invitation that is not answered yet offers.
pub(crate) fn resources(
    state: &mut Reader,
    ctx: &Context,
    input: &ListResources,
) -> Result<listing::Resources, Refusal> {
    let invitation = received(state, ctx, &input.resource_share_invitation_arn)?;
    check_open(&invitation, ctx.now)?;
    let share = share::find(state, &invitation.sender, &invitation.share)?;
    let items = match input.resource_region_scope.as_deref() {
        Some("GLOBAL") => Vec::new(),
        _ => share.iter().flat_map(listing::resources_of).collect(),
    };
    listing::Resources::page(items, input.max_results, input.next_token.as_deref())
}
