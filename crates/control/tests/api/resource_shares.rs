//! RAM: shares, invitations, lists and permissions.

use std::time::Duration;

use serde_json::{Value, json};

use crate::installation::Installation;
use crate::party::Party;

async fn create(owner: &Party<'_>, input: Value) -> Value {
    owner.ram_ok("CreateResourceShare", input).await["resourceShare"].clone()
}

async fn invitation(party: &Party<'_>) -> Value {
    let answer = party.ram_ok("GetResourceShareInvitations", json!({})).await;
    answer["resourceShareInvitations"][0].clone()
}

#[tokio::test]
async fn a_share_is_offered_accepted_listed_on_both_sides_and_left_again() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let network = owner.network().await;
    let share = create(
        &owner,
        json!({
            "name": "shop", "resourceArns": [network["arn"]], "principals": [consumer.account()],
            "tags": [{"key": "team", "value": "a"}],
        }),
    )
    .await;
    let arn = &share["resourceShareArn"];
    assert_eq!((&share["status"], &share["allowExternalPrincipals"]), (&json!("ACTIVE"), &json!(true)));
    assert_eq!(share["tags"], json!([{"key": "team", "value": "a"}]));
    assert!(share["creationTime"].is_number());
    let principals = json!({"associationType": "PRINCIPAL", "resourceShareArns": [arn]});
    let listed = owner.ram_ok("GetResourceShareAssociations", principals.clone()).await;
    assert_eq!(listed["resourceShareAssociations"][0]["status"], "ASSOCIATING");

    // Until it accepts, the consumer has only the invitation.
    let others = json!({"resourceOwner": "OTHER-ACCOUNTS"});
    assert_eq!(consumer.ram_ok("GetResourceShares", others.clone()).await["resourceShares"], json!([]));
    let offered = invitation(&consumer).await;
    assert_eq!(offered["status"], "PENDING");
    assert_eq!(offered["senderAccountId"], owner.account());
    assert_eq!(offered["receiverAccountId"], consumer.account());
    let by = json!({"resourceShareInvitationArn": offered["resourceShareInvitationArn"]});
    let pending = consumer.ram_ok("ListPendingInvitationResources", by.clone()).await;
    assert_eq!(pending["resources"][0]["arn"], network["arn"]);
    consumer.ram_ok("AcceptResourceShareInvitation", by.clone()).await;
    assert_eq!(
        consumer.ram_refused("AcceptResourceShareInvitation", by.clone()).await,
        "ResourceShareInvitationAlreadyAcceptedException"
    );

    for (party, whose, peer) in [(&owner, "SELF", &consumer), (&consumer, "OTHER-ACCOUNTS", &owner)] {
        let by = json!({"resourceOwner": whose});
        let shares = party.ram_ok("GetResourceShares", by.clone()).await;
        assert_eq!(shares["resourceShares"][0]["resourceShareArn"], *arn);
        assert_eq!(shares["resourceShares"][0]["owningAccountId"], owner.account());
        let resources = party.ram_ok("ListResources", by.clone()).await;
        assert_eq!(resources["resources"][0]["arn"], network["arn"]);
        assert_eq!(resources["resources"][0]["type"], "vpc-lattice:ServiceNetwork");
        let principals = party.ram_ok("ListPrincipals", by).await;
        assert_eq!(principals["principals"][0]["id"], peer.account());
    }
    let listed = owner.ram_ok("GetResourceShareAssociations", principals).await;
    assert_eq!(listed["resourceShareAssociations"][0]["status"], "ASSOCIATED");
    let leave = json!({"resourceShareArn": arn, "principals": [consumer.account()]});
    let left = consumer.ram_ok("DisassociateResourceShare", leave).await;
    assert_eq!(left["resourceShareAssociations"][0]["status"], "DISASSOCIATED");
    assert_eq!(consumer.ram_ok("GetResourceShares", others).await["resourceShares"], json!([]));
    assert!(trellis.entries("grant/").is_empty() && trellis.entries("member/").is_empty());
    owner.ram_ok("DeleteResourceShare", json!({"resourceShareArn": arn})).await;
    for prefix in
        ["ram/", "invitation/", "shared/", &format!("tags/{}/us-east-1/arn:aws:ram", owner.account())]
    {
        assert!(trellis.entries(prefix).is_empty(), "{prefix}");
    }
}

