use serde_json::json;

use crate::installation::{Installation, pick};

/// Everybody may do everything, over several lines as people write it.
pub(crate) const POLICY: &str = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{\"Effect\": \"Allow\", \
     \"Principal\": \"*\", \"Action\": \"vpc-lattice-svcs:Invoke\", \"Resource\": \"*\"}]\n}";

#[tokio::test]
async fn a_policy_is_kept_to_the_letter_and_is_active_under_aws_iam_only() {
    let trellis = Installation::new().await;
    for (parent, update, identifier) in [
        (trellis.network().await, "UpdateServiceNetwork", "serviceNetworkIdentifier"),
        (trellis.service().await, "UpdateService", "serviceIdentifier"),
    ] {
        let by_arn = json!({"resourceIdentifier": parent["arn"]});
        assert_eq!(trellis.ok("GetAuthPolicy", by_arn.clone()).await, json!({}));
        let put =
            trellis.ok("PutAuthPolicy", json!({"resourceIdentifier": parent["id"], "policy": POLICY})).await;
        assert_eq!(put, json!({"policy": POLICY, "state": "Inactive"}));
        trellis.ok(update, json!({identifier: parent["id"], "authType": "AWS_IAM"})).await;
        let got = trellis.ok("GetAuthPolicy", by_arn.clone()).await;
        assert_eq!(pick(&got, &["policy", "state"]), json!({"policy": POLICY, "state": "Active"}));
        assert!(got["createdAt"].is_string() && got["lastUpdatedAt"].is_string());
        assert!(trellis.ok("DeleteAuthPolicy", by_arn.clone()).await.is_null());
        assert_eq!(trellis.ok("GetAuthPolicy", by_arn).await, json!({}));
    }
}

#[tokio::test]
async fn what_is_no_policy_is_refused() {
    let trellis = Installation::new().await;
    let service = trellis.service().await;
    let statement = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
    let long = format!(r#"{{"Id":"{}","Statement":[{statement}]}}"#, "x".repeat(10 * 1024));
    for policy in [
        "",
        "no json",
        "[]",
        "{}",
        r#"{"Statement":[]}"#,
        r#"{"Statement":[{"Effect":"Maybe","Principal":"*","Action":"*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","NotAction":"*","Resource":"*"}]}"#,
        r#"{"Version":"2020-01-01","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#,
        &long,
    ] {
        let input = json!({"resourceIdentifier": service["id"], "policy": policy});
        let refused = trellis.refused("PutAuthPolicy", input).await;
        assert!(refused.is(400, "ValidationException"), "{policy} {refused:?}");
    }
    let absent = json!({"resourceIdentifier": "svc-00000000000000fff"});
    assert!(trellis.refused("GetAuthPolicy", absent).await.is(404, "ResourceNotFoundException"));
}
