//! Policies that set something of a service network or a service: what they set, and how it is taken back.

use std::future::Future;

use crate::deploy::{DeployError, Deployer, while_under_way};
use crate::lattice::{AssociationState, Known, Tags, unless_gone};
use crate::objects::{AccessLogPolicy, IamAuthPolicy, Name, VpcAssociationPolicy, is_vpc_wanted};
use crate::plan::{PREFIX, Policy};
use crate::world::PolicyKind;

/// What became of a policy's wish.
pub(super) enum Applied {
    /// It is so; what the annotations say of it.
    Done(Vec<(&'static str, String)>),
    /// It is on its way.
    Soon(Vec<(&'static str, String)>),
}

/// A policy that sets something in Lattice.
pub(super) trait Attached: Policy {
    const KIND: PolicyKind;
    const FINALIZER: &'static str;
    /// The annotation that says what was set, so that it can be taken back.
    const NOTE: &'static str;
    /// Its annotations, all of them.
    const NOTES: &'static [&'static str];

    /// Makes it so, for a service network or a service. `note` is what the annotation says.
    fn apply(
        &self,
        deployer: &Deployer,
        target: &Known,
        note: Option<&str>,
    ) -> impl Future<Output = Result<Applied, DeployError>> + Send;

    /// Whether what the annotation names is what every such policy of that target sets. Asked of kinds of which one
    /// counts alone.
    fn shares(
        deployer: &Deployer,
        note: &str,
        target: &Known,
    ) -> impl Future<Output = Result<bool, DeployError>> + Send;

    /// Takes back what the annotation says was set.
    fn withdraw(
        &self,
        deployer: &Deployer,
        note: &str,
    ) -> impl Future<Output = Result<Applied, DeployError>> + Send;
}

impl Attached for IamAuthPolicy {
    const KIND: PolicyKind = PolicyKind::IamAuth;
    const FINALIZER: &'static str = "application-networking.k8s.aws/iam-auth-policy";
    const NOTE: &'static str = "iam-auth-policy-resource-id";
    const NOTES: &'static [&'static str] =
        &["iam-auth-policy-resource-id", "iam-auth-policy-resource-type", "iam-auth-policy-resource-name"];

    async fn apply(
        &self,
        deployer: &Deployer,
        target: &Known,
        _: Option<&str>,
    ) -> Result<Applied, DeployError> {
        while_under_way(|| deployer.lattice.require_iam(&target.id, &self.spec.policy)).await?;
        let kind = if target.id.starts_with("sn-") { "ServiceNetwork" } else { "Service" };
        let [id, of_kind, name] = [Self::NOTES[0], Self::NOTES[1], Self::NOTES[2]];
        Ok(Applied::Done(vec![
            (id, target.id.clone()),
            (of_kind, kind.to_owned()),
            (name, target.name.clone()),
        ]))
    }

    async fn shares(_: &Deployer, note: &str, target: &Known) -> Result<bool, DeployError> {
        Ok(note == target.id)
    }

    async fn withdraw(&self, deployer: &Deployer, note: &str) -> Result<Applied, DeployError> {
        unless_gone(deployer.lattice.require_nothing(note).await)?;
        Ok(Applied::Done(Vec::new()))
    }
}

impl Attached for VpcAssociationPolicy {
    const KIND: PolicyKind = PolicyKind::VpcAssociation;
    const FINALIZER: &'static str = "vpcassociationpolicies.application-networking.k8s.aws/resources";
    const NOTE: &'static str = "resourceArn";
    const NOTES: &'static [&'static str] = &["resourceArn"];

    async fn apply(
        &self,
        deployer: &Deployer,
        target: &Known,
        _: Option<&str>,
    ) -> Result<Applied, DeployError> {
        let (lattice, vpc) = (&deployer.lattice, &deployer.cluster.vpc);
        let tags = deployer.cluster.tags_of(&self.metadata);
        let found = lattice.vpc_associations(&target.id, vpc).await?;
        let standing = found.into_iter().find(|association| association.state != AssociationState::Failed);
        if !is_vpc_wanted(&self.spec) {
            return match standing {
                Some(standing) => leave(deployer, &standing.arn).await,
                None => Ok(Applied::Done(Vec::new())),
            };
        }
        let groups = self.spec.security_group_ids.clone().unwrap_or_default();
        let Some(standing) = standing else {
            let arn = lattice.associate_vpc(&target.id, vpc, &groups, tags).await?;
            return Ok(Applied::Soon(vec![(Self::NOTE, arn)]));
        };
        let notes = vec![(Self::NOTE, standing.arn.clone())];
        if standing.state != AssociationState::Active {
            return Ok(Applied::Soon(notes));
        }
        own(deployer, "the association", &standing.arn, &tags).await?;
        if !groups.is_empty() {
            let (mut wanted, mut set) = (groups, lattice.security_groups(&standing.id).await?);
            wanted.sort();
            set.sort();
            if wanted != set {
                lattice.set_security_groups(&standing.id, &wanted).await?;
                return Ok(Applied::Soon(notes));
            }
        }
        Ok(Applied::Done(notes))
    }

    async fn shares(deployer: &Deployer, note: &str, target: &Known) -> Result<bool, DeployError> {
        let found = deployer.lattice.vpc_associations(&target.id, &deployer.cluster.vpc).await?;
        Ok(found.iter().any(|association| association.arn == note))
    }

    async fn withdraw(&self, deployer: &Deployer, note: &str) -> Result<Applied, DeployError> {
        leave(deployer, note).await
    }
}

/// Takes what has no owner, and refuses what another has.
async fn own(deployer: &Deployer, kind: &'static str, arn: &str, tags: &Tags) -> Result<(), DeployError> {
    let found = deployer.lattice.tags(arn).await?;
    deployer.refuse_foreign(kind, arn, &found)?;
    Ok(deployer.set_tags(arn, tags, &found).await?)
}

/// Ends an association that is ours; it is gone when Lattice does not know it any more.
async fn leave(deployer: &Deployer, arn: &str) -> Result<Applied, DeployError> {
    match deployer.has_made(arn).await {
        Ok(true) => {}
        Ok(false) => return Ok(Applied::Done(Vec::new())),
        Err(error) if error.is_not_found() => return Ok(Applied::Done(Vec::new())),
        Err(error) => return Err(error.into()),
    }
    match deployer.lattice.dissociate_vpc(arn).await {
        Err(error) if error.is_not_found() => Ok(Applied::Done(Vec::new())),
        Err(error) if !error.is_conflict() => Err(error.into()),
        _ => Ok(Applied::Soon(vec![(VpcAssociationPolicy::NOTE, arn.to_owned())])),
    }
}

impl Attached for AccessLogPolicy {
    const KIND: PolicyKind = PolicyKind::AccessLog;
    const FINALIZER: &'static str = "accesslogpolicy.k8s.aws/resources";
    const NOTE: &'static str = "accessLogSubscription";
    const NOTES: &'static [&'static str] = &["accessLogSubscription", "accessLogSubscriptionResourceName"];

