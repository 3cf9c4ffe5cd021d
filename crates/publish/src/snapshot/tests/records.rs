//! An installation of a thousand services, as the store has it.

use super::*;

pub(super) const SERVICES: u64 = 1000;
pub(super) const RULES: u64 = 10;

/// Keys of records, as VPC Lattice has them.
pub(super) struct Place(Scope);

impl Place {
    pub(super) fn new(home: Home) -> Self {
        Self(Scope::new("lattice", &home))
    }

    pub(super) fn network(&self, id: &ServiceNetworkId) -> String {
        self.0.record(kind::NETWORK, id)
    }

    pub(super) fn service(&self, id: &ServiceId) -> String {
        self.0.record(kind::SERVICE, id)
    }

    pub(super) fn listener(&self, service: &ServiceId, id: &ListenerId) -> String {
        self.0.record(kind::LISTENER, format_args!("{service}/{id}"))
    }

    pub(super) fn rule(&self, listener: &ListenerId, id: &RuleId) -> String {
        self.0.record(kind::RULE, format_args!("{listener}/{id}"))
    }

    pub(super) fn target_group(&self, id: &TargetGroupId) -> String {
        self.0.record(kind::TARGET_GROUP, id)
    }

    pub(super) fn target(&self, group: &TargetGroupId, id: &str, port: u16) -> String {
        self.0.record(kind::TARGET, format_args!("{group}/{id}|{port}"))
    }

    pub(super) fn association(&self, kind: &str, id: &str) -> String {
        self.0.record(kind, id)
    }

    pub(super) fn auth_policy(&self, id: &str) -> String {
        self.0.record(kind::AUTH_POLICY, id)
    }

    pub(super) fn certificate(&self, service: &ServiceId, host: &str) -> String {
        self.0.record(kind::CERTIFICATE, format_args!("{service}/{host}"))
    }
}

pub(super) fn home() -> Home {
    Home { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() }
}

pub(super) fn sealing_key() -> Arc<SealingKey> {
    Arc::new(SealingKey::from_bytes(&[7; SealingKey::LENGTH]).unwrap())
}

pub(super) fn builder(board: HealthBoard) -> Builder {
    Builder::new(board, trellis_route53::Board::default(), sealing_key())
}

pub(super) fn now() -> Moment {
    jiff::Timestamp::UNIX_EPOCH.into()
}

/// Records by key, as the store would have them.
#[derive(Default)]
pub(super) struct Records(pub(super) BTreeMap<String, Vec<u8>>);

impl Records {
    pub(super) fn put(&mut self, key: String, record: &impl Serialize) {
        self.0.insert(key, serde_json::to_vec(record).unwrap());
    }

    pub(super) fn resync(&self) -> Event {
        let entry = |(key, value): (&String, &Vec<u8>)| Entry {
            key: key.clone(),
            value: value.clone(),
            created: 1,
            modified: 1,
        };
        Event::Resync { revision: 1, entries: self.0.iter().map(entry).collect() }
    }
}

pub(super) fn change(revision: Revision, key: String, record: Option<&impl Serialize>) -> Event {
    let value = record.map(|record| serde_json::to_vec(record).unwrap().into());
    Event::Changes { revision, changes: vec![Change { key, value, revision }] }
}

pub(super) fn service(number: u64) -> ServiceRecord {
    ServiceRecord {
        id: ServiceId::from_random(number),
        home: home(),
        name: format!("service-{number}"),
        custom_domain_name: None,
        certificate_arn: None,
        auth_type: AuthType::None,
        idle_timeout_seconds: 60,
        status: Status::Active,
        failure: None,
        created_at: now(),
        last_updated_at: now(),
    }
}

pub(super) fn forward(number: u64) -> RuleAction {
    let group = WeightedTargetGroup {
        target_group_identifier: TargetGroupId::from_random(number).as_str().to_owned(),
        weight: Some(100),
    };
    RuleAction::Forward(ForwardAction { target_groups: vec![group] })
}

