use std::net::Ipv4Addr;
use std::time::Duration;

use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{RData, Record};
use trellis_model::fabric::{HostPlan, SubnetPlan};
use trellis_model::snapshot::{
    AddressFamily, Auth, Destination, Network, Resource, Resources, SERVICE_VIP, Service,
};
use trellis_model::{
    AccountId, InstanceId, ResourceAssociationId, ResourceConfigurationId, ServiceId, ServiceNetworkId,
    SubnetId,
};

use super::*;

const CART: &str = "cart-00000000000000001.7d67968.vpc-lattice-svcs.us-east-1.on.aws";

fn account() -> AccountId {
    "111122223333".parse().unwrap()
}

const DATABASE: &str =
    "snra-00000000000000001.rcfg-00000000000000001.4232ccc.vpc-lattice-rsc.us-east-1.on.aws";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(129, 224, 3, 4);

fn database() -> Resource {
    Resource {
        association: ResourceAssociationId::from_random(1),
        id: ResourceConfigurationId::from_random(1),
        arn: "arn".into(),
        owner: account(),
        address: ADDRESS,
        names: [DATABASE.into(), "db.example.com".into()].into(),
        ports: [5432..=5432].into(),
        destination: Destination::Name("db.internal".into(), AddressFamily::Ipv4),
        vpc: VpcId::from_random(3),
        sources: [Ipv4Addr::new(10, 0, 1, 254).into()].into(),
    }
}

