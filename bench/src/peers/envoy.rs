//! Envoy: one worker, and what its guide to benchmarking says to turn off: circuit breakers, dynamic
//! statistics, all statistics, the last unless `statistics` are wanted. The request id stays on, it is part of the work.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Site;
use crate::cases::{host_name, rule_prefix};

pub(super) fn config(site: &Site<'_>, statistics: bool) -> Value {
    let routes: Vec<Value> = (0..site.rules)
        .map(|rule| json!({ "match": { "prefix": rule_prefix(rule) }, "route": { "cluster": "target" } }))
        .collect();
    let virtual_hosts: Vec<Value> = (0..site.hosts)
        .map(|host| json!({ "name": host_name(host), "domains": [host_name(host)], "routes": routes }))
        .collect();
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "dynamic_stats": statistics,
            "suppress_envoy_headers": true,
        },
    });
    let connection_manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "codec_type": "HTTP1",
        "use_remote_address": true,
        "append_x_forwarded_port": true,
        "generate_request_id": true,
        "route_config": { "name": "rules", "virtual_hosts": virtual_hosts },
        "http_filters": [router],
    });
    let unlimited = json!({
        "max_connections": 1_000_000_000,
        "max_pending_requests": 1_000_000_000,
        "max_requests": 1_000_000_000,
        "max_retries": 1_000_000_000,
    });
    let source = site
        .source
        .map(|source| json!({ "source_address": { "address": source.to_string(), "port_value": 0 } }));
    let endpoint = json!({ "endpoint": { "address": address(site.upstream) } });
    json!({
        "stats_config": if statistics { json!({}) } else { json!({ "stats_matcher": { "reject_all": true } }) },
        "static_resources": {
            "listeners": [{
                "name": "front",
                "address": address(site.listen),
                "tcp_backlog_size": 4096,
                "filter_chains": [{ "filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": connection_manager,
                }] }],
            }],
            "clusters": [{
                "name": "target",
                "type": "STATIC",
                "connect_timeout": "5s",
                "circuit_breakers": { "thresholds": [unlimited] },
                "upstream_bind_config": source,
                "load_assignment": {
                    "cluster_name": "target",
                    "endpoints": [{ "lb_endpoints": [endpoint] }],
                },
            }],
        },
    })
}

fn address(socket: SocketAddr) -> Value {
    json!({ "socket_address": { "address": socket.ip().to_string(), "port_value": socket.port() } })
}

#[cfg(test)]
mod tests {
    use super::super::example_site;
    use super::*;

    #[test]
    fn every_host_has_every_rule() {
        let config = config(&example_site(std::path::Path::new("/d")), false);
        let manager =
            config.pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config").unwrap();
        let hosts = manager.pointer("/route_config/virtual_hosts").unwrap().as_array().unwrap();
        assert_eq!(hosts.len(), 3);
        assert_eq!(hosts[2]["domains"], json!(["s0002.bench.example"]));
        assert_eq!(hosts[2]["routes"][1]["match"]["prefix"], "/p1/");
        let address =
            config.pointer("/static_resources/listeners/0/address/socket_address/port_value").unwrap();
        assert_eq!(address, 8081);
    }
}
