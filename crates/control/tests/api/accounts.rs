use serde_json::json;
use trellis_control::AccountError;
use trellis_store::Read as _;

use crate::installation::{ACCOUNT, Installation, ids};
use crate::party::Party;

#[tokio::test]
async fn an_account_and_its_key_are_good_at_once_and_until_they_are_deleted() {
    let trellis = Installation::new().await;
    let other = Party::new(&trellis).await;
    assert_eq!(other.ok("ListServices", json!({})).await, json!({"items": []}));
    trellis.control.frame().delete_key(&other.key.access_key_id).await.unwrap();
    assert_eq!(other.refused("ListServices", json!({})).await, "UnrecognizedClientException");
    trellis.control.frame().delete_account(other.account()).await.unwrap();
    let accounts = trellis.control.frame().accounts().unwrap();
    assert_eq!(accounts.iter().map(|account| account.id.as_str()).collect::<Vec<_>>(), [ACCOUNT]);
}

#[tokio::test]
async fn no_secret_is_in_the_state_as_it_is() {
    let trellis = Installation::new().await;
    let other = Party::new(&trellis).await;
    let keys = [Party::owner(&trellis).key, other.key];
    let state = &mut trellis.store.read().unwrap();
    for key in keys {
        let entry = state.get(&format!("access-key/{}", key.access_key_id)).unwrap().unwrap();
        let secret = key.secret_access_key.expose().as_bytes();
        assert!(!entry.value.windows(secret.len()).any(|part| part == secret));
    }
}

#[tokio::test]
async fn what_an_operator_gets_wrong_is_refused_and_changes_nothing() {
    let trellis = Installation::new().await;
    let control = &trellis.control;
    let made = control.frame().create_account(None, Some("team-b".into())).await.unwrap();
    let before = trellis.entries("account/");
    let refused = control.frame().create_account(Some(made.id.clone()), None).await.unwrap_err();
    assert!(matches!(refused, AccountError::IdTaken { .. }), "{refused}");
    let refused = control.frame().create_account(None, Some("team-b".into())).await.unwrap_err();
    assert!(matches!(refused, AccountError::NameTaken { .. }), "{refused}");
    let refused = control.frame().create_account(None, Some("1".into())).await.unwrap_err();
    assert!(matches!(refused, AccountError::NameMalformed { .. }), "{refused}");
    let refused = control.frame().create_key("team-c").await.unwrap_err();
    assert!(matches!(refused, AccountError::NoAccount { .. }), "{refused}");
    assert!(matches!(control.frame().key("team-b").unwrap_err(), AccountError::NoKeyOf { .. }));
    let refused = control.frame().delete_account(ACCOUNT).await.unwrap_err();
    assert!(matches!(refused, AccountError::AdminAccount { .. }), "{refused}");
    let admin = control.frame().key(ACCOUNT).unwrap().access_key_id;
    assert!(matches!(control.frame().delete_key(&admin).await.unwrap_err(), AccountError::AdminKey { .. }));
    assert!(matches!(control.frame().delete_key("AKIA0").await.unwrap_err(), AccountError::NoKey { .. }));
    for _ in 0..20 {
        control.frame().create_key("team-b").await.unwrap();
    }
    assert!(matches!(
        control.frame().create_key("team-b").await.unwrap_err(),
        AccountError::TooManyKeys { .. }
    ));
    assert_eq!(trellis.entries("account/"), before);
}

#[tokio::test]
async fn an_account_with_resources_stays() {
    let trellis = Installation::new().await;
    let other = Party::new(&trellis).await;
    let network = other.network().await;
    let refused = trellis.control.frame().delete_account(other.account()).await.unwrap_err();
    assert!(matches!(refused, AccountError::NotEmpty { .. }), "{refused}");
    other.ok("DeleteServiceNetwork", json!({"serviceNetworkIdentifier": network["id"]})).await;
    trellis.control.frame().delete_account(other.account()).await.unwrap();
    assert!(trellis.control.frame().keys(None).unwrap().iter().all(|key| key.account.as_str() == ACCOUNT));
}

#[tokio::test]
async fn an_account_that_is_deleted_leaves_the_shares_it_was_offered() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let network = owner.network().await;
    let share = owner.share(&[&network], &consumer).await;
    let offered = json!({"name": "offered", "principals": [consumer.account()]});
    owner.ram_ok("CreateResourceShare", offered).await;
    trellis.control.frame().delete_account(consumer.account()).await.unwrap();
    for prefix in ["grant/", "member/", "invitation/"] {
        assert!(trellis.entries(prefix).is_empty(), "{prefix}");
    }
    let by = json!({"associationType": "PRINCIPAL", "resourceShareArns": [share]});
    let left = owner.ram_ok("GetResourceShareAssociations", by).await;
    assert_eq!(left["resourceShareAssociations"], json!([]));
}

#[tokio::test]
async fn names_tokens_quotas_tags_and_lists_are_of_one_account_alone() {
    let trellis = Installation::with_quotas(&[("L-9CAD07FB", 1)]).await;
    let (one, other) = (Party::owner(&trellis), Party::new(&trellis).await);
    let input = json!({"name": "shop", "clientToken": "same", "tags": {"team": "any"}});
    let mine = one.ok("CreateServiceNetwork", input.clone()).await;
    let theirs = other.ok("CreateServiceNetwork", input).await;
    assert_ne!(mine["id"], theirs["id"]);
    assert!(theirs["arn"].as_str().unwrap().contains(other.account()));
    for (party, own, foreign) in [(&one, &mine, &theirs), (&other, &theirs, &mine)] {
        assert_eq!(ids(&party.ok("ListServiceNetworks", json!({})).await), [own["id"].as_str().unwrap()]);
        assert_eq!(
            party.refused("CreateServiceNetwork", json!({"name": "more"})).await,
            "ServiceQuotaExceededException"
        );
        let by_id = json!({"serviceNetworkIdentifier": foreign["id"]});
        let by_arn = json!({"serviceNetworkIdentifier": foreign["arn"]});
        for operation in ["GetServiceNetwork", "DeleteServiceNetwork"] {
            assert_eq!(party.refused(operation, by_id.clone()).await, "ResourceNotFoundException");
            assert_eq!(party.refused(operation, by_arn.clone()).await, "AccessDeniedException");
        }
        let tags = json!({"resourceArn": foreign["arn"]});
        assert_eq!(party.refused("ListTagsForResource", tags).await, "AccessDeniedException");
    }
}
