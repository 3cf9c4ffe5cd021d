//! Route 53: hosted zones, their records and VPCs, and what resolvers are told of them.
//!
//! A zone and a record set are a record each in the store, in the account's global place. [`Publication`] follows them
//! and keeps [`Names`](trellis_model::snapshot::names::Names), the branch of the Snapshot that resolvers answer from:
//! a change to a record touches its own name in its own zone. A change is INSYNC once the data plane acts on a
//! Snapshot that has it.

mod association;
mod change;
mod change_batch;
mod hosted_zone;
mod limit;
mod listing;
mod name;
mod publication;
mod record_data;
mod record_set;
mod tag;
mod test_answer;

/// The types that the build makes of the description.
#[allow(clippy::all, dead_code, unreachable_pub)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/route53.rs"));
}

use trellis_api::Exception;
use trellis_frame::{Accounts, Refusal, Service, Tagged, words};

pub use publication::Publication;

/// What every key of a record here begins with.
pub const RECORDS: &str = "route53/";

/// What the frame has to know of the service.
pub static SERVICE: Service = Service {
    words,
    operations: OPERATIONS,
    quotas: &[&hosted_zone::ZONES_PER_ACCOUNT, &record_set::RECORDS_PER_ZONE, &association::VPCS_PER_ZONE],
    tagged: Some(Tagged { arn_service: "route53", locate: tag::locate }),
    accounts: Accounts { records: &["route53/"], is_remnant: change::is_remnant, ..Accounts::NONE },
    ..Service::new(wire::description)
};

trellis_frame::operations! { wire;
    AssociateVPCWithHostedZone => write association::associate,
    ChangeResourceRecordSets => write change_batch::change,
    ChangeTagsForResource => write tag::change,
    CreateHostedZone => write hosted_zone::create,
    CreateVPCAssociationAuthorization => write association::authorise,
    DeleteHostedZone => write hosted_zone::delete,
    DeleteVPCAssociationAuthorization => write association::withdraw,
    DisassociateVPCFromHostedZone => write association::disassociate,
    GetAccountLimit => read limit::of_account,
    GetChange => read change::get,
    GetDNSSEC => read hosted_zone::dnssec,
    GetHostedZone => read hosted_zone::get,
    GetHostedZoneCount => read hosted_zone::count,
    GetHostedZoneLimit => read limit::of_zone,
    ListHostedZones => list listing::all,
    ListHostedZonesByName => read listing::by_name,
    ListHostedZonesByVPC => read listing::by_vpc,
    ListResourceRecordSets => read record_set::list,
    ListTagsForResource => read tag::list,
    ListTagsForResources => read tag::list_several,
    ListVPCAssociationAuthorizations => list association::authorisations,
    TestDNSAnswer => read test_answer::test,
    UpdateHostedZoneComment => write hosted_zone::update_comment,
}

/// Route 53's codes.
fn words(refusal: Refusal) -> Exception {
    let message = refusal.to_string();
    match refusal {
        Refusal::Missing { kind, id } if *kind == hosted_zone::HOSTED_ZONE => {
            wire::NoSuchHostedZone { message: format!("No hosted zone found with ID: {id}") }.into()
        }
        Refusal::Missing { kind, id } if *kind == change::CHANGE => {
            wire::NoSuchChange { message: format!("Could not find resource with ID: {id}") }.into()
        }
        Refusal::Invalid { .. } | Refusal::Unreadable { .. } => wire::InvalidInput { message }.into(),
        Refusal::NotAPage { member } if member == "NextToken" => {
            wire::InvalidPaginationToken { message }.into()
        }
        Refusal::NotAPage { .. } => wire::InvalidInput { message }.into(),
        refusal => words::query(refusal),
    }
}

/// An exception of the service as a refusal.
fn refuse(exception: impl Into<Exception>) -> Refusal {
    Refusal::from(exception.into())
}
