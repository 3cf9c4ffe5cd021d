//! Identifiers as clients send them: an id or an ARN, everywhere.

use std::str::FromStr;

use trellis_frame::sharing;
use trellis_model::resource::lattice::Home;
use trellis_model::{
    AccessLogSubscriptionId, DomainVerificationId, ListenerId, ResourceAssociationId,
    ResourceConfigurationId, ResourceGatewayId, RuleId, ServiceAssociationId, ServiceId, ServiceNetworkId,
    TargetGroupId, VpcAssociationId,
};

use crate::refusal::{Kind, Refusal, not_found};
use crate::sharing::foreign;

/// The id that `text` means: itself, or the last part of an ARN of `home` whose resource is
/// `{parent}{id}`.
///
/// # Errors
/// As [`whose`]; `AccessDeniedException` for another account's ARN, whether it exists or not.
fn resolve<T: FromStr>(text: &str, home: &Home, parent: &str, kind: Kind) -> Result<T, Refusal> {
    let (owner, id) = whose(text, home, parent, kind)?;
    if owner.account == home.account { Ok(id) } else { Err(foreign(kind, text)) }
}

/// The id that `text` means and where it would be, as [`sharing::whose`] has it.
///
/// # Errors
/// `ResourceNotFoundException` for anything else, another region's ARNs among them.
pub(crate) fn whose<T: FromStr>(
    text: &str,
    home: &Home,
    parent: &str,
    kind: Kind,
) -> Result<(Home, T), Refusal> {
    sharing::whose(text, home, "vpc-lattice", parent).ok_or_else(|| not_found(kind, text))
}

pub(crate) fn network(text: &str, home: &Home) -> Result<ServiceNetworkId, Refusal> {
    resolve(text, home, "servicenetwork/", Kind::ServiceNetwork)
}

pub(crate) fn service(text: &str, home: &Home) -> Result<ServiceId, Refusal> {
    resolve(text, home, "service/", Kind::Service)
}

pub(crate) fn listener(text: &str, home: &Home, service: &ServiceId) -> Result<ListenerId, Refusal> {
    resolve(text, home, &format!("service/{service}/listener/"), Kind::Listener)
}

pub(crate) fn rule(
    text: &str,
    home: &Home,
    service: &ServiceId,
    listener: &ListenerId,
) -> Result<RuleId, Refusal> {
    resolve(text, home, &format!("service/{service}/listener/{listener}/rule/"), Kind::Rule)
}

pub(crate) fn target_group(text: &str, home: &Home) -> Result<TargetGroupId, Refusal> {
    resolve(text, home, "targetgroup/", Kind::TargetGroup)
}

pub(crate) fn vpc_association(text: &str, home: &Home) -> Result<VpcAssociationId, Refusal> {
    resolve(text, home, "servicenetworkvpcassociation/", Kind::VpcAssociation)
}

pub(crate) fn service_association(text: &str, home: &Home) -> Result<ServiceAssociationId, Refusal> {
    resolve(text, home, "servicenetworkserviceassociation/", Kind::ServiceAssociation)
}

pub(crate) fn access_log(text: &str, home: &Home) -> Result<AccessLogSubscriptionId, Refusal> {
    resolve(text, home, "accesslogsubscription/", Kind::AccessLogSubscription)
}

pub(crate) fn resource_gateway(text: &str, home: &Home) -> Result<ResourceGatewayId, Refusal> {
    resolve(text, home, "resourcegateway/", Kind::ResourceGateway)
}

pub(crate) fn resource_configuration(text: &str, home: &Home) -> Result<ResourceConfigurationId, Refusal> {
    resolve(text, home, "resourceconfiguration/", Kind::ResourceConfiguration)
}

pub(crate) fn resource_association(text: &str, home: &Home) -> Result<ResourceAssociationId, Refusal> {
    resolve(text, home, "servicenetworkresourceassociation/", Kind::ResourceAssociation)
}

pub(crate) fn domain_verification(text: &str, home: &Home) -> Result<DomainVerificationId, Refusal> {
    resolve(text, home, "domainverification/", Kind::DomainVerification)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_the_arn_of_this_account_and_region_are_the_same_thing() {
        let home = Home { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() };
        let id = ServiceId::from_random(9);
        let arn = format!("arn:aws:vpc-lattice:us-east-1:111122223333:service/{id}");
        assert_eq!(service(id.as_str(), &home).unwrap(), id);
        assert_eq!(service(&arn, &home).unwrap(), id);
        for text in [
            "cart".to_owned(),
            arn.replace("us-east-1", "eu-west-1"),
            arn.replace("111122223333", "444455556666"),
            arn.replace("vpc-lattice", "ec2"),
            arn.replace("service/", "targetgroup/"),
            format!("{arn}/listener/listener-00000000000000001"),
        ] {
            assert!(service(&text, &home).is_err(), "{text}");
        }
        let elsewhere = arn.replace("111122223333", "444455556666");
        assert!(matches!(service(&elsewhere, &home), Err(Refusal::Denied { .. })));
        let (owner, found): (_, ServiceId) = whose(&elsewhere, &home, "service/", Kind::Service).unwrap();
        assert_eq!((owner.account.as_str(), found), ("444455556666", id.clone()));
        let listener_arn = format!("{arn}/listener/listener-00000000000000001");
        assert!(listener(&listener_arn, &home, &id).is_ok());
        assert!(listener(&listener_arn, &home, &ServiceId::from_random(8)).is_err());
    }
}
