use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trellis_model::VpcId;
use trellis_model::matching::RequestHead;
use trellis_model::snapshot::{Action, Auth, ListenerProtocol, Service, Snapshot};

use crate::installation::{Installation, forward, under};

/// A GET of a path.
struct Get(&'static str);

impl RequestHead for Get {
    fn method(&self) -> &[u8] {
        b"GET"
    }
    fn path(&self) -> &[u8] {
        self.0.as_bytes()
    }
    fn any_header(&self, _name: &str, _each: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// A network with one client VPC and services in it.
struct Shop {
    network: Value,
    vpc: VpcId,
}

impl Shop {
    async fn new(trellis: &Installation) -> Self {
        let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
        let input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
        trellis.ok("CreateServiceNetworkVpcAssociation", input).await;
        Self { network, vpc }
    }

    /// A service in the network with an HTTP listener that answers 404.
    async fn service(&self, trellis: &Installation, more: Value) -> (Value, Value) {
        let service = trellis.service_with(more).await;
        let listener = trellis.listener(&service).await;
        let input =
            json!({"serviceNetworkIdentifier": self.network["id"], "serviceIdentifier": service["id"]});
        trellis.ok("CreateServiceNetworkServiceAssociation", input).await;
        (service, listener)
    }

    fn find(&self, snapshot: &Snapshot, host: &str) -> Option<Arc<Service>> {
        snapshot.ingresses.get(&self.vpc)?.network.hosts.get(host).cloned()
    }
}

/// The first Snapshot for which `is_there` holds.
async fn wait(trellis: &Installation, is_there: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
    trellis.control.snapshots().wait_for(is_there).await.unwrap().clone()
}

fn host(service: &Value) -> String {
    service["dnsEntry"]["domainName"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_finds_its_service_rule_and_target_in_the_snapshot() {
    let trellis = Installation::new().await;
    let shop = Shop::new(&trellis).await;
    let (service, listener) = shop.service(&trellis, json!({"customDomainName": "Cart.Example.com"})).await;
    let (blue, green) = (trellis.group(&shop.vpc).await, trellis.group(&shop.vpc).await);
    for (group, address) in [(&blue, "10.0.1.10"), (&green, "10.0.1.11")] {
        let targets = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": address}]});
        trellis.ok("RegisterTargets", targets).await;
    }
    let rule = |name: &str, priority: u16, path: Value, action: Value| {
        json!({
            "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"], "name": name,
            "priority": priority, "match": {"httpMatch": {"pathMatch": {"match": path}}}, "action": action,
        })
    };
    let split = json!({"forward": {"targetGroups": [
        {"targetGroupIdentifier": blue["id"], "weight": 90}, {"targetGroupIdentifier": green["id"], "weight": 10},
    ]}});
    trellis.ok("CreateRule", rule("all", 100, json!({"prefix": "/"}), split)).await;
    trellis.ok("CreateRule", rule("new", 5, json!({"exact": "/new"}), forward(&green))).await;
    let update =
        json!({"serviceIdentifier": service["id"], "idleTimeoutSeconds": 120, "authType": "AWS_IAM"});
    trellis.ok("UpdateService", update).await;

    let name = host(&service);
    let snapshot = wait(&trellis, |snapshot| {
        shop.find(snapshot, &name).is_some_and(|found| {
            found.idle_timeout == Duration::from_secs(120)
                && found.listener(80).is_some_and(|listener| listener.rules.len() == 2)
        })
    })
    .await;
    let ingress = &snapshot.ingresses[&shop.vpc];
    assert_eq!(&*ingress.vpc_arn, format!("arn:aws:ec2:us-east-1:111122223333:vpc/{}", shop.vpc));
    assert_eq!(*ingress.network.arn, *shop.network["arn"].as_str().unwrap());
    assert_eq!(ingress.network.auth, Auth::None);
    assert_eq!(ingress.network.ports.get(&80), Some(&ListenerProtocol::Http));
    let found = shop.find(&snapshot, &name).unwrap();
    assert!(Arc::ptr_eq(&found, &shop.find(&snapshot, "cart.example.com").unwrap()));
    assert_eq!((*found.dns_name).to_owned(), name);
    assert_eq!(found.auth, Auth::DenyAll, "there is no policy yet");
    assert_eq!(snapshot.identities.token_keys.len(), 1, "what session tokens are sealed with");
    assert!(snapshot.identities.access_keys.contains_key(crate::client::KEY_ID));
    let listener = found.listener(80).unwrap();
    let groups_for = |path| match listener.route(&Get(path)) {
        Action::Forward(forward) => {
            forward.groups().map(|(weight, group)| (weight, group.targets[0].address.to_string())).collect()
        }
        Action::FixedResponse(_) => Vec::new(),
    };
    assert_eq!(groups_for("/new"), [(100, "10.0.1.11:8080".to_owned())]);
    assert_eq!(groups_for("/old"), [(90, "10.0.1.10:8080".to_owned()), (10, "10.0.1.11:8080".to_owned())]);
    assert_eq!(snapshot.target_groups.len(), 2);
    let group = snapshot.target_groups.values().next().unwrap();
    let check = group.health_check.as_ref().unwrap();
    assert_eq!((check.interval, check.healthy_threshold, &*check.path), (Duration::from_secs(30), 5, "/"));
    assert_eq!(group.vpc, shop.vpc);
}

#[tokio::test]
async fn a_change_makes_anew_what_it_touches_and_nothing_else() {
    let trellis = Installation::new().await;
    let shop = Shop::new(&trellis).await;
    let (changed, listener) = shop.service(&trellis, json!({})).await;
    let (other, other_listener) = shop.service(&trellis, json!({})).await;
    let (group, other_group) = (trellis.group(&shop.vpc).await, trellis.group(&shop.vpc).await);
    for (service, listener, group) in [(&changed, &listener, &group), (&other, &other_listener, &other_group)]
    {
        let targets = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": "10.0.1.10"}]});
        trellis.ok("RegisterTargets", targets).await;
        trellis.forward_all(service, listener, group).await;
    }
    let (name, other_name) = (host(&changed), host(&other));
    let id = |group: &Value| group["id"].as_str().unwrap().parse::<trellis_model::TargetGroupId>().unwrap();
    let (group_id, other_id) = (id(&group), id(&other_group));
    let before = wait(&trellis, |snapshot| {
        snapshot.target_groups.len() == 2
            && snapshot.target_groups.values().all(|group| group.targets.len() == 1)
            && shop.find(snapshot, &name).is_some()
            && shop.find(snapshot, &other_name).is_some()
    })
    .await;

    let targets = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": "10.0.1.11"}]});
    trellis.ok("RegisterTargets", targets).await;
    let after = wait(&trellis, |snapshot| snapshot.target_groups[&group_id].targets.len() == 2).await;
    assert!(after.revision > before.revision);
    let (old, new) = (&before.target_groups[&group_id], &after.target_groups[&group_id]);
    assert!(Arc::ptr_eq(&old.targets[0].health, &new.targets[0].health), "what is known of a target stays");
    assert!(Arc::ptr_eq(&before.target_groups[&other_id], &after.target_groups[&other_id]));
    assert!(!Arc::ptr_eq(&shop.find(&before, &name).unwrap(), &shop.find(&after, &name).unwrap()));
    assert!(Arc::ptr_eq(&shop.find(&before, &other_name).unwrap(), &shop.find(&after, &other_name).unwrap()));
    let served = shop.find(&after, &name).unwrap();
    let Action::Forward(action) = &served.listener(80).unwrap().default_action else { panic!("forwards") };
    assert!(Arc::ptr_eq(action.groups().next().unwrap().1, new), "one group, wherever it is");

    let input = json!({
        "serviceIdentifier": changed["id"], "listenerIdentifier": listener["id"], "name": "all", "priority": 1,
        "match": under("/"), "action": {"fixedResponse": {"statusCode": 500}},
    });
    trellis.ok("CreateRule", input).await;
    let later = wait(&trellis, |snapshot| {
        shop.find(snapshot, &name).is_some_and(|service| service.listener(80).unwrap().rules.len() == 1)
    })
    .await;
    assert!(Arc::ptr_eq(&shop.find(&after, &other_name).unwrap(), &shop.find(&later, &other_name).unwrap()));
    assert!(Arc::ptr_eq(new, &later.target_groups[&group_id]));
}

#[tokio::test]
async fn another_networks_ingress_is_left_alone() {
    let trellis = Installation::new().await;
    let (one, two) = (Shop::new(&trellis).await, Shop::new(&trellis).await);
    let (first, _) = one.service(&trellis, json!({})).await;
    let (second, _) = two.service(&trellis, json!({})).await;
    let before = wait(&trellis, |snapshot| {
        one.find(snapshot, &host(&first)).is_some() && two.find(snapshot, &host(&second)).is_some()
    })
    .await;
    assert!(
        one.find(&before, &host(&second)).is_none(),
        "a service is in the networks it is associated with"
    );
    let update = json!({"serviceNetworkIdentifier": one.network["id"], "authType": "AWS_IAM"});
    trellis.ok("UpdateServiceNetwork", update).await;
    let after = wait(&trellis, |snapshot| snapshot.ingresses[&one.vpc].network.auth == Auth::DenyAll).await;
    assert!(Arc::ptr_eq(&before.ingresses[&two.vpc], &after.ingresses[&two.vpc]));
    assert!(Arc::ptr_eq(
        &one.find(&before, &host(&first)).unwrap(),
        &one.find(&after, &host(&first)).unwrap()
    ));
}

#[tokio::test]
async fn what_is_going_is_out_of_the_snapshot_before_it_is_gone() {
    let mut trellis = Installation::new().await;
    let shop = Shop::new(&trellis).await;
    let (service, _) = shop.service(&trellis, json!({})).await;
    let name = host(&service);
    wait(&trellis, |snapshot| shop.find(snapshot, &name).is_some()).await;
    let by_service = json!({"serviceIdentifier": service["id"]});
    let listed = trellis.ok("ListServiceNetworkServiceAssociations", by_service).await;
    let pair = json!({"serviceNetworkServiceAssociationIdentifier": listed["items"][0]["id"]});
    trellis.wait_status("GetServiceNetworkServiceAssociation", pair.clone(), "ACTIVE").await;
    trellis.stop_data_plane().await;
    trellis.ok("DeleteServiceNetworkServiceAssociation", pair.clone()).await;
    let snapshot = wait(&trellis, |snapshot| shop.find(snapshot, &name).is_none()).await;
    assert!(snapshot.ingresses.contains_key(&shop.vpc), "the VPC still has its network");
    let still = trellis.ok("GetServiceNetworkServiceAssociation", pair).await;
    assert_eq!(still["status"], "DELETE_IN_PROGRESS");
}

#[tokio::test]
async fn a_restart_builds_the_same_snapshot() {
    let trellis = Installation::new().await;
    let shop = Shop::new(&trellis).await;
    let (service, listener) = shop.service(&trellis, json!({})).await;
    let group = trellis.group(&shop.vpc).await;
    let targets = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": "10.0.1.10"}]});
    trellis.ok("RegisterTargets", targets).await;
    trellis.forward_all(&service, &listener, &group).await;
    let is_complete = |snapshot: &Arc<Snapshot>| {
        snapshot.target_groups.values().any(|group| group.targets.len() == 1)
            && shop.find(snapshot, &host(&service)).is_some()
    };
    wait(&trellis, is_complete).await;
    let trellis = trellis.restart().await;
    // It is there at once: a proxy may start on it.
    let first = trellis.control.snapshots().borrow().clone();
    assert!(is_complete(&first));
}
