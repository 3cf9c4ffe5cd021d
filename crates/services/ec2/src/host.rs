//! Hosts: making and ending instances, for `trellis run` and `trellis rm`.
//!
//! A host is `pending` until the kernel has it, `running` then, `shutting-down` once it is to go and
//! `terminated` when the kernel no longer has it. A terminated one can be described for an hour
//! ([`KEPT`]); its name and its address are free at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use trellis_frame::record;
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_frame::{Refusal, Surroundings, reference};
use trellis_model::moment::Moment;
use trellis_model::resource::iam::InstanceProfile;
use trellis_model::resource::lattice::{Database, DatabaseArn, Home};
use trellis_model::resource::vpc::{
    HostedDatabase, Instance, InstanceState, MetadataOptions, Sandbox, SecurityGroup, Subnet, Tenants, Vpc,
};
use trellis_model::{InstanceId, SubnetId};
use trellis_store::{Read, TransactError, Transaction};

use super::instance::profile;
use super::{instance, place, tag, traits};

/// How long a terminated instance is kept to be described.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// Arguments of a host's command, and their bytes together.
const MAX_ARGUMENTS: usize = 1024;
const MAX_COMMAND_BYTES: usize = 128 * 1024;

/// What a host is given: mounts, and bytes of its variables.
const MAX_MOUNTS: usize = 64;
const MAX_ENVIRONMENT_BYTES: usize = 32 * 1024;

/// Security groups of one interface: AWS's default quota.
const MAX_GROUPS: usize = 5;

/// What `trellis run` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInstance {
    /// Id of a subnet in any account and region of the installation.
    pub subnet: String,
    /// 1 to 63 letters, digits and hyphens, no hyphen at either end; no other host has it.
    pub name: String,
    /// `None`: the lowest free address of the subnet.
    pub ip: Option<Ipv4Addr>,
    /// `None`: the lowest free IPv6 address where the subnet assigns them, else none.
    pub ipv6: Option<Ipv6Addr>,
    /// Ids of groups in the subnet's VPC. Empty: the host is in no group, not even the default one, and nothing of it
    /// is filtered.
    pub security_groups: Vec<String>,
    /// What runs inside; empty: nothing. Of a host that is not detached it is only shown: whoever made it runs it.
    pub command: Vec<String>,
    /// Whether the host outlives the process that holds it.
    pub detached: bool,
    /// What it sees of the machine and may take of it.
    pub sandbox: Sandbox,
    /// The database it is to resource configurations of type ARN, in the subnet's account and region.
    pub database: Option<HostedDatabase>,
    /// Name or ARN of an IAM instance profile in the subnet's account, whose role the host gets credentials of.
    pub instance_profile: Option<String>,
}

/// Why there is no such host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("a host name has 1 to 63 letters, digits and hyphens with no hyphen at either end, not {name:?}")]
    NameMalformed { name: String },
    #[error(
        "host {instance} is called {name} already: choose another --name, or remove it with `trellis rm {name}`"
    )]
    NameTaken { name: String, instance: String },
    #[error("subnet {subnet} does not exist: see `aws ec2 describe-subnets`")]
    NoSubnet { subnet: String },
    #[error("{address} cannot be a host's: {subnet} is {cidr} without its first four addresses and its last")]
    AddressOutside { address: IpAddr, subnet: SubnetId, cidr: ipnet::IpNet },
    #[error("{subnet} has no IPv6 block: give it one with `aws ec2 associate-subnet-cidr-block`")]
    NoIpv6 { subnet: SubnetId },
    #[error("{address} belongs to {owner}")]
    AddressTaken { address: IpAddr, owner: String },
    #[error("every address of {subnet} ({cidr}) is taken")]
    SubnetFull { subnet: SubnetId, cidr: ipnet::IpNet },
    #[error("{subnet} has not {count} addresses that are free")]
    SubnetHasNotSoMany { subnet: SubnetId, count: usize },
    #[error("{instance} has at most {most} secondary addresses")]
    TooManyAddresses { instance: InstanceId, most: usize },
    #[error("security group {group} does not exist in {vpc}")]
    NoSecurityGroup { group: String, vpc: trellis_model::VpcId },
    #[error("a host has at most {MAX_GROUPS} security groups, not {got}")]
    TooManyGroups { got: usize },
    #[error("{arn} is not a database of account {} in {}, where {subnet} is", home.account, home.region)]
    DatabaseElsewhere { arn: DatabaseArn, home: Home, subnet: SubnetId },
    #[error("{arn} is {instance} already: remove it with `trellis rm {instance}`")]
    DatabaseTaken { arn: DatabaseArn, instance: InstanceId },
    #[error("there is no IAM instance profile {profile} in account {}: see `aws iam list-instance-profiles`", home.account)]
    NoInstanceProfile { profile: String, home: Home },
    #[error("a command has at most {MAX_ARGUMENTS} arguments of {MAX_COMMAND_BYTES} bytes in all")]
    CommandTooLong,
    #[error("a host has at most {MAX_MOUNTS} mounts, and variables of {MAX_ENVIRONMENT_BYTES} bytes in all")]
    TooMuchGiven,
    #[error("no host is called {name}: see `trellis ps`")]
    NoHost { name: String },
    #[error("{0}")]
    State(String),
}

