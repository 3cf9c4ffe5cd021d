//! Names of what is made at a destination: objects in a bucket, a stream in a log group.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};
use trellis_model::resource::lattice::AccessLogSubscription;

/// What records of a subscription are called: of requests, or of connections to resources.
fn words(subscription: &AccessLogSubscription) -> (&'static str, &'static str) {
    if subscription.is_of_connections() {
        ("ResourceAccessLogs", "VpcLatticeResourceAccessLogs")
    } else {
        ("AccessLogs", "VpcLatticeAccessLogs")
    }
}

/// `[prefix/]AWSLogs/{account}/VpcLattice/AccessLogs/{region}/{YYYY}/{MM}/{DD}/{resource id}/{account}_VpcLatticeAccessLogs_{region}_{resource id}_{YYYYMMDD}T{HHmm}Z_{hash}.json.gz`.
/// The same content begun at the same time has the same key: sent twice, it is there once.
pub(crate) fn object_key(
    subscription: &AccessLogSubscription,
    prefix: &str,
    begun: Timestamp,
    content: &[u8],
) -> String {
    let (directory, file) = words(subscription);
    let (account, region) = (&subscription.home.account, &subscription.home.region);
    let resource = &subscription.resource_id;
    let begun = begun.to_zoned(TimeZone::UTC);
    let (day, minute) = (begun.strftime("%Y/%m/%d"), begun.strftime("%Y%m%dT%H%MZ"));
    let slash = if prefix.is_empty() { "" } else { "/" };
    let hash: String = Sha256::digest(content)[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{prefix}{slash}AWSLogs/{account}/VpcLattice/{directory}/{region}/{day}/{resource}/\
         {account}_{file}_{region}_{resource}_{minute}_{hash}.json.gz"
    )
}

/// AWS's name is not known; this one begins as the objects in a bucket do.
pub(crate) fn log_stream(subscription: &AccessLogSubscription) -> String {
    let (_, file) = words(subscription);
    let AccessLogSubscription { home, resource_id, .. } = subscription;
    format!("{}_{file}_{}_{resource_id}", home.account, home.region)
}

#[cfg(test)]
mod tests {
    use trellis_model::resource::lattice::ServiceNetworkLogType;

    use super::*;
    use crate::tests::subscription;

    #[test]
    fn keys_have_the_layout_of_the_reference() {
        let begun = "2026-11-21T09:05:59.9Z".parse().unwrap();
        let mut of = subscription("svc-00000000000000001", "arn:aws:s3:::logs");
        assert_eq!(
            object_key(&of, "", begun, b"{}\n"),
            "AWSLogs/111122223333/VpcLattice/AccessLogs/us-east-1/2026/11/21/svc-00000000000000001/\
             111122223333_VpcLatticeAccessLogs_us-east-1_svc-00000000000000001_20261121T0905Z_ca3d163b.json.gz"
        );
        of.resource_id = "rcfg-00000000000000001".into();
        let key = object_key(&of, "a/b", begun, b"{}\n");
        assert!(
            key.starts_with("a/b/AWSLogs/111122223333/VpcLattice/ResourceAccessLogs/us-east-1/2026/"),
            "{key}"
        );
        assert!(key.contains("/111122223333_VpcLatticeResourceAccessLogs_us-east-1_rcfg-"), "{key}");
        assert_ne!(key, object_key(&of, "a/b", begun, b"{ }\n"));
    }

    #[test]
    fn the_two_streams_of_a_network_have_names_of_their_own() {
        let mut of = subscription("sn-00000000000000001", "arn:aws:s3:::logs");
        of.log_type = Some(ServiceNetworkLogType::Service);
        let requests = log_stream(&of);
        assert_eq!(requests, "111122223333_VpcLatticeAccessLogs_us-east-1_sn-00000000000000001");
        of.log_type = Some(ServiceNetworkLogType::Resource);
        assert_ne!(log_stream(&of), requests);
    }
}
