//! What others have to know of VPCs and hosts without following them: beside the records of VPC Lattice there is a note
//! of each VPC whose hosts are answered private names, of each that has IPv6, and of the host that is a database.

use trellis_frame::Refusal;
use trellis_frame::record::{get, put};
use trellis_model::resource::lattice::{Database, DatabaseArn, Home, kind};
use trellis_model::resource::vpc::Vpc;
use trellis_store::{Read, Transaction};

use crate::keys;

/// Notes whether hosts of the VPC are answered private names: "enableDnsSupport and enableDnsHostnames".
pub(super) fn note_dns_attributes(tx: &mut Transaction<'_>, vpc: &Vpc) -> Result<(), Refusal> {
    note(tx, vpc, kind::PRIVATE_NAMES, vpc.dns_support && vpc.dns_hostnames)
}

/// Notes whether hosts of the VPC may come by IPv6.
pub(super) fn note_ipv6(tx: &mut Transaction<'_>, vpc: &Vpc) -> Result<(), Refusal> {
    note(tx, vpc, kind::IPV6_VPC, vpc.ipv6.is_some())
}

/// Has a record of `kind` for the VPC while `holds`; writes only what changes.
fn note(tx: &mut Transaction<'_>, vpc: &Vpc, kind: &str, holds: bool) -> Result<(), Refusal> {
    let key = keys::lattice(&vpc.home).record(kind, &vpc.id);
    match (holds, tx.get(&key)?) {
        (true, None) => put(tx, &key, &true),
        (false, Some(_)) => tx.delete(&key),
        _ => {}
    }
    Ok(())
}

fn database_key(home: &Home, arn: &DatabaseArn) -> String {
    keys::lattice(home).record(kind::DATABASE, arn)
}

/// The host that is the database.
pub(super) fn database(
    state: &mut impl Read,
    home: &Home,
    arn: &DatabaseArn,
) -> Result<Option<Database>, Refusal> {
    get(state, &database_key(home, arn))
}

/// The database is that host until [`forget_database`].
pub(super) fn note_database(tx: &mut Transaction<'_>, home: &Home, arn: &DatabaseArn, database: &Database) {
    put(tx, &database_key(home, arn), database);
}

pub(super) fn forget_database(tx: &mut Transaction<'_>, home: &Home, arn: &DatabaseArn) {
    tx.delete(&database_key(home, arn));
}
