//! Makes Lattice agree with the plan of a route.
//!
//! What is there is read once, then remembered and changed with every call that succeeds, so that a route that is as it
//! should be costs no call at all. After a call whose outcome is not known the memory is dropped, and read anew.

mod associations;
mod groups;
mod imports;
mod inventory;
mod ownership;
mod rules;
mod service;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use crate::lattice::{CallError, Called, Known, Lattice};
use crate::plan::{Cluster, DesiredService};

pub(crate) use associations::ActualAssociation;
pub(crate) use groups::ActualGroup;
pub(crate) use inventory::Inventory;
pub(crate) use service::ActualListener;

/// Waits for what is under way in Lattice, within one pass.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(15);

/// What Lattice holds of a route, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct Actual {
    /// None where it was not looked for yet.
    pub(crate) service: Option<ActualService>,
    pub(crate) groups: BTreeMap<String, ActualGroup>,
    /// Ids of the target groups of others that its rules lead to.
    pub(crate) imports: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(crate) struct ActualService {
    pub(crate) known: Known,
    pub(crate) certificate: Option<String>,
    pub(crate) custom_domain: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) listeners: BTreeMap<u16, ActualListener>,
    /// By id of the network.
    pub(crate) associations: BTreeMap<String, ActualAssociation>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DeployError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{kind} {name} belongs to {owner}")]
    Foreign { kind: &'static str, name: String, owner: String },
    #[error("there is no service network {0}")]
    NoNetwork(String),
    #[error(
        "spec.hostnames[0]: {wanted} cannot take the place of {found}: a Lattice service keeps its custom domain; delete the route and create it anew"
    )]
    OtherDomain { wanted: String, found: String },
}

impl DeployError {
    /// Whether it will be so again until an object or a setting is changed.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Call(error) => error.is_refusal(),
            Self::Foreign { .. } | Self::OtherDomain { .. } => true,
            Self::NoNetwork(_) => false,
        }
    }
}

/// The hands of the reconcilers.
#[derive(Debug)]
pub(crate) struct Deployer {
    pub(crate) lattice: Lattice,
    pub(crate) inventory: Inventory,
    pub(crate) cluster: Cluster,
}

impl Deployer {
    /// Target groups and their targets first, then what leads to them, then the door: a service is joined to a
    /// network when it is whole.
    pub(crate) async fn deploy(
        &self,
        desired: &DesiredService,
        actual: &mut Actual,
    ) -> Result<(), DeployError> {
        self.deploy_groups(&desired.target_groups, &mut actual.groups).await?;
        self.deploy_service(desired, actual).await?;
        self.deploy_listeners(desired, actual).await?;
        self.deploy_associations(desired, actual).await?;
        Ok(())
    }
}

/// Calls again while Lattice says that something is under way.
pub(crate) async fn while_under_way<T, F>(mut call: impl FnMut() -> F) -> Called<T>
where
    F: Future<Output = Called<T>>,
{
    let begun = tokio::time::Instant::now();
    let mut wait = FIRST_WAIT;
    loop {
        match call().await {
            Err(error) if error.is_conflict() && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            outcome => return outcome,
        }
    }
}