impl From<Refusal> for HostError {
    fn from(refusal: Refusal) -> Self {
        if refusal.is_ours() {
            tracing::error!(?refusal, "what was asked of hosts failed");
        }
        Self::State(refusal.to_string())
    }
}

impl From<trellis_store::StoreError> for HostError {
    fn from(error: trellis_store::StoreError) -> Self {
        Refusal::from(error).into()
    }
}

pub(super) fn settle<T>(outcome: Result<T, TransactError<HostError>>) -> Result<T, HostError> {
    outcome.map_err(|error| match error {
        TransactError::Caller(error) => error,
        TransactError::Store(error) => error.into(),
    })
}

fn check_name(name: &str) -> Result<(), HostError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
        // `trellis rm` takes a name or an id.
        && name.parse::<InstanceId>().is_err();
    if fits { Ok(()) } else { Err(HostError::NameMalformed { name: name.chars().take(80).collect() }) }
}

fn check_command(command: &[String]) -> Result<(), HostError> {
    let bytes: usize = command.iter().map(String::len).sum();
    let fits = command.len() <= MAX_ARGUMENTS && bytes <= MAX_COMMAND_BYTES;
    if fits { Ok(()) } else { Err(HostError::CommandTooLong) }
}

fn check_sandbox(sandbox: &Sandbox) -> Result<(), HostError> {
    let bytes: usize = sandbox.environment.iter().map(|(name, value)| name.len() + value.len()).sum();
    let fits = sandbox.mounts.len() <= MAX_MOUNTS && bytes <= MAX_ENVIRONMENT_BYTES;
    if fits { Ok(()) } else { Err(HostError::TooMuchGiven) }
}

/// Records a new host, `pending`.
///
/// # Errors
/// Whatever of [`HostError`] the request deserves; nothing is written then.
pub(crate) async fn run(surroundings: &Surroundings, spec: RunInstance) -> Result<Instance, HostError> {
    check_name(&spec.name)?;
    check_command(&spec.command)?;
    check_sandbox(&spec.sandbox)?;
    if spec.security_groups.len() > MAX_GROUPS {
        return Err(HostError::TooManyGroups { got: spec.security_groups.len() });
    }
    let id = InstanceId::from_random(surroundings.random.draw());
    let now = Moment::from(surroundings.clock.now());
    let association = surroundings.random.draw();
    settle(
        surroundings
            .store
            .transact(move |tx| {
                if let Some(instance) = place::host_named(tx, &spec.name)? {
                    return Err(HostError::NameTaken { name: spec.name.clone(), instance });
                }
                let subnet: Subnet = place::find_anywhere(tx, &spec.subnet)?
                    .ok_or_else(|| HostError::NoSubnet { subnet: spec.subnet.chars().take(80).collect() })?;
                let home = subnet.home.clone();
                let tenants = place::tenants(tx, &home)?;
                let address = choose_address(&subnet, &tenants, spec.ip)?;
                let ipv6_address = choose_ipv6(&subnet, &tenants, spec.ipv6)?;
                let vpc: Vpc = place::find(tx, &home, subnet.vpc.as_str())?;
                if let Some(HostedDatabase { arn, .. }) = &spec.database {
                    check_database(tx, arn, &subnet)?;
                }
                let profile = match &spec.instance_profile {
                    Some(text) => Some(choose_profile(tx, &home, text)?),
                    None => None,
                };
                let instance = Instance {
                    id: id.clone(),
                    home: home.clone(),
                    name: spec.name.clone(),
                    security_groups: choose_groups(tx, &vpc, &spec.security_groups)?,
                    vpc: vpc.id,
                    subnet: subnet.id,
                    address,
                    ipv6_address,
                    secondary_addresses: Default::default(),
                    command: spec.command.clone(),
                    detached: spec.detached,
                    sandbox: spec.sandbox.clone(),
                    database: spec.database.clone(),
                    profile: profile.map(|profile| profile::associate(&profile, association, now)),
                    metadata: MetadataOptions::default(),
                    state: InstanceState::Pending,
                    launched_at: now,
                    terminated_at: None,
                    reason: None,
                };
                prune(tx, &tenants.instances, now);
                place::put(tx, &instance);
                place::remember_place(tx, &home, id.as_str());
                place::take_name(tx, &spec.name, &id);
                if let Some(HostedDatabase { arn, port }) = &instance.database {
                    let (vpc, port) = (instance.vpc.clone(), *port);
                    let database = Database { instance: id.clone(), vpc, address, ipv6_address, port };
                    traits::note_database(tx, &home, arn, &database);
                }
                let tags: Tags = [("Name".to_owned(), spec.name.clone())].into();
                tag::apply(tx, &home, &instance.arn(), &tags)?;
                Ok(instance)
            })
            .await,
    )
}

