//! Finds the target groups that imports stand for.

use std::collections::BTreeMap;

use super::Deployer;
use crate::lattice::{Called, Known, Tags};
use crate::plan::{Action, DesiredService, EXPORT, Import, PREFIX, owner_of};

impl Deployer {
    /// The ids of the groups of all imports. Those that stand for none are taken out of the plan, and returned.
    pub(crate) async fn resolve_imports(
        &self,
        desired: &mut DesiredService,
        found: &mut BTreeMap<String, String>,
    ) -> Called<Vec<String>> {
        found.retain(|key, _| desired.imports.contains_key(key));
        let mut missing: Vec<String> = desired.imports.keys().cloned().collect();
        missing = self.still_missing(desired, missing, found).await?;
        if missing.iter().any(|key| matches!(desired.imports[key], Import::Export { .. })) {
            // Another cluster may have exported them since.
            self.inventory.read_groups(&self.lattice).await?;
            missing = self.still_missing(desired, missing, found).await?;
        }
        if !missing.is_empty() {
            for listener in desired.listeners.values_mut() {
                let actions = listener.rules.iter_mut().map(|rule| &mut rule.action);
                actions.chain([&mut listener.default]).for_each(|action| leave_out(action, &missing));
            }
        }
        Ok(missing)
    }

    /// Those of `keys` that the books do not know; the others are put into `found`.
    async fn still_missing(
        &self,
        desired: &DesiredService,
        keys: Vec<String>,
        found: &mut BTreeMap<String, String>,
    ) -> Called<Vec<String>> {
        let mut missing = Vec::new();
        for key in keys {
            match self.resolve_import(&desired.imports[&key]).await? {
                Some(id) => drop(found.insert(key, id)),
                None => missing.push(key),
            }
        }
        Ok(missing)
    }

    async fn resolve_import(&self, import: &Import) -> Called<Option<String>> {
        match import {
            Import::Group { id } => match self.lattice.health_check(id).await {
                Ok(_) => Ok(Some(id.clone())),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            },
            Import::Export { service, .. } => {
                let prefix = crate::plan::target_group_prefix(service);
                let mut candidates = self.inventory.groups();
                candidates.retain(|known| known.name.starts_with(&prefix));
                self.exported(import, candidates).await
            }
        }
    }

    /// Names are cut, so that tags have the last word.
    async fn exported(&self, import: &Import, mut candidates: Vec<Known>) -> Called<Option<String>> {
        candidates.sort_by(|one, other| one.name.cmp(&other.name));
        for known in candidates {
            let tags = match self.lattice.tags(&known.arn).await {
                Ok(tags) => tags,
                Err(error) if error.is_not_found() => {
                    self.inventory.forget_group(&known.name);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if stands_for(import, &tags) {
                return Ok(Some(known.id));
            }
        }
        Ok(None)
    }
}

fn stands_for(import: &Import, tags: &Tags) -> bool {
    let Import::Export { service, cluster, vpc, is_grpc, is_tcp } = import else { return false };
    let tag = |name: &str| tags.get(&format!("{PREFIX}{name}")).map(String::as_str);
    let version = tag("ProtocolVersion").unwrap_or_default();
    tag("SourceTypeKey") == Some(EXPORT)
        && tag("ServiceName") == Some(&service.name)
        && tag("ServiceNamespace") == Some(&service.namespace)
        && cluster.as_deref().is_none_or(|cluster| tag("ClusterName") == Some(cluster))
        && vpc
            .as_deref()
            .is_none_or(|vpc| owner_of(tags).and_then(|owner| owner.rsplit('/').next()) == Some(vpc))
        && *is_grpc == (version == "GRPC")
        && *is_tcp == version.is_empty()
}

/// A rule with nothing left answers 500.
fn leave_out(action: &mut Action, missing: &[String]) {
    if let Action::Forward(groups) = action {
        groups.retain(|(name, _)| !missing.contains(name));
        if groups.iter().all(|(_, weight)| *weight == 0) {
            *action = Action::Respond(500);
        }
    }
}