    async fn apply(
        &self,
        deployer: &Deployer,
        target: &Known,
        note: Option<&str>,
    ) -> Result<Applied, DeployError> {
        let lattice = &deployer.lattice;
        let destination = &self.spec.destination_arn;
        let mut tags = deployer.cluster.tags_of(&self.metadata);
        tags.insert(format!("{PREFIX}AccessLogPolicy"), Name::of(&self.metadata).to_string());
        let found = lattice.log_subscriptions(&target.id).await?;
        let notes = |arn: String| {
            Ok(Applied::Done(vec![(Self::NOTES[0], arn), (Self::NOTES[1], target.name.clone())]))
        };
        let ours = found.iter().find(|subscription| note == Some(&*subscription.arn));
        // Only within one kind of destination does a subscription move.
        if let Some(ours) = ours
            && (ours.destination == *destination || lattice.move_logs(&ours.arn, destination).await.is_ok())
        {
            own(deployer, "the subscription", &ours.arn, &tags).await?;
            return notes(ours.arn.clone());
        }
        // One of ours whose annotation was never written.
        if let Some(same) = found.iter().find(|subscription| subscription.destination == *destination)
            && lattice.tags(&same.arn).await?.get(&format!("{PREFIX}AccessLogPolicy"))
                == tags.get(&format!("{PREFIX}AccessLogPolicy"))
        {
            return notes(same.arn.clone());
        }
        let arn = lattice.subscribe_logs(&target.id, destination, tags).await?;
        if let Some(old) = note {
            unless_gone(lattice.unsubscribe_logs(old).await)?;
        }
        notes(arn)
    }

    /// Each has a subscription of its own.
    async fn shares(_: &Deployer, _: &str, _: &Known) -> Result<bool, DeployError> {
        Ok(false)
    }

    async fn withdraw(&self, deployer: &Deployer, note: &str) -> Result<Applied, DeployError> {
        unless_gone(deployer.lattice.unsubscribe_logs(note).await)?;
        Ok(Applied::Done(Vec::new()))
    }
}
