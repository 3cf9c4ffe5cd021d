//! Route 53 on a frame of its own: calls as clients send them, and what resolvers are told.

use bytes::Bytes;
use http::Request;
use tempfile::TempDir;
use trellis_auth::{Credentials, Payload, Scope, SecretKey, SignOptions, SignedRequest, sign};
use trellis_frame::{Config, Frame, Refusal, record};
use trellis_model::VpcId;
use trellis_model::resource::vpc::{Vpc, VpcState};
use trellis_model::snapshot::names::Data;
use trellis_route53::Publication;
use trellis_store::{Event, Store};

/// The services there are.
const SERVICES: &[&trellis_frame::Service] = &[&trellis_route53::SERVICE];

const KEY_ID: &str = "AKIATESTTESTTESTTEST";
const SECRET: &str = "a-secret-that-is-only-used-in-tests";
const ACCOUNT: &str = "111122223333";
const XML: &str = r#"xmlns="https://route53.amazonaws.com/doc/2013-04-01/""#;

struct World {
    frame: Frame,
    store: Store,
    publication: Publication,
    _dir: TempDir,
}

impl World {
    async fn start() -> Self {
        Self::with_quotas(&[]).await
    }

    async fn with_quotas(quotas: &[(&str, u64)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let config = Config {
            access_key_id: KEY_ID.into(),
            secret_access_key: SECRET.to_owned().into(),
            quotas: quotas.iter().map(|(code, limit)| ((*code).to_owned(), *limit)).collect(),
            ..Config::default()
        };
        let frame = Frame::start(store.clone(), SERVICES, config).await.unwrap();
        let world = Self { frame, store, publication: Publication::default(), _dir: dir };
        for number in [1, 2] {
            world.add_vpc(number, ACCOUNT).await;
        }
        world.add_vpc(3, "444455556666").await;
        world
    }

    /// A VPC as EC2 keeps it.
    async fn add_vpc(&self, number: u64, account: &str) {
        let home = trellis_model::resource::lattice::Home {
            account: account.parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
        };
        let vpc = Vpc {
            id: VpcId::from_random(number),
            home: home.clone(),
            cidr: "10.0.0.0/16".parse().unwrap(),
            ipv6: None,
            state: VpcState::Available,
            dns_support: true,
            dns_hostnames: true,
            address_usage_metrics: false,
            default_security_group: trellis_model::SecurityGroupId::from_random(number),
            created_at: jiff::Timestamp::UNIX_EPOCH.into(),
        };
        let key = trellis_frame::key::Scope::new("ec2", &home).record("vpc", &vpc.id);
        let put = move |tx: &mut trellis_store::Transaction<'_>| {
            record::put(tx, &key, &vpc);
            Ok::<_, Refusal>(())
        };
        self.store.transact(put).await.unwrap();
    }

    async fn call(&self, method: &str, path: &str, query: &str, body: &str) -> (u16, String) {
        let path = format!("/2013-04-01/{path}");
        let body = Bytes::from(body.to_owned());
        let mut headers =
            vec![("host", "127.0.0.1:4560".to_owned()), ("content-type", "application/xml".to_owned())];
        let credentials = Credentials {
            access_key_id: KEY_ID.parse().unwrap(),
            secret_key: SecretKey::new(SECRET).unwrap(),
            session_token: None,
        };
        let lines: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let unsigned =
            SignedRequest { method, path: &path, query, headers: &lines, payload: Payload::Body(&body) };
        let scope = Scope { region: "us-east-1", service: "route53" };
        let signed =
            sign(&unsigned, &credentials, scope, jiff::Timestamp::now(), &SignOptions::default()).unwrap();
        headers.extend(signed);
        let uri = if query.is_empty() { path } else { format!("{path}?{query}") };
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = self.frame.serve(request.body(body).unwrap()).await;
        (response.status().as_u16(), String::from_utf8(response.into_body()).unwrap())
    }

    /// A private zone of VPC 1; its id.
    async fn zone(&self, name: &str) -> String {
        let (status, body) = self.call("POST", "hostedzone", "", &zone_request(name, 1, name)).await;
        assert_eq!(status, 201, "{body}");
        let (_, rest) = body.split_once("<Id>/hostedzone/").unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    }

