use http::Request;
use jiff::{SignedDuration, Timestamp};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Instance, InstanceState, Subnet, Vpc, VpcState, Zone};
use trellis_model::{InstanceId, SecurityGroupId, SubnetId, VpcId};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn asked(method: &str, path: &str, fields: &[(&str, &str)]) -> Result<Asked, Refused> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Asked::read(&request.body(()).unwrap().into_parts().0)
}

fn known() -> Known {
    let home = Home { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() };
    let (vpc, subnet) = (VpcId::from_random(1), SubnetId::from_random(2));
    let network = Network {
        vpc: Vpc {
            id: vpc.clone(),
            home: home.clone(),
            cidr: "10.0.0.0/16".parse().unwrap(),
            ipv6: None,
            state: VpcState::Available,
            dns_support: true,
            dns_hostnames: false,
            address_usage_metrics: false,
            default_security_group: SecurityGroupId::from_random(3),
            created_at: now().into(),
        },
        subnet: Subnet {
            id: subnet.clone(),
            home: home.clone(),
            vpc: vpc.clone(),
            cidr: "10.0.1.0/24".parse().unwrap(),
            ipv6: None,
            assign_ipv6: false,
            zone: Zone::A,
            map_public_ip: false,
            created_at: now().into(),
        },
        zone: ("us-east-1a".into(), "use1-az1".into()),
        groups: vec![("sg-1".into(), "web".into()), ("sg-2".into(), "all".into())],
    };
    let instance = Instance {
        id: InstanceId::from_random(4),
        home,
        name: "web".into(),
        vpc,
        subnet,
        address: "10.0.1.4".parse().unwrap(),
        ipv6_address: None,
        secondary_addresses: ["10.0.1.9".parse().unwrap()].into(),
        security_groups: Vec::new(),
        command: Vec::new(),
        detached: true,
        sandbox: Default::default(),
        database: None,
        profile: None,
        metadata: Default::default(),
        state: InstanceState::Running,
        launched_at: now().into(),
        terminated_at: None,
        reason: None,
    };
    Known { instance, network, tags: Vec::new(), role: None }
}

fn role(credentials: Result<(String, Credentials), Unusable>) -> Option<Role> {
    Some(Role {
        profile_arn: "arn:aws:iam::111122223333:instance-profile/web".into(),
        profile_id: "AIPA1".into(),
        updated_at: now(),
        credentials,
    })
}

fn read(path: &str, known: &Known) -> Option<String> {
    let path: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let response = answer(&path, known);
    (response.status() == 200).then(|| String::from_utf8(response.into_body()).unwrap())
}

#[test]
fn a_token_is_asked_for_with_a_lifetime_of_a_second_to_six_hours_and_by_no_proxy() {
    const PATH: &str = "/latest/api/token";
    const TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";
    assert_eq!(asked("PUT", PATH, &[(TTL, "21600")]), Ok(Asked::Token { seconds: 21_600 }));
    assert_eq!(asked("PUT", PATH, &[(TTL, "1")]), Ok(Asked::Token { seconds: 1 }));
    for wrong in ["0", "21601", "-1", "x", "", "99999999999"] {
        assert_eq!(asked("PUT", PATH, &[(TTL, wrong)]), Err(Refused::BadRequest), "{wrong}");
    }
    assert_eq!(asked("PUT", PATH, &[]), Err(Refused::BadRequest));
    assert_eq!(asked("PUT", PATH, &[(TTL, "60"), (TTL, "60")]), Err(Refused::BadRequest));
    assert_eq!(asked("PUT", PATH, &[(TTL, "60"), ("X-Forwarded-For", "10.0.0.1")]), Err(Refused::Forbidden));
    assert_eq!(asked("PUT", "/latest/meta-data/", &[(TTL, "60")]), Err(Refused::NotAllowed));
    assert_eq!(asked("POST", PATH, &[(TTL, "60")]), Err(Refused::NotAllowed));
}

#[test]
fn nothing_is_read_without_a_token() {
    for path in ["/", "/latest/meta-data/instance-id", "/latest/meta-data/iam/security-credentials/"] {
        assert_eq!(asked("GET", path, &[]), Err(Refused::Unauthorized), "{path}");
    }
}

#[test]
fn a_token_is_good_for_its_instance_until_it_is_over_and_not_when_changed() {
    let tokens = Tokens::new().unwrap();
    let (one, other) = (InstanceId::from_random(1), InstanceId::from_random(2));
    let token = tokens.make(&one, 60, now()).unwrap();
    let later = |seconds| now() + SignedDuration::from_secs(seconds);
    assert_eq!(tokens.check(&one, &token, now()), Ok(()));
    assert_eq!(tokens.check(&one, &token, later(59)), Ok(()));
    assert_eq!(tokens.check(&one, &token, later(60)), Err(Refused::Unauthorized));
    assert_eq!(tokens.check(&other, &token, now()), Err(Refused::Unauthorized));
    assert_ne!(tokens.make(&one, 60, now()).unwrap(), token);
    assert_eq!(Tokens::new().unwrap().check(&one, &token, now()), Err(Refused::Unauthorized));
    for place in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(tokens.check(&one, &changed, now()), Err(Refused::Unauthorized), "{place}");
    }
    for junk in ["", "A", "====", &"A".repeat(4000), &token[..token.len() - 4]] {
        assert_eq!(tokens.check(&one, junk, now()), Err(Refused::Unauthorized), "{junk}");
    }
}

