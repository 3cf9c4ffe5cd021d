//! Records put straight into the store, as if the services they are of had written them.

use serde_json::{Value, json};
use trellis_control::RunInstance;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{
    HostedDatabase, Instance, InstanceState, SecurityGroup, Subnet, Vpc, VpcState, Zone,
};
use trellis_model::{InstanceId, SecurityGroupId, SubnetId, VpcId};
use trellis_store::Read as _;

use super::{ACCOUNT, Installation, REGION};

impl Installation {
    /// Both DNS attributes of the VPC are on.
    pub(crate) async fn allow_private_names(&self, vpc: &VpcId) {
        let key = format!("lattice/{ACCOUNT}/{REGION}/private-names/{vpc}");
        self.store
            .transact(move |tx| {
                tx.put(&key, b"true".to_vec());
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
    }

    async fn store_record(&self, kind: &str, id: &str, record: Value) {
        self.store_record_of(&self.home(), kind, id, record).await;
    }

    async fn store_record_of(&self, home: &Home, kind: &str, id: &str, record: Value) {
        let key = format!("ec2/{}/{}/{kind}/{id}", home.account, home.region);
        self.store
            .transact(move |tx| {
                tx.put(&key, record.to_string().into_bytes());
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
    }

    /// Takes a record of EC2 away, as if nothing had seen to it.
    pub(crate) async fn remove(&self, kind: &str, id: &str) {
        let key = format!("ec2/{ACCOUNT}/{REGION}/{kind}/{id}");
        self.store
            .transact(move |tx| {
                tx.delete(&key);
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
    }

    /// Puts a resource into a status that is otherwise over before a client can look.
    pub(crate) async fn set_status(&self, kind: &str, resource: &Value, status: &str) {
        let key = format!("lattice/{ACCOUNT}/{REGION}/{kind}/{}", resource["id"].as_str().unwrap());
        let status = status.to_owned();
        self.store
            .transact(move |tx| {
                let entry = tx.get(&key).unwrap().unwrap();
                let mut record: Value = serde_json::from_slice(&entry.value).unwrap();
                record["status"] = status.clone().into();
                tx.put(&key, record.to_string().into_bytes());
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
    }

    /// A VPC 10.`second`.0.0/16 with the subnet 10.`second`.1.0/24.
    pub(crate) async fn vpc(&self, second: u8) -> VpcId {
        self.vpc_of(&self.home(), second).await
    }

    pub(crate) async fn vpc_of(&self, home: &Home, second: u8) -> VpcId {
        let id = VpcId::from_random(self.next());
        let vpc = Vpc {
            id: id.clone(),
            home: home.clone(),
            cidr: format!("10.{second}.0.0/16").parse().unwrap(),
            ipv6: None,
            state: VpcState::Available,
            dns_support: true,
            dns_hostnames: false,
            address_usage_metrics: false,
            default_security_group: SecurityGroupId::from_random(self.next()),
            created_at: self.now(),
        };
        self.store_record_of(home, "vpc", id.as_str(), serde_json::to_value(vpc).unwrap()).await;
        let subnet = Subnet {
            id: SubnetId::from_random(self.next()),
            home: home.clone(),
            vpc: id.clone(),
            cidr: format!("10.{second}.1.0/24").parse().unwrap(),
            ipv6: None,
            assign_ipv6: false,
            zone: Zone::A,
            map_public_ip: false,
            created_at: self.now(),
        };
        self.store_record_of(home, "subnet", subnet.id.as_str(), serde_json::to_value(&subnet).unwrap())
            .await;
        id
    }

    /// The same with fd12:0:0:`second`00::/56, and fd12:0:0:`second`01::/64 in the subnet.
    pub(crate) async fn dualstack_vpc(&self, second: u8) -> VpcId {
        let id = self.vpc(second).await;
        let subnet = self.subnets(&id).remove(0);
        let change = |kind: &str, id: &str, association: &str, cidr: String| {
            let key = format!("ec2/{ACCOUNT}/{REGION}/{kind}/{id}");
            let entry = self.store.read().unwrap().get(&key).unwrap().unwrap();
            let mut record: Value = serde_json::from_slice(&entry.value).unwrap();
            record["ipv6"] = json!({"association": association, "cidr": cidr});
            record
        };
        let vpc = change("vpc", id.as_str(), "vpc-cidr-assoc-1", format!("fd12:0:0:{second}00::/56"));
        self.store_record("vpc", id.as_str(), vpc).await;
        let cidr = format!("fd12:0:0:{second}01::/64");
        let record = change("subnet", subnet.as_str(), "subnet-cidr-assoc-1", cidr);
        self.store_record("subnet", subnet.as_str(), record).await;
        id
    }

    /// The subnets of `vpc`.
    pub(crate) fn subnets(&self, vpc: &VpcId) -> Vec<SubnetId> {
        let prefix = format!("ec2/{ACCOUNT}/{REGION}/subnet/");
        let entries = self.store.read().unwrap().scan(&prefix, None, 100).unwrap();
        let subnets = entries.iter().map(|entry| serde_json::from_slice::<Subnet>(&entry.value).unwrap());
        subnets.filter(|subnet| subnet.vpc == *vpc).map(|subnet| subnet.id).collect()
    }

    /// A host in the one subnet of `vpc` that is the database at `arn`.
    pub(crate) async fn database(&self, vpc: &VpcId, arn: &str, port: u16) -> Instance {
        self.host(vpc, Some(HostedDatabase { arn: arn.parse().unwrap(), port })).await
    }

    /// A host in the one subnet of `vpc`, pending.
    pub(crate) async fn host(&self, vpc: &VpcId, database: Option<HostedDatabase>) -> Instance {
        let subnet = self.subnets(vpc).remove(0);
        let key = format!("place/{subnet}");
        self.store
            .transact(move |tx| {
                tx.put(&key, format!("{ACCOUNT}/{REGION}").into_bytes());
                Ok::<_, std::convert::Infallible>(())
            })
            .await
            .unwrap();
        let host = RunInstance {
            subnet: subnet.to_string(),
            name: format!("host-{}", self.next()),
            ip: None,
            ipv6: None,
            security_groups: Vec::new(),
            command: Vec::new(),
            detached: true,
            sandbox: Default::default(),
            database,
            instance_profile: None,
        };
        self.control.hosts().run(host).await.unwrap()
    }

    pub(crate) async fn instance(&self, vpc: &VpcId, address: &str, state: InstanceState) -> InstanceId {
        let instance = Instance {
            id: InstanceId::from_random(self.next()),
            home: self.home(),
            name: format!("host-{}", self.next()),
            vpc: vpc.clone(),
            subnet: SubnetId::from_random(1),
            address: address.parse().unwrap(),
            ipv6_address: None,
            secondary_addresses: Default::default(),
            security_groups: Vec::new(),
            command: Vec::new(),
            detached: false,
            sandbox: Default::default(),
            database: None,
            profile: None,
            metadata: Default::default(),
            state,
            launched_at: self.now(),
            terminated_at: None,
            reason: None,
        };
        self.store_record("instance", instance.id.as_str(), serde_json::to_value(&instance).unwrap()).await;
        instance.id
    }

    pub(crate) async fn security_group(&self, vpc: &VpcId) -> SecurityGroupId {
        let group = SecurityGroup {
            id: SecurityGroupId::from_random(self.next()),
            home: self.home(),
            vpc: vpc.clone(),
            name: "web".into(),
            description: "web".into(),
            rules: Vec::new(),
            created_at: self.now(),
        };
        self.store_record("security-group", group.id.as_str(), serde_json::to_value(&group).unwrap()).await;
        group.id
    }

    /// How many entries the store has under `prefix`.
    pub(crate) fn entries(&self, prefix: &str) -> Vec<String> {
        let entries = self.store.read().unwrap().scan(prefix, None, 10_000).unwrap();
        entries.into_iter().map(|entry| entry.key).collect()
    }
}
