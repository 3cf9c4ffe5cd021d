//! `trellis up`: one process, wired from its parts, each handed what it needs.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use trellis_control::{Config, Control, TxtLookup};
use trellis_dns as dns;
use trellis_logs::{Delivery, Endpoint};
use trellis_model::resource::lattice::LogDestinationKind;
use trellis_net::{Fabric, FabricEvent, FabricOptions};
use trellis_proxy::{AccessLogConfig, LineReader, Proxy, ProxyConfig};
use trellis_store::Store;

use crate::cli;
use crate::data_dir::{self, Credentials, Layout, write_private, write_public};
use crate::hosts::Hosts;
use crate::vpc_sockets::{DataPlaneNetwork, VpcSockets};
use crate::{http_server, local};

/// Account and region where nothing else is said; fixed, because scripts depend on them.
const DEFAULT_ACCOUNT: &str = "111122223333";
const DEFAULT_REGION: &str = "us-east-1";
/// How long the kernel may take to agree with the stored state at start.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How long an answer waits for kernel and data plane, so that what settles at once is answered as settled.
const SETTLING: Duration = Duration::from_millis(300);
/// How long the last access logs may take to be delivered at the end; what is left waits on disk.
const LAST_LOGS: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub(crate) fn up(args: cli::Up) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(args));
    // Blocking work that hangs must not hold up the end of the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(args: cli::Up) -> anyhow::Result<ExitCode> {
    let cli::Up {
        data_dir,
        listen,
        metrics_listen,
        workers,
        resolvers,
        quotas,
        log_endpoints,
        log_intervals,
        log_spool_mib,
        drain_seconds,
    } = args;
    let drain = Duration::from_secs(drain_seconds);
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
    layout.create()?;
    let store = Store::open(layout.root())?;
    let api_listener = http_server::bind(listen, "--listen").await?;
    let metrics_listener = http_server::bind(metrics_listen, "--metrics-listen").await?;
    let endpoint = format!("http://{}", api_listener.local_addr()?);
    tracing::info!("metrics are at http://{}/metrics", metrics_listener.local_addr()?);
    let credentials = credentials(&layout)?;
    let sealing_key = data_dir::sealing_key(&layout.sealing_key(), trellis_control::is_sealed(&store)?)?;

    let (fabric, fabric_events) = Fabric::start(FabricOptions::new(layout.run(), layout.host_logs()))?;
    let upstreams =
        if resolvers.is_empty() { dns::Upstreams::default() } else { dns::Upstreams::Fixed(resolvers) };
    let resolver_options = dns::ServerOptions { upstreams, ..dns::ServerOptions::default() };
    let domains = dns::Client::new(resolver_options.upstreams.clone(), resolver_options.upstream_timeout);

    let control = Control::start(
        store,
        Config {
            account: credentials.account.parse().context("account of the admin key")?,
            region: credentials.region.parse().context("region of the admin key")?,
            access_key_id: credentials.access_key_id.clone(),
            secret_access_key: credentials.secret_access_key.as_str().into(),
            quotas: quotas.into_iter().collect(),
            sealing_key: Arc::new(sealing_key),
            txt_lookup: TxtLookup::new(move |name| {
                let domains = domains.clone();
                Box::pin(async move { domains.txt(&name).await })
            }),
            settling: SETTLING,
            ..Config::default()
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
    let proxy = Proxy::start(
        ProxyConfig { workers, access_log: Some(access_log), ..ProxyConfig::default() },
        DataPlaneNetwork::new(fabric.sockets(), resolver.clone(), Handle::current()),
        control.snapshots(),
    )?;
    let hosts = Arc::new(Hosts::new());

    // The parts talk to each other over watch channels; these tasks carry the words across.
    let (converged, mut converged_revision) = watch::channel(0);
    let carriers = [
        tokio::spawn(carry_plans(control.clone(), fabric.clone())),
        tokio::spawn(carry_applied(control.clone(), proxy.applied())),
        tokio::spawn(carry_events(
            fabric_events,
            control.clone(),
            resolver.clone(),
            hosts.clone(),
            converged,
        )),
    ];

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

    let (stop, stopped) = watch::channel(false);
    let api = tokio::spawn(http_server::serve(
        api_listener,
        {
            let control = control.clone();
            move |request| {
                let control = control.clone();
                async move { control.serve(request).await }
            }
        },
        stopped.clone(),
        drain,
    ));
    let metrics = tokio::spawn(http_server::serve(
        metrics_listener,
        {
            let (metrics, resolver, logs) = (proxy.metrics(), resolver.clone(), delivery.metrics());
            move |request| {
                let response = render_metrics(&request, &metrics, &resolver, &logs);
                async move { response }
            }
        },
        stopped,
        Duration::from_secs(1),
    ));
    let local_server = tokio::spawn(local::server::serve(
        local::server::bind(&layout)?,
        local::server::Local { control: control.clone(), fabric: fabric.clone(), hosts },
    ));
    write_private(&layout.endpoint(), &format!("{endpoint}\n"))?;
    announce(&endpoint);

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
    }
    // Stop accepting, finish what is in flight, then take the network down.
    stop.send_replace(true);
    proxy.drain(drain).await;
    delivery.finish(LAST_LOGS).await;
    let _ = api.await;
    let _ = metrics.await;
    local_server.abort();
    for carrier in carriers {
        carrier.abort();
    }
    let _ = tokio::task::spawn_blocking(move || fabric.shutdown()).await;
    control.stop().await;
    for file in [layout.endpoint(), layout.socket()] {
        let _ = std::fs::remove_file(file);
    }
    Ok(ExitCode::SUCCESS)
}

