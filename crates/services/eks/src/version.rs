//! What there is to choose from: versions of Kubernetes, and add-ons.

use trellis_frame::{Context, Page, Paged, Refusal};
use trellis_store::Reader;

use crate::{invalid, wire};

/// The one that scripts/kubernetes builds.
pub(crate) const DEFAULT: &str = "1.35";
const PATCH: &str = "1.35.4";

/// # Errors
/// `InvalidParameterException` for a version that there is not.
pub(crate) fn check(version: &str) -> Result<(), Refusal> {
    if version == DEFAULT {
        Ok(())
    } else {
        Err(invalid(format_args!("unsupported Kubernetes version: {version}")))
    }
}

/// An add-on that stands for what a node does already.
pub(crate) struct Offer {
    pub(crate) name: &'static str,
    kind: &'static str,
    pub(crate) version: &'static str,
    namespace: &'static str,
    /// Its service account, where it has one that may need a role.
    account: Option<(&'static str, &'static str)>,
}

pub(crate) const ADDONS: [Offer; 4] = [
    Offer {
        name: "coredns",
        kind: "networking",
        version: "v1.14.3-eksbuild.1",
        namespace: "kube-system",
        account: None,
    },
    Offer {
        name: "eks-pod-identity-agent",
        kind: "security",
        version: "v1.3.10-eksbuild.2",
        namespace: "kube-system",
        account: None,
    },
    Offer {
        name: "kube-proxy",
        kind: "networking",
        version: "v1.35.4-eksbuild.1",
        namespace: "kube-system",
        account: None,
    },
    Offer {
        name: "vpc-cni",
        kind: "networking",
        version: "v1.21.1-eksbuild.1",
        namespace: "kube-system",
        account: Some(("aws-node", "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy")),
    },
];

/// An add-on by name.
///
/// # Errors
/// `InvalidParameterException`.
pub(crate) fn offer(name: &str) -> Result<&'static Offer, Refusal> {
    let known = ADDONS.iter().find(|offer| offer.name == name);
    known.ok_or_else(|| {
        invalid(format_args!("Addon specified is not supported: {}", trellis_frame::refusal::shown(name)))
    })
}

pub(crate) fn describe_clusters(
    _: &mut Reader,
    _: &Context,
    input: &wire::DescribeClusterVersionsInput,
    page: &Page,
) -> Result<Paged<wire::DescribeClusterVersionsOutput>, Refusal> {
    let is_asked =
        input.cluster_versions.as_ref().is_none_or(|asked| asked.iter().any(|version| version == DEFAULT))
            && input.status.is_none_or(|status| status == wire::ClusterVersionStatus::StandardSupport)
            && input.version_status.is_none_or(|status| status == wire::VersionStatus::StandardSupport)
            && input.cluster_type.as_deref().is_none_or(|kind| kind == "eks");
    let version = wire::ClusterVersionInformation {
        cluster_version: Some(DEFAULT.to_owned()),
        cluster_type: Some("eks".to_owned()),
        default_platform_version: Some("eks.1".to_owned()),
        default_version: Some(true),
        status: Some(wire::ClusterVersionStatus::StandardSupport),
        version_status: Some(wire::VersionStatus::StandardSupport),
        kubernetes_patch_version: Some(PATCH.to_owned()),
        ..Default::default()
    };
    let versions = is_asked.then_some(version).into_iter().collect();
    let listing = page.cut(versions, |version| version.cluster_version.clone().unwrap_or_default());
    Ok(listing.into_output(|versions| wire::DescribeClusterVersionsOutput {
        cluster_versions: Some(versions),
        next_token: None,
    }))
}

pub(crate) fn describe_addons(
    _: &mut Reader,
    _: &Context,
    input: &wire::DescribeAddonVersionsInput,
    page: &Page,
) -> Result<Paged<wire::DescribeAddonVersionsOutput>, Refusal> {
    let is_in = |asked: &Option<Vec<String>>, word: &str| {
        asked.as_ref().is_none_or(|asked| asked.is_empty() || asked.iter().any(|asked| asked == word))
    };
    let is_of_version = input.kubernetes_version.as_deref().is_none_or(|version| version == DEFAULT);
    let offers = ADDONS.iter().filter(|offer| {
        is_of_version
            && input.addon_name.as_deref().is_none_or(|name| name == offer.name)
            && is_in(&input.types, offer.kind)
            && is_in(&input.publishers, "eks")
            && is_in(&input.owners, "aws")
    });
    let listing =
        page.cut(offers.map(describe_offer).collect(), |addon| addon.addon_name.clone().unwrap_or_default());
    Ok(listing
        .into_output(|addons| wire::DescribeAddonVersionsOutput { addons: Some(addons), next_token: None }))
}

fn describe_offer(offer: &Offer) -> wire::AddonInfo {
    let compatibility = wire::Compatibility {
        cluster_version: Some(DEFAULT.to_owned()),
        platform_versions: Some(vec!["*".to_owned()]),
        default_version: Some(true),
    };
    let version = wire::AddonVersionInfo {
        addon_version: Some(offer.version.to_owned()),
        architecture: Some(vec!["amd64".to_owned(), "arm64".to_owned()]),
        compute_types: Some(vec!["ec2".to_owned()]),
        compatibilities: Some(vec![compatibility]),
        requires_configuration: Some(false),
        requires_iam_permissions: Some(offer.account.is_some()),
    };
    wire::AddonInfo {
        addon_name: Some(offer.name.to_owned()),
        r#type: Some(offer.kind.to_owned()),
        addon_versions: Some(vec![version]),
        publisher: Some("eks".to_owned()),
        owner: Some("aws".to_owned()),
        default_namespace: Some(offer.namespace.to_owned()),
        ..Default::default()
    }
}

/// None of them has anything to configure here.
pub(crate) fn describe_addon_configuration(
    _: &Context,
    input: wire::DescribeAddonConfigurationInput,
) -> Result<wire::DescribeAddonConfigurationOutput, Refusal> {
    let offer = offer(&input.addon_name)?;
    if input.addon_version != offer.version {
        return Err(invalid(format_args!("Addon version specified is not supported: {}", offer.name)));
    }
    let accounts = offer.account.into_iter().map(|(account, policy)| wire::AddonPodIdentityConfiguration {
        service_account: Some(account.to_owned()),
        recommended_managed_policies: Some(vec![policy.to_owned()]),
    });
    Ok(wire::DescribeAddonConfigurationOutput {
        addon_name: Some(input.addon_name),
        addon_version: Some(input.addon_version),
        configuration_schema: Some(r#"{"type":"object"}"#.to_owned()),
        pod_identity_configuration: Some(accounts.collect()),
    })
}
