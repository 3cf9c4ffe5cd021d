//! Which host is the database that a resource configuration of type ARN names.
//!
//! `trellis run --resource-arn` says so. The note lies beside the records of VPC Lattice, so that whoever watches those
//! learns of hosts that come and go. A configuration may be made before its database is there.

use trellis_frame::record::get;
use trellis_model::resource::lattice::{Database, Home, ResourceConfiguration, ResourceDefinition};
use trellis_store::Read;

use super::place::{Place, kind};
use crate::keys;
use crate::refusal::Refusal;

fn key(home: &Home, arn: impl std::fmt::Display) -> String {
    keys::lattice(home).record(kind::DATABASE, arn)
}

/// Why nobody can reach the database of a configuration; `None` for other types too.
pub(super) fn missing(
    state: &mut impl Read,
    place: &Place,
    resource: &ResourceConfiguration,
) -> Result<Option<String>, Refusal> {
    let Some(ResourceDefinition::Arn(arn)) = &resource.definition else { return Ok(None) };
    let Some(database) = get::<Database>(state, &key(&place.home, arn))? else {
        return Ok(Some(format!("no host is {arn}: start one with `trellis run --resource-arn`")));
    };
    let gateway = super::resource_gateway::find(state, place, resource.gateway.as_str())?;
    if gateway.vpc != database.vpc {
        return Ok(Some(format!(
            "{arn} is in {}, and its resource gateway in {}",
            database.vpc, gateway.vpc
        )));
    }
    let has_address = database.address_for(gateway.ip_address_type).is_some();
    Ok((!has_address).then(|| format!("{arn} has no address of a type that {} has", gateway.id)))
}