#[tokio::test]
async fn a_rejected_or_expired_invitation_gives_nothing_and_may_be_sent_again() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let network = owner.network().await;
    let input = json!({"name": "shop", "resourceArns": [network["arn"]], "principals": [consumer.account()]});
    let share = create(&owner, input).await;
    let by = json!({"resourceShareInvitationArn": invitation(&consumer).await["resourceShareInvitationArn"]});
    consumer.ram_ok("RejectResourceShareInvitation", by.clone()).await;
    assert_eq!(
        consumer.ram_refused("AcceptResourceShareInvitation", by).await,
        "ResourceShareInvitationAlreadyRejectedException"
    );
    let again = json!({"resourceShareArn": share["resourceShareArn"], "principals": [consumer.account()]});
    let sent = owner.ram_ok("AssociateResourceShare", again.clone()).await;
    assert_eq!(sent["resourceShareAssociations"][0]["status"], "ASSOCIATING");
    let by = json!({"resourceShareInvitationArn": invitation(&consumer).await["resourceShareInvitationArn"]});
    trellis.advance_clock(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(invitation(&consumer).await["status"], "EXPIRED");
    assert_eq!(
        consumer.ram_refused("AcceptResourceShareInvitation", by).await,
        "ResourceShareInvitationExpiredException"
    );
    owner.ram_ok("AssociateResourceShare", again).await;
    consumer.accept(&share["resourceShareArn"]).await;
    consumer.ok("GetServiceNetwork", json!({"serviceNetworkIdentifier": network["arn"]})).await;
}

#[tokio::test]
async fn what_cannot_be_shared_is_refused_in_rams_words_and_changes_nothing() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let network = owner.network().await;
    let theirs = consumer.network().await;
    let vpc = trellis.vpc(0).await;
    let group = trellis.group(&vpc).await;
    let gateway = trellis.gateway(&vpc).await;
    let closed = owner
        .ok("CreateServiceNetwork", json!({"name": "closed", "sharingConfig": {"enabled": false}}))
        .await;
    let missing =
        network["arn"].as_str().unwrap().replace(network["id"].as_str().unwrap(), "sn-00000000000000fff");
    consumer.share(&[&theirs], &owner).await;
    let before = trellis.entries("ram/");
    for (resource, code) in [
        (json!("no arn"), "MalformedArnException"),
        (group["arn"].clone(), "InvalidParameterException"),
        (gateway["arn"].clone(), "InvalidParameterException"),
        (json!(missing), "UnknownResourceException"),
        // "Re-sharing not allowed."
        (theirs["arn"].clone(), "OperationNotPermittedException"),
        (closed["arn"].clone(), "OperationNotPermittedException"),
    ] {
        let input = json!({"name": "x", "resourceArns": [resource]});
        assert_eq!(owner.ram_refused("CreateResourceShare", input).await, code, "{resource}");
    }
    for (principal, code) in [
        ("12", "InvalidParameterException"),
        (owner.account(), "InvalidParameterException"),
        ("arn:aws:iam::444455556666:role/x", "InvalidParameterException"),
        ("arn:aws:organizations::444455556666:organization/o-1", "OperationNotPermittedException"),
    ] {
        let input = json!({"name": "x", "principals": [principal]});
        assert_eq!(owner.ram_refused("CreateResourceShare", input).await, code, "{principal}");
    }
    let input = json!({"name": "x", "principals": [consumer.account()], "allowExternalPrincipals": false});
    assert_eq!(owner.ram_refused("CreateResourceShare", input).await, "OperationNotPermittedException");
    assert_eq!(owner.ram_refused("CreateResourceShare", json!({})).await, "InvalidParameterException");
    assert_eq!(
        consumer.ram_refused("EnableSharingWithAwsOrganization", json!({})).await,
        "OperationNotPermittedException"
    );
    assert_eq!(trellis.entries("ram/"), before);
    assert_eq!(trellis.entries("invitation/").len(), 1);
}

#[tokio::test]
async fn an_account_of_the_organization_is_external_to_neither_side_of_a_share() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let invited = create(&owner, json!({"name": "before", "principals": [consumer.account()]})).await;
    consumer.accept(&invited["resourceShareArn"]).await;
    owner.ram_ok("EnableSharingWithAwsOrganization", json!({})).await;
    create(&owner, json!({"name": "after", "principals": [consumer.account()]})).await;
    for (party, whose) in [(&owner, "SELF"), (&consumer, "OTHER-ACCOUNTS")] {
        let listed = party.ram_ok("ListPrincipals", json!({"resourceOwner": whose})).await;
        let external = |is_invited: bool| {
            let share =
                |found: &&Value| (found["resourceShareArn"] == invited["resourceShareArn"]) == is_invited;
            listed["principals"].as_array().unwrap().iter().find(share).unwrap()["external"].clone()
        };
        assert_eq!((external(true), external(false)), (json!(true), json!(false)), "{whose}");
    }
}

