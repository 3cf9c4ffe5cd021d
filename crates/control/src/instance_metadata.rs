//! What the metadata service of a VPC answers from: whose an address is, what there is to tell, and the credentials of
//! the role that an instance has.
//!
//! Credentials are made when they are asked for the first time, and again well ahead of their end: clients ask anew when
//! theirs are about to end, and must then find later ones.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use trellis_ec2::{self as ec2, HostError};
use trellis_frame::{Refusal, Surroundings};
use trellis_metadata::{Credentials, Known, Network, Unusable};
use trellis_model::resource::iam::Role;
use trellis_model::resource::vpc::{Instance, MetadataOptions};
use trellis_model::{InstanceId, VpcId};
use trellis_store::Reader;
use trellis_sts::{ForService, assume_for_service};

use crate::Control;

/// How long credentials of an instance are good.
const DURATION: i32 = 6 * 3600;

/// "We make new credentials available at least five minutes before the expiration of the old ones." SDKs ask anew
/// up to fifteen minutes before.
const AHEAD: SignedDuration = SignedDuration::from_mins(60);

/// Instances whose credentials are remembered; beyond it those of others are made again.
const REMEMBERED: usize = 4096;

const EC2: &str = "ec2.amazonaws.com";

/// The credentials made, by instance.
#[derive(Debug, Default)]
pub(crate) struct InstanceRoles(Mutex<HashMap<InstanceId, Made>>);

/// Of which role, with which trust policy, and when.
#[derive(Debug, Clone)]
struct Made {
    role: String,
    trust_policy: String,
    at: Timestamp,
    credentials: Credentials,
}

impl InstanceRoles {
    fn find(&self, instance: &InstanceId, role: &Role, now: Timestamp) -> Option<Made> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(instance)?;
        let is_good = found.role == role.id
            && found.trust_policy == role.trust_policy
            && found.credentials.expires_at.duration_since(now) > AHEAD;
        is_good.then(|| found.clone())
    }

    fn remember(&self, instance: &InstanceId, made: Made) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, other| other.credentials.expires_at > made.at);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(instance.clone(), made);
    }

    /// `None`: the role does not trust EC2.
    fn credentials(
        &self,
        state: &mut Reader,
        surroundings: &Surroundings,
        instance: &Instance,
        role: &Role,
    ) -> Result<Option<(Timestamp, Credentials)>, Refusal> {
        let now = surroundings.clock.now();
        if let Some(made) = self.find(&instance.id, role, now) {
            return Ok(Some((made.at, made.credentials)));
        }
        let asked = ForService {
            role,
            service: EC2,
            session_name: instance.id.to_string(),
            source_arn: &instance.arn(),
            source_account: instance.home.account.as_str(),
            tags: Vec::new(),
            transitive_tag_keys: Vec::new(),
            duration: DURATION,
        };
        let Some(issued) = assume_for_service(state, surroundings, asked)? else { return Ok(None) };
        let credentials = Credentials {
            access_key_id: issued.access_key_id,
            secret_access_key: issued.secret_access_key,
            token: issued.session_token,
            expires_at: issued.expires_at,
        };
        let (role, trust_policy) = (role.id.clone(), role.trust_policy.clone());
        self.remember(&instance.id, Made { role, trust_policy, at: now, credentials: credentials.clone() });
        Ok(Some((now, credentials)))
    }
}

impl Control {
    /// The host that has `address` in `vpc`. Hosts cannot speak from one they do not have.
    pub fn instance_at(&self, vpc: &VpcId, address: IpAddr) -> Option<InstanceId> {
        let plan = self.fabric_plans().borrow().vpcs.get(vpc).cloned()?;
        let address = address.to_canonical();
        let has = |host: &&trellis_model::fabric::HostPlan| {
            let more = || plan.secondary_addresses(&host.id).any(|other| IpAddr::from(other) == address);
            IpAddr::from(host.address) == address
                || host.ipv6_address.map(IpAddr::from) == Some(address)
                || more()
        };
        plan.hosts.values().find(has).map(|host| host.id.clone())
    }

    /// How an instance in `vpc` is told of itself; `None` for one that is not there.
    ///
    /// # Errors
    /// A state that cannot be read.
    pub fn metadata_options(
        &self,
        vpc: &VpcId,
        id: &InstanceId,
    ) -> Result<Option<MetadataOptions>, HostError> {
        let state = &mut self.inner.frame.surroundings().store.read()?;
        Ok(ec2::metadata_options(state, vpc, id.as_str())?)
    }

    /// What an instance in `vpc` is told of itself; `None` for one that is not there. It may make credentials of its
    /// role, which whoever asks is to deserve.
    ///
    /// # Errors
    /// A state that cannot be read.
    pub fn instance_metadata(&self, vpc: &VpcId, id: &InstanceId) -> Result<Option<Known>, HostError> {
        let surroundings = self.inner.frame.surroundings();
        let state = &mut surroundings.store.read()?;
        let Some(described) = ec2::describe_instance(state, vpc, id.as_str())? else { return Ok(None) };
        let ec2::Described { instance, vpc, subnet, zone, groups, tags, profile } = described;
        let mut role = None;
        if let Some(association) = &instance.profile {
            let mut updated_at = Timestamp::from(association.since);
            let credentials = match profile {
                None => Err(Unusable::NoProfile),
                Some((_, None)) => Err(Unusable::NoRole),
                Some((_, Some(role))) => {
                    match self.inner.instance_roles.credentials(state, surroundings, &instance, &role)? {
                        None => Err(Unusable::NotTrusted { role: role.name }),
                        Some((at, credentials)) => {
                            updated_at = at;
                            Ok((role.name, credentials))
                        }
                    }
                }
            };
            role = Some(trellis_metadata::Role {
                profile_arn: association.arn.clone(),
                profile_id: association.profile.clone(),
                updated_at,
                credentials,
            });
        }
        let network = Network { vpc, subnet, zone, groups };
        Ok(Some(Known { instance, network, tags: tags.into_iter().collect(), role }))
    }
}
