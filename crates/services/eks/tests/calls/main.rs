//! EKS on a frame of its own: calls as clients send them, with a machine that only keeps count.

mod world;

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use world::{ROLE, World, cluster, home, nodegroup, subnet_id};

#[tokio::test]
async fn a_cluster_becomes_active_and_goes_with_all_that_is_kept_under_its_name() {
    let world = World::start().await;
    let made = world.cluster().await;
    assert_eq!(
        (made["status"].as_str(), made["endpoint"].as_str()),
        (Some("ACTIVE"), Some("https://127.0.0.1:1"))
    );
    assert_eq!(made["resourcesVpcConfig"]["clusterSecurityGroupId"], "sg-00000000000000001");
    assert_eq!(made["tags"], json!({"team": "a"}));
    world.done("POST", "/clusters/one/addons", json!({"addonName": "vpc-cni"})).await;
    let association = json!({"namespace": "a", "serviceAccount": "b", "roleArn": ROLE});
    world.done("POST", "/clusters/one/pod-identity-associations", association).await;
    world.done("DELETE", "/clusters/one", Value::Null).await;
    world.gone("/clusters/one").await;
    assert!(world.machine.seen(|seen| seen.clusters.is_empty()));
    // The next of that name begins with nothing.
    world.cluster().await;
    let addons = world.done("GET", "/clusters/one/addons", Value::Null).await;
    assert_eq!(addons["addons"], json!([]));
}

#[tokio::test]
async fn a_cluster_that_cannot_be_made_says_why_and_can_be_deleted() {
    let world = World::start().await;
    world.machine.seen(|seen| seen.broken = true);
    let made = world.cluster().await;
    assert_eq!(made["status"], "FAILED");
    assert_eq!(made["health"]["issues"][0]["message"], "no programs");
    world.done("DELETE", "/clusters/one", Value::Null).await;
    world.gone("/clusters/one").await;
}

#[tokio::test]
async fn what_cannot_be_a_cluster_is_refused() {
    let world = World::start().await;
    let with = |path: &str, value: Value| {
        let mut asked = cluster();
        let (member, inner) = path.split_once('.').unwrap_or((path, ""));
        if inner.is_empty() {
            asked[member] = value;
        } else {
            asked[member][inner] = value;
        }
        asked
    };
    for (asked, what) in [
        (with("version", json!("1.20")), "unsupported Kubernetes version"),
        (with("roleArn", json!("arn:aws:iam::111122223333:role/other")), "could not be assumed"),
        (with("roleArn", json!("arn:aws:iam::444455556666:role/eks")), "Cross-account"),
        (with("resourcesVpcConfig.subnetIds", json!([subnet_id(1), subnet_id(3)])), "two different AZs"),
        (with("resourcesVpcConfig.subnetIds", json!([subnet_id(9)])), "does not exist"),
        (with("resourcesVpcConfig.securityGroupIds", json!(["sg-0123"])), "does not exist"),
        (with("kubernetesNetworkConfig", json!({"serviceIpv4Cidr": "10.0.1.0/24"})), "overlap"),
        (with("kubernetesNetworkConfig", json!({"serviceIpv4Cidr": "8.8.0.0/16"})), "private"),
        (with("kubernetesNetworkConfig", json!({"ipFamily": "ipv6"})), "not supported"),
        (with("computeConfig", json!({"enabled": true})), "Auto Mode"),
    ] {
        let message = world.refused("POST", "/clusters", asked, 400).await;
        assert!(message.contains(what), "{message}");
    }
    world.cluster().await;
    world.refused("POST", "/clusters", with("tags", json!({"team": "b"})), 409).await;
    world.refused("GET", "/clusters/two", Value::Null, 404).await;
}

