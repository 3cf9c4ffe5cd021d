//! What the three kinds of associations have in common: they belong to two accounts.
//!
//! The record is kept where the service network is. Everything that leads to it, and its tags, exist in
//! the account of each party, so that an account finds what it is party to without asking who may see
//! what. "The association exists in both accounts: same id, but each account sees an ARN whose account
//! field is its own. Either account may delete it; deletion removes both views."

use serde::Serialize;
use serde::de::DeserializeOwned;
use trellis_frame::counted;
use trellis_frame::record::{any, decode, get, get_id, put, put_pending};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_frame::{Context, reference};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{
    Home, ResourceAssociation, ServiceAssociation, ServiceNetwork, Shared, Status, VpcAssociation,
};
use trellis_model::{AccountId, ServiceNetworkId};
use trellis_store::{Entry, Read, Transaction};

use super::place::{Place, kind};
use super::{identifier, vpc};
use crate::refusal::{Kind, Refusal, access_denied, check_settled, conflict, not_found};
use crate::sharing::{self, Want};

/// A tie between a service network and something else, each of which has an owner.
pub(crate) trait Association: Serialize + DeserializeOwned {
    /// As record keys and as pending keys name it.
    const KIND: &'static str;
    /// What ARNs have before the id.
    const ARN_PREFIX: &'static str;

    /// As refusals name it.
    const WHAT: Kind;

    fn id(&self) -> &str;
    fn status(&self) -> Status;
    /// `now`: for those that tell when they changed.
    fn set_status(&mut self, status: Status, now: Moment);
    /// Of the network's owner.
    fn home(&self) -> &Home;
    /// Of the owner of what is associated with the network.
    fn far_home(&self) -> Home;
    /// Keys that lead to the association, in the account of `place`.
    fn indexes(&self, place: &Place) -> Vec<String>;
    /// ARNs of what is another service's and has to stay as long as the association.
    fn needs(&self) -> Vec<String> {
        Vec::new()
    }

    /// The ARN that `viewer` knows it by: its own for a party, the network owner's for others.
    fn arn_for(&self, viewer: &AccountId) -> String {
        let home = self.home();
        let far = self.far_home();
        let home = if far.account == *viewer { &far } else { home };
        home.lattice_arn(format_args!("{}{}", Self::ARN_PREFIX, self.id()))
    }
}

impl Association for VpcAssociation {
    const KIND: &'static str = kind::VPC_ASSOCIATION;
    const ARN_PREFIX: &'static str = "servicenetworkvpcassociation/";
    const WHAT: Kind = Kind::VpcAssociation;

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn status(&self) -> Status {
        self.status
    }

    fn set_status(&mut self, status: Status, now: Moment) {
        self.status = status;
        self.last_updated_at = now;
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn far_home(&self) -> Home {
        Home { account: self.created_by.clone(), region: self.home.region.clone() }
    }

    fn indexes(&self, place: &Place) -> Vec<String> {
        vec![place.network_vpc(&self.network, &self.id), place.vpc_network(&self.vpc, &self.id)]
    }

    fn needs(&self) -> Vec<String> {
        vpc::arns(&self.far_home(), &self.vpc, &self.security_groups, &[])
    }
}

impl Association for ServiceAssociation {
    const KIND: &'static str = kind::SERVICE_ASSOCIATION;
    const ARN_PREFIX: &'static str = "servicenetworkserviceassociation/";
    const WHAT: Kind = Kind::ServiceAssociation;

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn status(&self) -> Status {
        self.status
    }

    fn set_status(&mut self, status: Status, _now: Moment) {
        self.status = status;
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn far_home(&self) -> Home {
        self.home.of_owner(&self.service_arn)
    }

    fn indexes(&self, place: &Place) -> Vec<String> {
        let Self { network, service, custom_domain_name, .. } = self;
        let mut keys = vec![place.network_service(network, service), place.service_network(service, network)];
        keys.extend(custom_domain_name.as_deref().map(|domain| place.network_domain(network, domain)));
        keys
    }
}

impl Association for ResourceAssociation {
    const KIND: &'static str = kind::RESOURCE_ASSOCIATION;
    const ARN_PREFIX: &'static str = "servicenetworkresourceassociation/";
    const WHAT: Kind = Kind::ResourceAssociation;

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn status(&self) -> Status {
        self.status
    }

