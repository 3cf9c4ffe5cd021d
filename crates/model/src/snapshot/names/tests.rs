use std::time::Duration;

use super::*;

fn set(kind: u16, id: &str, routing: Routing) -> RecordSet {
    let data = Data::Alias { name: "x".into(), evaluates: false };
    RecordSet { kind, id: id.into(), ttl: 300, routing, data, check: None }
}

fn simple(kind: u16) -> RecordSet {
    set(kind, "", Routing::Simple)
}

#[test]
fn the_most_specific_zone_answers_and_no_other() {
    let zones: Zones =
        ["example.com", "a.example.com"].map(|name| Arc::new(Zone::new(name))).into_iter().collect();
    for (name, zone) in [
        ("example.com", Some("example.com")),
        ("x.y.a.example.com", Some("a.example.com")),
        ("ba.example.com", Some("example.com")),
        ("notexample.com", None),
        ("com", None),
        ("", None),
    ] {
        assert_eq!(zones.of(name).map(|zone| zone.name()), zone, "{name}");
    }
}

#[test]
fn a_name_exists_as_long_as_it_or_one_below_has_records() {
    let mut zone = Zone::new("example.com");
    zone.put("a.b.c.example.com", simple(1));
    zone.put("b.c.example.com", simple(16));
    assert_eq!(zone.look_up("c.example.com"), Some(&[][..]));
    assert_eq!(zone.look_up("x.c.example.com"), None);
    zone.remove("b.c.example.com", 16, "");
    assert_eq!(zone.look_up("b.c.example.com"), Some(&[][..]));
    zone.remove("a.b.c.example.com", 28, "");
    assert!(zone.look_up("a.b.c.example.com").is_some());
    zone.remove("a.b.c.example.com", 1, "");
    for gone in ["a.b.c.example.com", "b.c.example.com", "c.example.com"] {
        assert_eq!(zone.look_up(gone), None, "{gone}");
    }
    assert_eq!(zone.look_up("example.com"), Some(&[][..]));
    assert_eq!(zone.nodes.0.iter().map(|part| part.len()).sum::<usize>(), 1);
}

#[test]
fn a_change_copies_no_more_than_the_part_of_its_name() {
    let mut zone = Zone::new("example.com");
    for number in 0..2000 {
        zone.put(&format!("h{number}.example.com"), simple(1));
    }
    let before = zone.clone();
    zone.put("h7.example.com", simple(16));
    let copied = before.nodes.0.iter().zip(&*zone.nodes.0).filter(|(one, other)| !Arc::ptr_eq(one, other));
    assert_eq!(copied.count(), 1);
    assert!(before.nodes.0.iter().all(|part| part.len() < 40), "names are spread over the parts");
    assert_eq!((before.at("h7.example.com").len(), zone.at("h7.example.com").len()), (1, 2));
}

#[test]
fn a_wildcard_answers_for_what_its_parent_is_the_closest_encloser_of() {
    let mut zone = Zone::new("example.com");
    zone.put(r"\052.example.com", simple(1));
    zone.put("x.sub.example.com", simple(16));
    assert!(zone.look_up("a.example.com").is_some_and(|sets| sets.len() == 1));
    assert!(zone.look_up("a.b.example.com").is_some_and(|sets| sets.len() == 1));
    assert_eq!(zone.look_up("sub.example.com"), Some(&[][..]));
    assert_eq!(zone.look_up("y.sub.example.com"), None);
    assert_eq!(zone.look_up("a.example.org"), None);
}

#[test]
fn policies_choose_among_sets_of_the_type() {
    let ids = |sets: &[RecordSet], draw| {
        choose(sets, 1, draw, &|_| true).iter().map(|set| set.id.to_string()).collect::<Vec<_>>()
    };
    let weighted = [set(1, "a", Routing::Weighted(0)), set(1, "b", Routing::Weighted(9))];
    assert!((0..100).all(|step| ids(&weighted, step * (u32::MAX / 100)) == ["b"]));
    let none = [set(1, "a", Routing::Weighted(0)), set(1, "b", Routing::Weighted(0))];
    assert_eq!((ids(&none, 0), ids(&none, 1)), (vec!["a".into()], vec!["b".into()]));
    let failover = [set(1, "b", Routing::Secondary), set(1, "a", Routing::Primary)];
    assert_eq!(ids(&failover, 7), ["a"]);
    let many: Vec<_> = (0..12).map(|number: u8| set(1, &number.to_string(), Routing::MultiValue)).collect();
    assert_eq!(ids(&many, 3).len(), MAX_MULTI_VALUE);
    assert!(choose(&many, 28, 3, &|_| true).is_empty());
}