#[tokio::test]
async fn a_node_group_has_as_many_nodes_as_it_is_told_and_keeps_its_cluster() {
    let world = World::start().await;
    world.cluster().await;
    world.done("POST", "/clusters/one/node-groups", nodegroup(2)).await;
    let group = world.settled("/clusters/one/node-groups/web", "nodegroup").await;
    assert_eq!(group["status"], "ACTIVE", "{group}");
    assert_eq!(world.machine.seen(|seen| seen.nodes.len()), 2);
    let message = world.refused("DELETE", "/clusters/one", Value::Null, 409).await;
    assert!(message.contains("nodegroups attached"), "{message}");

    let change = json!({"scalingConfig": {"desiredSize": 1}, "labels": {"addOrUpdateLabels": {"a": "b"}}});
    let update = world.done("POST", "/clusters/one/node-groups/web/update-config", change).await;
    let id = update["update"]["id"].as_str().unwrap().to_owned();
    let path = format!("/clusters/one/updates/{id}?nodegroupName=web");
    assert_eq!(world.settled(&path, "update").await["status"], "Successful");
    assert_eq!(world.machine.seen(|seen| seen.nodes.len()), 1);
    let group = world.settled("/clusters/one/node-groups/web", "nodegroup").await;
    assert_eq!(group["labels"], json!({"a": "b"}));
    for (change, what) in [
        (json!({"scalingConfig": {"desiredSize": 9}}), "max size"),
        (json!({"scalingConfig": {"minSize": 3}}), "desired size"),
        (json!({"labels": {"addOrUpdateLabels": {"a,b": "c"}}}), "label"),
        (json!({"labels": {"addOrUpdateLabels": {"node.kubernetes.io/x": "c"}}}), "label"),
        (json!({}), "nothing to change"),
    ] {
        let message = world.refused("POST", "/clusters/one/node-groups/web/update-config", change, 400).await;
        assert!(message.contains(what), "{message}");
    }
    world.done("DELETE", "/clusters/one/node-groups/web", Value::Null).await;
    world.gone("/clusters/one/node-groups/web").await;
    assert_eq!(world.machine.seen(|seen| seen.nodes.len()), 0);
}

#[tokio::test]
async fn a_node_that_cannot_be_made_fails_its_group() {
    let world = World::start().await;
    world.cluster().await;
    world.machine.seen(|seen| seen.broken = true);
    world.done("POST", "/clusters/one/node-groups", nodegroup(1)).await;
    let group = world.settled("/clusters/one/node-groups/web", "nodegroup").await;
    assert_eq!(group["status"], "CREATE_FAILED");
    assert_eq!(group["health"]["issues"][0]["message"], "no room");
}

#[tokio::test]
async fn an_old_node_has_time_to_be_ready_after_each_change_of_its_group() {
    const PATH: &str = "/clusters/one/node-groups/web";
    let world = World::start().await;
    world.cluster().await;
    world.done("POST", "/clusters/one/node-groups", nodegroup(1)).await;
    world.settled(PATH, "nodegroup").await;
    world.ahead.fetch_add(3600, Ordering::Relaxed);
    world.machine.seen(|seen| seen.unready = true);
    let change = json!({"labels": {"addOrUpdateLabels": {"a": "b"}}});
    world.done("POST", &format!("{PATH}/update-config"), change.clone()).await;
    world.looked().await;
    world.machine.seen(|seen| seen.unready = false);
    let group = world.settled(PATH, "nodegroup").await;
    assert_eq!(group["status"], "ACTIVE", "{group}");
    // Not for ever.
    world.machine.seen(|seen| seen.unready = true);
    world.done("POST", &format!("{PATH}/update-config"), change).await;
    world.looked().await;
    world.ahead.fetch_add(301, Ordering::Relaxed);
    assert_eq!(world.settled(PATH, "nodegroup").await["status"], "DEGRADED");
}