    fn set_status(&mut self, status: Status, now: Moment) {
        self.status = status;
        self.last_updated_at = now;
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn far_home(&self) -> Home {
        self.home.of_owner(&self.resource_arn)
    }

    fn indexes(&self, place: &Place) -> Vec<String> {
        let Self { network, resource, managed_by, .. } = self;
        let mut keys = vec![
            place.network_resource(network, resource),
            place.resource_network(resource, network),
            place.network_address(network, self.address()),
        ];
        keys.extend(managed_by.is_none().then(|| place.network_own_resource(network, resource)));
        keys
    }
}

/// The parties' places: one where the same account has both ends.
fn places(association: &impl Association) -> impl Iterator<Item = Place> {
    let (near, far) = (association.home().clone(), association.far_home());
    let far = (far != near).then_some(far);
    std::iter::once(near).chain(far).map(Place::new)
}

/// Refuses to associate `far` with a network that it has been associated with already, as `key` tells.
pub(crate) fn check_pair<A: Association>(
    state: &mut impl Read,
    place: &Place,
    key: &str,
    far: (Kind, &str),
    network: &ServiceNetworkId,
) -> Result<(), Refusal> {
    let Some(id) = get_id(state, key)? else { return Ok(()) };
    let pair: Option<A> = get(state, &place.association(A::KIND, &id))?;
    let status = pair.map_or(Status::Active, |pair| pair.status()).as_str();
    let (what, far) = (far.0.noun(), far.1);
    let message = format_args!(
        "{what} {far} has already been associated to ServiceNetwork {network}: {id} is {status}"
    );
    Err(conflict(A::WHAT, &id, message))
}

/// "Two shared-in objects cannot be associated with each other."
///
/// # Errors
/// `AccessDeniedException` unless the caller owns one end.
pub(crate) fn check_owner(ctx: &Context, network: &ServiceNetwork, far: &Home) -> Result<(), Refusal> {
    if [&network.home.account, &far.account].contains(&&ctx.caller.account) {
        return Ok(());
    }
    Err(access_denied(format_args!(
        "neither end belongs to {}: two resources that are shared with an account cannot be associated",
        ctx.caller.account
    )))
}

/// Writes a new association: its record, what leads to it, and work for the workflow.
pub(crate) fn begin(tx: &mut Transaction<'_>, association: &impl Association) -> Result<(), Refusal> {
    for place in places(association) {
        for key in association.indexes(&place) {
            counted::put(tx, &key, association.id().into())?;
        }
        if place.home != *association.home() {
            tx.put(&place.far_association(association.id()), association.home().account.as_str().into());
        }
    }
    hold(tx, association);
    save_pending(tx, association);
    Ok(())
}

/// What the association needs is to stay; told of by the ARN that the owner of its far end knows.
pub(crate) fn hold<A: Association>(tx: &mut Transaction<'_>, association: &A) {
    let by = association.arn_for(&association.far_home().account);
    association.needs().iter().for_each(|of| reference::hold(tx, of, &by));
}

/// The opposite of [`hold`].
pub(crate) fn release<A: Association>(tx: &mut Transaction<'_>, association: &A) {
    let by = association.arn_for(&association.far_home().account);
    association.needs().iter().for_each(|of| reference::release(tx, of, &by));
}

/// Writes the record of an association that has changed.
pub(crate) fn save<A: Association>(tx: &mut Transaction<'_>, association: &A) {
    let place = Place::new(association.home().clone());
    put(tx, &place.association(A::KIND, association.id()), association);
}

/// Writes the record, and that the workflow has to do something about it.
pub(crate) fn save_pending<A: Association>(tx: &mut Transaction<'_>, association: &A) {
    let place = Place::new(association.home().clone());
    put_pending(tx, &place.scope, A::KIND, association.id(), association);
}

/// Tags as `viewer` sees them: each party has its own.
pub(crate) fn tag(
    tx: &mut Transaction<'_>,
    association: &impl Association,
    viewer: &Home,
    tags: &Tags,
) -> Result<(), Refusal> {
    tag_set::merge(tx, viewer, &association.arn_for(&viewer.account), tags)
}

/// Takes everything of an association away, in the accounts of both parties.
pub(crate) fn forget<A: Association>(tx: &mut Transaction<'_>, association: &A) -> Result<(), Refusal> {
    for place in places(association) {
        for key in association.indexes(&place) {
            counted::delete(tx, &key)?;
        }
        tx.delete(&place.far_association(association.id()));
        tag_set::forget(tx, &place.home, &association.arn_for(&place.home.account));
    }
    release(tx, association);
    let place = Place::new(association.home().clone());
    tx.delete(&place.association(A::KIND, association.id()));
    Ok(())
}

/// An answer to the deletion of an association.
#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    id: String,
    arn: String,
    status: Status,
}

/// Begins the end of an association, which the workflow brings about.
///
/// # Errors
/// `ConflictException` while something else is being done about it.
pub(crate) fn end<A: Association>(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    mut association: A,
) -> Result<Deleted, Refusal> {
    check_settled(A::WHAT, association.id(), association.status())?;
    association.set_status(Status::DeleteInProgress, ctx.now);
    save_pending(tx, &association);
    Ok(Deleted {
        id: association.id().to_owned(),
        arn: association.arn_for(&ctx.caller.account),
        status: association.status(),
    })
}

/// One step of the workflow, taken once the data plane acts on what was asked for.
pub(crate) fn settle<A: Association>(
    tx: &mut Transaction<'_>,
    place: &Place,
    id: &str,
    now: Moment,
) -> Result<(), Refusal> {
    let Some(mut association) = get::<A>(tx, &place.association(A::KIND, id))? else { return Ok(()) };
    match association.status() {
        Status::CreateInProgress | Status::UpdateInProgress => {
            association.set_status(Status::Active, now);
            save(tx, &association);
        }
        Status::DeleteInProgress => forget(tx, &association)?,
        _ => {}
    }
    Ok(())
}

/// The association with `id`, if the account of `place` is party to it.
pub(crate) fn find<A: Association>(
    state: &mut impl Read,
    place: &Place,
    id: &str,
) -> Result<Option<A>, Refusal> {
    entry(state, place, A::KIND, id)?.map(|entry| decode(&entry)).transpose()
}

/// As [`find`], for one of a kind, as record keys name it.
pub(crate) fn entry(
    state: &mut impl Read,
    place: &Place,
    kind: &str,
    id: &str,
) -> Result<Option<Entry>, Refusal> {
    if let Some(near) = state.get(&place.association(kind, id))? {
        return Ok(Some(near));
    }
    let owner = get_id(state, &place.far_association(id))?.and_then(|account| account.parse().ok());
    let Some(account) = owner else { return Ok(None) };
    let near = Place::new(Home { account, region: place.home.region.clone() });
    Ok(state.get(&near.association(kind, id))?)
}

/// Where the associations of the network that `text` means are listed for the caller: with the network
/// for its owner and whoever it is shared with, who see all of them; in the caller's own account for one
/// who is still party to some.
///
/// # Errors
/// As [`sharing::locate`], for a caller who is party to none. `mine` tells what leads to those.
pub(crate) fn listing_place(
    state: &mut impl Read,
    ctx: &Context,
    text: &str,
    action: &str,
    mine: impl FnOnce(&Place, &ServiceNetworkId) -> String,
) -> Result<(Place, ServiceNetworkId), Refusal> {
    let located =
        sharing::locate::<ServiceNetworkId>(state, ctx, Shared::ServiceNetwork, text, Want::to(action));
    let refusal = match located {
        Ok((place, id)) => match get::<ServiceNetwork>(state, &place.network(&id))? {
            Some(_) => return Ok((place, id)),
            None => not_found(Kind::ServiceNetwork, &id),
        },
        Err(ours) if ours.is_ours() => return Err(ours),
        Err(refusal) => refusal,
    };
    let own = Place::new(ctx.home());
    let shared = Shared::ServiceNetwork;
    match identifier::whose::<ServiceNetworkId>(text, &own.home, shared.arn_prefix(), Kind::ServiceNetwork) {
        Ok((_, id)) if any(state, &mine(&own, &id))? => Ok((own, id)),
        _ => Err(refusal),
    }
}
