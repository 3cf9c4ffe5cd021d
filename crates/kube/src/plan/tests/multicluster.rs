use super::*;
use crate::objects::{HttpRoute, ServiceExport, ServiceImport};

/// Port, protocol and version of a group, and the ports of its targets.
type Exported = (i32, String, String, Vec<u16>);

fn exported(cases: &mut Cases, object: &Value) -> Option<Vec<Exported>> {
    let mut object = object.clone();
    object["metadata"]["name"] = json!("v1");
    object["metadata"]["namespace"] = json!("apps");
    cases.add::<ServiceExport>(&object);
    let export = cases.world.exports.get(&Name::new("apps", "v1")).unwrap().clone();
    let groups = super::export(&cases.world, &cases.cluster, &export)?;
    let mut found: Vec<_> = groups
        .into_values()
        .map(|group| {
            assert_eq!(group.tags[&format!("{PREFIX}SourceTypeKey")], "ServiceExport");
            assert!(!group.tags.contains_key(&format!("{PREFIX}RouteName")));
            let mut ports: Vec<u16> = group.targets.iter().map(|(_, port)| *port).collect();
            ports.dedup();
            (group.port, group.protocol, group.version.unwrap_or_default(), ports)
        })
        .collect();
    found.sort();
    Some(found)
}

#[test]
fn an_export_is_a_target_group_or_one_for_each_port_it_names() {
    let federated = |more: Value, spec: Value| {
        let mut annotations = json!({"application-networking.k8s.aws/federation": "amazon-vpc-lattice"});
        annotations.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"metadata": {"annotations": annotations}, "spec": spec})
    };
    let http = || ("HTTP".to_owned(), "HTTP1".to_owned());
    let mut cases = Cases::new();
    assert_eq!(
        exported(&mut cases, &json!({"metadata": {}})),
        None,
        "one that is not meant for Lattice is left alone"
    );

    let all = exported(&mut cases, &federated(json!({}), json!({}))).unwrap();
    let (protocol, version) = http();
    // Two endpoints, each on both ports of the Service.
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0, &all[0].1, &all[0].2), (80, &protocol, &version));
    assert!(all[0].3.contains(&8090) && all[0].3.contains(&9000));

    let one =
        exported(&mut cases, &federated(json!({"application-networking.k8s.aws/port": "81"}), json!({})))
            .unwrap();
    assert_eq!(one[0].3, [9000]);

    let ports =
        json!({"exportedPorts": [{"port": 80, "routeType": "HTTP"}, {"port": 81, "routeType": "GRPC"}]});
    let two = exported(&mut cases, &federated(json!({}), ports)).unwrap();
    assert_eq!(
        two,
        [
            (80, "HTTP".to_owned(), "HTTP1".to_owned(), vec![8090]),
            (81, "HTTP".to_owned(), "GRPC".to_owned(), vec![9000]),
        ]
    );
    let tls = json!({"exportedPorts": [{"port": 80, "routeType": "TLS"}]});
    assert_eq!(exported(&mut cases, &federated(json!({}), tls)).unwrap()[0].1, "TCP");

    let gone = json!({"application-networking.k8s.aws/service-name": "none"});
    assert_eq!(
        exported(&mut cases, &federated(gone, json!({}))),
        Some(vec![]),
        "without its Service there is no group"
    );
}

#[test]
fn an_import_stands_for_an_export_or_for_the_target_group_it_names() {
    let route = json!({"rules": [{"backendRefs": [
        {"group": "application-networking.k8s.aws", "kind": "ServiceImport", "name": "v1", "weight": 3},
        {"name": "v2", "port": 80},
    ]}]});
    let import = |annotations: Value| json!({"metadata": {"name": "v1", "namespace": "apps", "annotations": annotations}});
    let note = |name: &str| format!("application-networking.k8s.aws/{name}");
    let mut cases = Cases::new();
    assert_eq!(finding(&cases.http(&route), "ResolvedRefs").reason, "BackendNotFound");

    cases.add::<ServiceImport>(&import(json!({note("export-name"): "other", note("aws-vpc"): "vpc-2"})));
    let plan = cases.plan::<HttpRoute>(RouteKind::Http, &route);
    assert!(finding(&plan, "ResolvedRefs").holds);
    let service = deployed(plan);
    let Action::Forward(groups) = &service.listeners[&80].rules[0].action else { panic!("it forwards") };
    assert_eq!((groups[0].1, groups[1].1), (3, 1));
    let expected = Import::Export {
        service: Name::new("apps", "other"),
        cluster: None,
        vpc: Some("vpc-2".to_owned()),
        is_grpc: false,
        is_tcp: false,
    };
    assert_eq!(service.imports[&groups[0].0], expected);

    let arn = "arn:aws:vpc-lattice:us-east-1:111122223333:targetgroup/tg-0123456789abcdefg";
    cases.add::<ServiceImport>(&import(json!({note("target-group-arn"): arn})));
    let service = deployed(cases.http(&route));
    let group = Import::Group { id: "tg-0123456789abcdefg".to_owned() };
    assert_eq!(service.imports.values().collect::<Vec<_>>(), [&group]);

    for (annotations, reason) in [
        (
            json!({note("target-group-arn"): "arn:aws:vpc-lattice:x:y:targetgroup/tg-1"}),
            "InvalidExternalTargetGroup",
        ),
        (
            json!({note("target-group-arn"): arn, note("export-name"): "v1"}),
            "ConflictingServiceImportAnnotations",
        ),
    ] {
        cases.add::<ServiceImport>(&import(annotations));
        assert_eq!(finding(&cases.http(&route), "ResolvedRefs").reason, reason);
    }
}
