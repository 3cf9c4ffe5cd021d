mod records;

use std::collections::BTreeMap;

use serde::Serialize;
use trellis_frame::key::Scope;
use trellis_model::resource::lattice::{
    AuthType, FixedResponseAction, ForwardAction, Home, HttpMatch, Listener, ListenerProtocol, PathMatch,
    PathMatchType, Rule, RuleAction, RuleMatch, Service as ServiceRecord, ServiceAssociation, ServiceNetwork,
    Status, Target, TargetGroup, TargetGroupConfig, TargetGroupProtocol, TargetGroupType, VpcAssociation,
    WeightedTargetGroup, kind,
};
use trellis_model::snapshot::Certificate;
use trellis_model::{
    ListenerId, RuleId, ServiceAssociationId, TargetGroupId, VpcAssociationId, moment::Moment,
};
use trellis_store::{Change, Entry};

use super::*;
use records::*;

fn network(snapshot: &Snapshot) -> &Arc<Network> {
    &snapshot.ingresses[&VpcId::from_random(1)].network
}

/// Ids of the services that are not the same `Arc` in both, or only in one.
fn differing(before: &Snapshot, after: &Snapshot) -> Vec<ServiceId> {
    let (before, after) = (&network(before).hosts, &network(after).hosts);
    let mut differing: Vec<_> = before
        .iter()
        .chain(after)
        .filter(|(host, _)| match (before.get(*host), after.get(*host)) {
            (Some(before), Some(after)) => !Arc::ptr_eq(before, after),
            _ => true,
        })
        .map(|(_, service)| service.id.clone())
        .collect();
    differing.sort_unstable();
    differing.dedup();
    differing
}

#[test]
fn among_a_thousand_services_a_change_rebuilds_the_one_it_touches() {
    let place = Place::new(home());
    let mut builder = builder(HealthBoard::default());
    builder.apply(installation().resync());
    let first = builder.build().unwrap();
    assert_eq!(network(&first).hosts.len() as u64, SERVICES);
    assert_eq!(first.target_groups.len() as u64, SERVICES);
    assert!(builder.build().is_none(), "nothing has changed since");

    // A rule.
    let mut changed = rule(7, 3);
    changed.priority = 500;
    builder.apply(change(2, place.rule(&changed.listener, &changed.id), Some(&changed)));
    let second = builder.build().unwrap();
    assert_eq!(second.revision, 2);
    assert_eq!(differing(&first, &second), [changed.service.clone()]);
    let moved = network(&second).hosts.values().find(|service| service.id == changed.service).unwrap();
    assert_eq!(moved.listeners[0].rules.last().unwrap().priority, 500);
    let same = |before: &Snapshot, after: &Snapshot| {
        let groups = &before.target_groups;
        groups.iter().filter(|(id, group)| Arc::ptr_eq(group, &after.target_groups[*id])).count() as u64
    };
    assert_eq!(same(&first, &second), SERVICES);

    // A target: its group and the service that forwards there.
    let (key, added) = target(9, 11);
    builder.apply(change(3, key, Some(&added)));
    let third = builder.build().unwrap();
    assert_eq!(differing(&second, &third), [ServiceId::from_random(9)]);
    assert_eq!(same(&second, &third), SERVICES - 1);

    // Something a proxy does not act on.
    let mut unused = TargetGroup {
        id: TargetGroupId::from_random(5000),
        home: home(),
        name: "unused".into(),
        kind: TargetGroupType::Lambda,
        config: None,
        status: Status::CreateInProgress,
        failure: None,
        created_at: now(),
        last_updated_at: now(),
    };
    builder.apply(change(4, place.target_group(&unused.id), Some(&unused)));
    assert!(builder.build().is_none());
    unused.status = Status::Active;
    builder.apply(change(5, place.target_group(&unused.id), Some(&unused)));
    assert!(builder.build().is_none());

    // An association that ends.
    let mut ended = association(20);
    ended.status = Status::DeleteInProgress;
    builder.apply(change(6, place.association(kind::SERVICE_ASSOCIATION, ended.id.as_str()), Some(&ended)));
    let fourth = builder.build().unwrap();
    assert_eq!(differing(&third, &fourth), [ended.service.clone()]);
    assert_eq!(network(&fourth).hosts.len() as u64, SERVICES - 1);
    builder.apply(change(
        7,
        place.association(kind::SERVICE_ASSOCIATION, ended.id.as_str()),
        None::<&ServiceAssociation>,
    ));
    assert!(builder.build().is_none(), "its end has no effect on the data plane");
}

