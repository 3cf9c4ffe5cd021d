use serde_json::{Value, json};

use crate::installation::{Installation, forward, pick, under};

/// A listener's identifiers.
struct Place {
    service: Value,
    listener: Value,
}

impl Place {
    async fn new(trellis: &Installation) -> Self {
        let service = trellis.service().await;
        let listener = trellis.listener(&service).await;
        Self { service: service["id"].clone(), listener: listener["id"].clone() }
    }

    fn with(&self, more: Value) -> Value {
        let mut input = json!({"serviceIdentifier": self.service, "listenerIdentifier": self.listener});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    }

    async fn rule(&self, trellis: &Installation, priority: u16) -> Value {
        let input = json!({
            "name": format!("rule-no-{}", trellis.next()).replace("rule-", "r-"), "priority": priority,
            "match": under("/"), "action": {"fixedResponse": {"statusCode": 404}},
        });
        trellis.ok("CreateRule", self.with(input)).await
    }

    /// The priority of every rule, in the order of the list.
    async fn priorities(&self, trellis: &Installation) -> Vec<(Value, Value)> {
        let listed = trellis.ok("ListRules", self.with(json!({}))).await;
        let items = listed["items"].as_array().unwrap();
        items.iter().map(|item| (item["id"].clone(), item["priority"].clone())).collect()
    }
}

#[tokio::test]
async fn a_rule_comes_back_as_clients_compare_it() {
    let trellis = Installation::new().await;
    let place = Place::new(&trellis).await;
    let group = trellis.group(&trellis.vpc(0).await).await;
    let created = trellis
        .ok(
            "CreateRule",
            place.with(json!({
                "name": "canary", "priority": 2000, "action": forward(&group),
                "match": {"httpMatch": {
                    "method": "",
                    "pathMatch": {"match": {"exact": "/two"}},
                    "headerMatches": [
                        {"name": "X-Stage", "match": {"exact": "canary"}},
                        {"name": "x-b", "match": {"contains": "b"}, "caseSensitive": true},
                    ],
                }},
            })),
        )
        .await;
    let matches = json!({"httpMatch": {
        "pathMatch": {"caseSensitive": true, "match": {"exact": "/two"}},
        "headerMatches": [
            {"name": "X-Stage", "caseSensitive": false, "match": {"exact": "canary"}},
            {"name": "x-b", "caseSensitive": true, "match": {"contains": "b"}},
        ],
    }});
    let action =
        json!({"forward": {"targetGroups": [{"targetGroupIdentifier": group["id"], "weight": 100}]}});
    let mut members: Vec<_> = created.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["action", "arn", "id", "match", "name", "priority"]);
    let got = trellis.ok("GetRule", place.with(json!({"ruleIdentifier": created["arn"]}))).await;
    for answer in [&created, &got] {
        assert_eq!(
            pick(answer, &["name", "priority", "match", "action"]),
            json!({"name": "canary", "priority": 2000, "match": matches, "action": action})
        );
    }
    assert_eq!(got["isDefault"], false);
    // A method alone, and no method at all, stay as they were sent.
    let update = place.with(json!({
        "ruleIdentifier": created["id"], "match": {"httpMatch": {"method": "PATCH"}}, "priority": 7,
    }));
    let updated = trellis.ok("UpdateRule", update).await;
    assert_eq!(updated["match"], json!({"httpMatch": {"method": "PATCH"}}));
    assert_eq!(
        pick(&updated, &["priority", "isDefault", "action"]),
        json!({"priority": 7, "isDefault": false, "action": action})
    );
    let unchanged = trellis.ok("UpdateRule", place.with(json!({"ruleIdentifier": created["id"]}))).await;
    assert_eq!(unchanged, updated);
    assert!(trellis.ok("DeleteRule", place.with(json!({"ruleIdentifier": created["id"]}))).await.is_null());
    let gone = trellis.refused("GetRule", place.with(json!({"ruleIdentifier": created["id"]}))).await;
    assert_eq!(gone.body["resourceType"], "RULE");
}

