//! What clients of a network reach: resources in the Snapshot, and in the plan of the kernel.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use trellis_model::VpcId;
use trellis_model::fabric::FabricPlan;
use trellis_model::snapshot::{AddressFamily, Destination, RESOURCE_BLOCK, Resource, Snapshot};

use crate::installation::Installation;

/// A network with a client VPC, and a gateway in another.
struct World {
    trellis: Installation,
    network: Value,
    client: VpcId,
    association: Value,
    provider: VpcId,
    gateway: Value,
}

impl World {
    async fn new(more: Value) -> Self {
        let trellis = Installation::new().await;
        let (network, client, provider) =
            (trellis.network().await, trellis.vpc(0).await, trellis.vpc(0).await);
        let gateway = trellis.gateway_with(&provider, json!({"ipv4AddressesPerEni": 3})).await;
        let mut input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": client});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let association = trellis.ok("CreateServiceNetworkVpcAssociation", input).await;
        Self { trellis, network, client, association, provider, gateway }
    }

    async fn single(&self, more: Value) -> Value {
        let mut input = json!({
            "resourceGatewayIdentifier": self.gateway["id"], "portRanges": ["5432", "80-90", "85-99"],
            "resourceConfigurationDefinition": {"ipResource": {"ipAddress": "10.0.1.10"}},
        });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.trellis.resource("SINGLE", input).await
    }

    async fn associate(&self, resource: &Value, private_dns: bool) -> Value {
        let input = json!({
            "serviceNetworkIdentifier": self.network["id"], "resourceConfigurationIdentifier": resource["id"],
            "privateDnsEnabled": private_dns,
        });
        self.trellis.ok("CreateServiceNetworkResourceAssociation", input).await
    }

    /// The Snapshot for which `is_there` holds of the client's resources.
    async fn wait(&self, is_there: impl Fn(&[Arc<Resource>]) -> bool) -> Vec<Arc<Resource>> {
        let of = |snapshot: &Arc<Snapshot>| -> Vec<Arc<Resource>> {
            let ingress = snapshot.ingresses.get(&self.client);
            ingress.into_iter().flat_map(|ingress| ingress.resources.iter().cloned()).collect()
        };
        let snapshots = &mut self.trellis.control.snapshots();
        let found = snapshots.wait_for(|snapshot| is_there(&of(snapshot))).await;
        of(&found.unwrap())
    }

    async fn plan(&self, is_there: impl Fn(&FabricPlan) -> bool) -> Arc<FabricPlan> {
        self.trellis.control.fabric_plans().wait_for(|plan| is_there(plan)).await.unwrap().clone()
    }
}

fn association_by(association: &Value) -> Value {
    json!({"serviceNetworkResourceAssociationIdentifier": association["id"]})
}

