//! `trellis up`: one process, wired from its parts, each handed what it needs.

mod carriers;
mod credentials;
mod https_get;
mod vpc_doors;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trellis_control::{Config, Control, FrameConfig, Machines, Settings, SourceVpc, TxtLookup};
use trellis_dns as dns;
use trellis_logs::{Delivery, Endpoint};
use trellis_model::VpcId;
use trellis_model::resource::lattice::LogDestinationKind;
use trellis_net::{Fabric, FabricOptions};
use trellis_proxy::{AccessLogConfig, LineReader, Proxy, ProxyConfig};
use trellis_store::Store;

use crate::cli;
use crate::clusters::{self, Clusters};
use crate::data_dir::{self, Layout, write_private, write_public};
use crate::health::Health;
use crate::hosts::Hosts;
use crate::http_server::tls::{self, Certificate};
use crate::http_server::{Door, Terms};
use crate::supervise::{self, supervise};
use crate::vpc_sockets::{DataPlaneNetwork, VpcSockets};
use crate::{http_server, local, log, memory};
use carriers::Kernel;
use credentials::credentials;
use vpc_doors::VpcDoors;

/// API connections open at once where descriptors allow; beyond them the longest silent one goes.
const API_CONNECTIONS: usize = 1024;
const METRICS_CONNECTIONS: usize = 64;
/// Where hosts find the certificate of the private CA.
const CA_IN_HOSTS: &str = "/etc/trellis/ca.pem";
/// How long the kernel may take to agree with the stored state at start.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How long an answer waits for kernel and data plane, so that what settles at once is answered as settled.
const SETTLING: Duration = Duration::from_millis(300);
/// How long the last access logs may take to be delivered at the end; what is left waits on disk.
const LAST_LOGS: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub(crate) fn up(args: cli::Up, open_files: usize) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(args, open_files));
    // Blocking work that hangs must not hold up the end of the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(args: cli::Up, open_files: usize) -> anyhow::Result<ExitCode> {
    let cli::Up {
        data_dir,
        listen,
        listen_tls,
        tls_certificate,
        tls_key,
        tls_names,
        no_api_in_vpcs,
        metrics_listen,
        dns_listen,
        workers,
        client_memory_mib,
        resolvers,
        quotas,
        issuer_keys,
        log_endpoints,
        log_intervals,
        log_spool_mib,
        drain_seconds,
        kubernetes,
    } = args;
    let drain = Duration::from_secs(drain_seconds);
    // An eighth of the descriptors: the rest is for clients of services, targets and hosts. 0: nobody knows.
    let connections = if open_files == 0 { API_CONNECTIONS } else { API_CONNECTIONS.min(open_files / 8) };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    // What can be refused is refused before anything is made.
    let layout = Layout::at(&data_dir.data_dir)?;
    let log_options = trellis_logs::Options {
        spool_bytes: log_spool_mib << 20,
        endpoints: log_endpoints_of(log_endpoints)?,
        intervals: log_intervals.into_iter().collect(),
        ..trellis_logs::Options::new(layout.log_spool(), layout.access_logs())
    };
    layout.expect_whole()?;
    layout.close_to_others()?;
    layout.create()?;
    let store = Store::open(layout.root())?;
    let api_door = Door::open(listen, "--listen").await?;
    let metrics_door = Door::open(metrics_listen, "--metrics-listen").await?;
    let tls_door = match listen_tls {
        Some(address) => Some(Door::open(address, "--listen-tls").await?),
        None => None,
    };
    let public_dns = dns_listen.map(PublicDns::open).transpose()?;
    warn_of_plain_text(listen, metrics_listen);
    let endpoint = format!("http://{}", api_door.address);
    tracing::info!("metrics are at http://{}/metrics", metrics_door.address);
    let credentials = credentials(&layout)?;
    let sealing_key = data_dir::sealing_key(&layout.sealing_key(), trellis_control::is_sealed(&store)?)?;

    let environment = if no_api_in_vpcs { Vec::new() } else { vpc_doors::environment() };
    let (fabric, fabric_events) = Fabric::start(FabricOptions {
        environment: environment.clone(),
        shown: vec![(layout.ca_pem(), CA_IN_HOSTS.into())],
        hidden: vec![layout.root().to_owned()],
        lent: vec![layout.clusters(), layout.images()],
        ..FabricOptions::new(layout.run(), layout.host_logs())
    })?;
    let upstreams =
        if resolvers.is_empty() { dns::Upstreams::default() } else { dns::Upstreams::Fixed(resolvers) };
    let resolver_options = dns::ServerOptions { upstreams, ..dns::ServerOptions::default() };
    let domains = dns::Client::new(resolver_options.upstreams.clone(), resolver_options.upstream_timeout);

    let machines = Machines::default();
    let control = Control::start(
        store,
        Config {
            frame: FrameConfig {
                account: credentials.account.parse().context("account of the admin key")?,
                region: credentials.region.parse().context("region of the admin key")?,
                access_key_id: credentials.access_key_id.clone(),
                secret_access_key: credentials.secret_access_key.as_str().into(),
                quotas: quotas.into_iter().collect(),
                sealing_key: Arc::new(sealing_key),
                settling: SETTLING,
                ..FrameConfig::default()
            },
            lattice: Settings {
                txt_lookup: TxtLookup::new(move |name| {
                    let domains = domains.clone();
                    Box::pin(async move { domains.txt(&name).await })
                }),
                ..Settings::default()
            },
            https_get: https_get::https_get(issuer_keys.into_iter().collect()),
            audit_reports: Some(layout.audit_reports()),
            machines: machines.clone(),
        },
    )
    .await
    .with_context(|| format!("the state in {} cannot be used", layout.root().display()))?;
    write_public(&layout.ca_pem(), &control.ca_pem())
        .with_context(|| format!("cannot write {}", layout.ca_pem().display()))?;

    let delivery = Delivery::start(log_options, control.log_subscriptions())?;
    let access_log = AccessLogConfig {
        reader: Some(LineReader::new(delivery.reader())),
        ..AccessLogConfig::new(layout.access_logs().join("access.log"))
    };
    let resolver = dns::Server::start(
        resolver_options,
        control.snapshots(),
        control.fabric_plans(),
        VpcSockets::new(fabric.sockets()),
    );
    if let Some(PublicDns { socket, listener }) = public_dns {
        tracing::info!("public hosted zones are answered at {}", listener.local_addr()?);
        resolver.serve_public(socket, listener).context("cannot serve --dns-listen")?;
    }
    let limits = trellis_proxy::Limits {
        open_files: open_files as u64,
        client_memory: client_memory_mib << 20,
        ..trellis_proxy::Limits::default()
    };
    tracing::info!(
        workers,
        client_memory_mib = limits.client_memory >> 20,
        log_spool_mib,
        drain_seconds = drain.as_secs(),
        "what this process may hold, and how long it waits at its end"
    );
    let proxy = Proxy::start(
        ProxyConfig { workers, access_log: Some(access_log), limits, ..ProxyConfig::default() },
        DataPlaneNetwork::new(fabric.sockets(), resolver.clone(), Handle::current()),
        control.snapshots(),
    )?;
    let hosts = Arc::new(Hosts::new());
    let doors = Arc::new(VpcDoors::new(fabric.sockets(), control.clone(), !no_api_in_vpcs)?);
    let kubernetes = kubernetes.unwrap_or_else(clusters::default_programs);
    machines.set(Arc::new(Clusters::new(control.clone(), hosts.clone(), layout.clone(), kubernetes)));

    // The parts talk to each other over watch channels; these tasks carry the words across.
    let (converged, mut converged_revision) = watch::channel(0);
    let carriers = carriers::start(
        &control,
        &fabric,
        fabric_events,
        proxy.applied(),
        Kernel {
            control: control.clone(),
            resolver: resolver.clone(),
            hosts: hosts.clone(),
            doors: doors.clone(),
            converged,
        },
    );

    // Everything stored is in the kernel again before the API answers.
    let first_plan = control.fabric_plans().borrow().revision;
    let started = async { converged_revision.wait_for(|revision| *revision >= first_plan).await.map(drop) };
    tokio::select! {
        outcome = tokio::time::timeout(START_PATIENCE, started) => match outcome {
            Ok(outcome) => outcome.context("the network layer ended while starting")?,
            Err(_) => tracing::warn!("some VPCs or hosts are not in the kernel yet; serving the rest"),
        },
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    }

    let health = Arc::new(Health {
        control: control.clone(),
        resolver: resolver.clone(),
        workers: proxy.metrics(),
        listeners: vec![("api", api_door.address), ("metrics", metrics_door.address)],
        last: Default::default(),
    });
    let memory_keeper = tokio::spawn(supervise("memory", memory::keep_low));
    let (stop, stopped) = watch::channel(false);
    let handler = Arc::new(Api { control: control.clone(), vpc: None });
    let plain = Terms { tls: None, most_connections: connections, drain };
    let mut apis = vec![serve_http("api", &api_door, &handler, &plain, &stopped)];
    if let Some(door) = &tls_door {
        let certificate = match tls_certificate.zip(tls_key) {
            Some((chain, key)) => Certificate::from_files(&chain, &key)?,
            None => Certificate::issued(&control, tls::names(door.address, &tls_names))?,
        };
        let terms = Terms { tls: Some(certificate.acceptor()?), ..plain.clone() };
        apis.push(serve_http("api-tls", door, &handler, &terms, &stopped));
        tracing::info!("the API is at https://{} as well", door.address);
    }
    let observed = Arc::new(Observed {
        metrics: proxy.metrics(),
        resolver: resolver.clone(),
        logs: delivery.metrics(),
        health: health.clone(),
    });
    let terms = Terms { tls: None, most_connections: METRICS_CONNECTIONS, drain: Duration::from_secs(1) };
    let metrics = serve_http("metrics", &metrics_door, &observed, &terms, &stopped);
    let local_listener = Arc::new(local::server::bind(&layout)?);
    let local = local::server::Local {
        control: control.clone(),
        fabric: fabric.clone(),
        hosts,
        health,
        environment: environment.into(),
        root: layout.root().to_owned(),
    };
    let local_server =
        tokio::spawn(supervise("local", move || local::server::serve(local_listener.clone(), local.clone())));
    write_private(&layout.endpoint(), &format!("{endpoint}\n"))?;
    announce(&endpoint);

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
    }
    // Stop accepting, finish what is in flight, then take the network down.
    stop.send_replace(true);
    doors.close_all();
    proxy.drain(drain).await;
    delivery.finish(LAST_LOGS).await;
    for served in apis.into_iter().chain([metrics]) {
        let _ = served.await;
    }
    local_server.abort();
    memory_keeper.abort();
    drop(carriers);
    let _ = tokio::task::spawn_blocking(move || fabric.shutdown()).await;
    control.stop().await;
    for file in [layout.endpoint(), layout.socket()] {
        let _ = std::fs::remove_file(file);
    }
    Ok(ExitCode::SUCCESS)
}

