//! Services, listeners, rules and what joins a service to a network.

use aws_sdk_vpclattice::types::{self, ServiceNetworkServiceAssociationStatus as Status};

use super::{
    Association, Called, Known, Lattice, ListenerRecord, RuleRecord, ServiceDetail, Tags, convert, failed,
};
use crate::plan::{Action, DesiredListener, DesiredService, RuleMatch};

impl Lattice {
    pub(crate) async fn services(&self) -> Called<Vec<Known>> {
        let pages = self.client.list_services().into_paginator().items().send();
        let items: Vec<types::ServiceSummary> =
            pages.collect::<Result<_, _>>().await.map_err(|error| failed("ListServices", error))?;
        let known = |item: types::ServiceSummary| Known {
            id: item.id.unwrap_or_default(),
            arn: item.arn.unwrap_or_default(),
            name: item.name.unwrap_or_default(),
            domain: item.dns_entry.and_then(|entry| entry.domain_name),
        };
        Ok(items.into_iter().map(known).collect())
    }

    pub(crate) async fn create_service(&self, desired: &DesiredService) -> Called<Known> {
        let call = self
            .client
            .create_service()
            .name(&desired.name)
            .set_custom_domain_name(desired.custom_domain.clone())
            .set_certificate_arn(desired.certificate.clone())
            .set_tags(Some(desired.tags.clone().into_iter().collect()));
        let made = call.send().await.map_err(|error| failed("CreateService", error))?;
        Ok(Known {
            id: made.id.unwrap_or_default(),
            arn: made.arn.unwrap_or_default(),
            name: made.name.unwrap_or_default(),
            domain: made.dns_entry.and_then(|entry| entry.domain_name),
        })
    }

    pub(crate) async fn service(&self, id: &str) -> Called<ServiceDetail> {
        let call = self.client.get_service().service_identifier(id);
        let found = call.send().await.map_err(|error| failed("GetService", error))?;
        Ok(ServiceDetail {
            custom_domain: found.custom_domain_name,
            certificate: found.certificate_arn.filter(|arn| !arn.is_empty()),
            domain: found.dns_entry.and_then(|entry| entry.domain_name),
        })
    }

    pub(crate) async fn update_certificate(&self, id: &str, certificate: &str) -> Called<()> {
        let call = self.client.update_service().service_identifier(id).certificate_arn(certificate);
        call.send().await.map(drop).map_err(|error| failed("UpdateService", error))
    }

    pub(crate) async fn delete_service(&self, id: &str) -> Called<()> {
        let call = self.client.delete_service().service_identifier(id);
        call.send().await.map(drop).map_err(|error| failed("DeleteService", error))
    }

    // === Associations ===

