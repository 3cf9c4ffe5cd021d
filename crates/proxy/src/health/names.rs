//! What probes call HTTPS targets: the name that requests call them by, so that a target with several
//! certificates, or with a site for each name, shows a probe what it shows a client.
//!
//! Requests bring the name of the service the client asked for. A group that several names lead to is
//! probed by one of them: a custom domain before a generated name, then the first in the alphabet, so
//! that it stays the same while the configuration does.

use std::cell::RefCell;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use trellis_model::TargetGroupId;
use trellis_model::snapshot::{Action, Service, Snapshot, TargetGroup};

/// The name of one group, which may change while its targets are being probed.
pub(super) type Name = Rc<RefCell<Option<Box<str>>>>;

/// Sorts before any other name of the same group when it is to be preferred.
type Candidate<'a> = (Generated, &'a str);
type Generated = bool;

/// The names of the groups that are probed over TLS and that some service forwards to.
pub(super) fn of_groups(snapshot: &Snapshot) -> FxHashMap<&TargetGroupId, &str> {
    let probed = |group: &&TargetGroup| group.health_check.as_ref().is_some_and(|check| check.tls);
    if !snapshot.target_groups.values().any(|group| probed(&&**group)) {
        return FxHashMap::default();
    }
    let mut best: FxHashMap<&TargetGroupId, Candidate<'_>> = FxHashMap::default();
    for ingress in snapshot.ingresses.values() {
        for (name, service) in &ingress.network.hosts {
            let candidate = (**name == *service.dns_name, &**name);
            for group in groups(service).filter(probed) {
                let known = best.entry(&group.id).or_insert(candidate);
                *known = candidate.min(*known);
            }
        }
    }
    best.into_iter().map(|(group, (_, name))| (group, name)).collect()
}

/// The groups that requests to `service` may be forwarded to.
fn groups(service: &Service) -> impl Iterator<Item = &TargetGroup> {
    let actions = service.listeners.iter().flat_map(|listener| {
        let rules = listener.rules.iter().map(|rule| &rule.action);
        rules.chain([&listener.default_action])
    });
    actions
        .filter_map(|action| match action {
            Action::Forward(forward) => Some(forward),
            Action::FixedResponse(_) => None,
        })
        .flat_map(|forward| forward.groups().map(|(_, group)| &**group))
}