#[test]
fn a_fresh_start_of_the_watch_gives_the_same_state_and_keeps_what_is_known_of_targets() {
    let place = Place::new(home());
    let board = HealthBoard::default();
    let mut builder = builder(board.clone());
    let mut records = installation();
    builder.apply(records.resync());
    let first = builder.build().unwrap();
    let group = TargetGroupId::from_random(1);
    first.target_groups[&group].targets[0].health.set(trellis_model::health::TargetStatus::Healthy);

    let gone = target(2, 10).0;
    records.0.remove(&gone);
    records.0.remove(&place.service(&ServiceId::from_random(3)));
    builder.apply(records.resync());
    let second = builder.build().unwrap();
    assert_eq!(network(&second).hosts.len() as u64, SERVICES - 1);
    let health = |snapshot: &Snapshot| snapshot.target_groups[&group].targets[0].health.clone();
    assert!(Arc::ptr_eq(&health(&first), &health(&second)));
    let key = trellis_model::health_board::TargetKey { id: "10.0.0.10".into(), port: 80 };
    assert!(board.status(&TargetGroupId::from_random(2), &key).is_none());
}

#[test]
fn a_record_that_does_not_read_is_left_out() {
    let mut builder = builder(HealthBoard::default());
    let mut records = installation();
    let place = Place::new(home());
    records.0.insert(place.service(&ServiceId::from_random(4)), b"{}".to_vec());
    records.0.insert("lattice/111122223333/us-east-1/service/no-id".into(), b"{}".to_vec());
    records.0.insert("lattice/x".into(), Vec::new());
    builder.apply(records.resync());
    assert_eq!(network(&builder.build().unwrap()).hosts.len() as u64, SERVICES - 1);
}

/// A certificate for `host` and its record, sealed for `service`.
fn certificate(service: &ServiceRecord, host: &str) -> (String, Vec<u8>) {
    let now = jiff::Timestamp::now();
    let authority = trellis_ca::Authority::create("Test CA", now).unwrap();
    let leaf = authority.issue(&trellis_ca::LeafRequest::for_hosts([host]), now).unwrap();
    let key = Place::new(home()).certificate(&service.id, host);
    let sealed = sealing_key().seal(&key, &leaf.to_stored()).unwrap();
    (key, sealed)
}

fn shown(snapshot: &Snapshot, service: &ServiceRecord, host: &str) -> Option<Arc<Certificate>> {
    let service = &network(snapshot).hosts[service.domain_name().as_str()];
    service.certificates.iter().find(|(name, _)| **name == *host).map(|(_, shown)| shown.clone())
}

#[test]
fn a_certificate_is_the_same_until_its_record_is_written_anew() {
    let mut builder = builder(HealthBoard::default());
    let mut records = installation();
    let (one, two) = (service(1), service(2));
    let hosts = [one.domain_name(), "cart.example.com".to_owned()];
    for host in &hosts {
        let (key, sealed) = certificate(&one, host);
        records.0.insert(key, sealed);
    }
    let (key, sealed) = certificate(&two, &two.domain_name());
    records.0.insert(key.clone(), sealed);
    builder.apply(records.resync());
    let first = builder.build().unwrap();
    let of_one: Vec<_> = hosts.iter().map(|host| shown(&first, &one, host).unwrap()).collect();
    let of_two = shown(&first, &two, &two.domain_name()).unwrap();
    assert_eq!(of_two.chain.len(), 1);
    assert!(!of_two.key.is_empty() && !format!("{of_two:?}").contains("key"));

    // Another change of the service, and everything read anew.
    builder.apply(change(2, Place::new(home()).service(&one.id), Some(&one)));
    let second = builder.build().unwrap();
    builder.apply(records.resync());
    let third = builder.build().unwrap();
    for snapshot in [&second, &third] {
        for (host, before) in hosts.iter().zip(&of_one) {
            assert!(Arc::ptr_eq(&shown(snapshot, &one, host).unwrap(), before), "{host}");
        }
        assert!(Arc::ptr_eq(&shown(snapshot, &two, &two.domain_name()).unwrap(), &of_two));
    }

    // A successor; then one that is another record's; then none.
    let (_, successor) = certificate(&two, &two.domain_name());
    let put = |value: Option<Vec<u8>>| Event::Changes {
        revision: 3,
        changes: vec![Change { key: key.clone(), value: value.map(Into::into), revision: 3 }],
    };
    builder.apply(put(Some(successor)));
    let fourth = builder.build().unwrap();
    assert!(!Arc::ptr_eq(&shown(&fourth, &two, &two.domain_name()).unwrap(), &of_two));
    assert!(Arc::ptr_eq(&shown(&fourth, &one, &hosts[0]).unwrap(), &of_one[0]));
    let (_, foreign) = certificate(&one, &one.domain_name());
    for value in [Some(foreign), None] {
        builder.apply(put(value));
        assert!(shown(&builder.build().unwrap(), &two, &two.domain_name()).is_none());
    }
}

