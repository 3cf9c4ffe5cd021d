//! Simulations: the same answers as the calls themselves would get.

use crate::installation::{ACCOUNT, Installation, allowing};

#[tokio::test]
async fn a_custom_policy_is_asked_about_every_action_on_every_resource() {
    let iam = Installation::new().await;
    let document = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/*","Condition":{"Bool":{"aws:SecureTransport":"true"}}},
        {"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::b/secret"}]}"#;
    let asked = [
        ("PolicyInputList.member.1", document),
        ("ActionNames.member.1", "s3:GetObject"),
        ("ActionNames.member.2", "s3:PutObject"),
        ("ResourceArns.member.1", "arn:aws:s3:::b/open"),
        ("ResourceArns.member.2", "arn:aws:s3:::b/secret"),
    ];
    let without = iam.ok("SimulateCustomPolicy", &asked).await;
    assert_eq!(
        without.texts("EvalDecision"),
        ["implicitDeny", "explicitDeny", "implicitDeny", "explicitDeny"]
    );
    assert!(without.body.contains("<member>aws:SecureTransport</member>"), "it is missing");
    let context = [
        ("ContextEntries.member.1.ContextKeyName", "aws:SecureTransport"),
        ("ContextEntries.member.1.ContextKeyValues.member.1", "true"),
        ("ContextEntries.member.1.ContextKeyType", "boolean"),
    ];
    let with = iam.ok("SimulateCustomPolicy", &[&asked[..], &context[..]].concat()).await;
    assert_eq!(with.texts("EvalDecision"), ["allowed", "explicitDeny", "implicitDeny", "explicitDeny"]);
    assert_eq!(with.texts("SourcePolicyId")[0], "PolicyInputList.1");
    let keys = iam.ok("GetContextKeysForCustomPolicy", &asked[..1]).await;
    assert!(keys.body.contains("<member>aws:SecureTransport</member>"));
    let broken = [("PolicyInputList.member.1", "{}"), asked[1]];
    assert_eq!(iam.refused("SimulateCustomPolicy", &broken).await.1, "InvalidInput");
}

#[tokio::test]
async fn a_principal_is_simulated_with_all_its_policies_and_its_boundary() {
    let iam = Installation::new().await;
    iam.ok("CreateUser", &[("UserName", "alice")]).await;
    iam.ok("CreateGroup", &[("GroupName", "ops")]).await;
    iam.ok("AddUserToGroup", &[("GroupName", "ops"), ("UserName", "alice")]).await;
    let policy = allowing("vpc-lattice-svcs:Invoke", "*");
    iam.ok("PutGroupPolicy", &[("GroupName", "ops"), ("PolicyName", "invoke"), ("PolicyDocument", &policy)])
        .await;
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/alice");
    let asked = [("PolicySourceArn", arn.as_str()), ("ActionNames.member.1", "vpc-lattice-svcs:Invoke")];
    let found = iam.ok("SimulatePrincipalPolicy", &asked).await;
    assert_eq!((found.text("EvalDecision"), found.text("SourcePolicyId")), ("allowed", "group_ops_invoke"));
    let boundary = ("PermissionsBoundary", "arn:aws:iam::aws:policy/IAMReadOnlyAccess");
    iam.ok("PutUserPermissionsBoundary", &[("UserName", "alice"), boundary]).await;
    let found = iam.ok("SimulatePrincipalPolicy", &asked).await;
    assert_eq!(
        (found.text("EvalDecision"), found.text("AllowedByPermissionsBoundary")),
        ("implicitDeny", "false")
    );
    let nobody = format!("arn:aws:iam::{ACCOUNT}:user/nobody");
    let asked = [("PolicySourceArn", nobody.as_str()), asked[1]];
    assert_eq!(iam.refused("SimulatePrincipalPolicy", &asked).await.1, "NoSuchEntity");
}