/// VPC 1 is associated with a network that has the service `cart` and a database; VPC 2 is not associated.
fn snapshot() -> Snapshot {
    let service = Arc::new(Service {
        id: ServiceId::from_random(1),
        arn: "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-00000000000000001".into(),
        owner: account(),
        dns_name: CART.into(),
        auth: Auth::None,
        tags: Box::default(),
        idle_timeout: Duration::from_secs(60),
        listeners: Box::new([]),
        certificates: Box::new([]),
    });
    let custom = "cart.example.vpc-lattice-svcs.us-east-1.on.aws";
    let network = Network {
        id: ServiceNetworkId::from_random(1),
        arn: "arn:aws:vpc-lattice:us-east-1:111122223333:servicenetwork/sn-00000000000000001".into(),
        auth: Auth::None,
        hosts: [(CART.into(), service.clone()), (custom.into(), service)].into_iter().collect(),
        ports: Default::default(),
    };
    let vpc = VpcId::from_random(1);
    let ingress = Ingress {
        vpc: vpc.clone(),
        vpc_arn: "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-00000000000000001".into(),
        vpc_owner: account(),
        has_ipv6: false,
        resources: Resources::new([database()]),
        network: Arc::new(network),
    };
    Snapshot {
        revision: 1,
        ingresses: [(vpc, Arc::new(ingress))].into_iter().collect(),
        ..Default::default()
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x4242, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// VPC 1 and VPC 2 have the same block and a host each, 10.3.1.10 and 10.3.1.20; VPC 3 is in Dublin.
fn plan() -> FabricPlan {
    let vpc = |number: u64, domain: &str, block: &str, host: [u8; 4]| {
        let subnet = SubnetId::from_random(number);
        let host = HostPlan {
            id: InstanceId::from_random(number),
            name: "web".into(),
            subnet: subnet.clone(),
            address: host.into(),
            ipv6_address: None,
            command: Vec::new(),
            sandbox: Default::default(),
        };
        let block: ipnet::Ipv4Net = block.parse().unwrap();
        let subnet = SubnetPlan { id: subnet, cidr: block, ipv6_cidr: None };
        let plan = VpcPlan {
            id: VpcId::from_random(number),
            cidrs: vec![block],
            ipv6_cidr: None,
            private_dns_domain: domain.into(),
            subnets: [(subnet.id.clone(), subnet)].into(),
            hosts: [(host.id.clone(), host)].into(),
            secondary_addresses: Default::default(),
            firewalls: Default::default(),
            service_clients: None,
            resources: Default::default(),
            gateways: Default::default(),
        };
        (plan.id.clone(), Arc::new(plan))
    };
    let vpcs = [
        vpc(1, "ec2.internal", "10.3.0.0/16", [10, 3, 1, 10]),
        vpc(2, "ec2.internal", "10.3.0.0/16", [10, 3, 1, 20]),
        vpc(3, "eu-west-1.compute.internal", "10.3.16.0/20", [10, 3, 17, 10]),
    ];
    FabricPlan { revision: 1, vpcs: vpcs.into() }
}

fn ask_in(vpc: u64, message: &Message) -> Answer {
    ask_bytes(vpc, &message.to_vec().unwrap())
}

fn ask_bytes(vpc: u64, query: &[u8]) -> Answer {
    answer(View::of(&VpcId::from_random(vpc), &snapshot(), &plan()), query)
}

fn ask(message: &Message) -> Message {
    let Answer::Reply(bytes) = ask_in(1, message) else { panic!("no reply to {message}") };
    Message::from_vec(&bytes).unwrap()
}

#[test]
fn a_service_of_the_network_resolves_to_the_shared_address_in_the_spelling_asked() {
    let asked = "CaRt-00000000000000001.7d67968.VPC-lattice-svcs.us-EAST-1.on.Aws.";
    let reply = ask(&query(asked, RecordType::A));
    assert_eq!((reply.id, reply.response_code), (0x4242, ResponseCode::NoError));
    assert!(reply.authoritative && reply.recursion_available && reply.recursion_desired);
    assert_eq!(reply.queries[0].name.to_ascii(), asked);
    let [record] = &reply.answers[..] else { panic!("{reply}") };
    assert_eq!((record.name.to_ascii().as_str(), record.ttl), (asked, 60));
    assert_eq!(record.data, RData::A(A(SERVICE_VIP)));
    assert!(reply.edns.is_none());
    // Whether the VPC has IPv6 or not.
    let reply = ask(&query(asked, RecordType::AAAA));
    let [record] = &reply.answers[..] else { panic!("{reply}") };
    assert_eq!((record.name.to_ascii().as_str(), record.ttl), (asked, 60));
    assert_eq!(record.data, RData::AAAA(AAAA("fd00:ec2:80::a9fe:ab01".parse().unwrap())));
}

#[test]
fn other_types_of_a_service_are_empty_and_unknown_names_do_not_exist() {
    let zone = "vpc-lattice-svcs.us-east-1.on.aws";
    let under = |rest: &str| format!("{rest}.{zone}");
    let other = "order-00000000000000001.7d67968";
    for (vpc, name, kind, code) in [
        (1, DATABASE.to_owned(), RecordType::AAAA, ResponseCode::NoError),
        (1, CART.to_owned(), RecordType::HTTPS, ResponseCode::NoError),
        (1, CART.to_owned(), RecordType::TXT, ResponseCode::NoError),
        (1, under(other), RecordType::A, ResponseCode::NXDomain),
        (1, under("x.cart-00000000000000001.7d67968"), RecordType::A, ResponseCode::NXDomain),
        // The partition label has a service below it; this other one has none.
        (1, under("7d67968"), RecordType::A, ResponseCode::NoError),
        (1, under("d67968"), RecordType::A, ResponseCode::NXDomain),
        (1, zone.to_owned(), RecordType::A, ResponseCode::NoError),
        // A custom domain is its owner's to publish, even one chosen to look like ours.
        (1, under("cart.example"), RecordType::A, ResponseCode::NXDomain),
        (1, CART.replace("us-east-1", "eu-west-1"), RecordType::A, ResponseCode::NXDomain),
        (2, CART.to_owned(), RecordType::A, ResponseCode::NXDomain),
        (2, under("7d67968"), RecordType::A, ResponseCode::NXDomain),
    ] {
        let Answer::Reply(bytes) = ask_in(vpc, &query(&name, kind)) else { panic!("{name}") };
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!(reply.response_code, code, "{vpc} {name} {kind}");
        assert!(reply.answers.is_empty() && reply.authoritative, "{name}");
        let [authority] = &reply.authorities[..] else { panic!("{name} {reply}") };
        assert_eq!((authority.record_type(), authority.ttl), (RecordType::SOA, NEGATIVE_TTL));
        assert!(name.ends_with(authority.name.to_ascii().trim_end_matches('.')), "{name}");
    }
}

#[test]
fn a_resource_resolves_to_its_own_address_by_either_name_and_to_nothing_else() {
    let zone = "vpc-lattice-rsc.us-east-1.on.aws";
    let under = |rest: &str| format!("{rest}.{zone}");
    let (address, nothing) = (Some(ADDRESS), None);
    for (name, kind, code, expected) in [
        (DATABASE.to_uppercase(), RecordType::A, ResponseCode::NoError, address),
        (DATABASE.to_owned(), RecordType::AAAA, ResponseCode::NoError, nothing),
        ("DB.example.com".to_owned(), RecordType::A, ResponseCode::NoError, address),
        ("db.example.com".to_owned(), RecordType::AAAA, ResponseCode::NoError, nothing),
        ("db.example.com".to_owned(), RecordType::HTTPS, ResponseCode::NoError, nothing),
        (under("rcfg-00000000000000001.4232ccc"), RecordType::A, ResponseCode::NoError, nothing),
        (under("4232ccc"), RecordType::A, ResponseCode::NoError, nothing),
        (under("7d67968"), RecordType::A, ResponseCode::NXDomain, nothing),
        (DATABASE.replace("snra-0", "snra-1"), RecordType::A, ResponseCode::NXDomain, nothing),
        (DATABASE.replace("rsc", "svcs"), RecordType::A, ResponseCode::NXDomain, nothing),
    ] {
        let reply = ask(&query(&name, kind));
        assert_eq!((reply.response_code, reply.authoritative), (code, true), "{name} {kind}");
        let found = reply.answers.first().map(|record| record.data.clone());
        assert_eq!(found, expected.map(|address| RData::A(A(address))), "{name} {kind}");
        assert_eq!(reply.authorities.len(), usize::from(expected.is_none()), "{name} {kind}");
    }
    for name in ["example.com", "a.db.example.com", "db.internal"] {
        assert_eq!(ask_in(1, &query(name, RecordType::A)), Answer::Forward, "{name}");
    }
    // Another VPC: the generated name does not exist, and the private one is anybody's.
    let Answer::Reply(bytes) = ask_in(2, &query(DATABASE, RecordType::A)) else { panic!("no reply") };
    assert_eq!(Message::from_vec(&bytes).unwrap().response_code, ResponseCode::NXDomain);
    assert_eq!(ask_in(2, &query("db.example.com", RecordType::A)), Answer::Forward);
}

#[test]
fn a_host_resolves_by_its_private_name_and_its_address_backwards_in_its_own_vpc_alone() {
    let (yes, no) = (ResponseCode::NoError, ResponseCode::NXDomain);
    let dublin = "ip-10-3-17-10.eu-west-1.compute.internal.";
    let a = |octets: [u8; 4]| Some(RData::A(A(octets.into())));
    let ptr = |name: &str| Some(RData::PTR(PTR(Name::from_ascii(name).unwrap())));
    for (vpc, name, kind, code, expected) in [
        (1, "IP-10-3-1-10.Ec2.Internal.", RecordType::A, yes, a([10, 3, 1, 10])),
        (1, "ip-10-3-1-10.ec2.internal.", RecordType::AAAA, yes, None),
        (1, "ip-10-3-1-10.ec2.internal.", RecordType::HTTPS, yes, None),
        (1, "ip-10-3-1-20.ec2.internal.", RecordType::A, no, None),
        (2, "ip-10-3-1-20.ec2.internal.", RecordType::A, yes, a([10, 3, 1, 20])),
        (2, "ip-10-3-1-10.ec2.internal.", RecordType::A, no, None),
        (3, dublin, RecordType::A, yes, a([10, 3, 17, 10])),
        (3, "ip-10-3-1-10.eu-west-1.compute.internal.", RecordType::A, no, None),
        // Other spellings of the address, names below and the domain itself.
        (1, "ip-10-3-1-010.ec2.internal.", RecordType::A, no, None),
        (1, "ip-10.3.1-10.ec2.internal.", RecordType::A, no, None),
        (1, "x.ip-10-3-1-10.ec2.internal.", RecordType::A, no, None),
        (1, "web.ec2.internal.", RecordType::A, no, None),
        (1, "ec2.internal.", RecordType::A, yes, None),
        (1, "10.1.3.10.In-Addr.arpa.", RecordType::PTR, yes, ptr("ip-10-3-1-10.ec2.internal.")),
        (1, "10.1.3.10.in-addr.arpa.", RecordType::A, yes, None),
        (1, "20.1.3.10.in-addr.arpa.", RecordType::PTR, no, None),
        (2, "10.1.3.10.in-addr.arpa.", RecordType::PTR, no, None),
        (1, "x.10.1.3.10.in-addr.arpa.", RecordType::PTR, no, None),
        (1, "010.1.3.10.in-addr.arpa.", RecordType::PTR, no, None),
        (1, "x.1.3.10.in-addr.arpa.", RecordType::PTR, no, None),
        (1, "1.3.10.in-addr.arpa.", RecordType::PTR, yes, None),
        (1, "3.10.in-addr.arpa.", RecordType::PTR, yes, None),
        (3, "10.17.3.10.in-addr.arpa.", RecordType::PTR, yes, ptr(dublin)),
    ] {
        let Answer::Reply(bytes) = ask_in(vpc, &query(name, kind)) else {
            panic!("{vpc} {name} is forwarded")
        };
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!((reply.response_code, reply.authoritative), (code, true), "{vpc} {name} {kind}");
        let found = reply.answers.first().map(|record| record.data.clone());
        assert_eq!(found, expected, "{vpc} {name} {kind}");
        assert_eq!(reply.authorities.len(), usize::from(expected.is_none()), "{vpc} {name} {kind}");
    }
    for (vpc, name) in [
        (1, "ip-10-3-17-10.eu-west-1.compute.internal."),
        (3, "ip-10-3-1-10.ec2.internal."),
        (1, "internal."),
        (1, "xec2.internal."),
        (1, "10.in-addr.arpa."),
        (1, "10.1.4.10.in-addr.arpa."),
        (3, "10.1.3.10.in-addr.arpa."),
        (9, "ip-10-3-1-10.ec2.internal."),
        (9, "10.1.3.10.in-addr.arpa."),
    ] {
        assert_eq!(ask_in(vpc, &query(name, RecordType::PTR)), Answer::Forward, "{vpc} {name}");
    }
}

#[test]
fn the_zone_has_an_soa() {
    let reply = ask(&query("vpc-lattice-svcs.us-east-1.on.aws.", RecordType::SOA));
    assert!(matches!(reply.answers[..], [Record { data: RData::SOA(_), .. }]), "{reply}");
}

#[test]
fn names_that_only_resemble_ours_are_forwarded_and_ours_never_is() {
    for name in [
        "example.com",
        ".",
        "on.aws",
        "us-east-1.on.aws",
        "vpc-lattice-svcs.on.aws",
        "xvpc-lattice-svcs.us-east-1.on.aws",
        "a.vpc-lattice-svcs.us-east-1.on.aws.example.com",
        "a.vpc-lattice-svcs.us.east-1.on.aws",
    ] {
        assert_eq!(ask_in(1, &query(name, RecordType::A)), Answer::Forward, "{name}");
    }
    // One label with a dot in it is not two labels.
    let labels: [&[u8]; 5] =
        [b"cart-00000000000000001.7d67968", b"vpc-lattice-svcs", b"us-east-1", b"on", b"aws"];
    let mut message = query(".", RecordType::A);
    message.queries[0].name =
        Name::from_labels(labels.map(<[u8]>::to_vec).iter().map(Vec::as_slice)).unwrap();
    assert_eq!(ask(&message).response_code, ResponseCode::NXDomain);
}

#[test]
fn transfers_any_other_classes_and_other_opcodes_are_refused() {
    for kind in [RecordType::AXFR, RecordType::IXFR, RecordType::ANY, RecordType::TSIG] {
        for name in [CART, "example.com"] {
            let reply = ask(&query(name, kind));
            assert_eq!(reply.response_code, ResponseCode::Refused, "{kind} {name}");
            assert!(reply.answers.is_empty());
        }
    }
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::ANY, DNSClass::NONE] {
        let mut message = query("version.bind", RecordType::TXT);
        message.queries[0].query_class = class;
        assert_eq!(ask(&message).response_code, ResponseCode::Refused, "{class}");
    }
    for opcode in [OpCode::Status, OpCode::Notify, OpCode::Update] {
        let mut message = query(CART, RecordType::SOA);
        message.metadata.op_code = opcode;
        let reply = ask(&message);
        assert_eq!((reply.response_code, reply.op_code), (ResponseCode::NotImp, opcode));
    }
}

#[test]
fn edns_is_answered_with_edns_and_an_unknown_version_with_badvers() {
    let mut edns = Edns::new();
    edns.set_max_payload(1232).set_dnssec_ok(true);
    edns.options_mut().insert(EdnsOption::Unknown(10, b"client-cookie".to_vec()));
    let mut message = query(CART, RecordType::A);
    message.set_edns(edns.clone());
    let reply = ask(&message);
    assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::NoError, 1));
    let answered = reply.edns.as_ref().unwrap();
    assert_eq!((answered.version(), answered.max_payload()), (0, 4096));
    assert!(answered.flags().dnssec_ok && answered.options().as_ref().is_empty());

    edns.set_version(1);
    message.set_edns(edns);
    let reply = ask(&message);
    // 16 is BADVERS in a reply with OPT, and BADSIG in one with TSIG.
    assert_eq!(u16::from(reply.response_code), 16);
    assert_eq!((reply.edns.as_ref().unwrap().version(), reply.answers.len()), (0, 0));
}