/// The auth policy of `service` in `snapshot`.
fn guard(snapshot: &Snapshot, service: &ServiceRecord) -> trellis_model::snapshot::Auth {
    network(snapshot).hosts[service.domain_name().as_str()].auth.clone()
}

#[test]
fn a_policy_is_compiled_once_and_guards_its_service_while_that_wants_iam() {
    use trellis_model::snapshot::Auth;

    let place = Place::new(home());
    let mut builder = builder(HealthBoard::default());
    let mut records = installation();
    let mut guarded = service(1);
    guarded.auth_type = AuthType::AwsIam;
    records.put(place.service(&guarded.id), &guarded);
    builder.apply(records.resync());
    assert_eq!(guard(&builder.build().unwrap(), &guarded), Auth::DenyAll);

    let put = |revision, policy: &str| {
        let record = trellis_model::resource::lattice::AuthPolicy {
            policy: policy.into(),
            created_at: now(),
            last_updated_at: now(),
        };
        change(revision, place.auth_policy(guarded.id.as_str()), Some(&record))
    };
    const ALLOW: &str = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#;
    builder.apply(put(2, ALLOW));
    let first = guard(&builder.build().unwrap(), &guarded);
    assert!(matches!(first, Auth::Policy(_)));
    let tags = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
    let key = format!("{}{}/{}/{}", keys::TAGS, home().account, home().region, guarded.arn());
    builder.apply(change(3, key, Some(&tags)));
    let second = builder.build().unwrap();
    assert_eq!(guard(&second, &guarded), first, "the same compiled policy");
    let tagged = &network(&second).hosts[guarded.domain_name().as_str()].tags;
    assert_eq!(**tagged, [("tier".to_owned(), "gold".to_owned())]);
    assert_eq!(differing(&second, &second), []);
    // One that does not read is none, and none denies.
    builder.apply(put(4, "{}"));
    assert_eq!(guard(&builder.build().unwrap(), &guarded), Auth::DenyAll);
    guarded.auth_type = AuthType::None;
    builder.apply(change(5, place.service(&guarded.id), Some(&guarded)));
    assert_eq!(guard(&builder.build().unwrap(), &guarded), Auth::None);
}

#[test]
fn who_may_call_is_the_same_arc_until_their_record_changes() {
    use trellis_frame::access_key::{AccessKey, Rights, SealedSecret};

    let mut builder = builder(HealthBoard::default());
    let key = |id: &str, secret: &str, rights| {
        let record = AccessKey {
            account: home().account,
            user: "admin".into(),
            sealed_secret: SealedSecret::seal(&secret.into(), id, &sealing_key()).unwrap(),
            rights,
            status: access_key::Status::Active,
            created_at: now(),
        };
        (format!("access-key/{id}"), record)
    };
    let put = |revision, (key, record): (String, AccessKey)| change(revision, key, Some(&record));
    builder.apply(put(1, key("AKIA1", "one", Rights::Admin)));
    builder.apply(put(1, key("AKIA2", "two", Rights::Admin)));
    let first = builder.build().unwrap().identities.clone();
    assert_eq!(first.access_keys["AKIA1"].secret.as_str(), "one");
    assert!(Arc::ptr_eq(&first.access_keys["AKIA1"].principal, &first.access_keys["AKIA2"].principal));
    assert!(first.principals.contains_key("arn:aws:iam::111122223333:user/admin"));

    builder.apply(put(2, key("AKIA2", "changed", Rights::Admin)));
    let second = builder.build().unwrap().identities.clone();
    assert!(Arc::ptr_eq(&first.access_keys["AKIA1"], &second.access_keys["AKIA1"]));
    assert!(!Arc::ptr_eq(&first.access_keys["AKIA2"], &second.access_keys["AKIA2"]));
    builder.apply(change(3, "access-key/AKIA1".into(), None::<&AccessKey>));
    builder.apply(put(3, key("AKIA2", "changed", Rights::None)));
    let third = builder.build().unwrap().identities.clone();
    assert!(!third.access_keys.contains_key("AKIA1"));
    assert!(third.access_keys["AKIA2"].principal.guards.is_empty(), "it may do nothing");

    // Something else changes: whoever looks at the keys need not look again.
    builder.apply(put(4, key("AKIA3", "three", Rights::Account)));
    let fourth = builder.build().unwrap().identities.clone();
    assert!(Arc::ptr_eq(&third.access_keys["AKIA2"], &fourth.access_keys["AKIA2"]));
    assert!(Arc::ptr_eq(&third.token_keys, &fourth.token_keys));
}

