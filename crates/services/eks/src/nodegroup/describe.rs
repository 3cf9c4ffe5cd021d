//! What is told of a node group.

use trellis_frame::Refusal;
use trellis_store::Read;

use super::{Nodegroup, Status};
use crate::input::{choice, kept};
use crate::machine::Taint;
use crate::{tag, wire};

impl Nodegroup {
    pub(crate) fn describe(&self, state: &mut impl Read) -> Result<wire::Nodegroup, Refusal> {
        let issues = self.reason.iter().map(|reason| wire::Issue {
            code: Some(wire::NodegroupIssueCode::NodeCreationFailure),
            message: Some(reason.clone()),
            resource_ids: Some(self.nodes.iter().map(|node| node.id.clone()).collect()),
        });
        // There is no such service here: its name tells this group from the others, as on EKS.
        let scaling_group = wire::AutoScalingGroup { name: Some(format!("eks-{}-{}", self.name, self.id)) };
        Ok(wire::Nodegroup {
            nodegroup_name: Some(self.name.clone()),
            nodegroup_arn: Some(self.arn()),
            cluster_name: Some(self.cluster.clone()),
            version: Some(self.version.clone()),
            release_version: Some(format!("{}.4-20261101", self.version)),
            created_at: Some(self.created_at),
            modified_at: Some(self.modified_at),
            status: Some(match self.status {
                Status::Creating => wire::NodegroupStatus::Creating,
                Status::Active => wire::NodegroupStatus::Active,
                Status::Updating => wire::NodegroupStatus::Updating,
                Status::Deleting => wire::NodegroupStatus::Deleting,
                Status::CreateFailed => wire::NodegroupStatus::CreateFailed,
                Status::Degraded => wire::NodegroupStatus::Degraded,
            }),
            capacity_type: choice(&self.capacity_type),
            scaling_config: Some(wire::NodegroupScalingConfig {
                min_size: Some(self.scaling.min),
                max_size: Some(self.scaling.max),
                desired_size: Some(self.scaling.desired),
            }),
            instance_types: Some(self.instance_types.clone()),
            subnets: Some(self.subnets.iter().map(ToString::to_string).collect()),
            ami_type: choice(&self.ami_type),
            node_role: Some(self.role.clone()),
            labels: Some(self.labels.clone()),
            taints: Some(self.taints.iter().map(describe_taint).collect()),
            resources: Some(wire::NodegroupResources {
                auto_scaling_groups: Some(vec![scaling_group]),
                remote_access_security_group: None,
            }),
            disk_size: Some(self.disk_size),
            health: Some(wire::NodegroupHealth { issues: Some(issues.collect()) }),
            update_config: kept(self.update_config.as_ref()).or_else(|| {
                Some(wire::NodegroupUpdateConfig { max_unavailable: Some(1), ..Default::default() })
            }),
            node_repair_config: kept(self.repair_config.as_ref()),
            tags: tag::of(state, &self.home, &self.arn())?,
            ..Default::default()
        })
    }
}

fn describe_taint(taint: &Taint) -> wire::Taint {
    wire::Taint {
        key: Some(taint.key.clone()),
        value: Some(taint.value.clone()),
        effect: match taint.effect.as_str() {
            "NoSchedule" => Some(wire::TaintEffect::NoSchedule),
            "NoExecute" => Some(wire::TaintEffect::NoExecute),
            _ => Some(wire::TaintEffect::PreferNoSchedule),
        },
    }
}
