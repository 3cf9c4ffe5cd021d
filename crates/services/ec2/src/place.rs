//! Keys of EC2 in one account and region, and the records found by id.
//!
//! Beside the records there are two indexes over the whole installation, written and deleted with the
//! record they speak of: hosts are named, and subnets are given, without an account or a region on the
//! command line of `trellis run`, and the kernel reports by id alone.
//!
//! ```text
//! place/{id}          -> {account}/{region} of a VPC, subnet or instance
//! host-name/{name}    -> id of the host that has the name and is not terminated
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;
use trellis_frame::{Refusal, record};
use trellis_model::resource::lattice::{self, Home};
use trellis_model::resource::vpc::{Instance, SecurityGroup, Subnet, Tenants, Vpc, kind};
use trellis_model::{InstanceId, SecurityGroupId, SubnetId, VpcId};
use trellis_store::{Entry, Read, Transaction};

use super::fault;
use crate::keys;

/// A record with an id, kept under EC2.
pub(crate) trait Resource: Serialize + DeserializeOwned {
    const KIND: &'static str;
    /// What EC2 calls it in messages: `vpc`.
    const NOUN: &'static str;
    /// Code for an id of which there is nothing.
    const NOT_FOUND: &'static str;
    /// Code for a text that is no id.
    const MALFORMED: &'static str;
    type Id: std::str::FromStr + std::fmt::Display;

    fn home(&self) -> &Home;
    fn id(&self) -> &Self::Id;
}

macro_rules! resource {
    ($record:ident, $id:ident, $kind:expr, $noun:literal, $not_found:literal, $malformed:literal) => {
        impl Resource for $record {
            const KIND: &'static str = $kind;
            const NOUN: &'static str = $noun;
            const NOT_FOUND: &'static str = $not_found;
            const MALFORMED: &'static str = $malformed;
            type Id = $id;

            fn home(&self) -> &Home {
                &self.home
            }

            fn id(&self) -> &Self::Id {
                &self.id
            }
        }
    };
}

resource!(Vpc, VpcId, kind::VPC, "vpc ID", "InvalidVpcID.NotFound", "InvalidVpcID.Malformed");
resource!(
    Subnet,
    SubnetId,
    kind::SUBNET,
    "subnet ID",
    "InvalidSubnetID.NotFound",
    "InvalidSubnetID.Malformed"
);
resource!(
    Instance,
    InstanceId,
    kind::INSTANCE,
    "instance ID",
    "InvalidInstanceID.NotFound",
    "InvalidInstanceID.Malformed"
);
resource!(
    SecurityGroup,
    SecurityGroupId,
    kind::SECURITY_GROUP,
    "security group",
    "InvalidGroup.NotFound",
    "InvalidGroupId.Malformed"
);

/// The key of a record.
pub(crate) fn key<R: Resource>(home: &Home, id: &str) -> String {
    keys::ec2(home).record(R::KIND, id)
}

/// Writes a record, new or in place of the one there is.
pub(crate) fn put<R: Resource>(tx: &mut Transaction<'_>, record: &R) {
    record::put(tx, &key::<R>(record.home(), &record.id().to_string()), record);
}

/// The record that `text` is the id of.
///
/// # Errors
/// The kind's `Malformed` and `NotFound` codes.
pub(crate) fn find<R: Resource>(state: &mut impl Read, home: &Home, text: &str) -> Result<R, Refusal> {
    let id: R::Id = parse::<R>(text)?;
    let found = record::get(state, &key::<R>(home, &id.to_string()))?;
    found.ok_or_else(|| not_found::<R>(text))
}

pub(super) fn parse<R: Resource>(text: &str) -> Result<R::Id, Refusal> {
    text.parse().map_err(|_| {
        let text = fault::quoted(text);
        fault::refuse(R::MALFORMED, format_args!("Invalid id: \"{text}\""))
    })
}

pub(super) fn not_found<R: Resource>(text: &str) -> Refusal {
    let (noun, text) = (R::NOUN, fault::quoted(text));
    fault::refuse(R::NOT_FOUND, format_args!("The {noun} '{text}' does not exist"))
}

