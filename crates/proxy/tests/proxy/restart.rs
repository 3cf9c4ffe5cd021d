//! What a bug does to one thread of the proxy does not last.

use std::sync::atomic::Ordering;

use crate::support::*;

const RESTARTS: &str = "trellis_proxy_restarts_total";

#[test]
fn a_worker_that_panics_is_started_again() {
    let target = TestTarget::saying("x");
    let spec = || service("a", forward(&group(1, &[target.address])));
    let network = LoopbackNetwork::default();
    network.panics.store(3, Ordering::SeqCst);
    let mut fixture = Fixture::on(network, world(vec![spec()]), trellis_proxy::Limits::default());
    assert_eq!(fixture.metric(RESTARTS), 3.0);
    assert_eq!(fixture.client().get("a", "/").status(), 200);

    // The same while connections are open: those of that worker go, and what changed is in force.
    let mut client = fixture.client();
    assert_eq!(client.get("a", "/").status(), 200);
    fixture.network.panics.store(2, Ordering::SeqCst);
    fixture.change(World { vpcs: vec![vpc(1), vpc(2)], ..world(vec![spec()]) });
    assert_eq!(fixture.metric(RESTARTS), 5.0);
    for n in [1, 2] {
        let mut client = Client::connect(fixture.network.entrance(&vpc(n), 80));
        assert_eq!(client.get("a", "/").status(), 200);
    }
    drop(client);
    eventually("nothing is counted twice", || fixture.metric("trellis_proxy_connections_open") == 0.0);
    fixture.drain(PATIENCE);
}
