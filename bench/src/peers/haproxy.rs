//! HAProxy: one thread, host and path looked up together in a prefix map, connections shared by all.

use std::fmt::Write;
use std::path::Path;

use super::Site;
use crate::cases::{host_name, rule_prefix};

/// One line for each rule of each host: `HOST/PREFIX BACKEND`. HAProxy keeps it as a prefix tree.
pub(super) fn map(site: &Site<'_>) -> String {
    let mut text = String::new();
    for host in 0..site.hosts {
        for rule in 0..site.rules {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}{} target", host_name(host), rule_prefix(rule));
        }
    }
    text
}

pub(super) fn config(site: &Site<'_>, map: &Path) -> String {
    let Site { listen, upstream, source, .. } = site;
    let source = source.map_or(String::new(), |source| format!(" source {source}"));
    let map = map.display();
    format!(
        "global
    nbthread 1
    maxconn 8192
    tune.bufsize 32768

defaults
    mode http
    http-reuse always
    option forwardfor
    timeout connect 5s
    timeout client 3600s
    timeout server 3600s
    timeout http-keep-alive 3600s
    timeout http-request 60s

frontend front
    bind {listen} backlog 4096
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Request-Id %[uuid()]
    use_backend %[base,map_beg({map},none)]

backend target
    server target1 {upstream}{source}

backend none
    http-request return status 404
"
    )
}

#[cfg(test)]
mod tests {
    use super::super::example_site;
    use super::*;

    #[test]
    fn the_map_has_every_rule_of_every_host() {
        let site = example_site(Path::new("/d"));
        let text = map(&site);
        assert_eq!(text.lines().count(), 6);
        assert!(text.contains("s0002.bench.example/p1/ target\n"), "{text}");
        let text = config(&site, Path::new("/d/rules.map"));
        assert!(
            text.contains("map_beg(/d/rules.map,none)")
                && text.contains("server target1 10.0.2.10:9000 source 169.254.171.2\n")
        );
    }
}
