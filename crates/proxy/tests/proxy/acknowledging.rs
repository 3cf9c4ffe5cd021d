//! When the kernel is made to acknowledge what came. What it did is counted for a network namespace, so
//! the calls are made in one of their own, by a second process of this test.

use std::process::Command;

use trellis_model::health::ProtocolVersion;
use trellis_proxy::Limits;

use crate::http2::{Http2, fixture, group_speaking, run};
use crate::support::*;

/// Calls that have each direction in two pieces.
const CALLS: u32 = 40;

#[test]
fn a_message_in_two_pieces_has_its_first_acknowledged_at_once() {
    in_a_network_of_its_own("acknowledging::calls_in_two_pieces");
}

#[test]
fn a_message_in_two_pieces_over_http2_has_its_first_acknowledged_at_once() {
    in_a_network_of_its_own("acknowledging::answers_in_two_pieces_over_http2");
}

pub(crate) fn in_a_network_of_its_own(test: &str) {
    let own_network = "ip link set lo up && exec \"$0\" \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c", own_network])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test])
        .output()
        .expect("unshare(1), of util-linux");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Both ends hold back what is less than a segment until what they sent before is acknowledged. Whoever
/// waits with that does so until a timer runs out, and the kernel counts those.
#[test]
#[ignore = "run by the test above, in a network of its own"]
fn calls_in_two_pieces() {
    let target = TestTarget::new(|mut wire, _| {
        wire.stream.set_nodelay(false).unwrap();
        while let Some(request) = wire.read_message() {
            assert_eq!(request.text(), "apart");
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
            wire.send("apart");
        }
    });
    let fixture =
        Fixture::with(world(vec![service("a", forward(&group(1, &[target.address])))]), Limits::default());
    let mut client = fixture.client();
    client.stream.set_nodelay(false).unwrap();
    let before = delayed();
    for _ in 0..CALLS {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
        client.send("apart");
        assert_eq!(client.read_message().unwrap().text(), "apart");
        // The client's own acknowledgement does not count.
        socket2::SockRef::from(&client.stream).set_tcp_quickack(true).unwrap();
    }
    // Some wait on a machine that is busy; without the proxy's doing each does, twice.
    let waited = delayed() - before;
    assert!(waited < CALLS, "{waited} of {CALLS} calls waited for an acknowledgement");
}

/// A target that writes the head and the body of its answer apart, as above.
#[test]
#[ignore = "run by the test above, in a network of its own"]
fn answers_in_two_pieces_over_http2() {
    let target = TestTarget::new(|mut wire, _| {
        wire.stream.set_nodelay(false).unwrap();
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        for call in 0..CALLS as u8 {
            wire.read_until("apart").unwrap();
            let stream = 1 + 2 * call;
            // `:status: 200`, and DATA that ends the stream.
            wire.send([0, 0, 1, 1, 4, 0, 0, 0, stream, 0x88]);
            wire.send([0, 0, 5, 0, 1, 0, 0, 0, stream, b'a', b'p', b'a', b'r', b't']);
        }
        wire.read_to_end();
    });
    let group = group_speaking(1, ProtocolVersion::Http2, &[target.address]);
    let fixture = fixture(forward(&group));
    let waited = run(async {
        let mut client = Http2::connect(&fixture).await;
        let before = delayed();
        for _ in 0..CALLS {
            assert_eq!(client.post("/", "apart").await.text(), "apart");
        }
        delayed() - before
    });
    assert!(waited < CALLS / 2, "{waited} of {CALLS} calls waited for an acknowledgement");
}

/// Acknowledgements that a timer sent in this network namespace.
pub(crate) fn delayed() -> u32 {
    let text = std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut named = names.split(' ').zip(values.split(' '));
    named.find(|(name, _)| *name == "DelayedACKs").unwrap().1.parse().unwrap()
}
