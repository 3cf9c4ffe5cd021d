//! EKS: Kubernetes clusters in VPCs, their nodes, and who may do what in them.
//!
//! ```text
//! eks/{account}/{region}/cluster/{name}                    -> cluster::Cluster
//! eks/{account}/{region}/nodegroup/{cluster}/{name}        -> nodegroup::Nodegroup
//! eks/{account}/{region}/access-entry/{cluster}/{arn}      -> access::AccessEntry
//! eks/{account}/{region}/addon/{cluster}/{name}            -> addon::Addon
//! eks/{account}/{region}/pod-identity/{cluster}/{id}       -> pod_identity::Association
//! eks/{account}/{region}/update/{cluster}/{id}             -> update::Update
//! ```
//!
//! What makes and ends clusters on the machine is a [`Machine`], given at the start; this crate keeps the books and
//! moves statuses.

pub mod access;
mod addon;
mod cluster;
mod input;
mod issuer;
mod machine;
mod nodegroup;
mod pod_identity;
mod provider;
mod tag;
mod update;
mod version;

/// Types of the description.
#[allow(clippy::all, dead_code, unreachable_pub, unused_qualifications)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/eks.rs"));
}

pub use cluster::{Cluster, every_cluster, find_cluster};
pub use issuer::issuer_document;
pub use machine::{ControlPlanePlan, Fault, Machine, Machines, NodePlan, Running, RunningNode, Taint};
pub use pod_identity::{Association, find as find_association};

use trellis_api::Exception;
use trellis_frame::task::Task;
use trellis_frame::{Accounts, Refusal, Service, Tagged, Workflow, words};

/// The service: what the frame has to know of it.
pub static SERVICE: Service = Service {
    words,
    operations: OPERATIONS,
    tagged: Some(Tagged {
        arn_service: "eks",
        tag_action: "eks:TagResource",
        untag_action: "eks:UntagResource",
        locate: tag::locate,
    }),
    accounts: Accounts { records: &["eks/"], ..Accounts::NONE },
    workflows: &[
        Workflow { kind: cluster::KIND, advance: cluster::lifecycle::advance },
        Workflow { kind: nodegroup::KIND, advance: nodegroup::lifecycle::advance },
    ],
    tasks: &[Task { name: "clusters", run: cluster::lifecycle::resume }],
    ..Service::new(wire::description)
};

trellis_frame::operations! { wire;
    AssociateAccessPolicy => write access::policy::associate,
    AssociateIdentityProviderConfig => write provider::associate,
    CreateAccessEntry => write access::create,
    CreateAddon => write addon::create,
    CreateCluster => write cluster::create::create,
    CreateNodegroup => write nodegroup::create,
    CreatePodIdentityAssociation => write pod_identity::create,
    DeleteAccessEntry => write access::delete,
    DeleteAddon => write addon::delete,
    DeleteCluster => write cluster::delete,
    DeleteNodegroup => write nodegroup::delete,
    DeletePodIdentityAssociation => write pod_identity::delete,
    DescribeAccessEntry => read access::describe,
    DescribeAddon => read addon::describe,
    DescribeAddonConfiguration => view version::describe_addon_configuration,
    DescribeAddonVersions => list version::describe_addons,
    DescribeCluster => read cluster::describe,
    DescribeClusterVersions => list version::describe_clusters,
    DescribeIdentityProviderConfig => read provider::describe,
    DescribeNodegroup => read nodegroup::describe,
    DescribePodIdentityAssociation => read pod_identity::describe,
    DescribeUpdate => read update::describe,
    DisassociateAccessPolicy => write access::policy::disassociate,
    DisassociateIdentityProviderConfig => write provider::disassociate,
    ListAccessEntries => list access::list,
    ListAccessPolicies => list access::policy::list_all,
    ListAddons => list addon::list,
    ListAssociatedAccessPolicies => list access::policy::list,
    ListClusters => list cluster::list,
    ListFargateProfiles => list cluster::list_fargate_profiles,
    ListIdentityProviderConfigs => list provider::list,
    ListNodegroups => list nodegroup::list,
    ListPodIdentityAssociations => list pod_identity::list,
    ListTagsForResource => read tag::list,
    ListUpdates => list update::list,
    TagResource => write tag::add,
    UntagResource => write tag::remove,
    UpdateAccessEntry => write access::update,
    UpdateAddon => write addon::update,
    UpdateClusterConfig => write cluster::update::config,
    UpdateClusterVersion => write cluster::update::version,
    UpdateNodegroupConfig => write nodegroup::update::config,
    UpdateNodegroupVersion => write nodegroup::update::version,
    UpdatePodIdentityAssociation => write pod_identity::update,
}

/// EKS's codes for what the parts that all services share refuse.
fn words(refusal: Refusal) -> Exception {
    let (code, status) = match &refusal {
        Refusal::Missing { .. } => ("ResourceNotFoundException", 404),
        Refusal::Conflict { .. } | Refusal::InUse { .. } => ("ResourceInUseException", 409),
        Refusal::Invalid { .. }
        | Refusal::Unreadable { .. }
        | Refusal::NotAPage { .. }
        | Refusal::TokenReused { .. } => ("InvalidParameterException", 400),
        Refusal::Quota { .. } => ("ResourceLimitExceededException", 400),
        Refusal::NotServed { .. } => ("InvalidRequestException", 400),
        _ => return words::rest_json(refusal),
    };
    Exception::plain(code, status, refusal.to_string())
}

/// What is not there.
pub(crate) fn missing(message: impl std::fmt::Display) -> Refusal {
    Exception::plain("ResourceNotFoundException", 404, message.to_string()).into()
}

/// What cannot be done with what is there.
pub(crate) fn invalid_request(message: impl std::fmt::Display) -> Refusal {
    Exception::plain("InvalidRequestException", 400, message.to_string()).into()
}

/// What cannot be asked for.
pub(crate) fn invalid(message: impl std::fmt::Display) -> Refusal {
    Exception::plain("InvalidParameterException", 400, message.to_string()).into()
}
