//! States that move when the kernel has acted, and what a restart makes of them.

use std::sync::Arc;

use trellis_frame::{Refusal, Surroundings, reference};
use trellis_model::moment::Moment;
use trellis_model::resource::vpc::{Instance, InstanceState, Vpc, VpcState};
use trellis_model::{InstanceId, VpcId};
use trellis_store::{TransactError, Transaction};

use super::{host, place, traits};

/// Runs `work`; what goes wrong is ours, so it is logged and the state stays as it is.
async fn move_state<F>(surroundings: &Surroundings, mut work: F)
where
    F: FnMut(&mut Transaction<'_>) -> Result<(), Refusal> + Send + 'static,
{
    let outcome = surroundings.store.transact(move |tx| work(tx)).await;
    if let Err(error) = outcome {
        let refusal = Refusal::from(error);
        tracing::error!(?refusal, "a state did not move");
    }
}

/// The kernel has the VPC: `pending` becomes `available`.
pub(crate) async fn vpc_ready(surroundings: &Surroundings, vpc: &VpcId) {
    let id = vpc.clone();
    move_state(surroundings, move |tx| {
        let Some(mut vpc) = place::find_anywhere::<Vpc>(tx, id.as_str())? else { return Ok(()) };
        if vpc.state == VpcState::Pending {
            vpc.state = VpcState::Available;
            place::put(tx, &vpc);
        }
        Ok(())
    })
    .await;
}

/// The kernel has the host: `pending` becomes `running`.
pub(crate) async fn host_ready(surroundings: &Surroundings, instance: &InstanceId) {
    let id = instance.clone();
    move_state(surroundings, move |tx| {
        let Some(mut instance) = place::find_anywhere::<Instance>(tx, id.as_str())? else { return Ok(()) };
        if instance.state == InstanceState::Pending {
            instance.state = InstanceState::Running;
            instance.reason = None;
            place::put(tx, &instance);
        }
        Ok(())
    })
    .await;
}

/// The kernel does not have the host yet, and why. It is tried again until somebody ends it.
pub(crate) async fn host_failed(surroundings: &Surroundings, instance: &InstanceId, reason: &str) {
    let (id, reason) = (instance.clone(), reason.chars().take(512).collect::<String>());
    move_state(surroundings, move |tx| {
        let Some(mut instance) = place::find_anywhere::<Instance>(tx, id.as_str())? else { return Ok(()) };
        if instance.state.is_wanted() && instance.reason.as_ref() != Some(&reason) {
            instance.reason = Some(reason.clone());
            place::put(tx, &instance);
        }
        Ok(())
    })
    .await;
}

/// The kernel no longer has the host: `shutting-down` becomes `terminated`. A host that was still
/// wanted is made again and is `pending` until then.
pub(crate) async fn host_gone(surroundings: &Arc<Surroundings>, instance: &InstanceId) {
    let (id, inside) = (instance.clone(), surroundings.clone());
    let now = Moment::from(surroundings.clock.now());
    move_state(surroundings, move |tx| {
        let Some(mut instance) = place::find_anywhere::<Instance>(tx, id.as_str())? else { return Ok(()) };
        match instance.state {
            InstanceState::ShuttingDown => host::finish(tx, &mut instance, now),
            InstanceState::Running => instance.state = InstanceState::Pending,
            InstanceState::Pending | InstanceState::Terminated => return Ok(()),
        }
        place::put(tx, &instance);
        reference::changed(tx, &inside, &instance.arn())
    })
    .await;
}

/// After a start nothing is in the kernel. Detached hosts are made again; the others ended with the
/// process that held them.
///
/// # Errors
/// The state could not be read or written.
pub(super) async fn recover(surroundings: &Arc<Surroundings>) -> Result<(), Refusal> {
    let inside = surroundings.clone();
    let now = Moment::from(surroundings.clock.now());
    let outcome: Result<(), TransactError<Refusal>> = surroundings
        .store
        .transact(move |tx| {
            for vpc in place::every::<Vpc>(tx)? {
                traits::note_dns_attributes(tx, &vpc)?;
            }
            let instances = place::every::<Instance>(tx)?;
            host::prune(tx, &instances, now);
            for mut instance in instances {
                match (instance.state, instance.detached) {
                    (InstanceState::Running, true) => instance.state = InstanceState::Pending,
                    (InstanceState::Pending, true) | (InstanceState::Terminated, _) => continue,
                    (InstanceState::Pending | InstanceState::Running, false)
                    | (InstanceState::ShuttingDown, _) => {
                        let wanted = instance.state.is_wanted();
                        host::finish(tx, &mut instance, now);
                        if wanted {
                            instance.reason = Some("the process that held the host ended".to_owned());
                        }
                    }
                }
                place::put(tx, &instance);
                reference::changed(tx, &inside, &instance.arn())?;
            }
            Ok(())
        })
        .await;
    Ok(outcome?)
}
