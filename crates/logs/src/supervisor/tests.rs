use std::path::Path;
use std::sync::Mutex;

use tempfile::TempDir;
use trellis_model::resource::lattice::LogDestinationKind;

use super::*;
use crate::tests::{self, Server, subscription};
use crate::{Delivery, Metrics};

const NETWORK: &str = "sn-00000000000000001";
const SERVICE: &str = "svc-00000000000000001";

/// A delivery of one service's log to a bucket at `url`, whose lines are gathered for `seconds`.
struct World {
    delivery: Delivery,
    metrics: Metrics,
    subscriptions: watch::Sender<Arc<AccessLogSubscriptions>>,
}

impl World {
    fn start(directory: &Path, url: &str, seconds: u64) -> Self {
        let mut options = tests::options(directory);
        options.endpoints.insert(LogDestinationKind::S3, url.parse().unwrap());
        options.intervals.insert(LogDestinationKind::S3, Duration::from_secs(seconds));
        let of = Arc::new(subscription(SERVICE, "arn:aws:s3:::logs"));
        let mut all = AccessLogSubscriptions::default();
        all.by_id.insert(of.id.clone(), of);
        let (subscriptions, receiver) = watch::channel(Arc::new(all));
        let delivery = Delivery::start(options, receiver).unwrap();
        let metrics = delivery.metrics();
        delivery.reader()(tests::request(NETWORK, SERVICE).as_bytes());
        Self { delivery, metrics, subscriptions }
    }

    async fn finish(self) {
        self.delivery.finish(Duration::from_secs(20)).await;
    }
}

/// Waits until `look` says so; what does not come fails by the test's own patience.
async fn until(look: impl Fn() -> bool) {
    for _ in 0..2000 {
        if look() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not come");
}

fn is_empty(directory: &TempDir) -> bool {
    let mut left = std::fs::read_dir(directory.path().join("spool")).unwrap();
    left.all(|queue| std::fs::read_dir(queue.unwrap().path()).is_ok_and(|mut files| files.next().is_none()))
}

fn refusing() -> Server {
    Server::start(|_, _| (503, "<Error><Code>SlowDown</Code></Error>".into()))
}

#[tokio::test]
async fn what_was_gathered_is_delivered_before_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| (200, String::new()));
    World::start(directory.path(), &server.url, 3600).finish().await;
    assert_eq!(server.seen().len(), 1);
    assert!(is_empty(&directory));
}

#[tokio::test]
async fn what_could_not_be_delivered_is_after_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let server = refusing();
    let world = World::start(directory.path(), &server.url, 0);
    until(|| world.metrics.render().contains("trellis_log_delivery_failing{subscription=\"als-0")).await;
    until(|| !server.seen().is_empty()).await;
    world.finish().await;
    assert!(!is_empty(&directory));
    let server = Server::start(|_, _| (200, String::new()));
    let world = World::start(directory.path(), &server.url, 0);
    until(|| is_empty(&directory)).await;
    until(|| world.metrics.render().contains("outcome=\"delivered\"} 2\n")).await;
    world.finish().await;
}

#[tokio::test]
async fn a_deleted_subscription_is_tried_once_more_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = refusing();
    let world = World::start(directory.path(), &server.url, 0);
    until(|| !server.seen().is_empty()).await;
    let before = server.seen().len();
    assert!(!is_empty(&directory));
    world.subscriptions.send_replace(Arc::default());
    until(|| std::fs::read_dir(directory.path().join("spool")).unwrap().next().is_none()).await;
    assert!(server.seen().len() > before);
    assert!(!world.metrics.render().contains("als-0"));
    world.finish().await;
}

#[tokio::test]
async fn a_changed_destination_is_tried_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Arc::new(Mutex::new(Vec::new()));
    let seen = paths.clone();
    let server = Server::start(move |head, _| {
        let is_other = head.starts_with("PUT /other/");
        seen.lock().unwrap().push(is_other);
        if is_other { (200, String::new()) } else { (503, String::new()) }
    });
    let world = World::start(directory.path(), &server.url, 0);
    until(|| paths.lock().unwrap().contains(&false)).await;
    world.subscriptions.send_modify(|all| {
        let all = Arc::make_mut(all);
        let of = all.by_id.values_mut().next().unwrap();
        Arc::make_mut(of).destination_arn = "arn:aws:s3:::other".into();
    });
    until(|| is_empty(&directory)).await;
    assert_eq!(paths.lock().unwrap().last(), Some(&true));
    world.finish().await;
}
