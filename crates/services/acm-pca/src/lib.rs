//! AWS Private CA: certificate authorities that an account makes for itself.
//!
//! ```text
//! acm-pca/{account}/{region}/authority/{uuid}               -> authority::Authority
//! acm-pca/{account}/{region}/key/{uuid}                     its private key, sealed
//! acm-pca/{account}/{region}/certificate/{uuid}/{serial}    -> certificate::Issued
//! acm-pca/{account}/{region}/revoked/{uuid}/{serial}        -> revocation::Revocation
//! acm-pca/{account}/{region}/list/{uuid}                    -> revocation::List, the CRL as it is served
//! acm-pca/{account}/{region}/permission/{uuid}/{principal}  -> permission::Permission
//! acm-pca/{account}/{region}/policy/{uuid}                  the resource policy, as it was put
//! acm-pca/{account}/{region}/report/{uuid}/{report}         -> report::Report
//! acm-pca-authority/{uuid}                                  {account}/{region}, for who has only the id
//! ```
//!
//! A private key is made here, signs here, and goes nowhere: no answer, no log and no error has a byte of it.
//! Keys are made and used off the threads that serve calls, and never inside a transaction.

mod authority;
mod certificate;
mod extensions;
mod issue;
mod permission;
mod policy;
mod report;
pub mod revocation;
mod subject;
mod tag;
mod template;
pub mod unsigned;
mod validity;

/// Types of the description.
#[allow(clippy::all, dead_code, unreachable_pub, unused_qualifications)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/acm-pca.rs"));
}

pub use report::Reports;

use std::sync::Arc;

use trellis_api::Exception;
use trellis_frame::certificate::{Authorities, Issued, Order};
use trellis_frame::operation::BoxFuture;
use trellis_frame::{Accounts, Hooks, Refusal, Service, Surroundings, Tagged, Workflow, words};
use trellis_model::resource::lattice::Home;
use trellis_store::Read;

/// The service: what the frame has to know of it.
pub static SERVICE: Service = Service {
    words,
    operations: OPERATIONS,
    tagged: Some(Tagged {
        arn_service: "acm-pca",
        tag_action: "acm-pca:TagCertificateAuthority",
        untag_action: "acm-pca:UntagCertificateAuthority",
        locate: authority::locate,
    }),
    accounts: Accounts { records: &["acm-pca/"], ..Accounts::NONE },
    workflows: &[
        Workflow { kind: authority::KIND, advance: authority::lifecycle::advance },
        Workflow { kind: revocation::KIND, advance: revocation::advance },
        Workflow { kind: report::KIND, advance: report::advance },
    ],
    hooks: Hooks { authorities: Some(&Authority), ..Hooks::NONE },
    ..Service::new(wire::description)
};

/// Certificates for ACM.
struct Authority;

impl Authorities for Authority {
    fn lets_renew(&self, mut state: &mut dyn Read, home: &Home, arn: &str) -> Result<bool, Refusal> {
        permission::lets_acm_issue(&mut state, home, arn)
    }

    fn issue<'a>(
        &self,
        surroundings: &'a Arc<Surroundings>,
        home: &'a Home,
        order: &'a Order,
    ) -> BoxFuture<'a, Result<Issued, Refusal>> {
        Box::pin(issue::fulfil(surroundings, home, order))
    }
}

trellis_frame::operations! { wire;
    CreateCertificateAuthority => call authority::create::create,
    CreateCertificateAuthorityAuditReport => write report::create,
    CreatePermission => write permission::create,
    DeleteCertificateAuthority => write authority::lifecycle::delete,
    DeletePermission => write permission::delete,
    DeletePolicy => write policy::delete,
    DescribeCertificateAuthority => read authority::describe::describe,
    DescribeCertificateAuthorityAuditReport => read report::describe,
    GetCertificate => read certificate::get,
    GetCertificateAuthorityCertificate => read authority::describe::certificate,
    GetCertificateAuthorityCsr => read authority::describe::csr,
    GetPolicy => read policy::get,
    ImportCertificateAuthorityCertificate => write authority::import::import,
    IssueCertificate => call issue::issue,
    ListCertificateAuthorities => list authority::describe::list,
    ListPermissions => list permission::list,
    ListTags => list tag::list,
    PutPolicy => write policy::put,
    RestoreCertificateAuthority => write authority::lifecycle::restore,
    RevokeCertificate => write revocation::revoke,
    TagCertificateAuthority => write tag::add,
    UntagCertificateAuthority => write tag::remove,
    UpdateCertificateAuthority => write authority::lifecycle::update,
}

fn words(refusal: Refusal) -> Exception {
    let code = match &refusal {
        Refusal::Invalid { .. } | Refusal::Unreadable { .. } | Refusal::TokenReused { .. } => {
            "InvalidArgsException"
        }
        Refusal::NotAPage { .. } => "InvalidNextTokenException",
        Refusal::Conflict { .. } | Refusal::InUse { .. } => "InvalidStateException",
        _ => return words::json(refusal),
    };
    Exception::plain(code, 400, refusal.to_string())
}

/// A refusal with one of the service's own codes.
pub(crate) fn refuse(code: &'static str, message: impl std::fmt::Display) -> Refusal {
    Exception::plain(code, 400, message.to_string()).into()
}
