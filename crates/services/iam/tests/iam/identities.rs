//! Users, groups, roles, instance profiles, OIDC providers and their life.

use crate::installation::{ACCOUNT, Installation, TRUST, allowing};

#[tokio::test]
async fn a_user_is_made_found_renamed_listed_and_deleted() {
    let iam = Installation::new().await;
    let made = iam.ok("CreateUser", &[("UserName", "alice"), ("Path", "/team/")]).await;
    assert_eq!(made.text("Arn"), format!("arn:aws:iam::{ACCOUNT}:user/team/alice"));
    assert!(made.text("UserId").starts_with("AIDA") && made.text("UserId").len() == 21);
    let taken = iam.refused("CreateUser", &[("UserName", "Alice")]).await;
    assert_eq!((taken.0, taken.1.as_str()), (409, "EntityAlreadyExists"));

    iam.ok("TagUser", &[("UserName", "alice"), ("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "a")])
        .await;
    let update = [("UserName", "alice"), ("NewUserName", "alicia"), ("NewPath", "/")];
    iam.ok("UpdateUser", &update).await;
    let gone = iam.refused("GetUser", &[("UserName", "alice")]).await;
    assert_eq!(gone, (404, "NoSuchEntity".into(), "The user with name alice cannot be found.".into()));
    let found = iam.ok("GetUser", &[("UserName", "alicia")]).await;
    assert_eq!(found.text("UserId"), made.text("UserId"));
    assert_eq!(found.text("Value"), "a", "the tags came along");

    let listed = iam.ok("ListUsers", &[("PathPrefix", "/team/")]).await;
    assert!(listed.texts("UserName").is_empty());
    iam.ok("DeleteUser", &[("UserName", "alicia")]).await;
    assert_eq!(iam.refused("GetUser", &[("UserName", "alicia")]).await.0, 404);
}

#[tokio::test]
async fn lists_have_pages_that_lead_through_everything_once() {
    let iam = Installation::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        iam.ok("CreateUser", &[("UserName", name)]).await;
    }
    let mut names = Vec::new();
    let mut marker = String::new();
    loop {
        let mut members = vec![("MaxItems", "2")];
        if !marker.is_empty() {
            members.push(("Marker", &marker));
        }
        let page = iam.ok("ListUsers", &members).await;
        names.extend(page.texts("UserName").into_iter().map(str::to_owned));
        if page.text("IsTruncated") == "false" {
            break;
        }
        marker = page.text("Marker").to_owned();
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let wrong = iam.refused("ListUsers", &[("Marker", "never-given")]).await;
    assert_eq!((wrong.0, wrong.1.as_str()), (400, "ValidationError"));
}

#[tokio::test]
async fn a_user_has_two_keys_of_which_an_inactive_one_is_good_for_nothing() {
    let iam = Installation::new().await;
    let first = iam.user("alice").await;
    iam.ok(
        "AttachUserPolicy",
        &[("UserName", "alice"), ("PolicyArn", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")],
    )
    .await;
    assert_eq!(iam.call_as(&first, "GetUser", &[]).await.text("UserName"), "alice");
    iam.ok("CreateAccessKey", &[("UserName", "alice")]).await;
    let third = iam.refused("CreateAccessKey", &[("UserName", "alice")]).await;
    assert_eq!(third, (409, "LimitExceeded".into(), "Cannot exceed quota for AccessKeysPerUser: 2".into()));

    let inactive = [("UserName", "alice"), ("AccessKeyId", first.id.as_str()), ("Status", "Inactive")];
    iam.ok("UpdateAccessKey", &inactive).await;
    let refused = iam.call_as(&first, "GetUser", &[]).await;
    assert_eq!((refused.status, refused.text("Code")), (403, "InvalidClientTokenId"));
    let listed = iam.ok("ListAccessKeys", &[("UserName", "alice")]).await;
    assert_eq!(listed.texts("AccessKeyId").len(), 2);
    assert!(!listed.body.contains("Secret"));
    let in_use = iam.refused("DeleteUser", &[("UserName", "alice")]).await;
    assert_eq!((in_use.0, in_use.1.as_str()), (409, "DeleteConflict"));

    iam.ok("DeleteAccessKey", &[("UserName", "alice"), ("AccessKeyId", &first.id)]).await;
    let again = iam.refused("DeleteAccessKey", &[("UserName", "alice"), ("AccessKeyId", &first.id)]).await;
    assert_eq!(again.1, "NoSuchEntity");
}

#[tokio::test]
async fn a_key_goes_on_for_its_user_under_another_name() {
    let iam = Installation::new().await;
    let key = iam.user("alice").await;
    iam.ok(
        "PutUserPolicy",
        &[("UserName", "alice"), ("PolicyName", "own"), ("PolicyDocument", &allowing("iam:GetUser", "*"))],
    )
    .await;
    iam.ok("UpdateUser", &[("UserName", "alice"), ("NewUserName", "bob"), ("NewPath", "/x/")]).await;
    assert_eq!(
        iam.call_as(&key, "GetUser", &[]).await.text("Arn"),
        format!("arn:aws:iam::{ACCOUNT}:user/x/bob")
    );
}

#[tokio::test]
async fn the_operators_user_is_nobody_elses() {
    let iam = Installation::new().await;
    assert_eq!(iam.ok("GetUser", &[]).await.text("Arn"), format!("arn:aws:iam::{ACCOUNT}:user/admin"));
    assert_eq!(iam.refused("CreateUser", &[("UserName", "Admin")]).await.1, "EntityAlreadyExists");
    iam.ok("CreateUser", &[("UserName", "alice")]).await;
    let rename = [("UserName", "alice"), ("NewUserName", "admin")];
    assert_eq!(iam.refused("UpdateUser", &rename).await.1, "EntityAlreadyExists");
    assert_eq!(iam.refused("CreateAccessKey", &[]).await.1, "InvalidInput");
}

#[tokio::test]
async fn members_of_a_group_are_listed_and_stay_when_it_is_renamed() {
    let iam = Installation::new().await;
    iam.ok("CreateGroup", &[("GroupName", "ops")]).await;
    iam.ok("CreateUser", &[("UserName", "alice")]).await;
    iam.ok("AddUserToGroup", &[("GroupName", "ops"), ("UserName", "alice")]).await;
    iam.ok("AddUserToGroup", &[("GroupName", "ops"), ("UserName", "alice")]).await;
    iam.ok("UpdateGroup", &[("GroupName", "ops"), ("NewGroupName", "operators")]).await;
    assert_eq!(iam.ok("GetGroup", &[("GroupName", "operators")]).await.texts("UserName"), ["alice"]);
    let groups = iam.ok("ListGroupsForUser", &[("UserName", "alice")]).await;
    assert_eq!(groups.texts("GroupName"), ["operators"]);
    assert_eq!(iam.refused("DeleteGroup", &[("GroupName", "operators")]).await.1, "DeleteConflict");
    assert_eq!(iam.refused("DeleteUser", &[("UserName", "alice")]).await.1, "DeleteConflict");
    iam.ok("RemoveUserFromGroup", &[("GroupName", "operators"), ("UserName", "alice")]).await;
    iam.ok("DeleteGroup", &[("GroupName", "operators")]).await;
    iam.ok("DeleteUser", &[("UserName", "alice")]).await;
}

#[tokio::test]
async fn a_role_has_a_trust_policy_a_session_length_and_tags() {
    let iam = Installation::new().await;
    let made = iam
        .ok(
            "CreateRole",
            &[
                ("RoleName", "deploy"),
                ("Path", "/ci/"),
                ("AssumeRolePolicyDocument", TRUST),
                ("Description", "deploys"),
                ("MaxSessionDuration", "7200"),
                ("Tags.member.1.Key", "team"),
                ("Tags.member.1.Value", "a"),
            ],
        )
        .await;
    assert_eq!(made.text("Arn"), format!("arn:aws:iam::{ACCOUNT}:role/ci/deploy"));
    assert!(made.text("AssumeRolePolicyDocument").starts_with("%7B%22Version%22%3A%222012-10-17%22"));
    assert_eq!(made.text("MaxSessionDuration"), "7200");
    iam.ok("UpdateRole", &[("RoleName", "deploy"), ("MaxSessionDuration", "3600"), ("Description", "")])
        .await;
    let found = iam.ok("GetRole", &[("RoleName", "deploy")]).await;
    assert_eq!((found.text("MaxSessionDuration"), found.text("Value")), ("3600", "a"));
    assert!(!found.body.contains("<Description>"));
    iam.ok("UntagRole", &[("RoleName", "deploy"), ("TagKeys.member.1", "TEAM")]).await;
    assert!(iam.ok("ListRoleTags", &[("RoleName", "deploy")]).await.texts("Key").is_empty());
    let short = iam.refused("UpdateRole", &[("RoleName", "deploy"), ("MaxSessionDuration", "60")]).await;
    assert_eq!((short.0, short.1.as_str()), (400, "ValidationError"));
}

#[tokio::test]
async fn a_malformed_policy_is_refused_with_the_statement_and_the_reason() {
    let iam = Installation::new().await;
    let no_principal = allowing("sts:AssumeRole", "*");
    let role = [("RoleName", "deploy"), ("AssumeRolePolicyDocument", no_principal.as_str())];
    let (status, code, message) = iam.refused("CreateRole", &role).await;
    assert_eq!((status, code.as_str()), (400, "MalformedPolicyDocument"));
    assert!(message.starts_with("statement 1: "), "{message}");
    assert_eq!(iam.refused("GetRole", &[("RoleName", "deploy")]).await.0, 404, "nothing was made");
    let (_, code, message) = iam
        .refused("CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", "{\n \"Statement\": 7}")])
        .await;
    assert_eq!(code, "MalformedPolicyDocument");
    assert!(message.contains("line 2"), "{message}");
}

#[tokio::test]
async fn an_instance_profile_keeps_its_role() {
    let iam = Installation::new().await;
    iam.ok("CreateRole", &[("RoleName", "web"), ("AssumeRolePolicyDocument", TRUST)]).await;
    iam.ok("CreateInstanceProfile", &[("InstanceProfileName", "web")]).await;
    let both = [("InstanceProfileName", "web"), ("RoleName", "web")];
    iam.ok("AddRoleToInstanceProfile", &both).await;
    assert_eq!(iam.refused("AddRoleToInstanceProfile", &both).await.1, "LimitExceeded");
    let of_role = iam.ok("ListInstanceProfilesForRole", &[("RoleName", "web")]).await;
    assert_eq!(of_role.texts("InstanceProfileName"), ["web"]);
    assert_eq!(iam.ok("GetInstanceProfile", &both[..1]).await.text("RoleName"), "web");
    let (_, code, message) = iam.refused("DeleteRole", &[("RoleName", "web")]).await;
    assert_eq!(code, "DeleteConflict");
    assert_eq!(message, "Cannot delete entity, must remove roles from instance profile first.");
    assert_eq!(iam.refused("DeleteInstanceProfile", &both[..1]).await.1, "DeleteConflict");
    iam.ok("RemoveRoleFromInstanceProfile", &both).await;
    iam.ok("DeleteInstanceProfile", &both[..1]).await;
    iam.ok("DeleteRole", &[("RoleName", "web")]).await;
}

#[tokio::test]
async fn an_oidc_provider_is_known_by_its_issuer() {
    let iam = Installation::new().await;
    let provider = [
        ("Url", "https://oidc.example.com/id/1"),
        ("ClientIDList.member.1", "sts.amazonaws.com"),
        ("ThumbprintList.member.1", "9e99a48a9960b14926bb7f3b02e22da2b0ab7280"),
    ];
    let arn =
        iam.ok("CreateOpenIDConnectProvider", &provider).await.text("OpenIDConnectProviderArn").to_owned();
    assert_eq!(arn, format!("arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example.com/id/1"));
    assert_eq!(iam.refused("CreateOpenIDConnectProvider", &provider).await.1, "EntityAlreadyExists");
    let named = ("OpenIDConnectProviderArn", arn.as_str());
    iam.ok("AddClientIDToOpenIDConnectProvider", &[named, ("ClientID", "mine")]).await;
    let found = iam.ok("GetOpenIDConnectProvider", &[named]).await;
    assert_eq!(found.text("Url"), "oidc.example.com/id/1");
    assert!(found.body.contains("sts.amazonaws.com") && found.body.contains("mine"));
    assert_eq!(iam.ok("ListOpenIDConnectProviders", &[]).await.texts("Arn"), [arn.as_str()]);
    iam.ok("DeleteOpenIDConnectProvider", &[named]).await;
    assert_eq!(iam.refused("GetOpenIDConnectProvider", &[named]).await.1, "NoSuchEntity");
}

#[tokio::test]
async fn a_service_linked_role_is_its_services_alone() {
    let iam = Installation::new().await;
    let service = [("AWSServiceName", "vpc-lattice.amazonaws.com")];
    let made = iam.ok("CreateServiceLinkedRole", &service).await;
    let name = "AWSServiceRoleForVpcLattice";
    assert_eq!(
        made.text("Arn"),
        format!("arn:aws:iam::{ACCOUNT}:role/aws-service-role/vpc-lattice.amazonaws.com/{name}")
    );
    assert_eq!(iam.refused("CreateServiceLinkedRole", &service).await.1, "InvalidInput");
    let policy = [("RoleName", name), ("PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess")];
    assert_eq!(iam.refused("AttachRolePolicy", &policy).await.1, "UnmodifiableEntity");
    assert_eq!(iam.refused("DeleteRole", &policy[..1]).await.1, "UnmodifiableEntity");
    let task = iam.ok("DeleteServiceLinkedRole", &policy[..1]).await.text("DeletionTaskId").to_owned();
    let status = iam.ok("GetServiceLinkedRoleDeletionStatus", &[("DeletionTaskId", &task)]).await;
    assert_eq!(status.text("Status"), "SUCCEEDED");
    assert_eq!(iam.refused("GetRole", &policy[..1]).await.0, 404);
    let other = format!("{task}0");
    let unknown = iam.refused("GetServiceLinkedRoleDeletionStatus", &[("DeletionTaskId", &other)]).await;
    assert_eq!(unknown.1, "NoSuchEntity");
}

#[tokio::test]
async fn an_account_with_identities_is_not_empty() {
    let iam = Installation::new().await;
    let account = iam.frame.create_account(None, None).await.unwrap().id;
    let key = iam.frame.create_key(account.as_str()).await.unwrap();
    let key =
        crate::installation::Key { id: key.access_key_id, secret: key.secret_access_key.expose().to_owned() };
    assert_eq!(iam.call_as(&key, "CreateUser", &[("UserName", "alice")]).await.status, 200);
    assert_eq!(iam.call_as(&key, "CreateAccessKey", &[("UserName", "alice")]).await.status, 200);
    assert_eq!(iam.frame.key(account.as_str()).unwrap().access_key_id, key.id, "the operator's, not alice's");
    let refused = iam.frame.delete_account(account.as_str()).await.unwrap_err();
    assert!(refused.to_string().contains("still has resources"), "{refused}");
}

#[tokio::test]
async fn an_account_has_one_alias_and_counts_what_is_in_it() {
    let iam = Installation::new().await;
    iam.user("alice").await;
    iam.ok("CreateAccountAlias", &[("AccountAlias", "shop")]).await;
    iam.ok("CreateAccountAlias", &[("AccountAlias", "cart")]).await;
    let aliases = iam.ok("ListAccountAliases", &[]).await;
    assert!(aliases.body.contains("<member>cart</member>") && !aliases.body.contains("shop"));
    assert_eq!(iam.refused("DeleteAccountAlias", &[("AccountAlias", "shop")]).await.1, "NoSuchEntity");
    iam.ok("DeleteAccountAlias", &[("AccountAlias", "cart")]).await;
    assert_eq!(iam.refused("CreateAccountAlias", &[("AccountAlias", "No_Alias")]).await.1, "ValidationError");
    let summary = iam.ok("GetAccountSummary", &[]).await;
    let entry = |key: &str, value: u32| format!("<entry><key>{key}</key><value>{value}</value></entry>");
    for (key, value) in [("Users", 1), ("Groups", 0), ("AccessKeysPerUserQuota", 2)] {
        assert!(summary.body.contains(&entry(key, value)), "{key} in {}", summary.body);
    }
}

#[tokio::test]
async fn tags_on_creation_ask_for_the_permission_to_tag() {
    let iam = Installation::new().await;
    let alice = iam.user("alice").await;
    let put = [("UserName", "alice"), ("PolicyName", "own")];
    let create = allowing("iam:CreateUser", "*");
    iam.ok("PutUserPolicy", &[put[0], put[1], ("PolicyDocument", &create)]).await;
    let tags = [("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "a")];
    let bob = ("UserName", "bob");
    let refused = iam.call_as(&alice, "CreateUser", &[bob, tags[0], tags[1]]).await;
    assert!(refused.text("Message").contains("iam:TagUser"), "{}", refused.body);
    assert_eq!(iam.call_as(&alice, "CreateUser", &[bob]).await.status, 200);
}