fn check_database(state: &mut impl Read, arn: &DatabaseArn, subnet: &Subnet) -> Result<(), HostError> {
    let home = &subnet.home;
    if arn.account() != home.account.as_str() || arn.region() != home.region.as_str() {
        let (arn, home, subnet) = (arn.clone(), home.clone(), subnet.id.clone());
        return Err(HostError::DatabaseElsewhere { arn, home, subnet });
    }
    match traits::database(state, home, arn)? {
        Some(Database { instance, .. }) => Err(HostError::DatabaseTaken { arn: arn.clone(), instance }),
        None => Ok(()),
    }
}

fn choose_profile(state: &mut impl Read, home: &Home, text: &str) -> Result<InstanceProfile, HostError> {
    profile::find(state, home, text)?.ok_or_else(|| HostError::NoInstanceProfile {
        profile: text.chars().take(200).collect(),
        home: home.clone(),
    })
}

fn choose_address(
    subnet: &Subnet,
    tenants: &Tenants,
    wanted: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, HostError> {
    // Two subnets may have the same block only in different VPCs, so the subnet decides.
    let taken = tenants.of(&subnet.id);
    match wanted {
        Some(address) if !subnet.may_assign(address) => {
            let (subnet, cidr) = (subnet.id.clone(), subnet.cidr.into());
            Err(HostError::AddressOutside { address: address.into(), subnet, cidr })
        }
        Some(address) => match taken.get(&IpAddr::from(address)) {
            Some(owner) => {
                Err(HostError::AddressTaken { address: address.into(), owner: (*owner).to_owned() })
            }
            None => Ok(address),
        },
        None => subnet
            .lowest_free(|address| taken.contains_key(&IpAddr::from(address)))
            .ok_or_else(|| HostError::SubnetFull { subnet: subnet.id.clone(), cidr: subnet.cidr.into() }),
    }
}

fn choose_ipv6(
    subnet: &Subnet,
    tenants: &Tenants,
    wanted: Option<Ipv6Addr>,
) -> Result<Option<Ipv6Addr>, HostError> {
    let id = || subnet.id.clone();
    let Some(ipv6) = &subnet.ipv6 else {
        return if wanted.is_some() { Err(HostError::NoIpv6 { subnet: id() }) } else { Ok(None) };
    };
    let cidr = ipv6.cidr.into();
    let taken = tenants.of(&subnet.id);
    match wanted {
        Some(address) if !ipv6.may_assign(address) => {
            Err(HostError::AddressOutside { address: address.into(), subnet: id(), cidr })
        }
        Some(address) => match taken.get(&IpAddr::from(address)) {
            Some(owner) => {
                Err(HostError::AddressTaken { address: address.into(), owner: (*owner).to_owned() })
            }
            None => Ok(Some(address)),
        },
        None if !subnet.assign_ipv6 => Ok(None),
        None => match ipv6.lowest_free(|address| taken.contains_key(&IpAddr::from(address))) {
            Some(address) => Ok(Some(address)),
            None => Err(HostError::SubnetFull { subnet: id(), cidr }),
        },
    }
}

fn choose_groups(
    state: &mut impl Read,
    vpc: &Vpc,
    wanted: &[String],
) -> Result<Vec<trellis_model::SecurityGroupId>, HostError> {
    let mut groups = Vec::new();
    for text in wanted {
        let missing =
            || HostError::NoSecurityGroup { group: text.chars().take(80).collect(), vpc: vpc.id.clone() };
        let id: trellis_model::SecurityGroupId = text.parse().map_err(|_| missing())?;
        let found: Option<SecurityGroup> =
            record::get(state, &place::key::<SecurityGroup>(&vpc.home, id.as_str()))?;
        if found.is_none_or(|group| group.vpc != vpc.id) {
            return Err(missing());
        }
        if !groups.contains(&id) {
            groups.push(id);
        }
    }
    Ok(groups)
}

/// Ends the host called `name_or_id`; one that is ending already stays as it is.
///
/// # Errors
/// [`HostError::NoHost`].
pub(crate) async fn terminate_named(
    surroundings: &Arc<Surroundings>,
    name_or_id: &str,
) -> Result<Instance, HostError> {
    let name = name_or_id.to_owned();
    let inside = surroundings.clone();
    let now = Moment::from(surroundings.clock.now());
    settle(
        surroundings
            .store
            .transact(move |tx| {
                let id = place::host_named(tx, &name)?.unwrap_or_else(|| name.clone());
                let instance: Option<Instance> = place::find_anywhere(tx, &id)?;
                let instance =
                    instance.ok_or_else(|| HostError::NoHost { name: name.chars().take(80).collect() })?;
                Ok(terminate(tx, &inside, instance, None, now)?)
            })
            .await,
    )
}

/// Moves an instance towards its end. One the kernel never reported goes there directly.
pub(super) fn terminate(
    tx: &mut Transaction<'_>,
    surroundings: &Surroundings,
    mut instance: Instance,
    reason: Option<&str>,
    now: Moment,
) -> Result<Instance, Refusal> {
    match instance.state {
        InstanceState::Pending => finish(tx, &mut instance, now),
        InstanceState::Running => {
            instance.state = InstanceState::ShuttingDown;
            release(tx, &instance);
        }
        InstanceState::ShuttingDown | InstanceState::Terminated => return Ok(instance),
    }
    if let Some(reason) = reason {
        instance.reason = Some(reason.to_owned());
    }
    place::put(tx, &instance);
    reference::changed(tx, surroundings, &instance.arn())?;
    Ok(instance)
}

/// The kernel no longer has it, or never had.
pub(super) fn finish(tx: &mut Transaction<'_>, instance: &mut Instance, now: Moment) {
    if instance.state.is_wanted() {
        release(tx, instance);
    }
    instance.state = InstanceState::Terminated;
    instance.terminated_at = Some(now);
    tag_set::forget(tx, &instance.home, &instance::interface_arn(instance));
}

/// What it was called, the database it was and, once it is terminated, its address may be another host's.
fn release(tx: &mut Transaction<'_>, instance: &Instance) {
    place::release_name(tx, &instance.name);
    if let Some(HostedDatabase { arn, .. }) = &instance.database {
        traits::forget_database(tx, &instance.home, arn);
    }
}

/// Forgets those of `instances` that have been terminated for longer than [`KEPT`].
pub(super) fn prune(tx: &mut Transaction<'_>, instances: &[Instance], now: Moment) {
    for instance in instances {
        let old = instance
            .terminated_at
            .is_some_and(|at| Timestamp::from(now).duration_since(Timestamp::from(at)) > KEPT);
        if old {
            forget(tx, &instance.home, instance);
        }
    }
}

fn forget(tx: &mut Transaction<'_>, home: &Home, instance: &Instance) {
    tx.delete(&place::key::<Instance>(home, instance.id.as_str()));
    place::forget_place(tx, instance.id.as_str());
    tag_set::forget(tx, home, &instance.arn());
}

/// Every host of the installation that is not terminated, in the order they were made.
///
/// # Errors
/// The state could not be read.
pub(crate) fn list(surroundings: &Surroundings) -> Result<Vec<Instance>, HostError> {
    let mut hosts: Vec<Instance> = place::every::<Instance>(&mut surroundings.store.read()?)?;
    hosts.retain(|instance| instance.state.holds_resources());
    hosts.sort_by(|one, other| (one.launched_at, &one.id).cmp(&(other.launched_at, &other.id)));
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_labels_and_never_look_like_an_id() {
        for name in ["web", "a", "Web-2", &"x".repeat(63)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "x".repeat(64);
        let id = "i-00000000000000001";
        for name in ["", "-web", "web-", "web_1", "web.1", "wéb", "a b", "a/b", &long, id] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn commands_are_bounded_in_number_and_in_bytes() {
        assert!(check_command(&[]).is_ok());
        assert!(check_command(&vec!["x".to_owned(); MAX_ARGUMENTS]).is_ok());
        assert!(check_command(&vec![String::new(); MAX_ARGUMENTS + 1]).is_err());
        assert!(check_command(&["x".repeat(MAX_COMMAND_BYTES + 1)]).is_err());
    }
}
