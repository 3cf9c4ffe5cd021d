use serde_json::{Value, json};

use crate::installation::{Installation, ids};

/// Every page's ids.
async fn pages(trellis: &Installation, operation: &str, input: Value, size: u64) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut input = input.clone();
        input["maxResults"] = size.into();
        if !token.is_null() {
            input["nextToken"] = token;
        }
        let page = trellis.ok(operation, input).await;
        pages.push(ids(&page).into_iter().map(str::to_owned).collect());
        token = page["nextToken"].clone();
        if token.is_null() {
            return pages;
        }
    }
}

#[tokio::test]
async fn pages_are_full_but_the_last_and_hold_everything_once() {
    let trellis = Installation::new().await;
    for _ in 0..7 {
        trellis.network().await;
    }
    let mut all: Vec<_> =
        ids(&trellis.ok("ListServiceNetworks", json!({})).await).into_iter().map(str::to_owned).collect();
    assert_eq!(all.len(), 7);
    for (size, expected) in [(1, 7), (3, 3), (7, 1), (100, 1)] {
        let pages = pages(&trellis, "ListServiceNetworks", json!({}), size).await;
        assert_eq!(pages.len(), expected);
        assert!(pages[..pages.len() - 1].iter().all(|page| page.len() as u64 == size));
        let mut together = pages.concat();
        together.sort_unstable();
        all.sort_unstable();
        assert_eq!(together, all);
    }
}

#[tokio::test]
async fn a_filtered_list_pages_over_what_passes() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    for number in 0..9 {
        match number % 3 {
            0 => drop(trellis.group(&vpc).await),
            _ => drop(trellis.group_with("LAMBDA", Value::Null).await),
        }
    }
    let pages = pages(&trellis, "ListTargetGroups", json!({"targetGroupType": "IP"}), 2).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn a_list_that_changes_between_pages_goes_on_after_the_last_item_seen() {
    let trellis = Installation::new().await;
    for _ in 0..4 {
        trellis.network().await;
    }
    let first = trellis.ok("ListServiceNetworks", json!({"maxResults": 2})).await;
    for id in ids(&first) {
        trellis.ok("DeleteServiceNetwork", json!({"serviceNetworkIdentifier": id})).await;
    }
    let rest = trellis.ok("ListServiceNetworks", json!({"nextToken": first["nextToken"]})).await;
    assert_eq!(ids(&rest).len(), 2);
}

#[tokio::test]
async fn a_token_nobody_gave_is_refused() {
    let trellis = Installation::new().await;
    for token in ["???", "/w", "\u{0}"] {
        let refused = trellis.refused("ListServices", json!({"nextToken": token})).await;
        assert!(refused.is(400, "ValidationException"), "{token:?} {refused:?}");
    }
    for size in [0, 101] {
        assert!(
            trellis.refused("ListServices", json!({"maxResults": size})).await.is(400, "ValidationException")
        );
    }
}
