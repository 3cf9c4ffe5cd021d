//! Authorities that another account may use, as far as the resource policy says.

use serde_json::{Value, json};
use trellis_model::resource::lattice::Home;

use crate::installation::{Installation, of, order, quick, request, template, with};

const RECEIVER: &str = "444455556666";

fn policy(root: &str, statement: Value) -> Value {
    let general = json!({"Effect": "Allow", "Principal": {"AWS": RECEIVER}, "Resource": root});
    let document = json!({"Version": "2012-10-17", "Statement": [with(general, statement)]});
    json!({"ResourceArn": root, "Policy": document.to_string()})
}

#[tokio::test]
async fn another_account_may_do_with_an_authority_what_its_policy_says_and_no_more() {
    let pca = Installation::new().await;
    pca.frame.create_account(Some(RECEIVER.parse().unwrap()), None).await.unwrap();
    let key = pca.frame.create_key(RECEIVER).await.unwrap();
    let (id, secret) = (key.access_key_id.clone(), key.secret_access_key.expose().to_owned());
    let receiver = (id.as_str(), secret.as_str());
    let root = pca.root(quick("ROOT", "root")).await;
    let home = Home { account: RECEIVER.parse().unwrap(), region: "us-east-1".parse().unwrap() };
    let authorities = trellis_acm_pca::SERVICE.hooks.authorities.unwrap();
    let lets =
        || authorities.lets_renew(&mut pca.frame.surroundings().store.read().unwrap(), &home, &root).unwrap();

    let refused = pca.call_as(receiver, "DescribeCertificateAuthority", of(&root)).await.unwrap_err();
    assert_eq!(refused.code, "AccessDeniedException");
    assert!(refused.message.contains("because no resource-based policy allows"), "{}", refused.message);
    let nowhere = format!("{}00000000-0000-4000-8000-000000000000", &root[..root.len() - 36]);
    let unknown = pca.call_as(receiver, "DescribeCertificateAuthority", of(&nowhere)).await.unwrap_err();
    assert_eq!(unknown.message.replace(&nowhere, &root), refused.message, "what is there is not told");
    assert!(!lets());

    let condition = json!({"StringEquals": {"acm-pca:TemplateArn": template("EndEntityCertificate")}});
    let issue = json!({"Action": "acm-pca:IssueCertificate", "Condition": condition});
    pca.call("PutPolicy", policy(&root, issue)).await.unwrap();
    let csr = request(&["a.example.com"], &[]);
    let issued = |template: &str| with(of(&root), order(&csr, template, 7));
    let arn = pca.call_as(receiver, "IssueCertificate", issued("EndEntityCertificate")).await.unwrap();
    for other in ["EndEntityServerAuthCertificate", "SubordinateCACertificate_PathLen0"] {
        let denied = pca.call_as(receiver, "IssueCertificate", issued(other)).await.unwrap_err();
        assert_eq!(denied.code, "AccessDeniedException", "{other}");
    }
    let which = with(of(&root), json!({"CertificateArn": arn["CertificateArn"]}));
    let denied = pca.call_as(receiver, "GetCertificate", which.clone()).await.unwrap_err();
    assert_eq!(denied.code, "AccessDeniedException", "another action");

    let actions =
        json!(["acm-pca:GetCertificate", "acm-pca:DescribeCertificateAuthority", "acm-pca:IssueCertificate"]);
    pca.call("PutPolicy", policy(&root, json!({"Action": actions}))).await.unwrap();
    pca.call_as(receiver, "GetCertificate", which).await.unwrap();
    let described = pca.call_as(receiver, "DescribeCertificateAuthority", of(&root)).await.unwrap();
    assert_eq!(described["CertificateAuthority"]["OwnerAccount"], "111122223333");
    assert!(lets());
    // It is still not the receiver's.
    for operation in ["DeleteCertificateAuthority", "GetCertificateAuthorityCsr"] {
        let fault = pca.call_as(receiver, operation, of(&root)).await.unwrap_err();
        assert_eq!(fault.code, "ResourceNotFoundException", "{operation}");
    }

    let told = pca.call("GetPolicy", json!({"ResourceArn": root})).await.unwrap();
    assert!(told["Policy"].as_str().unwrap().contains(RECEIVER));
    pca.call("DeletePolicy", json!({"ResourceArn": root})).await.unwrap();
    let fault = pca.refused("GetPolicy", json!({"ResourceArn": root})).await;
    assert_eq!(fault.code, "ResourceNotFoundException");
    let fault = pca.call_as(receiver, "DescribeCertificateAuthority", of(&root)).await.unwrap_err();
    assert_eq!(fault.code, "AccessDeniedException");
    assert!(!lets());
}

#[tokio::test]
async fn a_policy_that_gives_away_more_than_it_may_is_refused() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    let other = pca.root(quick("ROOT", "other")).await;
    for statement in [
        json!({"Action": "acm-pca:*"}),
        json!({"Action": "*"}),
        json!({"Action": ["acm-pca:IssueCertificate", "acm-pca:DeleteCertificateAuthority"]}),
        json!({"NotAction": "acm-pca:IssueCertificate"}),
        json!({"Action": "acm-pca:IssueCertificate", "Resource": "*"}),
        json!({"Action": "acm-pca:IssueCertificate", "Resource": other}),
        json!({"Action": "acm-pca:IssueCertificate", "Condition": {"Nonsense": {"a": "b"}}}),
    ] {
        let shown = statement.to_string();
        let fault = pca.refused("PutPolicy", policy(&root, statement)).await;
        assert_eq!(fault.code, "InvalidPolicyException", "{shown}: {}", fault.message);
    }
    let nothing = json!({"ResourceArn": root, "Policy": "{}"});
    assert_eq!(pca.refused("PutPolicy", nothing).await.code, "InvalidPolicyException");
    assert_eq!(
        pca.refused("GetPolicy", json!({"ResourceArn": root})).await.code,
        "ResourceNotFoundException"
    );
}