    async fn change(&self, zone: &str, changes: &str) -> (u16, String) {
        let body = format!(
            "<ChangeResourceRecordSetsRequest {XML}><ChangeBatch><Changes>{changes}</Changes></ChangeBatch>\
             </ChangeResourceRecordSetsRequest>"
        );
        self.call("POST", &format!("hostedzone/{zone}/rrset/"), "", &body).await
    }

    /// What resolvers of the VPC are told of a name: the number of records of each set; `None`: there is no such name.
    async fn told(&mut self, vpc: u64, name: &str) -> Option<Vec<(u16, usize)>> {
        let mut changes = self.store.watch(trellis_route53::RECORDS).unwrap();
        let Event::Resync { entries, .. } = changes.next().await.unwrap() else {
            panic!("not from the start")
        };
        self.publication.begin_anew();
        for entry in entries {
            self.publication.apply(&entry.key, Some(&entry.value));
        }
        let names = self.publication.current();
        let sets = names.vpcs.get(&VpcId::from_random(vpc))?.of(name)?.look_up(name)?;
        let count = |data: &Data| if let Data::Records(records) = data { records.len() } else { 0 };
        Some(sets.iter().map(|set| (set.kind, count(&set.data))).collect())
    }
}

fn zone_request(name: &str, vpc: u64, reference: &str) -> String {
    format!(
        "<CreateHostedZoneRequest {XML}><Name>{name}</Name><VPC><VPCRegion>us-east-1</VPCRegion><VPCId>{}</VPCId>\
         </VPC><CallerReference>{reference}</CallerReference></CreateHostedZoneRequest>",
        VpcId::from_random(vpc)
    )
}

