//! What an unsigned call without a target, a form and a host name of AWS tells by its looks: the service that an
//! SDK says it calls, or that it is one of S3, which anonymous callers use as no other service.
//!
//! Only the protocol of a refusal hangs on it. A call that could be of S3 or of another service is taken for S3's
//! where an SDK sent it that does not say whom it calls, and no service served here has such a path.

use http::Method;

use crate::codec::Incoming;
use crate::schema::{Protocol, Schema};

/// Parameters of S3 alone, with a value or without.
const PARAMETERS: [&str; 5] = ["list-type", "uploadId", "encoding-type", "x-id", "AWSAccessKeyId"];

/// Parts of buckets and objects, which a parameter without a value names.
const SUBRESOURCES: [&str; 42] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploads",
    "versioning",
    "versions",
    "versionId",
    "website",
    "partNumber",
];

/// Beginnings of header names that S3 alone has.
const HEADERS: [&str; 19] = [
    "x-amz-acl",
    "x-amz-bucket-",
    "x-amz-bypass-governance-retention",
    "x-amz-checksum-",
    "x-amz-copy-source",
    "x-amz-expected-bucket-owner",
    "x-amz-grant-",
    "x-amz-meta-",
    "x-amz-metadata-directive",
    "x-amz-mfa",
    "x-amz-object-",
    "x-amz-rename-source",
    "x-amz-request-payer",
    "x-amz-request-route",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
];

/// Whether nothing but a client of S3 sends such a request.
pub(super) fn is_of_s3(incoming: &Incoming<'_>) -> bool {
    // Version 2 of signatures, which other services no longer take.
    let is_signed_as_of_old =
        || incoming.header("authorization").is_some_and(|value| value.starts_with("AWS "));
    let has_a_header =
        || incoming.headers.keys().any(|name| HEADERS.iter().any(|start| name.as_str().starts_with(start)));
    let has_a_parameter = || {
        incoming.raw_query.split('&').any(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            PARAMETERS.contains(&name) || value.is_empty() && SUBRESOURCES.contains(&name)
        })
    };
    let has_its_host = || {
        let labels = incoming.header("host").unwrap_or_default().split(['.', ':']);
        labels.into_iter().any(|label| label == "s3" || label.starts_with("s3-website"))
    };
    is_signed_as_of_old() || has_a_header() || has_a_parameter() || has_its_host()
}

/// Whether an SDK sent a call that S3 may be meant by: it says JSON nowhere, and asks for nothing that is served.
/// What S3 is posted has a parameter that tells.
pub(super) fn may_be_of_s3(schema: &Schema, incoming: &Incoming<'_>) -> bool {
    let is_of_an_sdk = incoming.headers.contains_key("amz-sdk-invocation-id")
        || ["Boto", "aws-cli/", "aws-sdk-"].iter().any(|start| user_agent(incoming).starts_with(start));
    let is_served = || {
        let rest = |protocol| matches!(protocol, Protocol::RestJson | Protocol::RestXml);
        schema.services().iter().filter(|service| rest(service.protocol)).any(|service| {
            service.operations.iter().any(|operation| {
                operation.method == incoming.method.as_str()
                    && operation.uri.matches(incoming.raw_path).is_some()
            })
        })
    };
    is_of_an_sdk
        && *incoming.method != Method::POST
        && !incoming.media_type().contains("json")
        && !is_served()
}

/// The service that an SDK or the AWS CLI says it calls (`api/s3#1.2`, `md/command#s3api.list-buckets`), in lower
/// case and without hyphens and spaces; compare with [`plain`].
pub(super) fn named(incoming: &Incoming<'_>) -> Option<String> {
    user_agent(incoming).split(' ').find_map(|word| {
        if let Some(command) = word.strip_prefix("md/command#") {
            let service = command.split('.').next().unwrap_or_default();
            return Some(plain(if service == "s3api" { "s3" } else { service }));
        }
        let (service, _) = word.strip_prefix("api/")?.split_once(['#', '/'])?;
        Some(plain(service))
    })
}

/// The name of a service as the names of all SDKs can be compared.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

fn user_agent<'a>(incoming: &Incoming<'a>) -> &'a str {
    incoming.header("user-agent").unwrap_or_default()
}
