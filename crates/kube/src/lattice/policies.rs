//! What policies set: who may call, who joins, what is written down.

use aws_sdk_vpclattice::types::{self, AuthType, ServiceNetworkVpcAssociationStatus as Status};

use super::{Called, Lattice, Tags, failed};

/// A VPC's place in a service network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VpcAssociation {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) state: AssociationState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AssociationState {
    Active,
    /// Something is being done to it.
    Moving,
    Leaving,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSubscription {
    pub(crate) arn: String,
    pub(crate) resource: String,
    pub(crate) destination: String,
}

impl Lattice {
    // === Auth policies ===

    /// Callers are asked from here on: the policy first, so that there is no moment with the one and without the other.
    pub(crate) async fn require_iam(&self, resource: &str, policy: &str) -> Called<()> {
        let call = self.client.put_auth_policy().resource_identifier(resource).policy(policy);
        call.send().await.map_err(|error| failed("PutAuthPolicy", error))?;
        self.set_auth_type(resource, AuthType::AwsIam).await
    }

    /// Callers are not asked any more.
    pub(crate) async fn require_nothing(&self, resource: &str) -> Called<()> {
        self.set_auth_type(resource, AuthType::None).await?;
        let call = self.client.delete_auth_policy().resource_identifier(resource);
        call.send().await.map(drop).map_err(|error| failed("DeleteAuthPolicy", error))
    }

    async fn set_auth_type(&self, resource: &str, auth: AuthType) -> Called<()> {
        if resource.starts_with("sn-") {
            let call = self.client.update_service_network().service_network_identifier(resource);
            let answer = call.auth_type(auth).send().await;
            answer.map(drop).map_err(|error| failed("UpdateServiceNetwork", error))
        } else {
            let call = self.client.update_service().service_identifier(resource);
            let answer = call.auth_type(auth).send().await;
            answer.map(drop).map_err(|error| failed("UpdateService", error))
        }
    }

    // === VPC associations ===

    pub(crate) async fn vpc_associations(&self, network: &str, vpc: &str) -> Called<Vec<VpcAssociation>> {
        let call = self.client.list_service_network_vpc_associations();
        let call = call.service_network_identifier(network).vpc_identifier(vpc);
        let items: Vec<types::ServiceNetworkVpcAssociationSummary> = call
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| failed("ListServiceNetworkVpcAssociations", error))?;
        let association = |item: types::ServiceNetworkVpcAssociationSummary| VpcAssociation {
            id: item.id.unwrap_or_default(),
            arn: item.arn.unwrap_or_default(),
            state: match item.status {
                // After these it is as it was before.
                Some(Status::Active | Status::UpdateFailed | Status::DeleteFailed) => {
                    AssociationState::Active
                }
                Some(Status::CreateFailed) => AssociationState::Failed,
                Some(Status::DeleteInProgress) => AssociationState::Leaving,
                _ => AssociationState::Moving,
            },
        };
        Ok(items.into_iter().map(association).collect())
    }

    pub(crate) async fn associate_vpc(
        &self,
        network: &str,
        vpc: &str,
        groups: &[String],
        tags: Tags,
    ) -> Called<String> {
        let call = self.client.create_service_network_vpc_association();
        let call = call.service_network_identifier(network).vpc_identifier(vpc);
        let call = call.set_security_group_ids((!groups.is_empty()).then(|| groups.to_vec()));
        let made = call.set_tags(Some(tags.into_iter().collect())).send().await;
        let made = made.map_err(|error| failed("CreateServiceNetworkVpcAssociation", error))?;
        Ok(made.arn.unwrap_or_default())
    }

    pub(crate) async fn security_groups(&self, association: &str) -> Called<Vec<String>> {
        let call = self.client.get_service_network_vpc_association();
        let found = call.service_network_vpc_association_identifier(association).send().await;
        let found = found.map_err(|error| failed("GetServiceNetworkVpcAssociation", error))?;
        Ok(found.security_group_ids.unwrap_or_default())
    }

    pub(crate) async fn set_security_groups(&self, association: &str, groups: &[String]) -> Called<()> {
        let call = self.client.update_service_network_vpc_association();
        let call = call.service_network_vpc_association_identifier(association);
        let answer = call.set_security_group_ids(Some(groups.to_vec())).send().await;
        answer.map(drop).map_err(|error| failed("UpdateServiceNetworkVpcAssociation", error))
    }

    pub(crate) async fn dissociate_vpc(&self, association: &str) -> Called<()> {
        let call = self.client.delete_service_network_vpc_association();
        let answer = call.service_network_vpc_association_identifier(association).send().await;
        answer.map(drop).map_err(|error| failed("DeleteServiceNetworkVpcAssociation", error))
    }

    // === Access logs ===

    pub(crate) async fn log_subscriptions(&self, resource: &str) -> Called<Vec<LogSubscription>> {
        let call = self.client.list_access_log_subscriptions().resource_identifier(resource);
        let items: Vec<types::AccessLogSubscriptionSummary> = call
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| failed("ListAccessLogSubscriptions", error))?;
        let subscription = |item: types::AccessLogSubscriptionSummary| LogSubscription {
            arn: item.arn,
            resource: item.resource_id,
            destination: item.destination_arn,
        };
        Ok(items.into_iter().map(subscription).collect())
    }

    pub(crate) async fn subscribe_logs(
        &self,
        resource: &str,
        destination: &str,
        tags: Tags,
    ) -> Called<String> {
        let call = self.client.create_access_log_subscription().resource_identifier(resource);
        let call = call.destination_arn(destination).set_tags(Some(tags.into_iter().collect()));
        let made = call.send().await.map_err(|error| failed("CreateAccessLogSubscription", error))?;
        Ok(made.arn)
    }

    pub(crate) async fn move_logs(&self, subscription: &str, destination: &str) -> Called<()> {
        let call = self.client.update_access_log_subscription();
        let call = call.access_log_subscription_identifier(subscription).destination_arn(destination);
        call.send().await.map(drop).map_err(|error| failed("UpdateAccessLogSubscription", error))
    }

    pub(crate) async fn unsubscribe_logs(&self, subscription: &str) -> Called<()> {
        let call = self.client.delete_access_log_subscription();
        let answer = call.access_log_subscription_identifier(subscription).send().await;
        answer.map(drop).map_err(|error| failed("DeleteAccessLogSubscription", error))
    }
}
