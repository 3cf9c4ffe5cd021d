//! Target groups and targets.

use std::net::IpAddr;

use aws_sdk_vpclattice::types;
pub(crate) use aws_sdk_vpclattice::types::TargetStatus;

use super::{CallError, Called, Known, Lattice, convert, failed};
use crate::objects::HealthCheck;
use crate::plan::DesiredTargetGroup;

/// How many targets one call may name.
const TARGETS_A_CALL: usize = 100;

impl Lattice {
    pub(crate) async fn target_groups(&self) -> Called<Vec<Known>> {
        let items: Vec<types::TargetGroupSummary> = self
            .client
            .list_target_groups()
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| failed("ListTargetGroups", error))?;
        let known = |item: types::TargetGroupSummary| Known {
            id: item.id.unwrap_or_default(),
            arn: item.arn.unwrap_or_default(),
            name: item.name.unwrap_or_default(),
            domain: None,
        };
        Ok(items.into_iter().map(known).collect())
    }

    pub(crate) async fn create_target_group(
        &self,
        name: &str,
        vpc: &str,
        desired: &DesiredTargetGroup,
    ) -> Called<Known> {
        let family = if desired.is_ipv6 { types::IpAddressType::Ipv6 } else { types::IpAddressType::Ipv4 };
        let config = types::TargetGroupConfig::builder()
            .port(desired.port)
            .protocol(desired.protocol.as_str().into())
            .set_protocol_version(desired.version.as_deref().map(Into::into))
            .ip_address_type(family)
            .vpc_identifier(vpc)
            .health_check(convert::health_check(&desired.health_check))
            .build();
        let call = self
            .client
            .create_target_group()
            .name(name)
            .r#type(types::TargetGroupType::Ip)
            .config(config)
            .set_tags(Some(desired.tags.clone().into_iter().collect()));
        let made = call.send().await.map_err(|error| failed("CreateTargetGroup", error))?;
        Ok(Known {
            id: made.id.unwrap_or_default(),
            arn: made.arn.unwrap_or_default(),
            name: name.to_owned(),
            domain: None,
        })
    }

    pub(crate) async fn health_check(&self, id: &str) -> Called<HealthCheck> {
        let call = self.client.get_target_group().target_group_identifier(id);
        let found = call.send().await.map_err(|error| failed("GetTargetGroup", error))?;
        let check = found.config.and_then(|config| config.health_check);
        Ok(check.as_ref().map(convert::health_check_of).unwrap_or_default())
    }

    /// Whether rules lead to it.
    pub(crate) async fn is_used(&self, id: &str) -> Called<bool> {
        let call = self.client.get_target_group().target_group_identifier(id);
        let found = call.send().await.map_err(|error| failed("GetTargetGroup", error))?;
        Ok(found.service_arns.is_some_and(|services| !services.is_empty()))
    }

    pub(crate) async fn update_health_check(&self, id: &str, check: &HealthCheck) -> Called<()> {
        let call = self.client.update_target_group().target_group_identifier(id);
        let call = call.health_check(convert::health_check(check));
        call.send().await.map(drop).map_err(|error| failed("UpdateTargetGroup", error))
    }

    pub(crate) async fn delete_target_group(&self, id: &str) -> Called<()> {
        let call = self.client.delete_target_group().target_group_identifier(id);
        call.send().await.map(drop).map_err(|error| failed("DeleteTargetGroup", error))
    }

    /// Those that are registered; not those that leave.
    pub(crate) async fn targets(&self, group: &str) -> Called<Vec<(IpAddr, u16)>> {
        let found = self.target_health(group).await?;
        let staying = found.into_iter().filter(|(_, status)| *status != TargetStatus::Draining);
        Ok(staying.map(|(target, _)| target).collect())
    }

    pub(crate) async fn target_health(&self, group: &str) -> Called<Vec<((IpAddr, u16), TargetStatus)>> {
        let call = self.client.list_targets().target_group_identifier(group);
        let items: Vec<types::TargetSummary> = call
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| failed("ListTargets", error))?;
        let target = |item: types::TargetSummary| {
            let address = item.id?.parse().ok()?;
            Some(((address, item.port?.try_into().ok()?), item.status?))
        };
        Ok(items.into_iter().filter_map(target).collect())
    }

    pub(crate) async fn register(&self, group: &str, targets: &[(IpAddr, u16)]) -> Called<()> {
        for part in targets.chunks(TARGETS_A_CALL) {
            let call = self.client.register_targets().target_group_identifier(group);
            let answer = call.set_targets(Some(part.iter().map(target).collect())).send().await;
            let answer = answer.map_err(|error| failed("RegisterTargets", error))?;
            all_taken("RegisterTargets", answer.unsuccessful)?;
        }
        Ok(())
    }

    pub(crate) async fn deregister(&self, group: &str, targets: &[(IpAddr, u16)]) -> Called<()> {
        for part in targets.chunks(TARGETS_A_CALL) {
            let call = self.client.deregister_targets().target_group_identifier(group);
            let answer = call.set_targets(Some(part.iter().map(target).collect())).send().await;
            // One that is gone already is as good.
            answer.map_err(|error| failed("DeregisterTargets", error))?;
        }
        Ok(())
    }
}

fn target((address, port): &(IpAddr, u16)) -> types::Target {
    types::Target::builder().id(address.to_string()).port((*port).into()).build().expect("an id is given")
}

fn all_taken(operation: &'static str, failures: Option<Vec<types::TargetFailure>>) -> Called<()> {
    let Some(failure) = failures.unwrap_or_default().into_iter().next() else { return Ok(()) };
    Err(CallError::Refused {
        operation,
        code: failure.failure_code.unwrap_or_default(),
        message: format!(
            "{}: {}",
            failure.id.unwrap_or_default(),
            failure.failure_message.unwrap_or_default()
        ),
    })
}
