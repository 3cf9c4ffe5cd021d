//! AWS Organizations: the accounts of an installation form one organisation, whose management account is the admin
//! key's. It has units, accounts in them, and service control policies that bound what accounts may do.
//!
//! What there is is told and changed here; who decides by it reads `trellis_frame::organization`. Accounts are made and
//! removed by an operator, and nobody is invited: CreateAccount and handshakes are not here.

mod account;
mod attachment;
mod node;
mod organization;
mod policy;
mod tag;
mod unit;

#[allow(clippy::all, dead_code, unreachable_pub)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/organizations.rs"));
}

use trellis_api::Exception;
use trellis_frame::{Accounts, PageSizes, Refusal, Service, words as stock};

/// The service: what the frame has to know of it.
pub static SERVICE: Service = Service {
    operations: OPERATIONS,
    words,
    pages: PageSizes { default: 20, max: 20 },
    accounts: Accounts { forget: account::forget, ..Accounts::NONE },
    start: Some(|surroundings| Box::pin(async move { organization::found(&surroundings).await })),
    ..Service::new(wire::description)
};

trellis_frame::operations! { wire;
    AttachPolicy => write attachment::attach,
    CreateOrganizationalUnit => write unit::create,
    CreatePolicy => write policy::create,
    DeleteOrganizationalUnit => write unit::delete,
    DeletePolicy => write policy::delete,
    DescribeAccount => read account::describe,
    DescribeOrganization => read organization::describe,
    DescribeOrganizationalUnit => read unit::describe,
    DescribePolicy => read policy::describe,
    DetachPolicy => write attachment::detach,
    DisableAWSServiceAccess => write organization::distrust,
    DisablePolicyType => write organization::disable,
    EnableAWSServiceAccess => write organization::trust,
    EnablePolicyType => write organization::enable,
    ListAWSServiceAccessForOrganization => list organization::trusted,
    ListAccounts => list account::list,
    ListAccountsForParent => list account::list_for_parent,
    ListChildren => list account::children,
    ListOrganizationalUnitsForParent => list unit::list_for_parent,
    ListParents => list account::parents,
    ListPolicies => list policy::list,
    ListPoliciesForTarget => list attachment::of_target,
    ListRoots => list organization::roots,
    ListTagsForResource => list tag::list,
    ListTargetsForPolicy => list attachment::targets,
    MoveAccount => write account::relocate,
    TagResource => write tag::add,
    UntagResource => write tag::remove,
    UpdateOrganizationalUnit => write unit::update,
    UpdatePolicy => write policy::update,
}

fn words(refusal: Refusal) -> Exception {
    let message = refusal.to_string();
    match refusal {
        Refusal::Invalid { .. } | Refusal::NotAPage { .. } | Refusal::Unreadable { .. } => {
            Exception::plain("InvalidInputException", 400, message)
        }
        Refusal::Denied { .. } => Exception::plain("AccessDeniedException", 400, message),
        refusal => stock::json(refusal),
    }
}

/// One of the service's errors.
pub(crate) fn fault(code: &'static str, message: impl std::fmt::Display) -> Refusal {
    Exception::plain(code, 400, message.to_string()).into()
}
