//! Routes: planned, deployed, told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::event::{self, InForce};
use super::finalizer::{finalizer_patch, is_held};
use super::readiness::HEALTH_WAIT;
use super::{Controller, ReconcileError};
use crate::deploy::{Actual, DeployError};
use crate::lattice::{CallError, Known};
use crate::objects::{GrpcRoute, HttpRoute, Name, ParentRef, ParentStatus, TlsRoute};
use crate::plan::{self, CONTROLLER, DesiredService, Finding, Intent, PREFIX, RoutePlan};
use crate::queue::Outcome;
use crate::status;
use crate::world::{Key, Route, RouteId, RouteKind};

/// How long what is refused for good is left alone: settings that no watch tells of may have changed.
const LONG: Duration = Duration::from_secs(60);
/// How soon a service network that is missing is looked for again.
pub(super) const NETWORK_WAIT: Duration = Duration::from_secs(5);

/// How often what imports stand for is looked at.
const IMPORT_WAIT: Duration = Duration::from_secs(30);

impl RouteKind {
    fn finalizer(self) -> &'static str {
        match self {
            Self::Http => "httproute.k8s.aws/resources",
            Self::Grpc => "grpcroute.k8s.aws/resources",
            Self::Tls => "tlsroute.k8s.aws/resources",
        }
    }
}

impl Controller {
    pub(super) async fn route(&self, id: &RouteId) -> Result<Outcome, ReconcileError> {
        let found = {
            let world = self.world();
            world.route(id).map(|route| {
                let is_live = !route.is_deleted();
                let plan = is_live.then(|| plan::route(&world, &self.deployer.cluster, &route));
                (route, plan)
            })
        };
        let Some((route, plan)) = found else {
            // Its finalizer was taken away by hand; what is known of it goes.
            self.remove_leavings(id).await?;
            return Ok(Outcome::Done);
        };
        let generation = self.generation();
        let mut actual = self.take(id);
        let outcome = match plan {
            Some(plan) => self.pursue(id, &route, plan, &mut actual).await,
            None => self.remove(id, &route, &mut actual).await,
        };
        // After a call whose outcome is not known, what Lattice holds is not known either.
        let is_unknown = matches!(
            &outcome,
            Err(ReconcileError::Deploy(DeployError::Call(
                CallError::Unavailable { .. } | CallError::NotFound { .. }
            )))
        );
        let mut routes = self.routes();
        if !is_unknown && generation == self.generation() {
            routes.insert(id.clone(), actual);
        }
        drop(routes);
        outcome
    }

