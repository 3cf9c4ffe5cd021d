//! What is written down: the access log and the metrics.

use serde_json::Value;
use trellis_model::snapshot::{Action, Auth};

use crate::support::*;

#[test]
fn a_request_leaves_one_line_with_the_fields_of_the_reference() {
    let target = TestTarget::saying("hello");
    let mut fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    let request = "POST /p/q?secret=1 HTTP/1.1\r\nHost: a:80\r\nUser-Agent: me \"\\\u{e9}\r\nContent-Length: 4\r\n\r\nbody";
    let answer = client.call(request);
    let peer = client.stream.local_addr().unwrap().to_string();
    let sent = answer.head.len() + answer.body.len();
    drop(client);
    let lines = fixture.log_lines();
    assert_eq!(lines.len(), 1);
    let line = lines[0].as_object().unwrap();
    let sn = "arn:aws:vpc-lattice:us-east-1:111122223333:servicenetwork/sn-00000000000000001";
    let svc = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-00000000000000001";
    let expected: Vec<(&str, Value)> = vec![
        ("requestId", answer.header("x-amzn-requestid").unwrap().into()),
        ("requestMethod", "POST".into()),
        ("requestPath", "/p/q".into()),
        ("hostHeader", "a:80".into()),
        ("userAgent", "me \"\\\u{e9}".into()),
        ("protocol", "HTTP/1.1".into()),
        ("responseCode", 200.into()),
        ("bytesReceived", request.len().into()),
        ("bytesSent", sent.into()),
        ("sourceIpPort", peer.into()),
        ("targetIpPort", target.address.to_string().into()),
        ("sourceVpcId", "vpc-00000000000000001".into()),
        ("sourceVpcArn", "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-00000000000000001".into()),
        ("destinationVpcId", vpc(901).as_str().into()),
        ("serviceNetworkArn", sn.into()),
        ("serviceArn", svc.into()),
        ("targetGroupArn", "arn:aws:vpc-lattice:us-east-1:111122223333:targetgroup/tg-1".into()),
        ("listenerType", "HTTP".into()),
        ("listenerId", "listener-00000000000000001".into()),
    ];
    let absent = [
        "tlsVersion",
        "sslCipher",
        "serverNameIndication",
        "resolvedUser",
        "authDeniedReason",
        "callerPrincipal",
        "callerPrincipalOrgID",
        "callerPrincipalTags",
        "callerX509SubjectCN",
        "callerX509IssuerOU",
        "callerX509SANNameCN",
        "callerX509SANDNS",
        "callerX509SANURI",
        "failureReason",
    ];
    let times = ["duration", "requestToTargetDuration", "responseFromTargetDuration"];
    for (name, value) in &expected {
        assert_eq!(line.get(*name), Some(value), "{name}");
    }
    for name in absent {
        assert_eq!(line.get(name), Some(&Value::from("-")), "{name}");
    }
    for name in times {
        assert!(line[name].is_u64(), "{name}");
    }
    let start = line["startTime"].as_str().unwrap();
    assert!(start.len() == 20 && start.ends_with('Z') && start.as_bytes()[10] == b'T', "{start}");
    assert_eq!(line.len(), expected.len() + absent.len() + times.len() + 1, "and no other fields");
}

#[test]
fn lines_of_refused_requests_say_why() {
    let mut spec = service("closed", Action::FixedResponse(404));
    spec.auth = Auth::DenyAll;
    let mut fixture = Fixture::new(world(vec![spec, service("open", Action::FixedResponse(404))]));
    let mut client = fixture.client();
    assert_eq!(client.get("closed", "/x").status(), 403);
    assert_eq!(client.get("open", "/x").status(), 404);
    assert_eq!(client.get("unknown", "/x").status(), 404);
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.read_message().unwrap().status(), 400);
    drop(client);
    let lines = fixture.log_lines();
    let of = |line: usize, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| lines[line][*name].as_str().unwrap().to_owned()).collect()
    };
    let names = ["resolvedUser", "authDeniedReason", "failureReason", "targetIpPort", "listenerType"];
    assert_eq!(of(0, &names), ["Anonymous", "Service", "ClientAccessDenied", "-", "HTTP"]);
    assert_eq!(lines[0]["requestToTargetDuration"], 0);
    assert_eq!(of(1, &names), ["-", "-", "-", "-", "HTTP"]);
    assert_eq!(of(2, &names), ["-", "-", "-", "-", "-"]);
    assert_eq!(of(3, &names), ["-", "-", "ClientProtocolError", "-", "-"]);
    assert_eq!(of(2, &["sourceVpcId", "hostHeader"]), ["vpc-00000000000000001", "unknown"]);
}

#[test]
fn every_request_of_every_worker_is_in_the_log_after_a_drain() {
    let target = TestTarget::saying("x");
    let mut fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    for _ in 0..20 {
        let mut client = fixture.client();
        for _ in 0..25 {
            assert_eq!(client.get("a", "/").status(), 200);
        }
    }
    assert_eq!(fixture.log_lines().len(), 500);
}

#[test]
fn metrics_count_requests_by_service_and_target_group() {
    let target = TestTarget::answering(|request| match request.head.split(' ').nth(1).unwrap() {
        "/missing" => "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".into(),
        _ => ok("x"),
    });
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    for path in ["/", "/", "/missing"] {
        client.get("a", path);
    }
    client.get("unknown", "/");
    eventually("the last request is counted", || {
        fixture.metric("trellis_unrouted_requests_total{code=\"4xx\"}") == 1.0
    });
    let text = fixture.metrics();
    for (series, expected) in [
        ("trellis_service_requests_total{service=\"svc-00000000000000001\",code=\"2xx\"}", 2.0),
        ("trellis_service_requests_total{service=\"svc-00000000000000001\",code=\"4xx\"}", 1.0),
        ("trellis_service_active_requests{service=\"svc-00000000000000001\"}", 0.0),
        ("trellis_service_request_duration_seconds_count{service=\"svc-00000000000000001\"}", 3.0),
        (
            "trellis_service_request_duration_seconds_bucket{service=\"svc-00000000000000001\",le=\"+Inf\"}",
            3.0,
        ),
        ("trellis_target_group_requests_total{target_group=\"tg-00000000000000001\",code=\"2xx\"}", 2.0),
        ("trellis_target_group_connections_total{target_group=\"tg-00000000000000001\"}", 1.0),
        ("trellis_target_group_active_requests{target_group=\"tg-00000000000000001\"}", 0.0),
        ("trellis_proxy_connections_open", 1.0),
        ("trellis_proxy_workers", 2.0),
        ("trellis_proxy_snapshot_revision", 1.0),
    ] {
        assert_eq!(metric(&text, series), expected, "{series}\n{text}");
    }
    let mut types = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(types.insert(rest.split(' ').next().unwrap().to_owned()), "typed twice: {line}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(types.contains(name) || types.contains(family), "untyped: {line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
