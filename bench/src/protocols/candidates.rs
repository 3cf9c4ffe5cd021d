//! The data plane and its peers, each with one front for TLS, one for gRPC and one for TLS passed through.

use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::Case;
use super::caller::{Proof, Token};
use super::data_plane::Front;
use super::identity::{self, HOST, Identity, PASSED};
use crate::clocks::Counted;
use crate::peers::{EnvoySource, Peer};
use crate::process::{self, Process, family, this_program};
use crate::topology::Topology;

/// The first port a candidate listens on; each has three or four.
const FIRST_PORT: u16 = 8401;
const GRPC_PORT: u16 = 9001;
const BYTES_PORT: u16 = 9002;
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Where a candidate listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fronts {
    /// TLS with HTTP/1.1 and HTTP/2, to an HTTP/1.1 upstream.
    pub(super) tls: SocketAddr,
    /// TLS with HTTP/2, to a gRPC upstream.
    pub(super) grpc: SocketAddr,
    /// TLS, passed through by SNI.
    pub(super) passed: SocketAddr,
    /// As `tls`, for callers who prove who they are; of the data plane and Envoy.
    pub(super) known: Option<SocketAddr>,
}

#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) fronts: Fronts,
    pub(super) counted: Counted,
    /// What its clients trust.
    pub(super) certificate: PathBuf,
    /// How its clients prove who they are.
    pub(super) proof: Proof,
    process: Process,
}

impl Candidate {
    pub(super) fn serves(&self, case: Case) -> bool {
        case != Case::KnownCaller || self.fronts.known.is_some()
    }

    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        self.process.check_alive()
    }
}

/// Where the upstreams are.
struct Upstreams {
    http: SocketAddr,
    grpc: SocketAddr,
    bytes: SocketAddr,
}

/// Starts the upstreams that are missing and all candidates, the data plane first, and waits until they accept.
pub(super) fn start(
    topology: &Topology,
    peers: &[Peer],
    envoy: &EnvoySource,
    dir: &Path,
) -> anyhow::Result<(Vec<Candidate>, Vec<Process>)> {
    let identity = identity::make(dir)?;
    let at = |port| SocketAddr::new(topology.front, port);
    let upstreams = Upstreams { http: topology.upstream, grpc: at(GRPC_PORT), bytes: at(BYTES_PORT) };
    let mut servers = Vec::new();
    for (name, address) in [("serve-grpc", upstreams.grpc), ("serve-bytes", upstreams.bytes)] {
        let mut command = process::command(&topology.at_client, [this_program()?]);
        command.args([name, &address.to_string()]);
        servers.push(Process::start(name, command, dir, false)?);
    }
    let mut ports = FIRST_PORT..;
    let mut next = || at(ports.next().unwrap_or(FIRST_PORT));
    let mut candidates = Vec::new();
    let token = Token::make(dir)?;
    let mut add = |name: &str, version: String, words: Vec<OsString>, fronts: Fronts, dir: &Path| {
        let process = Process::start(name, process::command(&topology.at_proxy, words), dir, false)?;
        let (name, counted) = (name.to_owned(), Counted(vec![process.pid()]));
        let certificate = identity.certificate.clone();
        let is_ours = candidates.is_empty();
        let proof = if is_ours { Proof::Signature } else { Proof::Token(token.text.clone()) };
        candidates.push(Candidate { name, version, fronts, counted, certificate, proof, process });
        anyhow::Ok(())
    };

    let fronts = Fronts { tls: next(), grpc: next(), passed: next(), known: Some(next()) };
    let words = data_plane(&fronts, &upstreams, &identity, dir)?;
    let version = concat!("data plane of trellis ", env!("CARGO_PKG_VERSION")).to_owned();
    add("data-plane", version, words, fronts, dir)?;
    for peer in peers.iter().copied().filter(|peer| *peer != Peer::EnvoyStats) {
        let program = peer.program(envoy)?;
        let known = (peer == Peer::Envoy).then(&mut next);
        let fronts = Fronts { tls: next(), grpc: next(), passed: next(), known };
        let dir = dir.join(peer.name());
        std::fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let words = configure(peer, &program, &fronts, &upstreams, &identity, &token, &dir)?;
        add(peer.name(), peer.version(&program)?, words, fronts, &dir)?;
    }
    for candidate in &mut candidates {
        wait(topology, candidate)?;
        candidate.counted = Counted(family(candidate.process.pid()));
        candidate.process.prefer();
    }
    servers.iter().for_each(Process::prefer);
    Ok((candidates, servers))
}