/// The sockets of `--dns-listen`, both on one port.
struct PublicDns {
    socket: UdpSocket,
    listener: TcpListener,
}

impl PublicDns {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let failed = || format!("cannot listen on {address} (--dns-listen)");
        let listener = TcpListener::bind(address).with_context(failed)?;
        // Where any port will do, TCP says which.
        let address = listener.local_addr().with_context(failed)?;
        let socket = UdpSocket::bind(address).with_context(failed)?;
        Ok(Self { socket, listener })
    }
}

/// What goes over the wire can be read on the way.
fn warn_of_plain_text(listen: SocketAddr, metrics_listen: SocketAddr) {
    for (address, flag, risk) in [
        (
            listen,
            "--listen",
            "requests and answers, secrets among them, can be read on the way: see --listen-tls",
        ),
        (metrics_listen, "--metrics-listen", "whoever reaches it reads the names of everybody's services"),
    ] {
        if !address.ip().is_loopback() {
            tracing::warn!("{flag} {address} is in plain text and not on loopback: {risk}");
        }
    }
}

/// Serves a listener on a task of its own.
fn serve_http<H: http_server::Handler>(
    name: &'static str,
    door: &Arc<Door>,
    handler: &Arc<H>,
    terms: &Terms,
    stop: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (door, handler) = (door.clone(), handler.clone());
    let (terms, stop) = (terms.clone(), stop.clone());
    tokio::spawn(supervise(name, move || {
        http_server::serve(door.clone(), handler.clone(), terms.clone(), stop.clone())
    }))
}