/// Every record of a kind, in id order.
pub(crate) fn all<R: Resource>(state: &mut impl Read, home: &Home) -> Result<Vec<R>, Refusal> {
    record::all(state, &keys::ec2(home).records(R::KIND))
}

/// Everybody who has an address in the subnets of `home`.
pub(super) fn tenants(state: &mut impl Read, home: &Home) -> Result<Tenants, Refusal> {
    let gateways = keys::lattice(home).records(lattice::kind::RESOURCE_GATEWAY);
    Ok(Tenants { instances: all(state, home)?, gateways: record::all(state, &gateways)? })
}

/// Every record of a kind in the whole installation.
pub(super) fn every<R: Resource>(state: &mut impl Read) -> Result<Vec<R>, Refusal> {
    // ec2/{account}/{region}/{kind}/{id}
    let is_of_kind = |key: &str| key.rsplit('/').nth(1) == Some(R::KIND);
    let entries = record::scan_all(state, keys::EC2)?;
    entries.iter().filter(|entry| is_of_kind(&entry.key)).map(record::decode).collect()
}

/// The records asked for: those of `ids`, or all of them; in id order.
///
/// # Errors
/// `Malformed` and `NotFound` for the first id there is nothing of.
pub(super) fn chosen<R: Resource>(
    state: &mut impl Read,
    home: &Home,
    ids: &[String],
) -> Result<Vec<R>, Refusal> {
    if ids.is_empty() {
        return all(state, home);
    }
    let mut ids: Vec<&String> = ids.iter().collect();
    ids.sort_unstable();
    ids.dedup();
    // All of them are checked for form before any is looked for.
    for id in &ids {
        parse::<R>(id)?;
    }
    ids.into_iter().map(|id| find(state, home, id)).collect()
}

const PLACE: &str = "place/";
const HOST_NAME: &str = "host-name/";

/// Account and region of the resource with `id`, wherever it is.
pub(crate) fn home_of(state: &mut impl Read, id: &str) -> Result<Option<Home>, Refusal> {
    let text = record::get_id(state, &format!("{PLACE}{id}"))?;
    Ok(text.and_then(|text| {
        let (account, region) = text.split_once('/')?;
        Some(Home { account: account.parse().ok()?, region: region.parse().ok()? })
    }))
}

/// The record with `id` in whatever account and region it is.
pub(super) fn find_anywhere<R: Resource>(state: &mut impl Read, id: &str) -> Result<Option<R>, Refusal> {
    match home_of(state, id)? {
        Some(home) => record::get(state, &key::<R>(&home, id)),
        None => Ok(None),
    }
}

pub(super) fn remember_place(tx: &mut Transaction<'_>, home: &Home, id: &str) {
    tx.put(&format!("{PLACE}{id}"), format!("{}/{}", home.account, home.region).into_bytes());
}

pub(crate) fn forget_place(tx: &mut Transaction<'_>, id: &str) {
    tx.delete(&format!("{PLACE}{id}"));
}

/// Whether a record of EC2 is an instance that is only there to be described; then its place is forgotten.
pub(super) fn forget_terminated_instance(tx: &mut Transaction<'_>, entry: &Entry) -> Result<bool, Refusal> {
    if entry.key.rsplit('/').nth(1) != Some(kind::INSTANCE)
        || record::decode::<Instance>(entry)?.state.holds_resources()
    {
        return Ok(false);
    }
    forget_place(tx, trellis_frame::key::last_part(&entry.key));
    Ok(true)
}

/// The host that has `name` now.
pub(super) fn host_named(state: &mut impl Read, name: &str) -> Result<Option<String>, Refusal> {
    record::get_id(state, &format!("{HOST_NAME}{name}"))
}

pub(super) fn take_name(tx: &mut Transaction<'_>, name: &str, id: &InstanceId) {
    tx.put(&format!("{HOST_NAME}{name}"), id.to_string().into_bytes());
}

pub(super) fn release_name(tx: &mut Transaction<'_>, name: &str) {
    tx.delete(&format!("{HOST_NAME}{name}"));
}
