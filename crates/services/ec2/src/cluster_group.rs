//! The security group that EKS makes for a cluster: its control plane and its nodes are in it, and so are its pods.

use trellis_frame::record::put;
use trellis_frame::tags::{self, Tags};
use trellis_frame::{Refusal, Surroundings};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{
    Direction, IpProtocol, Peer, SecurityGroup, SecurityGroupRule, Traffic, Vpc,
};
use trellis_model::{SecurityGroupId, SecurityGroupRuleId, VpcId};
use trellis_store::Read;

use crate::host::HostError;
use crate::security_group::{first_egress, is_in_use};
use crate::{place, tag};

const DESCRIPTION: &str = "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads.";

/// The group called `name` in `vpc`, made where there is none: its members reach each other, and everything.
///
/// # Errors
/// A VPC that is not there; a state that cannot be written.
pub async fn cluster_group(
    surroundings: &Surroundings,
    home: &Home,
    vpc: &VpcId,
    name: &str,
    tags: &Tags,
) -> Result<SecurityGroupId, HostError> {
    let random = &surroundings.random;
    let id = SecurityGroupId::from_random(random.draw());
    let [ingress, ipv4, ipv6] = [(); 3].map(|()| SecurityGroupRuleId::from_random(random.draw()));
    let now = Moment::from(surroundings.clock.now());
    let (home, vpc, name, tags) = (home.clone(), vpc.clone(), name.to_owned(), tags.clone());
    let made = surroundings.store.transact(move |tx| {
        let vpc: Vpc = place::find(tx, &home, vpc.as_str())?;
        if let Some(known) = named(tx, &home, &vpc.id, &name)? {
            return Ok(known.id);
        }
        let from_members = SecurityGroupRule {
            id: ingress.clone(),
            direction: Direction::Ingress,
            traffic: Traffic { protocol: IpProtocol::All, from: None, to: None },
            peer: Peer::Group { account: home.account.clone(), group: id.clone() },
            description: None,
        };
        let egress = first_egress(&vpc, [ipv4.clone(), ipv6.clone()]);
        let group = SecurityGroup {
            id: id.clone(),
            home: home.clone(),
            rules: std::iter::once(from_members).chain(egress).collect(),
            vpc: vpc.id,
            name: name.clone(),
            description: DESCRIPTION.to_owned(),
            created_at: now,
        };
        put(tx, &place::key::<SecurityGroup>(&home, id.as_str()), &group);
        tag::apply(tx, &home, &group.arn(), &tags)?;
        Ok::<_, Refusal>(group.id)
    });
    Ok(made.await.map_err(Refusal::from)?)
}

/// Takes such a group away, where there is one. One that somebody uses meanwhile stays, as on EKS.
///
/// # Errors
/// A state that cannot be written.
pub async fn forget_cluster_group(
    surroundings: &Surroundings,
    home: &Home,
    vpc: &VpcId,
    name: &str,
) -> Result<(), HostError> {
    let (home, vpc, name) = (home.clone(), vpc.clone(), name.to_owned());
    let gone = surroundings.store.transact(move |tx| {
        let Some(group) = named(tx, &home, &vpc, &name)? else { return Ok(()) };
        if !is_in_use(tx, &group)? {
            tx.delete(&place::key::<SecurityGroup>(&home, group.id.as_str()));
            tags::forget(tx, &home, &group.arn());
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