    fn routes(&self) -> MutexGuard<'_, std::collections::HashMap<RouteId, Actual>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leftovers(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, id: &RouteId) -> Actual {
        self.routes().remove(id).unwrap_or_default()
    }

    async fn pursue(
        &self,
        id: &RouteId,
        route: &Route,
        plan: RoutePlan,
        actual: &mut Actual,
    ) -> Result<Outcome, ReconcileError> {
        let RoutePlan { mut parents, intent } = plan;
        let outcome = match intent {
            Intent::Remove => self.remove(id, route, actual).await?,
            Intent::Keep => Outcome::Done,
            Intent::Detach => {
                if has_finalizer(route) {
                    let (name, tags) = plan::identity(&self.deployer.cluster, route);
                    self.deployer.detach(name.as_deref(), &tags, actual).await?;
                }
                Outcome::Done
            }
            Intent::Deploy(mut desired) => {
                self.hold_route(route, true).await?;
                let has_imports = !desired.imports.is_empty();
                let deployed = self.deploy(&mut desired, actual).await;
                let programmed = match &deployed {
                    Ok(_) => Finding::good("Programmed", "Programmed"),
                    Err(error) => trouble(error),
                };
                let missing = deployed.as_ref().ok().and_then(|missing| missing.first());
                for (_, findings) in &mut parents {
                    if let Some(missing) = missing
                        && let Some(resolved) =
                            findings.iter_mut().find(|finding| finding.kind == "ResolvedRefs")
                        && resolved.holds
                    {
                        let why = format!("no target group stands for {missing}");
                        *resolved = Finding::bad("ResolvedRefs", "BackendNotFound", why);
                    }
                    findings.push(programmed.clone());
                }
                self.annotate(route, actual).await?;
                match deployed {
                    Ok(_) if self.open_gates(&desired.target_groups, &actual.groups).await? => {
                        Outcome::After(HEALTH_WAIT)
                    }
                    // Other clusters' exports come and go without a word.
                    Ok(missing) if !missing.is_empty() => Outcome::After(NETWORK_WAIT),
                    Ok(_) if has_imports => Outcome::After(IMPORT_WAIT),
                    Ok(_) => Outcome::Done,
                    Err(DeployError::NoNetwork(_)) => Outcome::After(NETWORK_WAIT),
                    Err(error) if error.is_lasting() => {
                        tracing::warn!(route = %id.name, %error, "refused");
                        Outcome::After(LONG)
                    }
                    Err(error) => {
                        self.tell(route, &parents).await?;
                        return Err(error.into());
                    }
                }
            }
        };
        self.tell(route, &parents).await?;
        Ok(outcome)
    }

    /// Imports that stand for no target group are left out, and returned.
    async fn deploy(
        &self,
        desired: &mut DesiredService,
        actual: &mut Actual,
    ) -> Result<Vec<String>, DeployError> {
        if let Some(service) = &actual.service
            && service.known.name != desired.name
        {
            // Both would want the same custom domain.
            let name = service.known.name.clone();
            self.deployer.remove_service(&name, &desired.tags, actual).await?;
        }
        let missing = self.deployer.resolve_imports(desired, &mut actual.imports).await?;
        self.deployer.deploy(desired, actual).await?;
        self.leave_stale(&desired.target_groups, &mut actual.groups);
        Ok(missing)
    }

    /// Takes away what the route has in Lattice, then lets go of it.
    async fn remove(
        &self,
        id: &RouteId,
        route: &Route,
        actual: &mut Actual,
    ) -> Result<Outcome, ReconcileError> {
        if !has_finalizer(route) {
            return Ok(Outcome::Done);
        }
        let (name, tags) = plan::identity(&self.deployer.cluster, route);
        let name = actual.service.as_ref().map(|service| service.known.name.clone()).or(name);
        if let Some(name) = name {
            self.deployer.remove_service(&name, &tags, actual).await?;
        }
        // What was read of its groups, and what an earlier process made of them.
        let groups = std::mem::take(&mut actual.groups).into_values().map(|group| group.known);
        let planned = plan::target_groups(&self.world(), &self.deployer.cluster, route);
        let known = planned.iter().filter_map(|name| self.deployer.inventory.group(name));
        for group in groups.chain(known) {
            self.leave_over(group);
        }
        self.hold_route(route, false).await?;
        tracing::info!(route = %id.name, kind = id.kind.as_str(), "removed from Lattice");
        Ok(Outcome::Done)
    }

    async fn remove_leavings(&self, id: &RouteId) -> Result<(), ReconcileError> {
        let mut actual = self.take(id);
        if let Some(service) = &actual.service {
            let (name, tags) = (service.known.name.clone(), service.tags.clone());
            self.deployer.remove_service(&name, &tags, &mut actual).await?;
        }
        self.leave_all(std::mem::take(&mut actual.groups));
        Ok(())
    }

    pub(super) fn leave_over(&self, group: Known) {
        self.leftovers().insert(group.name.clone(), group);
        self.queue.add([Key::Leftovers]);
    }

    /// Target groups whose last rule is gone. Those that still have targets on their way out are refused, and are
    /// looked at again.
    pub(super) async fn collect(&self) -> Result<Outcome, ReconcileError> {
        let groups = self.leftovers().clone();
        if groups.is_empty() {
            return Ok(Outcome::Done);
        }
        let planned = self.wanted_groups();
        let mut outcome = Outcome::Done;
        for (name, known) in groups {
            // An object may have come back to it, or still serve what it was before.
            let is_wanted = planned.contains(&name)
                || self.routes().values().any(|actual| actual.groups.contains_key(&name))
                || self.exports().values().any(|groups| groups.contains_key(&name));
            let removed = if is_wanted { Ok(()) } else { self.deployer.remove_group(&known).await };
            match removed {
                Ok(()) => drop(self.leftovers().remove(&name)),
                Err(error) => {
                    outcome = Outcome::Retry;
                    tracing::debug!(group = %name, %error, "a target group stays for now");
                }
            }
        }
        Ok(outcome)
    }

    /// Target groups of this cluster that no object wants: what it asked for while no controller ran is gone.
    pub(crate) async fn sweep(&self) -> Result<(), CallError> {
        // Before the look at the cluster: what is made meanwhile is not in it.
        let found = self.deployer.inventory.groups();
        let wanted = self.wanted_groups();
        for known in found {
            if !known.name.starts_with("k8s-") || wanted.contains(&known.name) {
                continue;
            }
            match self.deployer.has_made(&known.arn).await {
                Ok(true) => self.leave_over(known),
                Ok(false) => {}
                Err(error) if error.is_not_found() => self.deployer.inventory.forget_group(&known.name),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The names of the target groups that objects of the cluster ask for.
    fn wanted_groups(&self) -> BTreeSet<String> {
        let world = self.world();
        let cluster = &self.deployer.cluster;
        let live = world.all_routes().into_iter().filter_map(|id| world.route(&id));
        let routes = live.filter(|route| !route.is_deleted());
        let of_routes = routes.flat_map(|route| plan::target_groups(&world, cluster, &route));
        let exports = world.exports.iter().filter(|(_, export)| export.metadata.deletion_timestamp.is_none());
        let of_exports = exports.filter_map(|(_, export)| plan::export(&world, cluster, export));
        of_routes.chain(of_exports.flat_map(BTreeMap::into_keys)).collect()
    }

    // === The object ===

    async fn hold_route(&self, route: &Route, is_wanted: bool) -> Result<(), kube::Error> {
        if has_finalizer(route) == is_wanted {
            return Ok(());
        }
        let patch = finalizer_patch(route.metadata(), route.kind().finalizer(), is_wanted);
        self.patch_route(route, patch, false).await
    }

    async fn annotate(&self, route: &Route, actual: &Actual) -> Result<(), kube::Error> {
        let Some(service) = &actual.service else { return Ok(()) };
        let known = &service.known;
        let domain = known.domain.as_deref().unwrap_or_default();
        let is_told = route.annotation("lattice-assigned-domain-name") == Some(domain)
            && route.annotation("lattice-service-arn") == Some(&known.arn);
        if is_told || domain.is_empty() {
            return Ok(());
        }
        let patch = json!({"metadata": {"annotations": {
            format!("{PREFIX}lattice-assigned-domain-name"): domain,
            format!("{PREFIX}lattice-service-arn"): known.arn,
        }}});
        self.patch_route(route, patch, false).await
    }

    async fn tell(&self, route: &Route, parents: &[(ParentRef, Vec<Finding>)]) -> Result<(), kube::Error> {
        let now = status::now();
        let old = route.parent_statuses();
        let mut news = BTreeSet::new();
        let ours = parents.iter().map(|(parent, findings)| {
            let is_this =
                |status: &&ParentStatus| status.controller_name == CONTROLLER && status.parent_ref == *parent;
            let before = old.iter().find(is_this).map(|status| &*status.conditions).unwrap_or_default();
            news.append(&mut event::news(before, findings, InForce::Programmed));
            ParentStatus {
                parent_ref: parent.clone(),
                controller_name: CONTROLLER.to_owned(),
                conditions: status::conditions(before, findings, route.generation(), &now),
            }
        });
        let others = old.iter().filter(|status| status.controller_name != CONTROLLER).cloned();
        let new: Vec<ParentStatus> = others.chain(ours).collect();
        if new == old {
            return Ok(());
        }
        self.patch_route(route, json!({"status": {"parents": new}}), true).await?;
        self.publish(&route.object_ref(), news).await;
        Ok(())
    }

    async fn patch_route(&self, route: &Route, patch: Value, is_status: bool) -> Result<(), kube::Error> {
        let name: &Name = &route.name();
        match (route.kind(), is_status) {
            (RouteKind::Http, false) => self.patch::<HttpRoute>(name, patch).await,
            (RouteKind::Http, true) => self.patch_status::<HttpRoute>(name, patch).await,
            (RouteKind::Grpc, false) => self.patch::<GrpcRoute>(name, patch).await,
            (RouteKind::Grpc, true) => self.patch_status::<GrpcRoute>(name, patch).await,
            (RouteKind::Tls, false) => self.patch::<TlsRoute>(name, patch).await,
            (RouteKind::Tls, true) => self.patch_status::<TlsRoute>(name, patch).await,
        }
    }
}

fn has_finalizer(route: &Route) -> bool {
    is_held(route.metadata(), route.kind().finalizer())
}

/// Why the route is not served as it says.
fn trouble(error: &DeployError) -> Finding {
    let reason = match error {
        DeployError::Call(CallError::Refused { .. }) => "RefusedByLattice",
        DeployError::Foreign { .. } => "Conflicted",
        DeployError::OtherDomain { .. } => "UnsupportedValue",
        DeployError::NoNetwork(_) => "ServiceNetworkNotFound",
        DeployError::Call(_) => "Pending",
    };
    Finding::bad("Programmed", reason, error.to_string())
}
