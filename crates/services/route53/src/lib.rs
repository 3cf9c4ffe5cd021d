//! Route 53: hosted zones, their records and VPCs, and what resolvers are told of them.
//!
//! A zone and a record set are a record each in the store, in the account's global place. [`Publication`] follows them
//! and keeps [`Names`](trellis_model::snapshot::names::Names), the branch of the Snapshot that resolvers answer from:
//! a change to a record touches its own name in its own zone. A change is INSYNC once the data plane acts on a
//! Snapshot that has it.

mod association;
mod change;
mod change_batch;
mod delegation_set;
mod health_check;
mod hosted_zone;
mod limit;
mod listing;
mod name;
mod ownership;
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
use trellis_frame::{Accounts, Hooks, Refusal, Service, Tagged, words};

pub use change_batch::judge;
pub use health_check::Board;
pub use publication::Publication;

/// What every key of a record here begins with.
pub const RECORDS: &str = "route53/";

/// What the frame has to know of the service.
pub static SERVICE: Service = Service {
    words,
    operations: OPERATIONS,
    quotas: &[
        &hosted_zone::ZONES_PER_ACCOUNT,
        &record_set::RECORDS_PER_ZONE,
        &association::VPCS_PER_ZONE,
        &health_check::CHECKS_PER_ACCOUNT,
    ],
    tagged: Some(Tagged {
        arn_service: "route53",
        tag_action: "route53:ChangeTagsForResource",
        untag_action: "route53:ChangeTagsForResource",
        locate: tag::locate,
    }),
    accounts: Accounts { records: &["route53/"], is_remnant: change::is_remnant, ..Accounts::NONE },
    start: Some(|surroundings| Box::pin(async move { ownership::adopt(&surroundings).await })),
    hooks: Hooks { zones: Some(&ownership::Proofs), ..Hooks::NONE },
    ..Service::new(wire::description)
};

trellis_frame::operations! { wire;
    AssociateVPCWithHostedZone => write association::associate,
    ChangeResourceRecordSets => write change_batch::change,
    ChangeTagsForResource => write tag::change,
    CreateHealthCheck => write health_check::create,
    CreateHostedZone => write hosted_zone::create,
    CreateReusableDelegationSet => write delegation_set::create,
    CreateVPCAssociationAuthorization => write association::authorise,
    DeleteHealthCheck => write health_check::delete,
    DeleteHostedZone => write hosted_zone::delete,
    DeleteReusableDelegationSet => write delegation_set::delete,
    DeleteVPCAssociationAuthorization => write association::withdraw,
    DisassociateVPCFromHostedZone => write association::disassociate,
    GetAccountLimit => read limit::of_account,
    GetChange => read change::get,
    GetCheckerIpRanges => read health_check::ranges,
    GetDNSSEC => read hosted_zone::dnssec,
    GetHealthCheck => read health_check::get,
    GetHealthCheckCount => read health_check::count,
    GetHealthCheckLastFailureReason => read health_check::last_failure,
    GetHealthCheckStatus => read health_check::status,
    GetHostedZone => read hosted_zone::get,
    GetHostedZoneCount => read hosted_zone::count,
    GetHostedZoneLimit => read limit::of_zone,
    GetReusableDelegationSet => read delegation_set::get,
    GetReusableDelegationSetLimit => read delegation_set::limit,
    ListHealthChecks => list health_check::list,
    ListHostedZones => list listing::all,
    ListHostedZonesByName => read listing::by_name,
    ListHostedZonesByVPC => read listing::by_vpc,
    ListResourceRecordSets => read record_set::list,
    ListReusableDelegationSets => list delegation_set::list,
    ListTagsForResource => read tag::list,
    ListTagsForResources => read tag::list_several,
    ListVPCAssociationAuthorizations => list association::authorisations,
    TestDNSAnswer => read test_answer::test,
    UpdateHealthCheck => write health_check::update,
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
