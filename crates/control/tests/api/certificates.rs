//! What services show as their generated names: the private CA, from the first start to the last renewal.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trellis_ca::Facts;
use trellis_control::{Config, Control, FrameConfig, SealingKey, StartError};
use trellis_model::snapshot::Certificate;
use trellis_store::Read as _;

use crate::installation::Installation;

/// A service that a VPC can reach; its generated name.
async fn reachable(trellis: &Installation) -> (Value, String) {
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    let service = trellis.service().await;
    let network = network["id"].clone();
    let input = json!({"serviceNetworkIdentifier": network, "vpcIdentifier": vpc});
    trellis.ok("CreateServiceNetworkVpcAssociation", input).await;
    let input = json!({"serviceNetworkIdentifier": network, "serviceIdentifier": service["id"]});
    trellis.ok("CreateServiceNetworkServiceAssociation", input).await;
    let name = service["dnsEntry"]["domainName"].as_str().unwrap().to_owned();
    (service, name)
}

/// What the service named `name` shows as `host` once that is not `before`.
pub(crate) async fn shown(
    trellis: &Installation,
    name: &str,
    host: &str,
    before: Option<&Arc<Certificate>>,
) -> Arc<Certificate> {
    let mut snapshots = trellis.control.snapshots();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        let service =
            snapshot.ingresses.values().find_map(|ingress| ingress.network.hosts.get(name).cloned());
        let found = service.and_then(|service| {
            service.certificates.iter().find(|(shown, _)| **shown == *host).map(|(_, found)| found.clone())
        });
        match found {
            Some(found) if before.is_none_or(|before| !Arc::ptr_eq(before, &found)) => return found,
            _ => snapshots.changed().await.unwrap(),
        }
    }
}

fn facts(certificate: &Certificate) -> Facts {
    Facts::of(&certificate.chain[0].to_vec().into()).unwrap()
}

#[tokio::test]
async fn a_service_shows_a_certificate_of_the_private_ca_for_its_generated_name() {
    let trellis = Installation::new().await;
    let (service, name) = reachable(&trellis).await;
    let certificate = shown(&trellis, &name, &name, None).await;
    let facts = facts(&certificate);
    assert!(facts.covers(&name) && facts.dns_names == [name.clone()], "{facts:?}");
    assert_eq!(certificate.chain.len(), 1);
    let ca = trellis.control.ca_pem();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----") && facts.issuer.contains("Trellis CA"), "{ca}");

    // A change of the service does not make another.
    let input = json!({"serviceIdentifier": service["id"], "idleTimeoutSeconds": 120});
    trellis.ok("UpdateService", input).await;
    let mut snapshots = trellis.control.snapshots();
    let is_changed = |snapshot: &Arc<trellis_model::snapshot::Snapshot>| {
        let mut hosts = snapshot.ingresses.values().filter_map(|ingress| ingress.network.hosts.get(&*name));
        hosts.any(|service| service.idle_timeout == Duration::from_secs(120))
    };
    snapshots.wait_for(is_changed).await.unwrap();
    assert!(Arc::ptr_eq(&shown(&trellis, &name, &name, None).await, &certificate));
}

#[tokio::test]
async fn the_ca_and_its_certificates_survive_a_restart() {
    let trellis = Installation::new().await;
    let (_, name) = reachable(&trellis).await;
    let before = (trellis.control.ca_pem(), shown(&trellis, &name, &name, None).await.chain.clone());
    let trellis = trellis.restart().await;
    let after = (trellis.control.ca_pem(), shown(&trellis, &name, &name, None).await.chain.clone());
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_certificate_has_a_successor_after_two_thirds_of_its_life() {
    let trellis = Installation::new().await;
    let (_, name) = reachable(&trellis).await;
    let first = shown(&trellis, &name, &name, None).await;
    trellis.advance_clock(Duration::from_secs(61 * 24 * 3600));
    let second = shown(&trellis, &name, &name, Some(&first)).await;
    assert!(facts(&second).not_before > facts(&first).not_before);
    assert_ne!(facts(&second).serial, facts(&first).serial);
    assert_eq!(facts(&second).issuer, facts(&first).issuer);
}

#[tokio::test]
async fn a_certificate_that_ended_while_nothing_ran_is_replaced_at_the_start() {
    let trellis = Installation::new().await;
    let (_, name) = reachable(&trellis).await;
    shown(&trellis, &name, &name, None).await;
    let trellis = trellis.restart_after(Duration::from_secs(400 * 24 * 3600)).await;
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(400 * 24);
    let certificate = shown(&trellis, &name, &name, None).await;
    assert!(facts(&certificate).is_valid_at(now));
}

#[tokio::test]
async fn no_private_key_is_in_the_store_in_clear_and_none_is_left_of_a_deleted_service() {
    let trellis = Installation::new().await;
    let service = trellis.service().await;
    let (_, name) = reachable(&trellis).await;
    let certificate = shown(&trellis, &name, &name, None).await;
    let everything = trellis.store.read().unwrap().scan("", None, 10_000).unwrap();
    // The end of a PKCS #8 P-256 key is the public key; the secret is in its first half.
    let secret = &certificate.key[..certificate.key.len() / 2];
    for entry in &everything {
        assert!(!entry.value.windows(secret.len()).any(|window| window == secret), "{}", entry.key);
        assert!(!String::from_utf8_lossy(&entry.value).contains("PRIVATE KEY"), "{}", entry.key);
    }
    let of_service = |store: &trellis_store::Store| {
        let entries = store.read().unwrap().scan("lattice/", None, 10_000).unwrap();
        let id = service["id"].as_str().unwrap().to_owned();
        entries.iter().filter(|entry| entry.key.contains(&format!("/certificate/{id}/"))).count()
    };
    assert_eq!(of_service(&trellis.store), 1);
    trellis.ok("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    trellis.wait_gone("GetService", json!({"serviceIdentifier": service["id"]})).await;
    assert_eq!(of_service(&trellis.store), 0);
}

#[tokio::test]
async fn a_store_sealed_with_another_key_is_refused() {
    let trellis = Installation::new().await;
    let frame = FrameConfig {
        access_key_id: "AKIATESTTESTTESTTEST".into(),
        secret_access_key: "a-secret-that-is-only-used-in-tests".into(),
        sealing_key: Arc::new(SealingKey::from_bytes(&[9; SealingKey::LENGTH]).unwrap()),
        ..FrameConfig::default()
    };
    let config = Config { frame, ..Config::default() };
    assert!(trellis_control::is_sealed(&trellis.store).unwrap());
    let Err(StartError::Vault(fault)) = Control::start(trellis.store.clone(), config).await else {
        panic!("a control plane started with another sealing key");
    };
    let cause = std::error::Error::source(&fault).unwrap().to_string();
    assert!(fault.to_string().contains("ca/authority") && cause.contains("sealed with the key"), "{cause}");
}
