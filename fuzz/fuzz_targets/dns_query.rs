//! Any bytes a host of a VPC may send to its resolver: never a panic, and a name of ours is never
//! forwarded.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use trellis_dns::{Answer, View, answer, answer_public};
use trellis_model::snapshot::names::{Data, Names, RecordSet, Routing, Zone, Zones};
use trellis_model::snapshot::{Auth, Ingress, Network, Service, Snapshot};
use trellis_model::{ServiceId, ServiceNetworkId, VpcId};

const NAME: &str = "cart-00000000000000001.7d67968.vpc-lattice-svcs.us-east-1.on.aws";

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let service = Arc::new(Service {
        id: ServiceId::from_random(1),
        arn: "arn".into(),
        owner: "111122223333".parse().expect("twelve digits"),
        dns_name: NAME.into(),
        auth: Auth::None,
        tags: Box::default(),
        idle_timeout: Duration::from_secs(60),
        listeners: Box::new([]),
        certificates: Box::new([]),
    });
    let network = Network {
        id: ServiceNetworkId::from_random(1),
        arn: "arn".into(),
        auth: Auth::None,
        hosts: [(NAME.into(), service)].into_iter().collect(),
        ports: Default::default(),
    };
    let ingress = Ingress {
        vpc: VpcId::from_random(1),
        vpc_arn: "arn".into(),
        vpc_owner: "111122223333".parse().expect("twelve digits"),
        has_ipv6: false,
        network: Arc::new(network),
        resources: Default::default(),
    };
    let ingresses = [(VpcId::from_random(1), Arc::new(ingress))].into_iter().collect();
    Snapshot { revision: 1, ingresses, names: Arc::new(names()), ..Default::default() }
});

/// A hosted zone `a` with a wildcard, a chain of aliases that ends elsewhere, and one that does not end.
fn names() -> Names {
    let mut zone = Zone::new("a");
    for (name, kind, value) in [
        ("a", 6, &b"\x01a\x00\x01a\x00\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01"[..]),
        (r"\052.a", 1, b"\x0a\0\0\x01"),
        ("b.a", 5, b"\x01c\x01a\x00"),
        ("c.a", 5, b"\x01x\x00"),
        ("d.a", 5, b"\x01d\x01a\x00"),
    ] {
        let data = Data::Records(Box::new([value.into()]));
        zone.put(name, RecordSet { kind, id: "".into(), ttl: 60, routing: Routing::Simple, data, check: None });
    }
    let zones: Zones = [Arc::new(zone)].into_iter().collect();
    let zones = Arc::new(zones);
    Names { vpcs: [(VpcId::from_random(1), zones.clone())].into_iter().collect(), public: zones, ..Names::default() }
}

/// The question's name, lower case, as it stands in the message.
fn ends_like_ours(query: &[u8]) -> bool {
    let mut labels = Vec::new();
    let mut at = 12;
    while let Some(&length) = query.get(at) {
        let Some(label) = query.get(at + 1..at + 1 + usize::from(length)) else { return false };
        if length == 0 {
            break;
        }
        labels.push(label.to_ascii_lowercase());
        at += 1 + usize::from(length);
    }
    matches!(&labels[..], [.., zone, _, on, aws]
        if zone == b"vpc-lattice-svcs" && on == b"on" && aws == b"aws")
}

fuzz_target!(|query: &[u8]| {
    let vpc = VpcId::from_random(1);
    let view = View {
        ingress: SNAPSHOT.ingresses.get(&vpc).map(Arc::as_ref),
        plan: None,
        zones: SNAPSHOT.names.vpcs.get(&vpc).map(Arc::as_ref),
    };
    match answer(view, query) {
        Answer::Reply(reply) => {
            assert!(reply.len() >= 12 && reply[..2] == query[..2] && reply[2] & 0x80 != 0);
        }
        Answer::Forward => assert!(!ends_like_ours(query), "a name of ours would be asked elsewhere"),
        // The resolver is asked for the rest of it; what it leads to is looked at in tests.
        Answer::Follow(_) => {}
        Answer::Drop => {}
    }
    match answer_public(&SNAPSHOT.names.public, query) {
        Answer::Reply(reply) => assert!(reply.len() >= 12 && reply[..2] == query[..2] && reply[2] & 0x80 != 0),
        Answer::Drop => {}
        Answer::Forward | Answer::Follow(_) => unreachable!("an authority asks nobody"),
    }
});