/// The one line on stdout that scripts wait for. A closed stdout must not end a server that works.
fn announce(endpoint: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "trellis is ready: {endpoint}").and_then(|()| stdout.flush());
}

/// Where access logs are delivered: the flags, and for kinds without one the environment variables of AWS
/// SDKs. `AWS_ENDPOINT_URL` is not among them: `trellis env` sets it, to Trellis itself.
fn log_endpoints_of(
    flags: Vec<(LogDestinationKind, Endpoint)>,
) -> anyhow::Result<BTreeMap<LogDestinationKind, Endpoint>> {
    let mut endpoints = BTreeMap::new();
    for (kind, name) in [
        (LogDestinationKind::S3, "AWS_ENDPOINT_URL_S3"),
        (LogDestinationKind::Logs, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"),
        (LogDestinationKind::Firehose, "AWS_ENDPOINT_URL_FIREHOSE"),
    ] {
        if let Some(url) = std::env::var(name).ok().filter(|url| !url.is_empty()) {
            endpoints.insert(kind, url.parse().context(name)?);
        }
    }
    endpoints.extend(flags);
    Ok(endpoints)
}

/// The AWS APIs.
struct Api {
    control: Control,
    /// The VPC it is served in, or none of them.
    vpc: Option<VpcId>,
}

impl http_server::Handler for Api {
    #[cfg(debug_assertions)]
    fn accepted(&self, _: &tokio::net::TcpStream, _: SocketAddr) {
        crate::fault::accepted();
    }

    fn body_limit(&self, head: &Parts) -> usize {
        if self.control.names_a_key(head) {
            http_server::MAX_BODY
        } else {
            Control::unsigned_body_limit(head)
        }
    }

    async fn call(&self, mut request: Request<Bytes>) -> Response<Vec<u8>> {
        if let Some(vpc) = &self.vpc {
            request.extensions_mut().insert(SourceVpc(vpc.clone()));
        }
        match self.control.serve_unsigned(&request).await {
            Some(response) => response,
            None => self.control.serve(request).await,
        }
    }
}

/// What an operator's machines look at.
struct Observed {
    metrics: trellis_proxy::Metrics,
    resolver: dns::Server,
    logs: trellis_logs::Metrics,
    health: Arc<Health>,
}

impl http_server::Handler for Observed {
    fn body_limit(&self, _: &Parts) -> usize {
        0
    }

    async fn call(&self, request: Request<Bytes>) -> Response<Vec<u8>> {
        let (status, text) = match request.uri().path() {
            "/metrics" => {
                let parts = [self.metrics.render(), self.resolver.render_metrics(), self.logs.render()];
                (200, parts.concat() + &log::render_metrics() + &supervise::render_metrics())
            }
            "/healthz" => {
                let parts = self.health.check().await;
                let failing: String = parts
                    .iter()
                    .filter(|part| !part.healthy)
                    .map(|part| format!("{}: {}\n", part.name, part.detail))
                    .collect();
                if failing.is_empty() { (200, "ok\n".to_owned()) } else { (503, failing) }
            }
            _ => (404, "this port serves /metrics and /healthz\n".to_owned()),
        };
        http_server::text(status, text)
    }
}