fn change(action: &str, name: &str, kind: &str, values: &[&str], more: &str) -> String {
    let values: String = values
        .iter()
        .map(|value| format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>"))
        .collect();
    format!(
        "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type>{more}\
         <TTL>60</TTL><ResourceRecords>{values}</ResourceRecords></ResourceRecordSet></Change>"
    )
}

#[tokio::test]
async fn a_zone_with_a_vpc_is_private_and_resolvers_of_that_vpc_are_told_of_it() {
    let mut world = World::start().await;
    let zone = world.zone("Example.com").await;
    let (_, body) = world.call("GET", &format!("hostedzone/{zone}"), "", "").await;
    assert!(
        body.contains("<Name>example.com.</Name>") && body.contains("<PrivateZone>true</PrivateZone>"),
        "{body}"
    );
    let changes = change("CREATE", "www.example.com", "A", &["10.0.0.1", "10.0.0.2"], "");
    let (status, body) = world.change(&zone, &changes).await;
    assert!(status == 200 && body.contains("<Status>PENDING</Status>"), "{status} {body}");
    assert_eq!(world.told(1, "www.example.com").await, Some(vec![(1, 2)]));
    assert_eq!(world.told(1, "example.com").await, Some(vec![(2, 4), (6, 1)]));
    assert_eq!(world.told(2, "www.example.com").await, None);
}

#[tokio::test]
async fn a_change_is_in_sync_once_the_data_plane_has_it() {
    let world = World::start().await;
    let zone = world.zone("example.com").await;
    let (_, body) = world.change(&zone, &change("CREATE", "a.example.com", "A", &["10.0.0.1"], "")).await;
    let id = body.split_once("<Id>/change/").unwrap().1.split_once('<').unwrap().0.to_owned();
    let (_, body) = world.call("GET", &format!("change/{id}"), "", "").await;
    assert!(body.contains("<Status>PENDING</Status>"), "{body}");
    world.frame.data_plane_applied(u64::MAX);
    let (_, body) = world.call("GET", &format!("change/{id}"), "", "").await;
    assert!(body.contains("<Status>INSYNC</Status>"), "{body}");
    let (status, body) = world.call("GET", "change/C0", "", "").await;
    assert!(status == 404 && body.contains("<Code>NoSuchChange</Code>"), "{body}");
}

#[tokio::test]
async fn a_batch_meets_its_own_changes_and_counts_as_one() {
    let mut world = World::start().await;
    let zone = world.zone("example.com").await;
    let swap = [
        change("CREATE", "a.example.com", "A", &["10.0.0.1"], ""),
        change("DELETE", "a.example.com", "A", &["10.0.0.1"], ""),
        change("CREATE", "a.example.com", "CNAME", &["b.example.com"], ""),
    ];
    assert_eq!(world.change(&zone, &swap.concat()).await.0, 200);
    assert_eq!(world.told(1, "a.example.com").await, Some(vec![(5, 1)]));
    let half = [
        change("CREATE", "new.example.com", "A", &["10.0.0.1"], ""),
        change("CREATE", "a.example.com", "A", &["10.0.0.1"], ""),
        change("CREATE", "example.com", "CNAME", &["b.example.com"], ""),
    ];
    let (status, body) = world.change(&zone, &half.concat()).await;
    assert_eq!(status, 400, "{body}");
    for expected in ["InvalidChangeBatch", "conflicting RRSet of type CNAME", "not permitted at apex"] {
        assert!(body.contains(expected), "{expected} {body}");
    }
    assert_eq!(world.told(1, "new.example.com").await, None);
}

#[tokio::test]
async fn sets_of_one_name_and_type_have_one_policy() {
    let world = World::start().await;
    let zone = world.zone("example.com").await;
    let policy = |policy: &str, id: &str| format!("<SetIdentifier>{id}</SetIdentifier>{policy}");
    let create = |more: &str| change("CREATE", "w.example.com", "A", &["10.0.0.1"], more);
    let weighted = "<Weight>1</Weight>";
    for (more, expected) in [
        (policy(weighted, "one"), ""),
        (policy(weighted, "two"), ""),
        (policy(weighted, "one"), "already exists"),
        (String::new(), "because a weighted RRSet"),
        (policy("<Failover>PRIMARY</Failover>", "three"), "because a weighted RRSet"),
        (weighted.to_owned(), "needs a SetIdentifier"),
        (policy("", "four"), "no routing policy"),
    ] {
        let (status, body) = world.change(&zone, &create(&more)).await;
        assert!((status == 200) == expected.is_empty() && body.contains(expected), "{more} {body}");
    }
    let failover = |id: &str| {
        change("CREATE", "f.example.com", "A", &["10.0.0.1"], &policy("<Failover>PRIMARY</Failover>", id))
    };
    assert_eq!(world.change(&zone, &failover("one")).await.0, 200);
    assert!(world.change(&zone, &failover("two")).await.1.contains("is for the same"));
}

#[tokio::test]
async fn zones_that_collide_and_vpcs_of_others_are_refused() {
    let world = World::with_quotas(&[("L-4EA4796A", 2)]).await;
    let zone = world.zone("example.com").await;
    for (request, expected) in [
        (zone_request("example.com", 1, "other"), "ConflictingDomainExists"),
        (zone_request("example.com", 3, "other"), "InvalidVPCId"),
        (zone_request("example.com", 9, "other"), "InvalidVPCId"),
        (zone_request("example.org", 1, "example.com"), "HostedZoneAlreadyExists"),
        (zone_request("exa..mple", 1, "other"), "InvalidDomainName"),
        (zone_request(".", 1, "other"), "InvalidDomainName"),
    ] {
        let (status, body) = world.call("POST", "hostedzone", "", &request).await;
        assert!(status >= 400 && body.contains(expected), "{expected} {body}");
    }
    assert_eq!(world.call("POST", "hostedzone", "", &zone_request("example.com", 2, "second")).await.0, 201);
    let (_, body) = world.call("POST", "hostedzone", "", &zone_request("example.org", 2, "third")).await;
    assert!(body.contains("TooManyHostedZones"), "{body}");
    // Gone with its own records; with another one it stays.
    world.change(&zone, &change("CREATE", "a.example.com", "A", &["10.0.0.1"], "")).await;
    let path = format!("hostedzone/{zone}");
    assert!(world.call("DELETE", &path, "", "").await.1.contains("HostedZoneNotEmpty"));
    world.change(&zone, &change("DELETE", "a.example.com", "A", &["10.0.0.1"], "")).await;
    assert_eq!(world.call("DELETE", &path, "", "").await.0, 200);
    assert_eq!(
        world.call("POST", "hostedzone", "", &zone_request("example.com", 1, "example.com")).await.0,
        201
    );
}