/// The private names of resources: all but the first of each.
fn private_names(resources: &[Arc<Resource>]) -> Vec<String> {
    resources.iter().flat_map(|resource| &resource.names[1..]).map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_resource_of_the_network_is_at_an_address_of_its_own_in_the_clients_vpc() {
    let world = World::new(json!({})).await;
    let resource = world.single(json!({})).await;
    let association = world.associate(&resource, false).await;
    let found = world.wait(|resources| !resources.is_empty()).await;
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!(found.association.as_str(), association["id"].as_str().unwrap());
    assert_eq!(
        (found.id.as_str(), &*found.arn),
        (resource["id"].as_str().unwrap(), resource["arn"].as_str().unwrap())
    );
    assert!(RESOURCE_BLOCK.contains(&found.address), "{}", found.address);
    assert_eq!(*found.ports, [80..=99, 5432..=5432]);
    assert_eq!(found.destination, Destination::Ip("10.0.1.10".parse().unwrap()));
    assert_eq!(found.vpc, world.provider);
    let got = world.trellis.ok("GetServiceNetworkResourceAssociation", association_by(&association)).await;
    assert_eq!(&*found.names[0], got["dnsEntry"]["domainName"].as_str().unwrap());
    assert_eq!(found.names.len(), 1);
    // The highest of the gateway's subnet, 10.0.1.0/24.
    let sources: Vec<IpAddr> =
        ["10.0.1.254", "10.0.1.253", "10.0.1.252"].map(|ip| ip.parse().unwrap()).into();
    assert_eq!(*found.sources, *sources);

    let plan = world.plan(|plan| !plan.vpcs[&world.client].resources.is_empty()).await;
    assert_eq!(plan.vpcs[&world.client].resources[&found.address], found.ports);
    let gateways = &plan.vpcs[&world.provider].gateways;
    let [gateway] = gateways.values().collect::<Vec<_>>()[..] else { panic!("{gateways:?}") };
    assert_eq!(gateway.addresses, sources);

    // A change of ports and address, then the end.
    let update = json!({
        "resourceConfigurationIdentifier": resource["id"], "portRanges": ["6432"],
        "resourceConfigurationDefinition": {"ipResource": {"ipAddress": "10.0.1.11"}},
    });
    world.trellis.ok("UpdateResourceConfiguration", update).await;
    let after = world.wait(|resources| *resources[0].ports == [6432..=6432]).await;
    assert_eq!(after[0].destination, Destination::Ip("10.0.1.11".parse().unwrap()));
    assert_eq!(after[0].address, found.address);
    world.trellis.ok("DeleteServiceNetworkResourceAssociation", association_by(&association)).await;
    assert!(world.wait(|resources| resources.is_empty()).await.is_empty());
    world.plan(|plan| plan.vpcs[&world.client].resources.is_empty()).await;
}

#[tokio::test]
async fn the_children_of_a_group_are_reached_each_by_itself() {
    let world = World::new(json!({})).await;
    let gateway = json!({"resourceGatewayIdentifier": world.gateway["id"], "portRanges": ["5432"]});
    let group = world.trellis.resource("GROUP", gateway).await;
    world.associate(&group, false).await;
    let mut names = Vec::new();
    for domain in ["One.Example.com", "two.example.com"] {
        let child = json!({
            "resourceConfigurationGroupIdentifier": group["id"], "portRanges": ["5432"],
            "resourceConfigurationDefinition": {"dnsResource": {"domainName": domain, "ipAddressType": "IPV4"}},
        });
        world.trellis.resource("CHILD", child).await;
        names.push(Destination::Name(domain.to_ascii_lowercase().into(), AddressFamily::Ipv4));
    }
    let found = world.wait(|resources| resources.len() == 2).await;
    let mut destinations: Vec<_> = found.iter().map(|resource| resource.destination.clone()).collect();
    destinations.sort_by_key(|destination| format!("{destination:?}"));
    assert_eq!(destinations, names);
    assert_ne!(found[0].address, found[1].address);
}

const ORDERS: &str = "arn:aws:rds:us-east-1:111122223333:db:orders";

#[tokio::test]
async fn a_database_by_arn_is_the_host_that_says_it_is_one() {
    let world = World::new(json!({})).await;
    let trellis = &world.trellis;
    let definition = json!({
        "resourceGatewayIdentifier": world.gateway["id"],
        "resourceConfigurationDefinition": {"arnResource": {"arn": ORDERS}},
    });
    let resource = trellis.resource("ARN", definition).await;
    let by = json!({"resourceConfigurationIdentifier": resource["id"]});
    let why = async || trellis.ok("GetResourceConfiguration", by.clone()).await["failureReason"].clone();
    let missing = why().await;
    assert!(missing.as_str().unwrap().contains("trellis run --resource-arn"), "{missing}");
    let association = world.associate(&resource, false).await;
    assert_eq!(association["privateDnsEnabled"], true);
    // The gateway's own VPC is a client too.
    let own = json!({"serviceNetworkIdentifier": world.network["id"], "vpcIdentifier": world.provider});
    trellis.ok("CreateServiceNetworkVpcAssociation", own).await;
    for vpc in [&world.client, &world.provider] {
        trellis.allow_private_names(vpc).await;
    }
    let association = association_by(&association);
    let got = trellis.ok("GetServiceNetworkResourceAssociation", association).await;
    let name = got["privateDnsEntry"]["domainName"].as_str().unwrap().to_owned();
    assert!(name.starts_with("orders.") && name.ends_with(".us-east-1.rds.amazonaws.com"), "{name}");

    let orders = trellis.database(&world.provider, ORDERS, 5432).await;
    let found = world.wait(|resources| resources.iter().any(|resource| resource.names.len() == 2)).await;
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!(found.destination, Destination::Ip(orders.address.into()));
    assert_eq!(*found.ports, [5432..=5432]);
    assert_eq!(private_names(std::slice::from_ref(found)), [name]);
    assert_eq!(why().await, Value::Null);
    let plan = world.plan(|plan| !plan.vpcs[&world.client].resources.is_empty()).await;
    assert_eq!(plan.vpcs[&world.client].resources[&found.address], found.ports);
    let snapshots = &mut trellis.control.snapshots();
    let here = |snapshot: &Arc<Snapshot>| {
        Some(snapshot.ingresses.get(&world.provider)?.resources.iter().next()?.clone())
    };
    let snapshot = snapshots.wait_for(|snapshot| here(snapshot).is_some()).await.unwrap().clone();
    assert_eq!(here(&snapshot).unwrap().names.len(), 1, "where the gateway is, the name is not shadowed");

    trellis.control.hosts().terminate(orders.id.as_str()).await.unwrap();
    world.wait(|resources| resources.is_empty()).await;
    assert_eq!(why().await, missing);
    let elsewhere = trellis.vpc(3).await;
    trellis.database(&elsewhere, ORDERS, 5432).await;
    let reason = why().await;
    assert!(reason.as_str().unwrap().contains(elsewhere.as_str()), "{reason}");
    assert!(world.wait(|resources| resources.is_empty()).await.is_empty());
}

#[tokio::test]
async fn private_names_are_those_the_consumer_prefers() {
    let world = World::new(json!({"privateDnsEnabled": true})).await;
    let started = world.trellis.ok("StartDomainVerification", json!({"domainName": "example.com"})).await;
    let verified = world
        .single(json!({"customDomainName": "DB.example.com", "domainVerificationIdentifier": started["id"]}))
        .await;
    let unverified = world.single(json!({"customDomainName": "db.example.org"})).await;
    let silent = world.single(json!({"customDomainName": "silent.example.org"})).await;
    world.associate(&verified, true).await;
    world.associate(&unverified, true).await;
    world.associate(&silent, false).await;
    let is = |expected: &'static [&'static str]| {
        move |resources: &[Arc<Resource>]| {
            let mut names = private_names(resources);
            names.sort();
            resources.len() == 3 && names == expected
        }
    };
    world.wait(is(&[])).await;
    let config = &started["txtMethodConfig"];
    let name = format!("{}.example.com", config["name"].as_str().unwrap());
    world.trellis.txt.lock().unwrap().insert(name, vec![config["value"].as_str().unwrap().into()]);
    // The VPC's own attributes say that there are none.
    let by_id = json!({"domainVerificationIdentifier": started["id"]});
    world.trellis.wait_status("GetDomainVerification", by_id, "VERIFIED").await;
    world.wait(is(&[])).await;
    world.trellis.allow_private_names(&world.client).await;
    world.wait(is(&["db.example.com"])).await;

    let by = json!({"serviceNetworkVpcAssociationIdentifier": world.association["id"]});
    for (preference, domains, expected) in [
        ("ALL_DOMAINS", json!(null), &["db.example.com", "db.example.org"][..]),
        ("SPECIFIED_DOMAINS_ONLY", json!(["*.example.org"]), &["db.example.org"]),
        (
            "VERIFIED_DOMAINS_AND_SPECIFIED_DOMAINS",
            json!(["db.example.org"]),
            &["db.example.com", "db.example.org"],
        ),
        ("SPECIFIED_DOMAINS_ONLY", json!(["example.com"]), &[]),
        ("VERIFIED_DOMAINS_ONLY", json!(null), &["db.example.com"]),
    ] {
        world.trellis.wait_status("GetServiceNetworkVpcAssociation", by.clone(), "ACTIVE").await;
        let mut options = json!({"privateDnsPreference": preference});
        if !domains.is_null() {
            options["privateDnsSpecifiedDomains"] = domains;
        }
        let mut update = by.clone();
        update["dnsOptions"] = options;
        world.trellis.ok("UpdateServiceNetworkVpcAssociation", update).await;
        world.wait(is(expected)).await;
    }
    // A verification that proved something may go.
    let verification = json!({"domainVerificationIdentifier": started["id"]});
    world.trellis.ok("DeleteDomainVerification", verification).await;
    world.wait(is(&["db.example.com"])).await;
    world.trellis.wait_status("GetServiceNetworkVpcAssociation", by.clone(), "ACTIVE").await;
    let mut update = by;
    update["privateDnsEnabled"] = json!(false);
    world.trellis.ok("UpdateServiceNetworkVpcAssociation", update).await;
    world.wait(is(&[])).await;
}

