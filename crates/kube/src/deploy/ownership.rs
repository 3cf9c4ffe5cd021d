//! Whose a resource is: the tag ManagedBy says so.

use super::{DeployError, Deployer};
use crate::lattice::{Called, Tags};
use crate::plan::owner_of;

impl Deployer {
    /// Whether it was made for this cluster.
    pub(crate) fn owns(&self, tags: &Tags) -> bool {
        owner_of(tags) == Some(&self.cluster.owner())
    }

    /// The same of what is in Lattice.
    pub(crate) async fn has_made(&self, arn: &str) -> Called<bool> {
        Ok(self.owns(&self.lattice.tags(arn).await?))
    }

    /// Refuses what is another's.
    pub(crate) fn refuse_foreign(
        &self,
        kind: &'static str,
        name: &str,
        tags: &Tags,
    ) -> Result<(), DeployError> {
        match owner_of(tags) {
            Some(owner) if !self.owns(tags) => {
                Err(DeployError::Foreign { kind, name: name.to_owned(), owner: owner.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Gives a resource the tags that it lacks.
    pub(crate) async fn add_tags(&self, arn: &str, desired: &Tags, found: &Tags) -> Called<()> {
        let lacking: Tags = desired
            .iter()
            .filter(|(key, value)| found.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if lacking.is_empty() { Ok(()) } else { self.lattice.tag(arn, lacking).await }
    }

    /// Makes the tags those and no others: which of them an earlier annotation gave nobody knows.
    pub(crate) async fn set_tags(&self, arn: &str, desired: &Tags, found: &Tags) -> Called<()> {
        let stale: Vec<String> = found.keys().filter(|key| !desired.contains_key(*key)).cloned().collect();
        if !stale.is_empty() {
            self.lattice.untag(arn, stale).await?;
        }
        self.add_tags(arn, desired, found).await
    }
}