#[test]
fn what_is_unhealthy_is_passed_over_while_something_else_is_healthy() {
    let ids = |sets: &[RecordSet], ill: &[&str]| {
        let chosen = choose(sets, 1, 7, &|set| !ill.contains(&&*set.id));
        chosen.iter().map(|set| set.id.to_string()).collect::<Vec<_>>()
    };
    let failover = [set(1, "b", Routing::Secondary), set(1, "a", Routing::Primary)];
    for (ill, expected) in [(&[][..], "a"), (&["b"], "a"), (&["a"], "b"), (&["a", "b"], "a")] {
        assert_eq!(ids(&failover, ill), [expected], "{ill:?}");
    }
    // "If the nonzero ones are all unhealthy, the zero-weighted are considered."
    let weighted = [set(1, "a", Routing::Weighted(9)), set(1, "b", Routing::Weighted(0))];
    assert_eq!((ids(&weighted, &[]), ids(&weighted, &["a"])), (vec!["a".into()], vec!["b".into()]));
    let many = [1, 2, 3].map(|number: u8| set(1, &number.to_string(), Routing::MultiValue));
    assert_eq!(ids(&many, &["2"]).len(), 2);
    assert_eq!(ids(&many, &["1", "2", "3"]).len(), 3);
    let nearest = [set(1, "far", Routing::Nearest), set(1, "any", Routing::Default)];
    assert_eq!((ids(&nearest, &[]), ids(&nearest, &["any"])), (vec!["any".into()], vec!["far".into()]));
}

#[test]
fn an_alias_is_as_healthy_as_its_target_where_it_says_so() {
    let mut zone = Zone::new("example.com");
    let checked =
        |id: &str, check: &str| RecordSet { check: Some(check.into()), ..set(1, id, Routing::Weighted(1)) };
    zone.put("b.example.com", checked("1", "one"));
    zone.put("b.example.com", checked("2", "two"));
    zone.put("b.example.com", checked("2", "three"));
    zone.put("gone.example.com", checked("1", "four"));
    zone.remove("gone.example.com", 1, "1");
    let mut known: Vec<_> = zone.checks().map(str::to_owned).collect();
    known.sort();
    assert_eq!(known, ["one", "three"]);
    let endpoint = Endpoint {
        address: None,
        name: None,
        port: 80,
        path: None,
        tls: false,
        has_sni: false,
        interval: Duration::from_secs(30),
        threshold: 3,
        is_inverted: false,
        is_disabled: false,
    };
    let checks = known.iter().map(|id| {
        let health = EndpointHealth::new(&endpoint);
        Arc::new(Check {
            id: id.as_str().into(),
            vpc: VpcId::from_random(1),
            endpoint: endpoint.clone(),
            health,
        })
    });
    let checks: Vec<_> = checks.collect();
    let zones = Zones::from_iter([Arc::new(zone)]).with_checks(checks.clone());
    let alias = |evaluates| RecordSet {
        data: Data::Alias { name: "b.example.com".into(), evaluates },
        ..set(1, "a", Routing::Primary)
    };
    let other = set(1, "z", Routing::Secondary);
    let chosen = |evaluates| zones.choose(&[alias(evaluates), other.clone()], 1, 0)[0].id.to_string();
    assert_eq!(chosen(true), "a");
    checks[0].health.set(TargetStatus::Unhealthy);
    assert_eq!(chosen(true), "a", "one of its records is well");
    checks[1].health.set(TargetStatus::Unhealthy);
    assert_eq!((chosen(true), chosen(false)), ("z".into(), "a".into()));
}
