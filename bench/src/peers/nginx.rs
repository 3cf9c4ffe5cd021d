//! nginx: one worker, a keep-alive pool, buffers that hold every body, no temporary files, no log.

use std::fmt::Write;

use super::Site;
use crate::cases::{host_name, rule_prefix};

pub(super) fn config(site: &Site<'_>) -> String {
    let Site { listen, upstream, source, hosts, rules, dir } = site;
    let bind = source.map_or(String::new(), |source| format!("proxy_bind {source};"));
    let dir = dir.display();
    let mut text = format!(
        r"daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log stderr error;
events {{
    use epoll;
    multi_accept on;
    worker_connections 8192;
}}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    server_names_hash_max_size 16384;
    server_names_hash_bucket_size 128;

    client_body_buffer_size 64k;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    proxy_buffer_size 32k;
    proxy_buffers 8 32k;
    proxy_busy_buffers_size 64k;
    proxy_max_temp_file_size 0;

    upstream target {{
        server {upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 3600s;
    }}
    {bind}
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Request-Id $request_id;

    server {{
        listen {listen} default_server backlog=4096;
        return 404;
    }}
"
    );
    for host in 0..*hosts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    server {{ listen {listen}; server_name {};", host_name(host));
        for rule in 0..*rules {
            let _ = writeln!(text, "        location {} {{ proxy_pass http://target; }}", rule_prefix(rule));
        }
        text.push_str("        location / { return 404; } }\n");
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::super::example_site;
    use super::*;

    #[test]
    fn every_host_has_every_rule() {
        let text = config(&example_site(std::path::Path::new("/d")));
        assert_eq!(text.matches("server_name s").count(), 3);
        assert_eq!(text.matches("location /p1/ { proxy_pass http://target; }").count(), 3);
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        assert!(text.contains("proxy_bind 169.254.171.2;"));
        assert!(
            text.contains("server 10.0.2.10:9000;")
                && text.contains("listen 169.254.171.1:8081 default_server")
        );
    }
}
