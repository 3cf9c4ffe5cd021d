use std::sync::Arc;

use serde_json::json;

use crate::installation::{Installation, ids};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_creators_of_one_name_exactly_one_wins() {
    let trellis = Arc::new(Installation::new().await);
    for round in 0..10 {
        let input = json!({"name": format!("name-{round}")});
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let (trellis, input) = (trellis.clone(), input.clone());
                tokio::spawn(async move { trellis.call("CreateService", input).await.is_ok() })
            })
            .collect();
        let mut winners = 0;
        for call in calls {
            winners += usize::from(call.await.unwrap());
        }
        assert_eq!(winners, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_parallel_creates_all_happen() {
    let trellis = Arc::new(Installation::new().await);
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let trellis = trellis.clone();
            let input =
                json!({"name": format!("service-{number}"), "clientToken": format!("token-{number}")});
            tokio::spawn(async move {
                trellis.ok("CreateService", input).await["id"].as_str().unwrap().to_owned()
            })
        })
        .collect();
    let mut created = Vec::new();
    for call in calls {
        created.push(call.await.unwrap());
    }
    created.sort_unstable();
    assert_eq!(ids(&trellis.ok("ListServices", json!({})).await), created);
    for id in created {
        trellis.wait_status("GetService", json!({"serviceIdentifier": id}), "ACTIVE").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_sent_many_times_at_once_makes_one_resource() {
    let trellis = Arc::new(Installation::new().await);
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let trellis = trellis.clone();
            let input = json!({"name": "cart", "clientToken": "token"});
            tokio::spawn(async move { trellis.ok("CreateService", input).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(ids(&trellis.ok("ListServices", json!({})).await).len(), 1);
}
