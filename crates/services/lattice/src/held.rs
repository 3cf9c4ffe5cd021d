//! What VPC Lattice needs of other services, as the table of references has it: VPCs, subnets, security groups and
//! instances of EC2, certificates of ACM.

use trellis_frame::Surroundings;
use trellis_frame::record::decode;
use trellis_frame::reference::{self, Told};
use trellis_model::resource::lattice::{
    Home, ResourceGateway, Service, Target, TargetGroup, VpcAssociation, kind,
};
use trellis_model::{Arn, InstanceId};
use trellis_store::{Entry, Read, Transaction};

use super::{association, certificate, resource_gateway, target, vpc};
use crate::keys;
use crate::place::Place;
use crate::refusal::Refusal;

/// That every reference of a state which older releases wrote is in the table.
const ADOPTED: &str = "migration/lattice-references";

/// Records looked at in one transaction.
const STEP: usize = 32;

/// What a resource of VPC Lattice that holds something is called.
pub(super) fn noun(arn: &Arn) -> Option<&'static str> {
    Some(match arn.resource.split('/').next()? {
        "servicenetworkvpcassociation" => "a service network association",
        "targetgroup" => "a target group",
        "resourcegateway" => "a resource gateway",
        "service" => "a service",
        _ => return None,
    })
}

/// Something that a resource of VPC Lattice needs is another than it was.
pub(super) fn told(
    tx: &mut Transaction<'_>,
    surroundings: &Surroundings,
    &Told { of, by }: &Told<'_>,
) -> Result<(), Refusal> {
    if is(of, "instance") && is(by, "targetgroup") {
        target::follow(tx, of, by)
    } else if is(of, "certificate") && is(by, "service") {
        certificate::follow(tx, surroundings, of, by)
    } else {
        Ok(())
    }
}

/// Brings the table up to date, and targets in line with it.
///
/// # Errors
/// A state that cannot be read or written.
pub(super) async fn start(surroundings: &Surroundings) -> Result<(), Refusal> {
    adopt(surroundings).await?;
    lose_unseen(surroundings).await
}

/// Instances that went while nobody told of it: their targets lead nowhere.
async fn lose_unseen(surroundings: &Surroundings) -> Result<(), Refusal> {
    let mut state = surroundings.store.read()?;
    let mut gone = Vec::new();
    for (of, by) in reference::all_to(&mut state, "arn:aws:ec2:")? {
        let (Ok(of), Ok(by)) = (of.parse::<Arn>(), by.parse::<Arn>()) else { continue };
        if is(&of, "instance") && is(&by, "targetgroup") && !target::is_wanted(&mut state, &of)? {
            gone.push((of, by));
        }
    }
    drop(state);
    for some in gone.chunks(STEP) {
        let some = some.to_vec();
        surroundings
            .store
            .transact(move |tx| some.iter().try_for_each(|(of, by)| target::follow(tx, of, by)))
            .await
            .map_err(Refusal::from)?;
    }
    Ok(())
}

fn is(arn: &Arn, kind: &str) -> bool {
    arn.resource.split_once('/').is_some_and(|(found, _)| found == kind)
}

/// Writes, once, the references of what older releases stored without them.
async fn adopt(surroundings: &Surroundings) -> Result<(), Refusal> {
    if surroundings.store.read()?.get(ADOPTED)?.is_some() {
        return Ok(());
    }
    let mut after: Option<String> = None;
    loop {
        let from = after.take();
        after = surroundings
            .store
            .transact(move |tx| {
                let entries = tx.scan(keys::LATTICE, from.as_deref(), STEP)?;
                for entry in &entries {
                    hold(tx, entry)?;
                }
                let last = entries.last().filter(|_| entries.len() == STEP);
                if last.is_none() {
                    tx.put(ADOPTED, Vec::new());
                }
                Ok::<_, Refusal>(last.map(|entry| entry.key.clone()))
            })
            .await
            .map_err(Refusal::from)?;
        if after.is_none() {
            tracing::info!(
                "what VPC Lattice needs of other services has been written to the table of references"
            );
            return Ok(());
        }
    }
}

/// Holds what the record of `entry` needs.
fn hold(tx: &mut Transaction<'_>, entry: &Entry) -> Result<(), Refusal> {
    // lattice/{account}/{region}/{kind}/...
    let mut parts = entry.key.split('/').skip(1);
    let (account, region) = (parts.next().map(str::parse), parts.next().map(str::parse));
    let (Some(Ok(account)), Some(Ok(region))) = (account, region) else { return Ok(()) };
    let home = Home { account, region };
    match parts.next() {
        Some(kind::VPC_ASSOCIATION) => association::hold(tx, &decode::<VpcAssociation>(entry)?),
        Some(kind::RESOURCE_GATEWAY) => resource_gateway::hold(tx, &decode::<ResourceGateway>(entry)?),
        Some(kind::TARGET_GROUP) => {
            let group: TargetGroup = decode(entry)?;
            if let Some(vpc) = group.config.as_ref().and_then(|config| config.vpc_identifier.as_ref()) {
                reference::hold(tx, &vpc::arn(&home, vpc), &group.arn());
                tx.delete(&Place::new(home).vpc_target_group(vpc, &group.id));
            }
        }
        Some(kind::TARGET) => {
            let Target { id, target_group, .. } = decode(entry)?;
            if id.parse::<InstanceId>().is_ok() {
                let group = home.lattice_arn(format_args!("targetgroup/{target_group}"));
                reference::hold(tx, &target::instance_arn(&home, &id), &group);
            }
        }
        Some(kind::SERVICE) => {
            let service: Service = decode(entry)?;
            if let Some(certificate) = &service.certificate_arn {
                reference::hold(tx, certificate, &service.arn());
            }
        }
        _ => {}
    }
    Ok(())
}