#[test]
fn an_iam_users_key_has_the_policies_of_the_user_and_its_groups_within_the_boundary() {
    use trellis_model::resource::iam::{Group, Permissions, User};

    use trellis_frame::access_key::{AccessKey, Rights, SealedSecret, Status};

    let mut builder = builder(HealthBoard::default());
    let account = home().account;
    let key = |status| AccessKey {
        account: account.clone(),
        user: "alice".into(),
        sealed_secret: SealedSecret::seal(&"secret".into(), "AKIA1", &sealing_key()).unwrap(),
        rights: Rights::Policies,
        status,
        created_at: now(),
    };
    let policy = |action: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"{action}","Resource":"*"}}}}"#
        )
    };
    let user = |boundary: Option<&str>| User {
        account: account.clone(),
        path: "/team/".into(),
        name: "alice".into(),
        id: "AIDAALICE".into(),
        created_at: now(),
        permissions: Permissions {
            inline: [("own".to_owned(), policy("a:*"))].into(),
            attached: ["arn:aws:iam::aws:policy/VPCLatticeServicesInvokeAccess".to_owned()].into(),
            boundary: boundary.map(str::to_owned),
        },
        groups: ["ops".to_owned()].into(),
        access_keys: ["AKIA1".to_owned()].into(),
    };
    let group = |action: &str| Group {
        account: account.clone(),
        path: "/".into(),
        name: "ops".into(),
        id: "AGPAOPS".into(),
        created_at: now(),
        permissions: Permissions {
            inline: [("of-group".to_owned(), policy(action))].into(),
            ..Permissions::default()
        },
    };
    let at = |kind: &str, name: &str| format!("iam/{account}/aws-global/{kind}/{name}");

    builder.apply(change(1, "access-key/AKIA1".into(), Some(&key(Status::Active))));
    let nobody = builder.build().unwrap().identities.clone();
    assert!(nobody.access_keys.is_empty(), "a key whose user is not there is nobody's");

    builder.apply(change(2, at("user", "alice"), Some(&user(None))));
    builder.apply(change(2, at("group", "ops"), Some(&group("b:*"))));
    let arn = "arn:aws:iam::111122223333:user/team/alice";
    builder.apply(change(
        2,
        format!("tags/{account}/aws-global/{arn}"),
        Some(&BTreeMap::from([("team", "a")])),
    ));
    let first = builder.build().unwrap().identities.clone();
    let alice = &first.access_keys["AKIA1"].principal;
    assert_eq!((alice.guards.len(), alice.guards[0].len()), (1, 3), "own, attached, of the group");
    assert_eq!((&*alice.id, &*alice.tags), ("AIDAALICE", &[("team".to_owned(), "a".to_owned())][..]));
    assert!(Arc::ptr_eq(alice, &first.principals[arn]));

    // Only what the change touches is made anew.
    builder.apply(change(3, at("group", "ops"), Some(&group("c:*"))));
    let second = builder.build().unwrap().identities.clone();
    let before = &alice.guards[0];
    let after = &second.access_keys["AKIA1"].principal.guards[0];
    assert!(Arc::ptr_eq(&before[0], &after[0]) && Arc::ptr_eq(&before[1], &after[1]));
    assert!(!Arc::ptr_eq(&before[2], &after[2]));

    // A boundary is one more guard; one that is gone allows nothing.
    let gone = "arn:aws:iam::111122223333:policy/gone";
    builder.apply(change(4, at("user", "alice"), Some(&user(Some(gone)))));
    let third = builder.build().unwrap().identities.clone();
    let guards = &third.access_keys["AKIA1"].principal.guards;
    assert_eq!((guards.len(), guards[1].len()), (2, 0));

    builder.apply(change(5, "access-key/AKIA1".into(), Some(&key(Status::Inactive))));
    assert!(builder.build().unwrap().identities.access_keys.is_empty());
}