#[tokio::test]
async fn another_accounts_share_is_unknown_and_its_invitations_are_not_found() {
    let trellis = Installation::new().await;
    let (owner, other) = (Party::owner(&trellis), Party::new(&trellis).await);
    let third = Party::new(&trellis).await;
    let share = create(&owner, json!({"name": "shop", "principals": [third.account()]})).await;
    let by = json!({"resourceShareArn": share["resourceShareArn"]});
    for operation in ["DeleteResourceShare", "UpdateResourceShare", "ListResourceSharePermissions"] {
        assert_eq!(other.ram_refused(operation, by.clone()).await, "UnknownResourceException", "{operation}");
    }
    let malformed = json!({"resourceShareArn": "x"});
    assert_eq!(owner.ram_refused("DeleteResourceShare", malformed).await, "MalformedArnException");
    let by = json!({"resourceShareInvitationArn": invitation(&third).await["resourceShareInvitationArn"]});
    assert_eq!(
        other.ram_refused("AcceptResourceShareInvitation", by).await,
        "ResourceShareInvitationArnNotFoundException"
    );
}

#[tokio::test]
async fn a_client_token_makes_a_share_once_and_is_repeated_in_the_answer() {
    let trellis = Installation::new().await;
    let owner = Party::owner(&trellis);
    let input = json!({"name": "shop", "clientToken": "t1"});
    let first = owner.ram_ok("CreateResourceShare", input.clone()).await;
    assert_eq!(first["clientToken"], "t1");
    assert_eq!(owner.ram_ok("CreateResourceShare", input).await, first);
    let other = json!({"name": "other", "clientToken": "t1"});
    assert_eq!(owner.ram_refused("CreateResourceShare", other).await, "IdempotentParameterMismatchException");
    let long = json!({"name": "other", "clientToken": "x".repeat(65)});
    assert_eq!(owner.ram_refused("CreateResourceShare", long).await, "InvalidClientTokenException");
}

