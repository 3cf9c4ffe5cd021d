//! What the metadata service of a VPC answers from: whose an address is, what there is to tell, and the credentials of
//! the role that an instance has.

use std::net::IpAddr;

use jiff::Timestamp;
use trellis_ec2::{self as ec2, HostError};
use trellis_metadata::{Credentials, Known, Network, Unusable};
use trellis_model::resource::vpc::MetadataOptions;
use trellis_model::{InstanceId, VpcId};
use trellis_sts::ForService;

use crate::Control;

/// How long credentials of an instance are good.
const DURATION: i32 = 6 * 3600;

const EC2: &str = "ec2.amazonaws.com";

impl Control {
    /// The host that has `address` in `vpc`. Hosts cannot speak from one they do not have.
    pub fn instance_at(&self, vpc: &VpcId, address: IpAddr) -> Option<InstanceId> {
        let plan = self.fabric_plans().borrow().vpcs.get(vpc).cloned()?;
        plan.host_at(address).map(|host| host.id.clone())
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
                    let asked = ForService {
                        role: &role,
                        service: EC2,
                        session_name: instance.id.to_string(),
                        source_arn: &instance.arn(),
                        source_account: instance.home.account.as_str(),
                        tags: Vec::new(),
                        transitive_tag_keys: Vec::new(),
                        duration: DURATION,
                    };
                    match self.inner.instance_roles.session(state, surroundings, asked)? {
                        None => Err(Unusable::NotTrusted { role: role.name }),
                        Some((at, issued)) => {
                            updated_at = at;
                            let credentials = Credentials {
                                access_key_id: issued.access_key_id,
                                secret_access_key: issued.secret_access_key,
                                token: issued.session_token,
                                expires_at: issued.expires_at,
                            };
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
