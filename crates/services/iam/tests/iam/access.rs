//! Who may do what: IAM's policies decide about IAM's own operations as about everyone's.

use crate::installation::{ACCOUNT, Installation, Key, TRUST, allowing, fault};

async fn put(iam: &Installation, user: &str, name: &str, document: &str) {
    let policy = [("UserName", user), ("PolicyName", name), ("PolicyDocument", document)];
    iam.ok("PutUserPolicy", &policy).await;
}

async fn is_allowed(iam: &Installation, key: &Key, operation: &str, members: &[(&str, &str)]) -> bool {
    let answer = iam.call_as(key, operation, members).await;
    if answer.status != 403 {
        return true;
    }
    assert_eq!(answer.text("Code"), "AccessDenied", "{}", answer.body);
    false
}

#[tokio::test]
async fn a_user_without_a_policy_may_do_nothing_and_is_told_so_in_awss_words() {
    let iam = Installation::new().await;
    let alice = iam.user("alice").await;
    iam.ok("CreateRole", &[("RoleName", "deploy"), ("Path", "/ci/"), ("AssumeRolePolicyDocument", TRUST)])
        .await;
    let (status, code, message) = fault(&iam.call_as(&alice, "GetRole", &[("RoleName", "deploy")]).await);
    assert_eq!((status, code.as_str()), (403, "AccessDenied"));
    assert_eq!(
        message,
        format!(
            "User: arn:aws:iam::{ACCOUNT}:user/alice is not authorized to perform: iam:GetRole on resource: \
             arn:aws:iam::{ACCOUNT}:role/ci/deploy because no identity-based policy allows the iam:GetRole action"
        )
    );
    put(&iam, "alice", "deny", &allowing("iam:*", "*").replace("Allow", "Deny")).await;
    let (_, _, message) = fault(&iam.call_as(&alice, "ListUsers", &[]).await);
    assert!(
        message.ends_with("iam:ListUsers with an explicit deny in an identity-based policy"),
        "{message}"
    );
}

#[tokio::test]
async fn a_policy_allows_what_it_names_on_what_it_names() {
    let iam = Installation::new().await;
    let alice = iam.user("alice").await;
    for name in ["deploy", "other"] {
        let role = [("RoleName", name), ("Path", "/ci/"), ("AssumeRolePolicyDocument", TRUST)];
        iam.ok("CreateRole", &role).await;
    }
    put(&iam, "alice", "one", &allowing("iam:GetRole", &format!("arn:aws:iam::{ACCOUNT}:role/ci/deploy")))
        .await;
    assert!(is_allowed(&iam, &alice, "GetRole", &[("RoleName", "deploy")]).await);
    assert!(!is_allowed(&iam, &alice, "GetRole", &[("RoleName", "other")]).await);
    assert!(!is_allowed(&iam, &alice, "DeleteRole", &[("RoleName", "deploy")]).await);
    iam.ok("DeleteUserPolicy", &[("UserName", "alice"), ("PolicyName", "one")]).await;
    assert!(!is_allowed(&iam, &alice, "GetRole", &[("RoleName", "deploy")]).await);
}

#[tokio::test]
async fn a_user_may_do_what_its_groups_may_within_its_boundary() {
    let iam = Installation::new().await;
    let alice = iam.user("alice").await;
    iam.ok("CreateGroup", &[("GroupName", "ops")]).await;
    iam.ok("AddUserToGroup", &[("GroupName", "ops"), ("UserName", "alice")]).await;
    let policy = ("PolicyArn", "arn:aws:iam::aws:policy/IAMFullAccess");
    iam.ok("AttachGroupPolicy", &[("GroupName", "ops"), policy]).await;
    assert!(is_allowed(&iam, &alice, "CreateGroup", &[("GroupName", "new")]).await);
    let boundary = ("PermissionsBoundary", "arn:aws:iam::aws:policy/IAMReadOnlyAccess");
    iam.ok("PutUserPermissionsBoundary", &[("UserName", "alice"), boundary]).await;
    assert!(is_allowed(&iam, &alice, "ListGroups", &[]).await);
    let (_, _, message) = fault(&iam.call_as(&alice, "CreateGroup", &[("GroupName", "newer")]).await);
    assert!(
        message.ends_with("because no permissions boundary allows the iam:CreateGroup action"),
        "{message}"
    );
    iam.ok("DeleteUserPermissionsBoundary", &[("UserName", "alice")]).await;
    iam.ok("RemoveUserFromGroup", &[("GroupName", "ops"), ("UserName", "alice")]).await;
    assert!(!is_allowed(&iam, &alice, "ListGroups", &[]).await);
}