#[tokio::test]
async fn lists_are_filtered_and_come_in_pages() {
    let trellis = Installation::new().await;
    let owner = Party::owner(&trellis);
    for (name, team) in [("a", "x"), ("b", "y"), ("c", "x")] {
        create(&owner, json!({"name": name, "tags": [{"key": "team", "value": team}]})).await;
    }
    let names = |answer: &Value| {
        let shares = answer["resourceShares"].as_array().unwrap().iter();
        shares.map(|share| share["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let by_tag = json!({"resourceOwner": "SELF", "tagFilters": [{"tagKey": "team", "tagValues": ["x"]}]});
    let mut found = names(&owner.ram_ok("GetResourceShares", by_tag).await);
    found.sort();
    assert_eq!(found, ["a", "c"]);
    let by_name = json!({"resourceOwner": "SELF", "name": "b"});
    assert_eq!(names(&owner.ram_ok("GetResourceShares", by_name).await), ["b"]);
    let (mut all, mut token) = (Vec::new(), Value::Null);
    loop {
        let mut input = json!({"resourceOwner": "SELF", "maxResults": 1});
        if !token.is_null() {
            input["nextToken"] = token;
        }
        let answer = owner.ram_ok("GetResourceShares", input).await;
        all.extend(names(&answer));
        token = answer["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    all.sort();
    assert_eq!(all, ["a", "b", "c"]);
    let wrong = json!({"resourceOwner": "SELF", "nextToken": "%"});
    assert_eq!(owner.ram_refused("GetResourceShares", wrong).await, "InvalidNextTokenException");
    let wrong = json!({"resourceOwner": "SELF", "maxResults": 501});
    assert_eq!(owner.ram_refused("GetResourceShares", wrong).await, "InvalidParameterException");
    let wrong = json!({"resourceOwner": "SELF", "resourceType": "ec2:Subnet"});
    assert_eq!(owner.ram_refused("ListResources", wrong).await, "InvalidResourceTypeException");
}

#[tokio::test]
async fn a_share_has_the_managed_permission_of_each_type_it_holds() {
    let trellis = Installation::new().await;
    let owner = Party::owner(&trellis);
    let (network, service) = (owner.network().await, owner.service().await);
    let listed = owner.ram_ok("ListPermissions", json!({})).await;
    assert_eq!(listed["permissions"].as_array().unwrap().len(), 3);
    let arn = "arn:aws:ram::aws:permission/AWSRAMPermissionVpcLatticeServiceNetworkReadWrite";
    let permission = owner.ram_ok("GetPermission", json!({"permissionArn": arn})).await["permission"].clone();
    assert_eq!(
        (&permission["version"], &permission["resourceType"]),
        (&json!("2"), &json!("vpc-lattice:ServiceNetwork"))
    );
    let text: Value = serde_json::from_str(permission["permission"].as_str().unwrap()).unwrap();
    assert!(
        text["Action"].as_array().unwrap().contains(&json!("vpc-lattice:CreateServiceNetworkVpcAssociation"))
    );
    let missing = json!({"permissionArn": "arn:aws:ram::aws:permission/Other"});
    assert_eq!(owner.ram_refused("GetPermission", missing).await, "UnknownResourceException");

    let input = json!({"name": "x", "resourceArns": [network["arn"]], "permissionArns": [arn]});
    let share = create(&owner, input).await;
    let by = json!({"resourceShareArn": share["resourceShareArn"]});
    let of_share = owner.ram_ok("ListResourceSharePermissions", by.clone()).await;
    assert_eq!(of_share["permissions"][0]["arn"], arn);
    let add = json!({"resourceShareArn": share["resourceShareArn"], "resourceArns": [service["arn"]]});
    owner.ram_ok("AssociateResourceShare", add).await;
    let of_share = owner.ram_ok("ListResourceSharePermissions", by).await;
    assert_eq!(of_share["permissions"].as_array().unwrap().len(), 2);
    let part = json!({"resourceShareArn": share["resourceShareArn"], "permissionArn": arn});
    assert_eq!(
        owner.ram_refused("DisassociateResourceSharePermission", part.clone()).await,
        "InvalidStateTransitionException"
    );
    assert_eq!(owner.ram_ok("AssociateResourceSharePermission", part).await["returnValue"], true);
    // A resource that goes leaves its shares.
    owner.ok("DeleteServiceNetwork", json!({"serviceNetworkIdentifier": network["id"]})).await;
    let resources = owner.ram_ok("ListResources", json!({"resourceOwner": "SELF"})).await;
    assert_eq!(resources["resources"][0]["arn"], service["arn"]);
    assert_eq!(resources["resources"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tags_of_shares_are_set_removed_and_found_by_the_tagging_api() {
    let trellis = Installation::new().await;
    let owner = Party::owner(&trellis);
    let share = create(&owner, json!({"name": "x"})).await;
    let arn = &share["resourceShareArn"];
    let tags =
        json!({"resourceShareArn": arn, "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]});
    owner.ram_ok("TagResource", tags).await;
    owner.ram_ok("UntagResource", json!({"resourceShareArn": arn, "tagKeys": ["a"]})).await;
    let shares = owner.ram_ok("GetResourceShares", json!({"resourceOwner": "SELF"})).await;
    assert_eq!(shares["resourceShares"][0]["tags"], json!([{"key": "b", "value": "2"}]));
    let many: Vec<Value> = (0..50).map(|n| json!({"key": format!("k{n}"), "value": ""})).collect();
    let tags = json!({"resourceShareArn": arn, "tags": many});
    assert_eq!(owner.ram_refused("TagResource", tags).await, "TagLimitExceededException");
}

#[tokio::test]
async fn the_arn_of_another_partition_or_of_no_region_names_nothing_and_leaves_nothing() {
    let trellis = Installation::new().await;
    let owner = Party::owner(&trellis);
    let share = create(&owner, json!({"name": "x"})).await;
    let arn = share["resourceShareArn"].as_str().unwrap();
    let network = trellis.network().await;
    let before = (trellis.entries("tags/"), trellis.entries("ram/"));
    for other in [arn.replace("arn:aws:", "arn:aws-cn:"), arn.replace("us-east-1", "")] {
        let tags = json!({"resourceShareArn": other, "tags": [{"key": "a", "value": "1"}]});
        assert_eq!(owner.ram_refused("TagResource", tags).await, "MalformedArnException");
        let tags = json!({"ResourceARNList": [other], "Tags": {"a": "1"}});
        let answer = trellis.tagging("TagResources", tags).await.unwrap();
        assert!(!answer["FailedResourcesMap"][&other].is_null(), "{answer}");
    }
    let other = network["arn"].as_str().unwrap().replace("arn:aws:", "arn:aws-cn:");
    let shared = json!({"resourceShareArn": arn, "resourceArns": [other]});
    assert_eq!(owner.ram_refused("AssociateResourceShare", shared).await, "MalformedArnException");
    assert_eq!((trellis.entries("tags/"), trellis.entries("ram/")), before);
}