/// Waits until all fronts of a candidate accept.
fn wait(topology: &Topology, candidate: &mut Candidate) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_PATIENCE;
    let Fronts { tls, grpc, passed, known } = candidate.fronts;
    for front in [tls, grpc, passed].into_iter().chain(known) {
        let port = front.port().to_string();
        loop {
            candidate.check_alive()?;
            let mut look = process::command(&topology.at_client, ["ss", "-Htln"]);
            look.arg(format!("sport = :{port}"));
            if !process::output(&mut look)?.is_empty() {
                break;
            }
            let log = candidate.process.log_end();
            ensure!(Instant::now() < deadline, "{} does not listen on {front}{log}", candidate.name);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

fn data_plane(
    fronts: &Fronts,
    upstreams: &Upstreams,
    identity: &Identity,
    dir: &Path,
) -> anyhow::Result<Vec<OsString>> {
    let mut words: Vec<OsString> = vec![this_program()?.into(), "tls-data-plane".into()];
    let known = fronts.known.map(|known| (Front::Known, known, upstreams.http));
    let others = [
        (Front::Tls, fronts.tls, upstreams.http),
        (Front::Grpc, fronts.grpc, upstreams.grpc),
        (Front::Passed, fronts.passed, upstreams.bytes),
    ];
    for (front, listen, upstream) in others.into_iter().chain(known) {
        words.extend([format!("--{}", front.flag()).into(), format!("{},{upstream}", listen.port()).into()]);
    }
    words.extend(["--certificate".into(), identity.certificate.clone().into()]);
    words.extend(["--key".into(), identity.key.clone().into()]);
    words.extend(["--access-log".into(), dir.join("access-logs/access.log").into()]);
    Ok(words)
}

/// Writes a peer's configuration; the words that run it in the foreground.
fn configure(
    peer: Peer,
    program: &Path,
    fronts: &Fronts,
    upstreams: &Upstreams,
    identity: &Identity,
    token: &Token,
    dir: &Path,
) -> anyhow::Result<Vec<OsString>> {
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        anyhow::Ok(path)
    };
    let mut words = vec![program.as_os_str().to_owned()];
    match peer {
        Peer::Nginx => {
            let config = write("nginx.conf", nginx(fronts, upstreams, identity, dir))?;
            words.extend(["-p".into(), dir.into(), "-c".into(), config.into()]);
            words.extend(["-e".into(), "stderr".into()]);
        }
        Peer::Haproxy => {
            let config = write("haproxy.cfg", haproxy(fronts, upstreams, identity))?;
            words.extend(["-db".into(), "-f".into(), config.into()]);
        }
        Peer::Envoy | Peer::EnvoyStats => {
            let config = write("envoy.json", envoy(fronts, upstreams, identity, token).to_string())?;
            let flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"];
            words.extend(flags.map(Into::into));
            words.push(config.into());
        }
    }
    Ok(words)
}

fn nginx(fronts: &Fronts, upstreams: &Upstreams, identity: &Identity, dir: &Path) -> String {
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let mut text = String::new();
    if Path::new(module).exists() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "load_module {module};");
    }
    let _ = write!(
        text,
        "daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log stderr error;
events {{ use epoll; multi_accept on; worker_connections 8192; }}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    upstream http {{ server {http}; keepalive 1024; keepalive_requests 1000000000; }}
    upstream rpc {{ server {rpc}; keepalive 1024; keepalive_requests 1000000000; }}
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Request-Id $request_id;
    server {{
        listen {tls} ssl http2 backlog=4096;
        server_name {HOST};
        location / {{ proxy_pass http://http; }}
    }}
    server {{
        listen {grpc} ssl http2 backlog=4096;
        server_name {HOST};
        location / {{ grpc_pass grpc://rpc; }}
    }}
}}
stream {{
    map $ssl_preread_server_name $passed {{ {PASSED} {bytes}; default 127.0.0.1:1; }}
    server {{ listen {passed}; ssl_preread on; proxy_buffer_size 64k; proxy_pass $passed; }}
}}
",
        dir = dir.display(),
        certificate = identity.certificate.display(),
        key = identity.key.display(),
        http = upstreams.http,
        rpc = upstreams.grpc,
        bytes = upstreams.bytes,
        tls = fronts.tls,
        grpc = fronts.grpc,
        passed = fronts.passed,
    );
    text
}

fn haproxy(fronts: &Fronts, upstreams: &Upstreams, identity: &Identity) -> String {
    format!(
        "global
    nbthread 1
    maxconn 4096
    tune.bufsize 32768
    tune.pipesize 1048576
    ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 3600s
    timeout server 3600s
    timeout http-keep-alive 3600s
    timeout http-request 60s

frontend tls
    bind {tls} ssl crt {both} alpn h2,http/1.1 backlog 4096
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Request-Id %[uuid()]
    use_backend http if {{ hdr(host),host_only -i {HOST} }}

backend http
    server target1 {http}

frontend grpc
    bind {grpc} ssl crt {both} alpn h2 backlog 4096
    option forwardfor
    use_backend rpc if {{ hdr(host),host_only -i {HOST} }}

backend rpc
    server target1 {rpc} proto h2

frontend passed
    mode tcp
    bind {passed} backlog 4096
    option splice-request
    option splice-response
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend bytes if {{ req.ssl_sni -i {PASSED} }}

backend bytes
    mode tcp
    option splice-request
    option splice-response
    server target1 {bytes}
",
        tls = fronts.tls,
        grpc = fronts.grpc,
        passed = fronts.passed,
        both = identity.both.display(),
        http = upstreams.http,
        rpc = upstreams.grpc,
        bytes = upstreams.bytes,
    )
}

fn envoy(fronts: &Fronts, upstreams: &Upstreams, identity: &Identity, token: &Token) -> Value {
    let address = |socket: SocketAddr| json!({ "socket_address": { "address": socket.ip().to_string(), "port_value": socket.port() } });
    let kind = |name: &str| format!("type.googleapis.com/envoy.extensions.{name}");
    let tls = |protocols: &[&str]| {
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": kind("transport_sockets.tls.v3.DownstreamTlsContext"),
                "common_tls_context": {
                    "alpn_protocols": protocols,
                    "tls_certificates": [{
                        "certificate_chain": { "filename": identity.certificate },
                        "private_key": { "filename": identity.key },
                    }],
                },
            },
        })
    };
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": kind("filters.http.router.v3.Router"),
            "dynamic_stats": false,
            "suppress_envoy_headers": true,
        },
    });
    let http = |name: &str, cluster: &str, filters: Value| {
        json!([{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": kind("filters.network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": name,
                "codec_type": "AUTO",
                "use_remote_address": true,
                "append_x_forwarded_port": true,
                "generate_request_id": true,
                "strip_any_host_port": true,
                "route_config": { "name": name, "virtual_hosts": [{
                    "name": name,
                    "domains": [HOST],
                    "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": cluster } }],
                }] },
                "http_filters": filters,
            },
        }])
    };
    let unlimited = json!({
        "max_connections": 1_000_000_000, "max_pending_requests": 1_000_000_000,
        "max_requests": 1_000_000_000, "max_retries": 1_000_000_000,
    });
    let cluster = |name: &str, socket: SocketAddr, http2: bool| {
        let mut cluster = json!({
            "name": name,
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": { "thresholds": [unlimited] },
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(socket) } }] }],
            },
        });
        if http2 {
            cluster["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": kind("upstreams.http.v3.HttpProtocolOptions"),
                    "explicit_http_config": { "http2_protocol_options": {} },
                },
            });
        }
        cluster
    };
    let known = fronts.known.map(|front| {
        let filters = http("known", "http", json!([token.envoy_filter(), router]));
        json!({ "name": "known", "address": address(front), "tcp_backlog_size": 4096,
                "filter_chains": [{ "transport_socket": tls(&["h2", "http/1.1"]), "filters": filters }] })
    });
    let mut config = json!({
        "stats_config": { "stats_matcher": { "reject_all": true } },
        "static_resources": {
            "listeners": [
                { "name": "tls", "address": address(fronts.tls), "tcp_backlog_size": 4096,
                  "filter_chains": [{ "transport_socket": tls(&["h2", "http/1.1"]), "filters": http("tls", "http", json!([router])) }] },
                { "name": "grpc", "address": address(fronts.grpc), "tcp_backlog_size": 4096,
                  "filter_chains": [{ "transport_socket": tls(&["h2"]), "filters": http("grpc", "rpc", json!([router])) }] },
                { "name": "passed", "address": address(fronts.passed), "tcp_backlog_size": 4096,
                  "listener_filters": [{
                      "name": "envoy.filters.listener.tls_inspector",
                      "typed_config": { "@type": kind("filters.listener.tls_inspector.v3.TlsInspector") },
                  }],
                  "filter_chains": [{
                      "filter_chain_match": { "server_names": [PASSED] },
                      "filters": [{
                          "name": "envoy.filters.network.tcp_proxy",
                          "typed_config": {
                              "@type": kind("filters.network.tcp_proxy.v3.TcpProxy"),
                              "stat_prefix": "passed",
                              "cluster": "bytes",
                          },
                      }],
                  }] },
            ],
            "clusters": [
                cluster("http", upstreams.http, false),
                cluster("rpc", upstreams.grpc, true),
                cluster("bytes", upstreams.bytes, false),
            ],
        },
    });
    if let Some(Value::Array(listeners)) = config.pointer_mut("/static_resources/listeners") {
        listeners.extend(known);
    }
    config
}