#[test]
fn what_is_below_a_path_is_listed_and_what_is_at_it_is_told() {
    let mut known = known();
    let all = read("/latest/meta-data/", &known).unwrap();
    for line in ["instance-id", "local-ipv4", "mac", "network/", "placement/", "security-groups"] {
        assert!(all.lines().any(|found| found == line), "{line} in {all}");
    }
    assert!(!all.contains("iam") && !all.contains("tags"), "{all}");
    assert_eq!(read("/", &known).unwrap().lines().last(), Some("latest"));
    assert_eq!(read("/latest", &known).unwrap(), "dynamic/\nmeta-data/");
    assert_eq!(read("/latest//meta-data/instance-id", &known).unwrap(), "i-00000000000000004");
    assert_eq!(read("/2021-03-23/meta-data/mac", &known).unwrap(), "06:74:0a:00:01:04");
    assert_eq!(read("/latest/meta-data/instance-type", &known).unwrap(), "trellis.host");
    let macs = "/latest/meta-data/network/interfaces/macs";
    assert_eq!(read(macs, &known).unwrap(), "06:74:0a:00:01:04/");
    let interface = |name| read(&format!("{macs}/06:74:0a:00:01:04/{name}"), &known);
    assert_eq!(interface("vpc-id").unwrap(), "vpc-00000000000000001");
    assert_eq!(interface("security-group-ids").unwrap(), "sg-1\nsg-2");
    assert_eq!(interface("subnet-ipv4-cidr-block").unwrap(), "10.0.1.0/24");
    assert_eq!(interface("local-ipv4s").unwrap(), "10.0.1.4\n10.0.1.9");
    assert_eq!(interface("ipv6s"), None);
    for nothing in
        ["/1.0/meta-data/mac", "/latest/meta-data/ma", "/latest/meta-data/mac/x", "/latest/user-data"]
    {
        assert_eq!(read(nothing, &known), None, "{nothing}");
    }
    known.tags = vec![("Name".into(), "web".into()), ("team:a".into(), "b c".into())];
    assert_eq!(read("/latest/meta-data/tags/instance/", &known).unwrap(), "Name\nteam:a");
    assert_eq!(read("/latest/meta-data/tags/instance/team:a", &known).unwrap(), "b c");
    let document: serde_json::Value =
        serde_json::from_str(&read("/latest/dynamic/instance-identity/document", &known).unwrap()).unwrap();
    assert_eq!((&document["accountId"], &document["region"]), (&"111122223333".into(), &"us-east-1".into()));
    assert_eq!(document["instanceType"], "trellis.host", "as DescribeInstances says");
}

#[test]
fn the_role_of_an_instance_is_named_and_its_credentials_are_as_the_sdks_read_them() {
    let credentials = Credentials {
        access_key_id: "ASIA1".into(),
        secret_access_key: "secret".into(),
        token: "token".into(),
        expires_at: now(),
    };
    assert!(!format!("{credentials:?}").contains("secret"));
    let with = |credentials| Known { role: role(credentials), ..known() };
    let good = with(Ok(("app".into(), credentials)));
    let below = "/latest/meta-data/iam/security-credentials/";
    let json = |path: &str, known: &Known| -> serde_json::Value {
        serde_json::from_str(&read(path, known).unwrap()).unwrap()
    };
    assert_eq!(read(below, &good).unwrap(), "app");
    let shown = json(&format!("{below}app"), &good);
    assert_eq!(shown["Code"], "Success");
    assert_eq!(shown["Expiration"], "2023-11-14T22:13:20Z");
    assert_eq!((&shown["AccessKeyId"], &shown["Token"]), (&"ASIA1".into(), &"token".into()));
    assert_eq!(read(&format!("{below}other"), &good), None);
    assert_eq!(json("/latest/meta-data/iam/info", &good)["InstanceProfileId"], "AIPA1");

    let untrusted = with(Err(Unusable::NotTrusted { role: "app".into() }));
    assert_eq!(json(&format!("{below}app"), &untrusted)["Code"], "AssumeRoleUnauthorizedAccess");
    let gone = with(Err(Unusable::NoProfile));
    assert_eq!(json("/latest/meta-data/iam/info", &gone)["Code"], "InstanceProfileNotFound");
    assert_eq!(read(below, &gone), None);
    assert_eq!(read(below, &with(Err(Unusable::NoRole))), None);
}