#[test]
fn what_is_not_a_sound_query_is_refused_with_its_id_or_dropped() {
    let whole = query(CART, RecordType::A).to_vec().unwrap();
    let asked = |bytes: &[u8]| ask_bytes(1, bytes);
    let expect_formerr = |bytes: &[u8], what: &str| {
        let Answer::Reply(reply) = asked(bytes) else { panic!("{what}") };
        let reply = Message::from_vec(&reply).unwrap();
        assert_eq!((reply.id, reply.response_code), (0x4242, ResponseCode::FormErr), "{what}");
        assert!(reply.queries.is_empty());
    };
    for length in 0..12 {
        assert_eq!(asked(&whole[..length]), Answer::Drop, "{length} bytes");
    }
    for length in 12..whole.len() {
        expect_formerr(&whole[..length], "cut short");
    }
    let mut reply = whole.clone();
    reply[2] |= 0x80;
    assert_eq!(asked(&reply), Answer::Drop, "a response");
    for count in [0, 2, 255] {
        let mut bytes = whole.clone();
        bytes[5] = count;
        expect_formerr(&bytes, "question count");
    }
    let mut bytes = whole.clone();
    bytes[11] = 1;
    expect_formerr(&bytes, "a record promised and not there");
    let mut bytes = whole;
    bytes[11] = 2;
    bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0].repeat(2));
    expect_formerr(&bytes, "two OPT records");
}

#[test]
fn no_flipped_or_cut_query_panics_and_none_of_ours_is_forwarded_with_its_name_whole() {
    let mut message = query(CART, RecordType::A);
    message.set_edns(Edns::new());
    let whole = message.to_vec().unwrap();
    let (snapshot, plan) = (snapshot(), plan());
    let view = View::of(&VpcId::from_random(1), &snapshot, &plan);
    for at in 0..whole.len() {
        for value in 0..=255 {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let got = answer(view, &bytes);
            let _ = wire::udp_limit(&bytes);
            let name = 12..12 + CART.len() + 2;
            if !name.contains(&at) {
                assert_ne!(got, Answer::Forward, "byte {at} as {value}");
            }
            let _ = answer(view, &bytes[..at]);
        }
    }
}
