//! TagResource, UntagResource, ListTagsForResource: tags of whatever an ARN of VPC Lattice names.

use serde::{Deserialize, Serialize};
use trellis_model::resource::lattice::{
    Home, Listener, ResourceAssociation, ServiceAssociation, VpcAssociation,
};
use trellis_model::{Arn, ListenerId, RuleId, ServiceId};
use trellis_store::{Read, Reader, Transaction};

use super::place::{Place, kind};
use super::{Nothing, association};
use crate::context::Context;
use crate::record::get;
use crate::refusal::{Kind, Refusal, access_denied, invalid, not_found};
use crate::tag_set::{self, Tags};

/// Checks that `text` is the ARN of a taggable resource that exists in `home`.
///
/// # Errors
/// `AccessDeniedException` for another account's or region's ARN, `ResourceNotFoundException` for
/// what is not there, `ValidationException` for what is no ARN of a taggable kind.
pub(crate) fn locate(state: &mut impl Read, home: &Home, text: &str) -> Result<(), Refusal> {
    let arn: Arn = text.parse().map_err(|error| invalid("resourceArn", error))?;
    if arn.service != "vpc-lattice" || arn.partition != "aws" {
        return Err(invalid("resourceArn", "is not an ARN of VPC Lattice"));
    }
    if arn.account != home.account.as_str() || arn.region != home.region.as_str() {
        return Err(access_denied(format_args!("no access to {text}")));
    }
    let place = Place::new(home.clone());
    let parts: Vec<&str> = arn.resource.split('/').collect();
    let (key, what) = match parts[..] {
        ["servicenetwork", id] => (place.scope.record(kind::NETWORK, id), Kind::ServiceNetwork),
        ["service", id] => (place.scope.record(kind::SERVICE, id), Kind::Service),
        ["service", service, "listener", id] => {
            (place.scope.record(kind::LISTENER, format_args!("{service}/{id}")), Kind::Listener)
        }
        ["service", service, "listener", listener, "rule", id] => {
            return locate_rule(state, &place, (service, listener, id))?
                .then_some(())
                .ok_or_else(|| not_found(Kind::Rule, text));
        }
        ["targetgroup", id] => (place.scope.record(kind::TARGET_GROUP, id), Kind::TargetGroup),
        ["servicenetworkvpcassociation", id] => {
            let is_there = association::exists::<VpcAssociation>(state, &place, id)?;
            return is_there.then_some(()).ok_or_else(|| not_found(Kind::VpcAssociation, text));
        }
        ["servicenetworkserviceassociation", id] => {
            let is_there = association::exists::<ServiceAssociation>(state, &place, id)?;
            return is_there.then_some(()).ok_or_else(|| not_found(Kind::ServiceAssociation, text));
        }
        ["resourcegateway", id] => (place.scope.record(kind::RESOURCE_GATEWAY, id), Kind::ResourceGateway),
        ["resourceconfiguration", id] => {
            (place.scope.record(kind::RESOURCE_CONFIGURATION, id), Kind::ResourceConfiguration)
        }
        ["servicenetworkresourceassociation", id] => {
            let is_there = association::exists::<ResourceAssociation>(state, &place, id)?;
            return is_there.then_some(()).ok_or_else(|| not_found(Kind::ResourceAssociation, text));
        }
        ["domainverification", id] => {
            (place.scope.record(kind::DOMAIN_VERIFICATION, id), Kind::DomainVerification)
        }
        ["accesslogsubscription", id] => {
            (place.scope.record(kind::ACCESS_LOG, id), Kind::AccessLogSubscription)
        }
        _ => return Err(invalid("resourceArn", "does not name a resource that can be tagged")),
    };
    if state.get(&key)?.is_some() { Ok(()) } else { Err(not_found(what, text)) }
}

/// Whether the rule is there, default rules among them.
fn locate_rule(
    state: &mut impl Read,
    place: &Place,
    (service, listener, rule): (&str, &str, &str),
) -> Result<bool, Refusal> {
    let (Ok(service), Ok(listener), Ok(rule)) =
        (service.parse::<ServiceId>(), listener.parse::<ListenerId>(), rule.parse::<RuleId>())
    else {
        return Ok(false);
    };
    let Some(found) = get::<Listener>(state, &place.listener(&service, &listener))? else { return Ok(false) };
    Ok(found.default_rule == rule || state.get(&place.rule(&listener, &rule))?.is_some())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Tag {
    resource_arn: String,
    tags: Tags,
}

pub(crate) fn tag(tx: &mut Transaction<'_>, ctx: &Context, input: &Tag) -> Result<Nothing, Refusal> {
    let home = ctx.home();
    locate(tx, &home, &input.resource_arn)?;
    tag_set::merge(tx, &home, &input.resource_arn, &input.tags)?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Untag {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(crate) fn untag(tx: &mut Transaction<'_>, ctx: &Context, input: &Untag) -> Result<Nothing, Refusal> {
    let home = ctx.home();
    locate(tx, &home, &input.resource_arn)?;
    tag_set::remove(tx, &home, &input.resource_arn, input.tag_keys.iter().map(String::as_str))?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    resource_arn: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    tags: Tags,
}

pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listed, Refusal> {
    let home = ctx.home();
    locate(state, &home, &input.resource_arn)?;
    Ok(Listed { tags: tag_set::read(state, &home, &input.resource_arn)? })
}
