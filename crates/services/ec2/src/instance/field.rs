//! Values of the filters of instances and of their interfaces: what answers show of them. What they do not show has
//! no value, and no filter for it matches.

use serde_json::Value;
use trellis_frame::tags::Tags;
use trellis_model::fabric::mac_text;
use trellis_model::resource::vpc::Instance;

use super::Surroundings;
use crate::instance_type;

impl Surroundings {
    /// Of an instance, whose interface has `interface_tags`.
    pub(super) fn field(&self, instance: &Instance, interface_tags: &Tags, name: &str) -> Vec<String> {
        let zone = || self.zone(instance);
        let reason = instance.reason.iter();
        let value = match name {
            "architecture" => return instance_type::ARCHITECTURE.map(Into::into).into_iter().collect(),
            "instance-type" => instance_type::NAME.into(),
            "platform-details" => instance_type::PLATFORM.into(),
            "instance-id" => instance.id.to_string(),
            "instance-state-name" => instance.state.as_str().into(),
            "instance-state-code" => instance.state.code().to_string(),
            "launch-index" => "0".into(),
            "launch-time" => instance.launched_at.to_string(),
            "monitoring-state" => "disabled".into(),
            "owner-id" => self.home.account.to_string(),
            "reservation-id" => instance.reservation_id(),
            "reason" | "state-reason-message" => return reason.cloned().collect(),
            "state-reason-code" => return reason.map(|_| super::REASON_CODE.into()).collect(),
            "availability-zone" => return zone().map(|(name, _)| name).into_iter().collect(),
            "availability-zone-id" => return zone().map(|(_, id)| id).into_iter().collect(),
            "iam-instance-profile.arn" => {
                return instance.profile.iter().map(|profile| profile.arn.clone()).collect();
            }
            "iam-instance-profile.id" => {
                return instance.profile.iter().map(|profile| profile.profile.clone()).collect();
            }
            "metadata-options.http-tokens" => "required".into(),
            "metadata-options.http-put-response-hop-limit" => instance.metadata.hop_limit.to_string(),
            "metadata-options.http-endpoint" => {
                super::metadata::switched(instance.metadata.is_enabled).into()
            }
            "metadata-options.http-protocol-ipv4" => "enabled".into(),
            "metadata-options.http-protocol-ipv6" => {
                super::metadata::switched(instance.metadata.has_ipv6).into()
            }
            "metadata-options.instance-metadata-tags" => {
                super::metadata::switched(instance.metadata.has_tags).into()
            }
            "tenancy" => return zone().map(|_| super::TENANCY.into()).into_iter().collect(),
            // "You can only use this to filter by the primary IP."
            "private-ip-address" if instance.state.holds_resources() => instance.address.to_string(),
            "private-dns-name" if instance.state.holds_resources() => instance.private_dns_name(),
            "group-id" | "group-name" | "ipv6-address" | "source-dest-check" | "subnet-id" | "vpc-id" => {
                return self.interface_field(instance, interface_tags, name);
            }
            _ => {
                let of_interface =
                    name.strip_prefix("network-interface.").or_else(|| name.strip_prefix("instance."));
                return of_interface
                    .map_or_else(Vec::new, |name| self.interface_field(instance, interface_tags, name));
            }
        };
        vec![value]
    }

    /// Of the interface of an instance; "a terminated instance has no network any more".
    pub(super) fn interface_field(&self, instance: &Instance, tags: &Tags, name: &str) -> Vec<String> {
        if !instance.state.holds_resources() {
            return Vec::new();
        }
        let group_ids = || instance.security_groups.iter().map(ToString::to_string);
        let zone = || self.zone(instance);
        let of_addresses = |member: &str| -> Vec<String> {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.private_addresses(instance).iter().map(|address| text(&address[member])).collect()
        };
        let ipv6 = instance.ipv6_address.iter();
        let value = match name {
            "network-interface-id" => instance.interface_id(),
            "addresses.primary" => return of_addresses("Primary"),
            "addresses.private-ip-address" | "private-ip-address" => return of_addresses("PrivateIpAddress"),
            "addresses.private-dns-name" => return of_addresses("PrivateDnsName"),
            "private-dns-name" => instance.private_dns_name(),
            "attachment.delete-on-termination" | "source-dest-check" => "true".into(),
            "mac-address" => mac_text(instance.address),
            "attachment.attach-time" => instance.launched_at.to_string(),
            "attachment.attachment-id" => super::attachment_id(instance),
            "attachment.device-index" | "attachment.network-card-index" => "0".into(),
            "attachment.instance-id" => instance.id.to_string(),
            "attachment.instance-owner-id" | "owner-id" => self.home.account.to_string(),
            "attachment.status" => "attached".into(),
            "availability-zone" => return zone().map(|(name, _)| name).into_iter().collect(),
            "availability-zone-id" => return zone().map(|(_, id)| id).into_iter().collect(),
            "description" => String::new(),
            "group-id" => return group_ids().collect(),
            "group-name" => return group_ids().filter_map(|id| self.group_names.get(&id).cloned()).collect(),
            "interface-type" => "interface".into(),
            "ipv6-address" | "ipv6-addresses.ipv6-address" => return ipv6.map(ToString::to_string).collect(),
            "ipv6-addresses.is-primary-ipv6" => return ipv6.map(|_| "false".into()).collect(),
            "requester-managed" => "false".into(),
            "status" => "in-use".into(),
            "subnet-id" => instance.subnet.to_string(),
            "tag-key" => return tags.keys().cloned().collect(),
            "tag-value" => return tags.values().cloned().collect(),
            "vpc-id" => instance.vpc.to_string(),
            _ => return Vec::new(),
        };
        vec![value]
    }
}
