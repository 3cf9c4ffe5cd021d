use std::fs;

use tempfile::TempDir;
use trellis_model::resource::lattice::{AccessLogSubscriptions, LogDestinationKind, ServiceNetworkLogType};

use super::*;
use crate::options::{Endpoint, Options};
use crate::tests::{self, subscription};

const NETWORK: &str = "sn-00000000000000001";
const SERVICE: &str = "svc-00000000000000001";
const CHILD: &str = "rcfg-00000000000000001";
const GROUP: &str = "rcfg-00000000000000002";

/// A spool and local files in a directory of their own, and what was subscribed to.
struct Place {
    directory: TempDir,
    options: Options,
    spool: Arc<Spool>,
    subscriptions: AccessLogSubscriptions,
}

impl Place {
    fn new(endpoint: Endpoint) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = tests::options(directory.path());
        options.endpoints.insert(LogDestinationKind::S3, endpoint);
        let spool = Arc::new(Spool::open(&options.spool, 1 << 20).unwrap());
        Self { directory, options, spool, subscriptions: AccessLogSubscriptions::default() }
    }

    fn subscribe(
        &mut self,
        resource: &str,
        log_type: Option<ServiceNetworkLogType>,
    ) -> AccessLogSubscriptionId {
        let mut made = subscription(resource, "arn:aws:s3:::logs");
        made.id = AccessLogSubscriptionId::from_random(self.subscriptions.by_id.len() as u64);
        made.log_type = log_type;
        self.subscriptions.by_id.insert(made.id.clone(), Arc::new(made.clone()));
        made.id
    }

    fn routes(&self) -> Routes {
        Routes::new(&self.subscriptions, &self.options, &self.spool, &Routes::default())
    }

    fn intake(&self) -> Intake {
        Intake::new(watch::channel(Arc::new(self.routes())).1, self.spool.clone())
    }

    fn spooled(&self, id: &AccessLogSubscriptionId) -> String {
        let directory = self.options.spool.join(id.as_str());
        let Ok(entries) = fs::read_dir(directory) else { return String::new() };
        entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }
}

fn request(service: &str) -> String {
    tests::request(NETWORK, service)
}

fn connection(resource: &str) -> String {
    format!("{{\"serviceNetworkArn\":\"a/{NETWORK}\",\"resourceConfigurationArn\":\"a/{resource}\"}}\n")
}

#[test]
fn a_line_goes_to_the_subscriptions_of_its_service_and_of_its_network() {
    let mut place = Place::new(Endpoint::Amazon);
    let service = place.subscribe(SERVICE, None);
    let network = place.subscribe(NETWORK, Some(ServiceNetworkLogType::Service));
    let other = place.subscribe("svc-00000000000000009", None);
    let unknown = format!("{{\"serviceNetworkArn\":\"a/{NETWORK}\",\"serviceArn\":\"-\"}}\n");
    let chunk = [request(SERVICE), unknown.clone(), connection(CHILD)].concat();
    place.intake().take(chunk.as_bytes(), Timestamp::UNIX_EPOCH);
    assert_eq!(place.spooled(&service), request(SERVICE));
    assert_eq!(place.spooled(&network), [request(SERVICE), unknown].concat());
    assert_eq!(place.spooled(&other), "");
}

#[test]
fn a_connection_goes_to_the_resource_its_group_and_the_network_that_asks_for_connections() {
    let mut place = Place::new(Endpoint::Amazon);
    let (child, group) = (place.subscribe(CHILD, None), place.subscribe(GROUP, None));
    let connections = place.subscribe(NETWORK, Some(ServiceNetworkLogType::Resource));
    let requests = place.subscribe(NETWORK, Some(ServiceNetworkLogType::Service));
    place.subscriptions.groups.insert(CHILD.parse().unwrap(), GROUP.parse().unwrap());
    let chunk = [request(SERVICE), connection(CHILD)].concat();
    place.intake().take(chunk.as_bytes(), Timestamp::UNIX_EPOCH);
    for id in [child, group, connections] {
        assert_eq!(place.spooled(&id), connection(CHILD), "{id}");
    }
    assert_eq!(place.spooled(&requests), request(SERVICE));
}

#[test]
fn without_an_endpoint_lines_go_to_a_file_named_after_the_subscription() {
    let mut place = Place::new(Endpoint::Files);
    let id = place.subscribe(SERVICE, None);
    let intake = place.intake();
    intake.take(request(SERVICE).as_bytes(), Timestamp::UNIX_EPOCH);
    intake.take(request(SERVICE).as_bytes(), Timestamp::UNIX_EPOCH);
    let written = fs::read_to_string(place.directory.path().join(format!("{id}.log"))).unwrap();
    assert_eq!(written, request(SERVICE).repeat(2));
    let routes = intake.routes.borrow().clone();
    let tally = &routes.all().next().unwrap().tally;
    assert_eq!((tally.accepted.value(), tally.delivered.value()), (2, 2));
    assert_eq!(place.spooled(&id), "");
}