#[tokio::test]
async fn access_entries_take_no_groups_and_names_that_are_the_clusters_own() {
    let world = World::start().await;
    world.cluster().await;
    let place = "/clusters/one/access-entries";
    let entry = |more: Value| {
        let mut entry = json!({"principalArn": ROLE});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    for wrong in [
        json!({"kubernetesGroups": ["system:masters"]}),
        json!({"kubernetesGroups": ["eks:access-policy:AmazonEKSClusterAdminPolicy"]}),
        json!({"username": "system:admin"}),
        json!({"type": "HYBRID_LINUX"}),
        json!({"principalArn": "arn:aws:sts::111122223333:assumed-role/eks/x"}),
    ] {
        world.refused("POST", place, entry(wrong), 400).await;
    }
    let made = world.done("POST", place, entry(json!({"kubernetesGroups": ["team"]}))).await;
    let name = made["accessEntry"]["username"].as_str().unwrap();
    assert_eq!(name, "arn:aws:sts::111122223333:assumed-role/eks/{{SessionName}}");
    world.refused("POST", place, entry(json!({"kubernetesGroups": ["other"]})), 409).await;

    let cluster =
        trellis_eks::find_cluster(&mut world.store.read().unwrap(), &home(), "one").unwrap().unwrap();
    let user =
        |arn: &str| trellis_eks::access::user(&mut world.store.read().unwrap(), &cluster, arn).unwrap();
    let known = user("arn:aws:sts::111122223333:assumed-role/eks/me@x").unwrap();
    assert_eq!(known.name, "arn:aws:sts::111122223333:assumed-role/eks/me-x");
    assert_eq!(known.groups, ["team"]);
    for stranger in ["arn:aws:sts::111122223333:assumed-role/other/me", "arn:aws:iam::444455556666:root", ""]
    {
        assert_eq!(user(stranger), None, "{stranger}");
    }
    // Who made the cluster is its administrator.
    let creator = user("arn:aws:iam::111122223333:user/admin").unwrap();
    assert_eq!(creator.groups, ["eks:access-policy:AmazonEKSClusterAdminPolicy"]);
}

#[tokio::test]
async fn an_endpoint_has_one_access_at_least_whichever_call_said_so() {
    const PATH: &str = "/clusters/one/update-config";
    let world = World::start().await;
    let access = |public: Option<bool>, private: Option<bool>| {
        let mut network = json!({});
        if let Some(public) = public {
            network["endpointPublicAccess"] = public.into();
        }
        if let Some(private) = private {
            network["endpointPrivateAccess"] = private.into();
        }
        json!({"resourcesVpcConfig": network})
    };
    let mut without = cluster();
    without["resourcesVpcConfig"]["endpointPublicAccess"] = false.into();
    let message = world.refused("POST", "/clusters", without, 400).await;
    assert!(message.contains("cannot both be false"), "{message}");
    world.cluster().await;
    world.refused("POST", PATH, access(Some(false), None), 400).await;
    world.done("POST", PATH, access(None, Some(true))).await;
    world.done("POST", PATH, access(Some(false), None)).await;
    world.refused("POST", PATH, access(None, Some(false)), 400).await;
    let seen = world.settled("/clusters/one", "cluster").await;
    let network = &seen["resourcesVpcConfig"];
    assert_eq!(network["endpointPublicAccess"], false);
    assert_eq!(network["endpointPrivateAccess"], true);
    let wrong = json!({"resourcesVpcConfig": {"publicAccessCidrs": ["everywhere"]}});
    world.refused("POST", PATH, wrong, 400).await;
}

#[tokio::test]
async fn addons_versions_and_updates_answer() {
    let world = World::start().await;
    world.cluster().await;
    let versions = world.done("GET", "/cluster-versions", Value::Null).await;
    assert_eq!(versions["clusterVersions"][0]["clusterVersion"], "1.35");
    let offers = world.done("GET", "/addons/supported-versions?addonName=vpc-cni", Value::Null).await;
    let version = offers["addons"][0]["addonVersions"][0]["addonVersion"].clone();
    let addon = json!({"addonName": "vpc-cni", "addonVersion": version});
    let made = world.done("POST", "/clusters/one/addons", addon).await;
    assert_eq!(made["addon"]["status"], "ACTIVE");
    world.refused("POST", "/clusters/one/addons", json!({"addonName": "nonsense"}), 400).await;
    let change = json!({"logging": {"clusterLogging": [{"types": ["api"], "enabled": true}]}});
    let update = world.done("POST", "/clusters/one/update-config", change).await;
    assert_eq!(update["update"]["type"], "LoggingUpdate");
    let seen = world.settled("/clusters/one", "cluster").await;
    assert_eq!(seen["logging"]["clusterLogging"][0], json!({"types": ["api"], "enabled": true}));
    let message = world.refused("POST", "/clusters/one/update-config", json!({}), 400).await;
    assert!(message.contains("nothing to change"), "{message}");
    let back = json!({"accessConfig": {"authenticationMode": "CONFIG_MAP"}});
    world.refused("POST", "/clusters/one/update-config", back, 400).await;
    let arn = seen["arn"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F");
    world.done("POST", &format!("/tags/{arn}"), json!({"tags": {"x": "y"}})).await;
    let tags = world.done("GET", &format!("/tags/{arn}"), Value::Null).await;
    assert_eq!(tags["tags"], json!({"team": "a", "x": "y"}));
}