pub(super) fn listener(number: u64) -> Listener {
    Listener {
        id: ListenerId::from_random(number),
        home: home(),
        service: ServiceId::from_random(number),
        name: "http".into(),
        protocol: ListenerProtocol::Http,
        port: 80,
        default_action: RuleAction::FixedResponse(FixedResponseAction { status_code: 404 }),
        default_rule: RuleId::from_random(number),
        created_at: now(),
        last_updated_at: now(),
    }
}

pub(super) fn rule(service: u64, number: u64) -> Rule {
    let path = PathMatch { case_sensitive: Some(true), matches: PathMatchType::Prefix(format!("/{number}")) };
    Rule {
        id: RuleId::from_random(SERVICES + service * RULES + number),
        home: home(),
        service: ServiceId::from_random(service),
        listener: ListenerId::from_random(service),
        name: format!("rule{number}"),
        priority: number as u16 + 1,
        matches: RuleMatch::HttpMatch(HttpMatch { path_match: Some(path), ..HttpMatch::default() }),
        action: forward(service),
        created_at: now(),
        last_updated_at: now(),
    }
}

pub(super) fn target(group: u64, last: u8) -> (String, Target) {
    let target = Target {
        target_group: TargetGroupId::from_random(group),
        id: format!("10.0.0.{last}"),
        port: Some(80),
        address: Some(([10, 0, 0, last], 80).into()),
        registered_at: now(),
        draining_since: None,
    };
    (Place::new(home()).target(&target.target_group, &target.id, 80), target)
}

pub(super) fn association(number: u64) -> ServiceAssociation {
    let service = service(number);
    ServiceAssociation {
        id: ServiceAssociationId::from_random(number),
        home: home(),
        created_by: home().account,
        network: ServiceNetworkId::from_random(1),
        network_name: "shop".into(),
        network_arn: "arn".into(),
        service_arn: service.arn(),
        domain_name: service.domain_name(),
        service_name: service.name,
        service: service.id,
        custom_domain_name: None,
        status: Status::Active,
        failure: None,
        created_at: now(),
    }
}

/// One network with a client VPC and [`SERVICES`] services, each with [`RULES`] rules and a group.
pub(super) fn installation() -> Records {
    let place = Place::new(home());
    let mut records = Records::default();
    let network = ServiceNetwork {
        id: ServiceNetworkId::from_random(1),
        home: home(),
        name: "shop".into(),
        auth_type: AuthType::None,
        sharing_config: None,
        created_at: now(),
        last_updated_at: now(),
    };
    records.put(place.network(&network.id), &network);
    let client = VpcAssociation {
        id: VpcAssociationId::from_random(1),
        home: home(),
        created_by: home().account,
        network: network.id.clone(),
        network_name: "shop".into(),
        network_arn: network.arn(),
        vpc: VpcId::from_random(1),
        security_groups: Vec::new(),
        private_dns_enabled: false,
        dns_options: None,
        status: Status::Active,
        failure: None,
        created_at: now(),
        last_updated_at: now(),
    };
    records.put(place.association(kind::VPC_ASSOCIATION, client.id.as_str()), &client);
    for number in 1..=SERVICES {
        let (service, listener, association) = (service(number), listener(number), association(number));
        records.put(place.listener(&service.id, &listener.id), &listener);
        records.put(place.service(&service.id), &service);
        records.put(place.association(kind::SERVICE_ASSOCIATION, association.id.as_str()), &association);
        for rule in (0..RULES).map(|rule_number| rule(number, rule_number)) {
            records.put(place.rule(&rule.listener, &rule.id), &rule);
        }
        let group = TargetGroup {
            id: TargetGroupId::from_random(number),
            home: home(),
            name: format!("group-{number}"),
            kind: TargetGroupType::Ip,
            config: Some(TargetGroupConfig {
                port: Some(80),
                protocol: Some(TargetGroupProtocol::Http),
                vpc_identifier: Some(VpcId::from_random(2)),
                ..TargetGroupConfig::default()
            }),
            status: Status::Active,
            failure: None,
            created_at: now(),
            last_updated_at: now(),
        };
        records.put(place.target_group(&group.id), &group);
        let (key, target) = target(number, 10);
        records.put(key, &target);
    }
    records
}