#[tokio::test]
async fn a_verification_that_proved_nothing_proves_nothing_once_deleted() {
    let world = World::new(json!({"privateDnsEnabled": true})).await;
    let started = world.trellis.ok("StartDomainVerification", json!({"domainName": "example.com"})).await;
    let custom = json!({"customDomainName": "db.example.com", "domainVerificationIdentifier": started["id"]});
    let resource = world.single(custom).await;
    world.associate(&resource, true).await;
    world.trellis.allow_private_names(&world.client).await;
    world.wait(|resources| resources.len() == 1).await;
    let verification = json!({"domainVerificationIdentifier": started["id"]});
    world.trellis.ok("DeleteDomainVerification", verification).await;
    let next = world.single(json!({})).await;
    world.associate(&next, true).await;
    let found = world.wait(|resources| resources.len() == 2).await;
    assert!(private_names(&found).is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_subnet_without_room_for_the_gateways_addresses_is_refused() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let input = json!({
        "name": "databases", "vpcIdentifier": vpc, "subnetIds": trellis.subnets(&vpc), "ipv4AddressesPerEni": 62,
    });
    // 251 addresses, 62 for each gateway.
    for (number, fits) in [(1, true), (2, true), (3, true), (4, true), (5, false)] {
        let mut input = input.clone();
        input["name"] = json!(format!("databases-{number}"));
        if fits {
            trellis.ok("CreateResourceGateway", input).await;
        } else {
            let refused = trellis.refused("CreateResourceGateway", input).await;
            assert!(
                refused.is(400, "ValidationException") && refused.message().contains("3 free"),
                "{refused:?}"
            );
        }
    }
}