#[tokio::test]
async fn an_operation_on_a_user_that_names_none_is_on_the_caller() {
    let iam = Installation::new().await;
    let alice = iam.user("alice").await;
    iam.ok("CreateUser", &[("UserName", "bob")]).await;
    put(&iam, "alice", "own", &allowing("iam:*", &format!("arn:aws:iam::{ACCOUNT}:user/${{aws:username}}")))
        .await;
    assert!(is_allowed(&iam, &alice, "GetUser", &[]).await);
    assert!(is_allowed(&iam, &alice, "ListAccessKeys", &[]).await);
    assert!(!is_allowed(&iam, &alice, "GetUser", &[("UserName", "bob")]).await);
}

#[tokio::test]
async fn conditions_ask_about_tags_of_the_call_the_caller_and_the_resource() {
    let iam = Installation::new().await;
    let alice = iam.user("alice").await;
    let tag = [("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "a")];
    iam.ok("TagUser", &[("UserName", "alice"), tag[0], tag[1]]).await;
    let statement = |action: &str, condition: &str| {
        format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"*","Condition":{condition}}}"#)
    };
    let all = [
        statement(
            "iam:CreateUser",
            r#"{"StringEquals":{"aws:RequestTag/team":"${aws:PrincipalTag/team}"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}"#,
        ),
        statement("iam:TagUser", "{}"),
        statement("iam:GetUser", r#"{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}"#),
        statement("iam:ListUsers", r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#),
        statement(
            "iam:ListRoles",
            r#"{"StringEquals":{"aws:RequestedRegion":"us-east-1"},"Bool":{"aws:SecureTransport":"false"}}"#,
        ),
    ];
    put(&iam, "alice", "tags", &format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, all.join(",")))
        .await;
    let bob = ("UserName", "bob");
    assert!(is_allowed(&iam, &alice, "CreateUser", &[bob, tag[0], tag[1]]).await);
    let carol = ("UserName", "carol");
    assert!(!is_allowed(&iam, &alice, "CreateUser", &[carol]).await);
    assert!(!is_allowed(&iam, &alice, "CreateUser", &[carol, tag[0], ("Tags.member.1.Value", "b")]).await);
    let second = [("Tags.member.2.Key", "more"), ("Tags.member.2.Value", "x")];
    assert!(!is_allowed(&iam, &alice, "CreateUser", &[carol, tag[0], tag[1], second[0], second[1]]).await);
    assert!(is_allowed(&iam, &alice, "GetUser", &[bob]).await);
    iam.ok("UntagUser", &[bob, ("TagKeys.member.1", "team")]).await;
    assert!(!is_allowed(&iam, &alice, "GetUser", &[bob]).await);
    assert!(!is_allowed(&iam, &alice, "ListUsers", &[]).await, "the address of the call is not known");
    assert!(is_allowed(&iam, &alice, "ListRoles", &[]).await);
}

#[tokio::test]
async fn handing_over_a_role_needs_permission_to_pass_it() {
    let iam = Installation::new().await;
    let alice = iam.user("alice").await;
    iam.ok("CreateRole", &[("RoleName", "web"), ("AssumeRolePolicyDocument", TRUST)]).await;
    iam.ok("CreateInstanceProfile", &[("InstanceProfileName", "web")]).await;
    let both = [("InstanceProfileName", "web"), ("RoleName", "web")];
    put(&iam, "alice", "add", &allowing("iam:AddRoleToInstanceProfile", "*")).await;
    let (_, _, message) = fault(&iam.call_as(&alice, "AddRoleToInstanceProfile", &both).await);
    assert!(
        message.contains(&format!("iam:PassRole on resource: arn:aws:iam::{ACCOUNT}:role/web")),
        "{message}"
    );
    let pass = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::{ACCOUNT}:role/web","Condition":{{"StringEquals":{{"iam:PassedToService":"ec2.amazonaws.com"}}}}}}]}}"#
    );
    put(&iam, "alice", "pass", &pass).await;
    assert!(is_allowed(&iam, &alice, "AddRoleToInstanceProfile", &both).await);
}

#[tokio::test]
async fn an_identity_of_one_account_is_nobody_in_another() {
    let iam = Installation::new().await;
    let alice = iam.user("alice").await;
    put(&iam, "alice", "all", &allowing("*", "*")).await;
    let other = iam.frame.create_account(None, None).await.unwrap().id;
    let key = iam.frame.create_key(other.as_str()).await.unwrap();
    let key = Key { id: key.access_key_id, secret: key.secret_access_key.expose().to_owned() };
    assert_eq!(iam.call_as(&key, "CreateUser", &[("UserName", "bob")]).await.status, 200);
    assert_eq!(iam.call_as(&alice, "GetUser", &[("UserName", "bob")]).await.status, 404);
    assert!(iam.call_as(&key, "GetUser", &[("UserName", "alice")]).await.status == 404);
}