    pub(crate) async fn associations(&self, service: &str) -> Called<Vec<Association>> {
        let call = self.client.list_service_network_service_associations().service_identifier(service);
        let items: Vec<types::ServiceNetworkServiceAssociationSummary> = call
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| failed("ListServiceNetworkServiceAssociations", error))?;
        let association = |item: types::ServiceNetworkServiceAssociationSummary| Association {
            id: item.id.unwrap_or_default(),
            network_id: item.service_network_id.unwrap_or_default(),
            is_failed: matches!(item.status, Some(Status::CreateFailed)),
            is_being_deleted: matches!(item.status, Some(Status::DeleteInProgress)),
        };
        Ok(items.into_iter().map(association).collect())
    }

    pub(crate) async fn associate(&self, service: &str, network: &str, tags: Tags) -> Called<String> {
        let call = self
            .client
            .create_service_network_service_association()
            .service_identifier(service)
            .service_network_identifier(network)
            .set_tags(Some(tags.into_iter().collect()));
        let made =
            call.send().await.map_err(|error| failed("CreateServiceNetworkServiceAssociation", error))?;
        Ok(made.id.unwrap_or_default())
    }

    pub(crate) async fn dissociate(&self, association: &str) -> Called<()> {
        let call = self.client.delete_service_network_service_association();
        let call = call.service_network_service_association_identifier(association);
        call.send().await.map(drop).map_err(|error| failed("DeleteServiceNetworkServiceAssociation", error))
    }

    // === Listeners ===

    pub(crate) async fn listeners(&self, service: &str) -> Called<Vec<ListenerRecord>> {
        let call = self.client.list_listeners().service_identifier(service);
        let items: Vec<types::ListenerSummary> = call
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| failed("ListListeners", error))?;
        let record = |item: types::ListenerSummary| ListenerRecord {
            port: item.port.and_then(|port| port.try_into().ok()).unwrap_or_default(),
            protocol: convert::protocol_of(item.protocol.as_ref()),
            id: item.id.unwrap_or_default(),
        };
        Ok(items.into_iter().map(record).collect())
    }

    pub(crate) async fn default_action(&self, service: &str, listener: &str) -> Called<Action> {
        let call = self.client.get_listener().service_identifier(service).listener_identifier(listener);
        let found = call.send().await.map_err(|error| failed("GetListener", error))?;
        Ok(convert::action_of(found.default_action.as_ref()))
    }

    /// `default` is by ids of target groups.
    pub(crate) async fn create_listener(
        &self,
        service: &str,
        port: u16,
        desired: &DesiredListener,
        default: &Action,
        tags: Tags,
    ) -> Called<String> {
        let call = self
            .client
            .create_listener()
            .service_identifier(service)
            .name(&desired.name)
            .protocol(convert::protocol(desired.protocol))
            .port(port.into())
            .default_action(convert::action(default))
            .set_tags(Some(tags.into_iter().collect()));
        let made = call.send().await.map_err(|error| failed("CreateListener", error))?;
        Ok(made.id.unwrap_or_default())
    }

    pub(crate) async fn update_listener(
        &self,
        service: &str,
        listener: &str,
        default: &Action,
    ) -> Called<()> {
        let call = self.client.update_listener().service_identifier(service).listener_identifier(listener);
        let call = call.default_action(convert::action(default));
        call.send().await.map(drop).map_err(|error| failed("UpdateListener", error))
    }

    pub(crate) async fn delete_listener(&self, service: &str, listener: &str) -> Called<()> {
        let call = self.client.delete_listener().service_identifier(service).listener_identifier(listener);
        call.send().await.map(drop).map_err(|error| failed("DeleteListener", error))
    }

    // === Rules ===

    /// Without the default rule.
    pub(crate) async fn rules(&self, service: &str, listener: &str) -> Called<Vec<RuleRecord>> {
        let call = self.client.list_rules().service_identifier(service).listener_identifier(listener);
        let items: Vec<types::RuleSummary> = call
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| failed("ListRules", error))?;
        let mut rules = Vec::new();
        for item in items.into_iter().filter(|item| !item.is_default.unwrap_or(false)) {
            let id = item.id.unwrap_or_default();
            let call = self.client.get_rule().service_identifier(service).listener_identifier(listener);
            let found = call.rule_identifier(&id).send().await.map_err(|error| failed("GetRule", error))?;
            rules.push(RuleRecord {
                id,
                priority: found.priority.unwrap_or_default(),
                matching: convert::rule_match_of(found.r#match.as_ref()),
                action: convert::action_of(found.action.as_ref()),
            });
        }
        Ok(rules)
    }

    pub(crate) async fn create_rule(
        &self,
        (service, listener): (&str, &str),
        name: &str,
        priority: i32,
        matching: &RuleMatch,
        action: &Action,
        tags: Tags,
    ) -> Called<String> {
        let call = self
            .client
            .create_rule()
            .service_identifier(service)
            .listener_identifier(listener)
            .name(name)
            .priority(priority)
            .r#match(convert::rule_match(matching))
            .action(convert::action(action))
            .set_tags(Some(tags.into_iter().collect()));
        let made = call.send().await.map_err(|error| failed("CreateRule", error))?;
        Ok(made.id.unwrap_or_default())
    }

    pub(crate) async fn update_rule(
        &self,
        (service, listener): (&str, &str),
        rule: &str,
        matching: &RuleMatch,
        action: &Action,
    ) -> Called<()> {
        let call = self
            .client
            .update_rule()
            .service_identifier(service)
            .listener_identifier(listener)
            .rule_identifier(rule)
            .r#match(convert::rule_match(matching))
            .action(convert::action(action));
        call.send().await.map(drop).map_err(|error| failed("UpdateRule", error))
    }

    pub(crate) async fn delete_rule(&self, (service, listener): (&str, &str), rule: &str) -> Called<()> {
        let call = self.client.delete_rule().service_identifier(service).listener_identifier(listener);
        let call = call.rule_identifier(rule);
        call.send().await.map(drop).map_err(|error| failed("DeleteRule", error))
    }

    /// All at once, so that rules may change places.
    pub(crate) async fn set_priorities(
        &self,
        (service, listener): (&str, &str),
        priorities: &[(String, i32)],
    ) -> Called<()> {
        let updates = priorities.iter().map(|(rule, priority)| {
            let update = types::RuleUpdate::builder().rule_identifier(rule).priority(*priority);
            update.build().expect("an identifier is given")
        });
        let call = self.client.batch_update_rule().service_identifier(service).listener_identifier(listener);
        let call = call.set_rules(Some(updates.collect()));
        let answer = call.send().await.map_err(|error| failed("BatchUpdateRule", error))?;
        match answer.unsuccessful.unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(failure) => Err(super::CallError::Refused {
                operation: "BatchUpdateRule",
                code: failure.failure_code.unwrap_or_default(),
                message: failure.failure_message.unwrap_or_default(),
            }),
        }
    }
}
