//! The security group that EKS makes for a cluster: its control plane and its nodes are in it, and so are its pods.

use trellis_frame::tags::Tags;
use trellis_frame::{Refusal, Surroundings};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{SecurityGroup, Vpc};
use trellis_model::{SecurityGroupId, SecurityGroupRuleId, VpcId};
use trellis_store::Read;

use crate::host::HostError;
use crate::security_group::{is_in_use, of_members, remove};
use crate::{place, tag};

const DESCRIPTION: &str = "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads.";

/// The group called `name` in `vpc`, made where there is none: its members reach each other, and everything.
///
/// # Errors
/// A VPC that is not there; a state that cannot be written.
pub(crate) async fn cluster_group(
    surroundings: &Surroundings,
    home: &Home,
    vpc: &VpcId,
    name: &str,
    tags: &Tags,
) -> Result<SecurityGroupId, HostError> {
    let random = &surroundings.random;
    let id = SecurityGroupId::from_random(random.draw());
    let rule_ids = [(); 3].map(|()| SecurityGroupRuleId::from_random(random.draw()));
    let now = Moment::from(surroundings.clock.now());
    let (home, vpc, name, tags) = (home.clone(), vpc.clone(), name.to_owned(), tags.clone());
    let made = surroundings.store.transact(move |tx| {
        let vpc: Vpc = place::find(tx, &home, vpc.as_str())?;
        if let Some(known) = named(tx, &home, &vpc.id, &name)? {
            return Ok(known.id);
        }
        let group = of_members(&vpc, (id.clone(), &name, DESCRIPTION), rule_ids.clone(), now);
        place::put(tx, &group);
        tag::apply(tx, &home, &group.arn(), &tags)?;
        Ok::<_, Refusal>(group.id)
    });
    Ok(made.await.map_err(Refusal::from)?)
}

/// Takes such a group away, where there is one. One that somebody uses meanwhile stays, as on EKS.
///
/// # Errors
/// A state that cannot be written.
pub(crate) async fn forget_cluster_group(
    surroundings: &Surroundings,
    home: &Home,
    vpc: &VpcId,
    name: &str,
) -> Result<(), HostError> {
    let (home, vpc, name) = (home.clone(), vpc.clone(), name.to_owned());
    let gone = surroundings.store.transact(move |tx| {
        let Some(group) = named(tx, &home, &vpc, &name)? else { return Ok(()) };
        if !is_in_use(tx, &group)? {
            remove(tx, &group);
        }
        Ok::<_, Refusal>(())
    });
    Ok(gone.await.map_err(Refusal::from)?)
}

fn named(
    state: &mut impl Read,
    home: &Home,
    vpc: &VpcId,
    name: &str,
) -> Result<Option<SecurityGroup>, Refusal> {
    let groups = place::all::<SecurityGroup>(state, home)?;
    Ok(groups.into_iter().find(|group| group.vpc == *vpc && group.name == name))
}
