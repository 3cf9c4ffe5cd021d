//! What an ARN of VPC Lattice names: its kind, and the record it has while it is there.

use serde_json::Value;
use trellis_frame::record::decode;
use trellis_model::resource::lattice::{Home, Listener};
use trellis_model::{Arn, ListenerId, RuleId, ServiceId};
use trellis_store::{Entry, Read};

use super::association;
use super::place::{Place, kind};
use crate::refusal::{Kind, Refusal};

/// The kind of what `resource`, the last part of an ARN of `home`, names, and its record; a default rule's is its
/// listener's, an association's may be another account's. `None` for what is of no kind that has an ARN.
pub(crate) fn find(
    state: &mut impl Read,
    home: &Home,
    resource: &str,
) -> Result<Option<(Kind, Option<Entry>)>, Refusal> {
    let place = Place::new(home.clone());
    let parts: Vec<&str> = resource.split('/').collect();
    let (key, what) = match parts[..] {
        ["servicenetwork", id] => (place.scope.record(kind::NETWORK, id), Kind::ServiceNetwork),
        ["service", id] => (place.scope.record(kind::SERVICE, id), Kind::Service),
        ["service", service, "listener", id] => {
            (place.scope.record(kind::LISTENER, format_args!("{service}/{id}")), Kind::Listener)
        }
        ["service", service, "listener", listener, "rule", id] => {
            return Ok(Some((Kind::Rule, rule(state, &place, (service, listener, id))?)));
        }
        ["targetgroup", id] => (place.scope.record(kind::TARGET_GROUP, id), Kind::TargetGroup),
        ["servicenetworkvpcassociation", id] => {
            let entry = association::entry(state, &place, kind::VPC_ASSOCIATION, id)?;
            return Ok(Some((Kind::VpcAssociation, entry)));
        }
        ["servicenetworkserviceassociation", id] => {
            let entry = association::entry(state, &place, kind::SERVICE_ASSOCIATION, id)?;
            return Ok(Some((Kind::ServiceAssociation, entry)));
        }
        ["servicenetworkresourceassociation", id] => {
            let entry = association::entry(state, &place, kind::RESOURCE_ASSOCIATION, id)?;
            return Ok(Some((Kind::ResourceAssociation, entry)));
        }
        ["resourcegateway", id] => (place.scope.record(kind::RESOURCE_GATEWAY, id), Kind::ResourceGateway),
        ["resourceconfiguration", id] => {
            (place.scope.record(kind::RESOURCE_CONFIGURATION, id), Kind::ResourceConfiguration)
        }
        ["domainverification", id] => {
            (place.scope.record(kind::DOMAIN_VERIFICATION, id), Kind::DomainVerification)
        }
        ["accesslogsubscription", id] => {
            (place.scope.record(kind::ACCESS_LOG, id), Kind::AccessLogSubscription)
        }
        _ => return Ok(None),
    };
    Ok(Some((what, state.get(&key)?)))
}

/// The record of what an answer of the account and region `home` tells of by its `arn`.
pub(crate) fn told_of(state: &mut impl Read, home: &Home, answer: &Value) -> Result<Option<Entry>, Refusal> {
    let Some(arn) = answer["arn"].as_str().and_then(|arn| arn.parse::<Arn>().ok()) else { return Ok(None) };
    Ok(find(state, home, &arn.resource)?.and_then(|(_, entry)| entry))
}

fn rule(
    state: &mut impl Read,
    place: &Place,
    (service, listener, rule): (&str, &str, &str),
) -> Result<Option<Entry>, Refusal> {
    let (Ok(service), Ok(listener), Ok(rule)) =
        (service.parse::<ServiceId>(), listener.parse::<ListenerId>(), rule.parse::<RuleId>())
    else {
        return Ok(None);
    };
    let Some(found) = state.get(&place.listener(&service, &listener))? else { return Ok(None) };
    match decode::<Listener>(&found)?.default_rule == rule {
        true => Ok(Some(found)),
        false => Ok(state.get(&place.rule(&listener, &rule))?),
    }
}
