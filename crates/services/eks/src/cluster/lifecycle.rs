//! From CREATING to ACTIVE, and from DELETING to nothing.

use std::sync::Arc;
use std::time::Duration;

use trellis_frame::{BoxFuture, Progress, Refusal, Surroundings, Work, tags};
use trellis_model::resource::lattice::Home;
use trellis_store::Transaction;

use super::{CLUSTERS, Cluster, Status};
use crate::machine::{Fault, Machine, Machines, Running};
use crate::{access, addon, pod_identity, update};

/// How often it is looked whether there is a machine.
const PAUSE: Duration = Duration::from_millis(50);
/// How long there may be none before clusters fail.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between attempts to end or to find again what cannot be.
const AGAIN: Duration = Duration::from_secs(5);

/// Does what the record of a cluster says is to be done.
pub(crate) fn advance(
    surroundings: Arc<Surroundings>,
    work: Work,
) -> BoxFuture<'static, Result<Progress, Refusal>> {
    Box::pin(async move {
        let found = CLUSTERS.get(&mut surroundings.store.read()?, &work.home, &work.id)?;
        let Some(cluster) = found else { return work.settle(&surroundings, |_| Ok(())).await };
        let machine = machine(&surroundings).await;
        match cluster.status {
            Status::Creating => {
                let made = match machine {
                    Ok(machine) => make(&*machine, &cluster).await,
                    Err(fault) => Err(fault),
                };
                if let Err(fault) = &made {
                    tracing::warn!(cluster = cluster.name, %fault, "a cluster could not be made");
                }
                let (home, name) = (work.home.clone(), work.id.clone());
                work.settle(&surroundings, move |tx| settle(tx, &home, &name, made.clone())).await
            }
            Status::Deleting => {
                let Ok(machine) = machine else { return Ok(Progress::Later(AGAIN)) };
                if let Err(fault) = machine.stop(cluster.plan()).await {
                    tracing::error!(cluster = cluster.name, %fault, "a cluster could not be ended; it is tried again");
                    return Ok(Progress::Later(AGAIN));
                }
                work.settle(&surroundings, move |tx| forget(tx, &cluster)).await
            }
            Status::Active | Status::Failed => work.settle(&surroundings, |_| Ok(())).await,
        }
    })
}

async fn make(machine: &dyn Machine, cluster: &Cluster) -> Result<Running, Fault> {
    let running = machine.start(cluster.plan()).await?;
    for (path, object) in access::policy::bindings() {
        machine.apply(cluster.id.clone(), path, object).await?;
    }
    Ok(running)
}

fn settle(
    tx: &mut Transaction<'_>,
    home: &Home,
    name: &str,
    made: Result<Running, Fault>,
) -> Result<(), Refusal> {
    let Some(mut cluster) = CLUSTERS.get(tx, home, name)? else { return Ok(()) };
    match made {
        Ok(running) => {
            cluster.status = Status::Active;
            cluster.running = Some(running);
        }
        Err(fault) => {
            cluster.status = Status::Failed;
            cluster.reason = Some(fault.reason);
        }
    }
    CLUSTERS.put(tx, home, name, &cluster)
}

/// Whatever is kept under the cluster's name goes with it.
fn forget(tx: &mut Transaction<'_>, cluster: &Cluster) -> Result<(), Refusal> {
    let Cluster { home, name, .. } = cluster;
    for entry in access::ENTRIES.all_of(tx, home, name)? {
        access::forget(tx, &entry)?;
    }
    // An add-on takes its associations with it.
    for addon in addon::ADDONS.all_of(tx, home, name)? {
        addon::forget(tx, &addon)?;
    }
    for association in pod_identity::ASSOCIATIONS.all_of(tx, home, name)? {
        pod_identity::forget(tx, home, name, &association.id)?;
    }
    for update in update::UPDATES.all_of(tx, home, name)? {
        update::forget(tx, home, &update)?;
    }
    tags::forget(tx, home, &cluster.arn());
    CLUSTERS.delete(tx, home, name)
}

/// After a restart: whoever waits at the sockets of clusters that are there.
pub(crate) fn resume(surroundings: Arc<Surroundings>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let read = || super::every_cluster(&mut surroundings.store.read()?);
        let clusters = match read() {
            Ok(clusters) => clusters,
            Err(refusal) => {
                tracing::error!(?refusal, "clusters could not be read");
                return;
            }
        };
        let active = clusters.into_iter().filter(|cluster| cluster.status == Status::Active);
        for cluster in active {
            let surroundings = surroundings.clone();
            tokio::spawn(async move { resume_one(&surroundings, cluster).await });
        }
        std::future::pending::<()>().await;
    })
}

async fn resume_one(surroundings: &Surroundings, cluster: Cluster) {
    loop {
        let resumed = match machine(surroundings).await {
            Ok(machine) => machine.resume(cluster.plan()).await,
            Err(fault) => Err(fault),
        };
        match resumed {
            Ok(running) if Some(&running) == cluster.running.as_ref() => return,
            Ok(running) => {
                let (home, name) = (cluster.home.clone(), cluster.name.clone());
                let note = move |tx: &mut Transaction<'_>| {
                    let Some(mut cluster) = CLUSTERS.get(tx, &home, &name)? else { return Ok(()) };
                    cluster.running = Some(running.clone());
                    CLUSTERS.put(tx, &home, &name, &cluster)
                };
                match surroundings.store.transact(note).await {
                    Ok(()) => return,
                    Err(error) => {
                        let refusal: Refusal = error.into();
                        tracing::error!(
                            ?refusal,
                            cluster = cluster.name,
                            "a cluster's endpoint could not be kept"
                        );
                    }
                }
            }
            Err(fault) => {
                tracing::error!(cluster = cluster.name, %fault, "a cluster is not there; it is tried again");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The machine. It comes a moment after the first workflows.
pub(crate) async fn machine(surroundings: &Surroundings) -> Result<Arc<dyn Machine>, Fault> {
    let find = async {
        loop {
            if let Some(machine) = Machines::of(surroundings) {
                return machine;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let none = |_| Fault::new("nothing here makes clusters");
    tokio::time::timeout(PATIENCE, find).await.map_err(none)
}