#[tokio::test]
async fn rules_are_listed_by_priority_with_the_default_rule_last() {
    let trellis = Installation::new().await;
    let place = Place::new(&trellis).await;
    for priority in [30, 1000, 2, 100] {
        place.rule(&trellis, priority).await;
    }
    let listed = place.priorities(&trellis).await;
    let priorities: Vec<_> = listed.iter().map(|(_, priority)| priority.as_u64()).collect();
    assert_eq!(priorities, [Some(2), Some(30), Some(100), Some(1000), None]);
    // Page by page it is the same, and the last page says that it is the last.
    let mut paged = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut input = place.with(json!({"maxResults": 2}));
        if !token.is_null() {
            input["nextToken"] = token;
        }
        let page = trellis.ok("ListRules", input).await;
        paged.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(paged, listed.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
}

#[tokio::test]
async fn names_and_priorities_are_unique_within_a_listener() {
    let trellis = Installation::new().await;
    let place = Place::new(&trellis).await;
    let input = |name: &str, priority: u16| {
        place.with(json!({
            "name": name, "priority": priority, "match": under("/"),
            "action": {"fixedResponse": {"statusCode": 404}},
        }))
    };
    let one = trellis.ok("CreateRule", input("one", 1)).await;
    let two = trellis.ok("CreateRule", input("two", 2)).await;
    let same_name = trellis.refused("CreateRule", input("one", 3)).await;
    assert!(same_name.is(409, "ConflictException") && same_name.message().contains("already exists"));
    assert!(trellis.refused("CreateRule", input("three", 2)).await.is(409, "ConflictException"));
    assert!(trellis.refused("CreateRule", input("three", 2001)).await.is(400, "ValidationException"));
    let taken = place.with(json!({"ruleIdentifier": one["id"], "priority": 2}));
    let refused = trellis.refused("UpdateRule", taken).await;
    assert!(refused.is(409, "ConflictException"));
    assert_eq!(refused.body["resourceId"], two["id"]);
    let own = place.with(json!({"ruleIdentifier": one["id"], "priority": 1}));
    trellis.ok("UpdateRule", own).await;
}

#[tokio::test]
async fn a_batch_is_judged_by_its_final_state() {
    let trellis = Installation::new().await;
    let place = Place::new(&trellis).await;
    let rules = [place.rule(&trellis, 1).await, place.rule(&trellis, 2).await, place.rule(&trellis, 3).await];
    let [a, b, c] = &rules;
    let swap = json!({"rules": [
        {"ruleIdentifier": a["id"], "priority": 2},
        {"ruleIdentifier": b["arn"], "priority": 3},
        {"ruleIdentifier": c["id"], "priority": 1, "action": {"fixedResponse": {"statusCode": 500}}},
    ]});
    let outcome = trellis.ok("BatchUpdateRule", place.with(swap)).await;
    assert_eq!(outcome["unsuccessful"], json!([]));
    assert_eq!(outcome["successful"].as_array().unwrap().len(), 3);
    assert_eq!(
        pick(&outcome["successful"][2], &["id", "priority", "isDefault", "action"]),
        json!({"id": c["id"], "priority": 1, "isDefault": false, "action": {"fixedResponse": {"statusCode": 500}}})
    );
    let order: Vec<_> = place.priorities(&trellis).await.into_iter().map(|(id, _)| id).take(3).collect();
    assert_eq!(order, [c["id"].clone(), a["id"].clone(), b["id"].clone()]);
}

#[tokio::test]
async fn what_a_batch_cannot_do_is_reported_and_the_rest_is_done() {
    let trellis = Installation::new().await;
    let place = Place::new(&trellis).await;
    let (a, b, c) =
        (place.rule(&trellis, 1).await, place.rule(&trellis, 2).await, place.rule(&trellis, 3).await);
    // b stays at 2, so a cannot go there; c wants a's place and so cannot move either.
    let batch = json!({"rules": [
        {"ruleIdentifier": a["id"], "priority": 2},
        {"ruleIdentifier": c["id"], "priority": 1},
        {"ruleIdentifier": b["id"], "match": under("/b")},
        {"ruleIdentifier": "rule-00000000000000fff", "priority": 9},
    ]});
    let outcome = trellis.ok("BatchUpdateRule", place.with(batch)).await;
    let failed: Vec<_> = outcome["unsuccessful"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| (failure["ruleIdentifier"].clone(), failure["failureCode"].clone()))
        .collect();
    assert_eq!(
        failed,
        [
            (json!("rule-00000000000000fff"), json!("ResourceNotFoundException")),
            (a["id"].clone(), json!("ConflictException")),
            (c["id"].clone(), json!("ConflictException")),
        ]
    );
    assert_eq!(outcome["successful"][0]["id"], b["id"]);
    let got = trellis.ok("GetRule", place.with(json!({"ruleIdentifier": b["id"]}))).await;
    assert_eq!(got["match"]["httpMatch"]["pathMatch"]["match"], json!({"prefix": "/b"}));
    let order: Vec<_> = place.priorities(&trellis).await.into_iter().map(|(id, _)| id).take(3).collect();
    assert_eq!(order, [a["id"].clone(), b["id"].clone(), c["id"].clone()]);

    let twice = json!({"rules": [{"ruleIdentifier": a["id"], "priority": 8}, {"ruleIdentifier": a["arn"], "priority": 9}]});
    assert!(trellis.refused("BatchUpdateRule", place.with(twice)).await.is(400, "ValidationException"));
}

#[tokio::test]
async fn deleting_a_listener_takes_its_rules() {
    let trellis = Installation::new().await;
    let place = Place::new(&trellis).await;
    let rule = place.rule(&trellis, 1).await;
    trellis.ok("DeleteListener", place.with(json!({}))).await;
    let refused = trellis.refused("GetRule", place.with(json!({"ruleIdentifier": rule["id"]}))).await;
    assert_eq!(refused.body["resourceType"], "LISTENER");
    assert!(trellis.entries("index/").iter().all(|key| !key.contains("rule") && !key.contains("priority")));
}
