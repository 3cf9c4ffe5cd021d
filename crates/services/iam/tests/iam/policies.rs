//! Managed policies, their versions and attachments, and inline policies.

use crate::installation::{ACCOUNT, Installation, TRUST, allowing};

#[tokio::test]
async fn a_policy_has_five_versions_of_which_one_is_in_force() {
    let iam = Installation::new().await;
    let document = allowing("iam:GetUser", "*");
    let made = iam.ok("CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", &document)]).await;
    let arn = made.text("Arn").to_owned();
    assert_eq!(
        (arn.clone(), made.text("DefaultVersionId")),
        (format!("arn:aws:iam::{ACCOUNT}:policy/p"), "v1")
    );
    let of = ("PolicyArn", arn.as_str());
    for _ in 0..4 {
        iam.ok("CreatePolicyVersion", &[of, ("PolicyDocument", &document)]).await;
    }
    let sixth = [of, ("PolicyDocument", document.as_str()), ("SetAsDefault", "true")];
    assert_eq!(iam.refused("CreatePolicyVersion", &sixth).await.1, "LimitExceeded");
    assert_eq!(iam.refused("DeletePolicyVersion", &[of, ("VersionId", "v1")]).await.1, "DeleteConflict");
    iam.ok("DeletePolicyVersion", &[of, ("VersionId", "v2")]).await;
    let made = iam.ok("CreatePolicyVersion", &sixth).await;
    assert_eq!((made.text("VersionId"), made.text("IsDefaultVersion")), ("v6", "true"));
    let listed = iam.ok("ListPolicyVersions", &[of]).await;
    assert_eq!(listed.texts("VersionId"), ["v6", "v5", "v4", "v3", "v1"]);
    assert_eq!(iam.refused("DeletePolicy", &[of]).await.1, "DeleteConflict");
    iam.ok("SetDefaultPolicyVersion", &[of, ("VersionId", "v1")]).await;
    let found = iam.ok("GetPolicyVersion", &[of, ("VersionId", "v1")]).await;
    assert!(found.text("Document").contains("iam%3AGetUser"));
    assert_eq!(iam.refused("GetPolicyVersion", &[of, ("VersionId", "v2")]).await.1, "NoSuchEntity");
    for version in ["v3", "v4", "v5", "v6"] {
        iam.ok("DeletePolicyVersion", &[of, ("VersionId", version)]).await;
    }
    iam.ok("DeletePolicy", &[of]).await;
    assert_eq!(iam.refused("GetPolicy", &[of]).await.1, "NoSuchEntity");
}

#[tokio::test]
async fn a_policy_is_kept_as_long_as_anyone_has_it() {
    let iam = Installation::new().await;
    let document = allowing("iam:GetUser", "*");
    let made = iam.ok("CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", &document)]).await;
    let arn = made.text("Arn").to_owned();
    let of = ("PolicyArn", arn.as_str());
    iam.ok(
        "CreateRole",
        &[("RoleName", "web"), ("AssumeRolePolicyDocument", TRUST), ("PermissionsBoundary", &arn)],
    )
    .await;
    iam.ok("AttachRolePolicy", &[("RoleName", "web"), of]).await;
    let policy = iam.ok("GetPolicy", &[of]).await;
    assert_eq!((policy.text("AttachmentCount"), policy.text("PermissionsBoundaryUsageCount")), ("1", "1"));
    let entities = iam.ok("ListEntitiesForPolicy", &[of]).await;
    assert_eq!(entities.texts("RoleName"), ["web"]);
    assert_eq!(iam.refused("DeleteRole", &[("RoleName", "web")]).await.1, "DeleteConflict");
    iam.ok("DetachRolePolicy", &[("RoleName", "web"), of]).await;
    assert_eq!(iam.refused("DetachRolePolicy", &[("RoleName", "web"), of]).await.1, "NoSuchEntity");
    assert_eq!(iam.refused("DeletePolicy", &[of]).await.1, "DeleteConflict", "it bounds the role");
    iam.ok("DeleteRolePermissionsBoundary", &[("RoleName", "web")]).await;
    iam.ok("DeletePolicy", &[of]).await;
    iam.ok("DeleteRole", &[("RoleName", "web")]).await;
    let nowhere = [("RoleName", "web"), ("PolicyArn", "arn:aws:iam::aws:policy/Nothing")];
    assert_eq!(iam.refused("AttachRolePolicy", &nowhere).await.1, "NoSuchEntity");
}

#[tokio::test]
async fn awss_policies_are_there_and_stay_as_they_are() {
    let iam = Installation::new().await;
    let arn = "arn:aws:iam::aws:policy/VPCLatticeServicesInvokeAccess";
    let of = ("PolicyArn", arn);
    let found = iam.ok("GetPolicyVersion", &[of, ("VersionId", "v1")]).await;
    assert!(found.text("Document").contains("vpc-lattice-svcs%3AInvoke"));
    iam.ok("CreateUser", &[("UserName", "alice")]).await;
    iam.ok("AttachUserPolicy", &[("UserName", "alice"), of]).await;
    let attached = iam.ok("ListAttachedUserPolicies", &[("UserName", "alice")]).await;
    assert_eq!(attached.texts("PolicyArn"), [arn]);
    let listed = iam.ok("ListPolicies", &[("OnlyAttached", "true")]).await;
    assert_eq!(listed.texts("PolicyName"), ["VPCLatticeServicesInvokeAccess"]);
    assert_eq!(iam.refused("DeletePolicy", &[of]).await.1, "InvalidInput");
    assert!(iam.ok("ListPolicies", &[("Scope", "Local")]).await.texts("PolicyName").is_empty());
}

#[tokio::test]
async fn inline_policies_are_put_read_listed_and_deleted_within_their_size() {
    let iam = Installation::new().await;
    iam.ok("CreateUser", &[("UserName", "alice")]).await;
    let document = allowing("iam:GetUser", "*");
    let of = [("UserName", "alice"), ("PolicyName", "own")];
    iam.ok("PutUserPolicy", &[of[0], of[1], ("PolicyDocument", &document)]).await;
    assert!(iam.ok("GetUserPolicy", &of).await.text("PolicyDocument").starts_with("%7B"));
    assert!(iam.ok("ListUserPolicies", &of[..1]).await.body.contains("<member>own</member>"));
    let long = allowing("iam:GetUser", &format!("arn:aws:iam::{ACCOUNT}:user/{}", "x".repeat(2000)));
    let second = [of[0], ("PolicyName", "long"), ("PolicyDocument", long.as_str())];
    assert_eq!(iam.refused("PutUserPolicy", &second).await.1, "LimitExceeded");
    assert_eq!(iam.refused("DeleteUser", &of[..1]).await.1, "DeleteConflict");
    iam.ok("DeleteUserPolicy", &of).await;
    let (_, code, message) = iam.refused("GetUserPolicy", &of).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("NoSuchEntity", "The user policy with name own cannot be found.")
    );
}