/// The one line on stdout that scripts wait for.
#[allow(clippy::print_stdout)]
fn announce(endpoint: &str) {
    use std::io::Write;
    println!("trellis is ready: {endpoint}");
    // A closed stdout must not end a server that works.
    let _ = std::io::stdout().flush();
}

/// The admin key: from the environment, else from the last start, else made now.
fn credentials(layout: &Layout) -> anyhow::Result<Credentials> {
    let path = layout.credentials();
    let stored = Credentials::load(&path)?;
    let from_environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let account = from_environment("TRELLIS_ACCOUNT_ID");
    let credentials = match (
        from_environment("TRELLIS_ADMIN_ACCESS_KEY_ID"),
        from_environment("TRELLIS_ADMIN_SECRET_ACCESS_KEY"),
        stored.clone(),
    ) {
        (Some(access_key_id), Some(secret_access_key), stored) => Credentials {
            access_key_id,
            secret_access_key,
            account: account
                .or(stored.map(|stored| stored.account))
                .unwrap_or_else(|| DEFAULT_ACCOUNT.into()),
            region: DEFAULT_REGION.into(),
        },
        (None, None, Some(stored)) => match account {
            Some(account) => Credentials { account, ..stored },
            None => stored,
        },
        (None, None, None) => Credentials {
            access_key_id: format!("AKIA{}", random_text(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?),
            secret_access_key: random_text(
                40,
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            )?,
            account: account.unwrap_or_else(|| DEFAULT_ACCOUNT.into()),
            region: DEFAULT_REGION.into(),
        },
        _ => bail!(
            "TRELLIS_ADMIN_ACCESS_KEY_ID and TRELLIS_ADMIN_SECRET_ACCESS_KEY belong together: set both or neither"
        ),
    };
    if stored.as_ref() != Some(&credentials) {
        write_private(&path, &credentials.to_file())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(credentials)
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

/// `length` random characters of an alphabet of 32 or 64, so that every one is equally likely.
fn random_text(length: usize, alphabet: &[u8]) -> anyhow::Result<String> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect())
}

/// Desired state to the kernel.
async fn carry_plans(control: Control, fabric: Fabric) {
    let mut plans = control.fabric_plans();
    loop {
        let plan = plans.borrow_and_update().clone();
        fabric.apply(plan);
        if plans.changed().await.is_err() {
            return;
        }
    }
}

/// What the data plane acts on, back to the workflows that wait for it.
async fn carry_applied(control: Control, mut applied: watch::Receiver<u64>) {
    loop {
        let revision = *applied.borrow_and_update();
        control.data_plane_applied(revision);
        if applied.changed().await.is_err() {
            return;
        }
    }
}

/// What the kernel has, to the workflows, the resolver and whoever waits for a host.
async fn carry_events(
    mut events: mpsc::Receiver<FabricEvent>,
    control: Control,
    resolver: dns::Server,
    hosts: Arc<Hosts>,
    converged: watch::Sender<u64>,
) {
    while let Some(event) = events.recv().await {
        match &event {
            FabricEvent::VpcReady { vpc, .. } => {
                let plan = control.fabric_plans().borrow().vpcs.get(vpc).cloned();
                if let Some(plan) = plan
                    && let Err(error) = resolver.add_vpc(vpc, &dns::resolver_addresses(&plan))
                {
                    tracing::error!(%vpc, %error, "a VPC has no resolver");
                }
                control.vpc_ready(vpc).await;
            }
            FabricEvent::VpcFailed { vpc, reason } => {
                tracing::error!(%vpc, %reason, "a VPC could not be made");
                control.vpc_failed(vpc, reason).await;
            }
            FabricEvent::VpcGone { vpc } => {
                resolver.remove_vpc(vpc).await;
                control.vpc_gone(vpc).await;
            }
            FabricEvent::HostReady { instance, .. } => control.host_ready(instance).await,
            FabricEvent::HostFailed { instance, reason } => {
                tracing::error!(%instance, %reason, "a host could not be made");
                control.host_failed(instance, reason).await;
            }
            FabricEvent::HostExited { instance, code } => {
                tracing::info!(%instance, code, "the command of a host ended");
            }
            FabricEvent::HostGone { instance } => control.host_gone(instance).await,
            FabricEvent::Converged { revision } => {
                converged.send_replace(*revision);
                control.kernel_applied(*revision);
            }
        }
        // Last: whoever waits for a host finds its record moved already.
        hosts.record(&event);
    }
}

fn render_metrics(
    request: &Request<Bytes>,
    metrics: &trellis_proxy::Metrics,
    resolver: &dns::Server,
    logs: &trellis_logs::Metrics,
) -> Response<Vec<u8>> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (200, metrics.render() + &resolver.render_metrics() + &logs.render()),
        "/healthz" => (200, "ok\n".to_owned()),
        _ => (404, "this port serves /metrics and /healthz\n".to_owned()),
    };
    Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
        .body(text.into_bytes())
        .expect("status and header are constants")
}
