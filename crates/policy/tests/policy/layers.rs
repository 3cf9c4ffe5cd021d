//! Several policies together: every layer must allow, and a denial anywhere is the end of it.

use std::sync::Arc;

use trellis_policy::{Access, Caller, Guard, Layer, Outcome, Policy, decide};

use crate::{SERVICE, alice, policy};

fn says(effect: &str) -> Arc<Policy> {
    Arc::new(policy(&format!(
        r#"{{"Statement":{{"Effect":"{effect}","Principal":"*","Action":"*","Resource":"*"}}}}"#
    )))
}

/// Says nothing about any access.
fn silent() -> Arc<Policy> {
    Arc::new(policy(
        r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}}"#,
    ))
}

fn outcome<'a>(guards: impl IntoIterator<Item = (Layer, Guard<'a>)>) -> Outcome {
    let caller: Caller = alice();
    decide(
        guards,
        &Access { caller: &caller, action: "vpc-lattice-svcs:Invoke", resource: SERVICE, context: &() },
    )
}

#[test]
fn each_layer_must_allow_and_denials_come_first() {
    let (allow, deny, silent) = (&[says("Allow")][..], &[says("Deny")][..], &[silent()][..]);
    let denied = |layer, explicit| Outcome::Denied { layer, explicit };
    use Layer::{Identity, Network, Service};
    for (network, service, identity, expected) in [
        (allow, allow, allow, Outcome::Allowed),
        (silent, allow, allow, denied(Network, false)),
        (allow, silent, allow, denied(Service, false)),
        (allow, allow, silent, denied(Identity, false)),
        (silent, silent, silent, denied(Network, false)),
        (allow, deny, allow, denied(Service, true)),
        (silent, allow, deny, denied(Identity, true)),
        (deny, deny, deny, denied(Network, true)),
        (&[], allow, allow, denied(Network, false)),
    ] {
        let layers = [(Network, network), (Service, service), (Identity, identity)];
        assert_eq!(outcome(layers.map(|(layer, policies)| (layer, Guard::Policies(policies)))), expected);
    }
}

#[test]
fn an_open_layer_allows_and_an_empty_one_does_not() {
    assert_eq!(outcome([(Layer::Network, Guard::Open)]), Outcome::Allowed);
    let empty = (Layer::Service, Guard::Policies(&[]));
    assert_eq!(outcome([empty]), Outcome::Denied { layer: Layer::Service, explicit: false });
}

#[test]
fn an_identity_needs_its_policies_and_its_boundary() {
    let (policies, boundary) = ([silent(), says("Allow")], [says("Allow")]);
    let with = |guards: &[&[Arc<Policy>]]| {
        outcome(guards.iter().map(|policies| (Layer::Identity, Guard::Policies(policies))))
    };
    assert_eq!(with(&[&policies]), Outcome::Allowed);
    assert_eq!(with(&[&policies, &boundary]), Outcome::Allowed);
    let missing = Outcome::Denied { layer: Layer::Identity, explicit: false };
    assert_eq!(with(&[&policies, &[silent()]]), missing);
    assert_eq!(with(&[&policies, &[]]), missing);
    let denied = Outcome::Denied { layer: Layer::Identity, explicit: true };
    assert_eq!(with(&[&[silent()], &[says("Deny")]]), denied);
}

#[test]
fn layers_are_named_as_denials_name_them() {
    let names = [Layer::Network, Layer::Service, Layer::Identity].map(|layer| layer.to_string());
    assert_eq!(names, ["network-based", "service-based", "identity-based"]);
}
