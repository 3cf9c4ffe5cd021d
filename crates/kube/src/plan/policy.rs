//! Policies: what each hangs on, and whether it counts there.

use super::Finding;
use crate::objects::{
    AccessLogPolicy, Condition, GATEWAY_GROUP, IamAuthPolicy, Name, POLICY_GROUP, TargetGroupPolicy,
    TargetRef, VpcAssociationPolicy,
};
use crate::world::{Reference, RouteId, RouteKind, Watched, World};

/// A policy of any kind.
pub(crate) trait Policy: Watched {
    /// Groups and kinds it may hang on.
    const TARGETS: &'static [(&'static str, &'static str)];
    /// Whether one object has one such policy: the oldest.
    const IS_ALONE: bool;

    fn target(&self) -> &TargetRef;
    fn conditions(&self) -> &[Condition];
}

macro_rules! policy {
    ($type:ident, $is_alone:literal, [$($target:expr),*]) => {
        impl Policy for $type {
            const TARGETS: &'static [(&'static str, &'static str)] = &[$($target),*];
            const IS_ALONE: bool = $is_alone;

            fn target(&self) -> &TargetRef {
                &self.spec.target_ref
            }

            fn conditions(&self) -> &[Condition] {
                &self.status.conditions
            }
        }
    };
}

policy!(TargetGroupPolicy, true, [("", "Service"), (POLICY_GROUP, "ServiceExport")]);
policy!(VpcAssociationPolicy, true, [(GATEWAY_GROUP, "Gateway")]);
policy!(
    IamAuthPolicy,
    true,
    [
        (GATEWAY_GROUP, "Gateway"),
        (GATEWAY_GROUP, "HTTPRoute"),
        (GATEWAY_GROUP, "GRPCRoute"),
        (GATEWAY_GROUP, "TLSRoute")
    ]
);
policy!(
    AccessLogPolicy,
    false,
    [
        (GATEWAY_GROUP, "Gateway"),
        (GATEWAY_GROUP, "HTTPRoute"),
        (GATEWAY_GROUP, "GRPCRoute"),
        (GATEWAY_GROUP, "TLSRoute")
    ]
);

/// What a policy of `namespace` hangs on.
pub(crate) fn reference(target: &TargetRef, namespace: &str) -> Option<Reference> {
    let name = Name::new(namespace, &target.name);
    let route = |kind, name| Some(Reference::Route(RouteId { kind, name }));
    match (&*target.group, &*target.kind) {
        ("", "Service") => Some(Reference::Service(name)),
        (POLICY_GROUP, "ServiceExport") => Some(Reference::Export(name)),
        (GATEWAY_GROUP, "Gateway") => Some(Reference::Gateway(name)),
        (GATEWAY_GROUP, "HTTPRoute") => route(RouteKind::Http, name),
        (GATEWAY_GROUP, "GRPCRoute") => route(RouteKind::Grpc, name),
        (GATEWAY_GROUP, "TLSRoute") => route(RouteKind::Tls, name),
        _ => None,
    }
}

/// What a policy counts for, or why it counts for nothing.
pub(crate) fn standing<T: Policy>(world: &World, policy: &T) -> Result<Reference, Finding> {
    let bad = |reason, why: String| Err(Finding::bad("Accepted", reason, why));
    let target = policy.target();
    let name = Name::of(policy.meta());
    if !T::TARGETS.contains(&(&*target.group, &*target.kind)) {
        let what =
            format!("spec.targetRef: a {} does not hang on {}/{}", T::kind(&()), target.group, target.kind);
        return bad("Invalid", what);
    }
    if target.namespace.as_ref().is_some_and(|namespace| *namespace != name.namespace) {
        return bad("Invalid", "spec.targetRef.namespace: is not the policy's own".to_owned());
    }
    let Some(reference) = reference(target, &name.namespace) else {
        return bad("Invalid", format!("spec.targetRef: {}/{} is not known", target.group, target.kind));
    };
    let exists = match &reference {
        Reference::Service(name) => world.services.get(name).is_some(),
        Reference::Gateway(name) => {
            world.gateways.get(name).is_some_and(|gateway| super::attach::is_ours(world, gateway))
        }
        Reference::Route(id) => world.route(id).is_some_and(|route| !route.is_deleted()),
        Reference::Export(name) => world.exports.get(name).is_some(),
        Reference::Class(_) | Reference::Import(_) | Reference::Pod(_) => false,
    };
    if !exists {
        return bad(
            "TargetNotFound",
            format!("there is no {} {}/{}", target.kind, name.namespace, target.name),
        );
    }
    match first::<T>(world, &reference) {
        Some(first) if T::IS_ALONE && first != name => {
            bad("Conflicted", format!("policy {} is older and counts", first.name))
        }
        _ => Ok(reference),
    }
}

/// The policy that counts for an object: the oldest, then the first by name.
pub(crate) fn first<T: Policy>(world: &World, reference: &Reference) -> Option<Name> {
    let policies = T::store(world).referring(reference);
    policies
        .filter(|(_, policy)| policy.meta().deletion_timestamp.is_none())
        .min_by_key(|(name, policy)| {
            let made = policy.meta().creation_timestamp.as_ref().map(|time| time.0);
            (made, (*name).clone())
        })
        .map(|(name, _)| name.clone())
}
