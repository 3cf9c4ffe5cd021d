//! `trellis kube`: the Gateway API controller as a process, in a cluster or beside it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::request::Parts;
use http::{Request, Response, header};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use trellis_kube::{Aws, AwsOptions, Cluster, GatewayController, Options};

use crate::http_server::tls::Certificate;
use crate::http_server::{self, Door, Terms};
use crate::log;

/// Connections to the metrics or the probes at once.
const CONNECTIONS: usize = 64;

#[derive(Debug, Args)]
#[command(after_help = "Beside a cluster, for a Trellis on this machine:\n  \
    eval \"$(trellis env)\"\n  \
    trellis kube --region $AWS_REGION --vpc-id vpc-0123... --cluster-name shop --account-id 111122223333\n\n\
    The cluster is the one kubectl would talk to (KUBECONFIG), or the one this runs in. Credentials are found as AWS\n\
    SDKs find them; Lattice is at --lattice-endpoint, else at AWS_ENDPOINT_URL_VPC_LATTICE, AWS_ENDPOINT_URL or Amazon's\n\
    own.\n\n\
    When every object is known, one line is printed on stdout:\n  \
    trellis kube is ready")]
pub(crate) struct Kube {
    /// Region of Lattice
    #[arg(long, env = "REGION")]
    region: String,
    /// The account that owns the cluster
    #[arg(long, value_name = "ID", env = "AWS_ACCOUNT_ID")]
    account_id: String,
    /// The VPC of the cluster's pods
    #[arg(long, value_name = "VPC", env = "CLUSTER_VPC_ID")]
    vpc_id: String,
    /// The cluster's name in tags
    #[arg(long, value_name = "NAME", env = "CLUSTER_NAME")]
    cluster_name: String,
    /// A service network to make at the start where there is none, with the cluster's VPC in it
    #[arg(long, value_name = "NAME", env = "DEFAULT_SERVICE_NETWORK")]
    default_service_network: Option<String>,
    /// Let the default service network, where there is one, stand for every Gateway, whatever its name
    #[arg(long, env = "ENABLE_SERVICE_NETWORK_OVERRIDE", default_value_t = false, action = clap::ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    service_network_override: bool,
    /// Where Lattice is
    #[arg(long, value_name = "URL", env = "LATTICE_ENDPOINT")]
    lattice_endpoint: Option<String>,
    /// Objects that are looked at at once
    #[arg(long, value_name = "N", env = "ROUTE_MAX_CONCURRENT_RECONCILES", default_value_t = 16,
        value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
    /// Compare everything with what Lattice holds so often, and mend what others changed; 0 is never, else 60 or more
    #[arg(long, value_name = "SECONDS", env = "RECONCILE_DEFAULT_RESYNC_SECONDS", default_value_t = 0,
        value_parser = resync)]
    resync_seconds: u32,
    /// Work only while holding the Lease amazon-vpc-lattice.io: for several replicas
    #[arg(long)]
    leader_elect: bool,
    /// Serve the webhook that gives pods behind Lattice a readiness gate, and tell them what Lattice finds
    #[arg(long, env = "WEBHOOK_ENABLED", default_value_t = false, action = clap::ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    webhook: bool,
    /// Address of the webhook (/mutate-pod), over TLS
    #[arg(long, value_name = "ADDR:PORT", default_value = ":9443", value_parser = bind_address)]
    webhook_bind_address: SocketAddr,
    /// Where the webhook's certificate is, tls.crt and tls.key
    #[arg(long, value_name = "DIR", default_value = "/etc/webhook-cert")]
    webhook_cert_dir: PathBuf,
    /// Address of the Prometheus metrics (/metrics)
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", value_parser = bind_address)]
    metrics_bind_address: SocketAddr,
    /// Address of the probes (/healthz and /readyz)
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8081", value_parser = bind_address)]
    health_probe_bind_address: SocketAddr,
}

fn resync(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(seconds) if seconds == 0 || seconds >= 60 => Ok(seconds),
        _ => Err("expected 0, or 60 seconds or more".to_owned()),
    }
}

/// `:8080` is every address, as AWS's controller has it.
fn bind_address(text: &str) -> Result<SocketAddr, String> {
    let text = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    text.parse().map_err(|_| "expected ADDR:PORT or :PORT".to_owned())
}

pub(crate) fn kube(args: Kube) -> anyhow::Result<ExitCode> {
    log::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(args));
    // A look for credentials that hangs must not hold up the end of the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    log::finish();
    outcome
}

async fn serve(args: Kube) -> anyhow::Result<ExitCode> {
    let Kube {
        region,
        account_id,
        vpc_id,
        cluster_name,
        default_service_network,
        service_network_override,
        lattice_endpoint,
        workers,
        resync_seconds,
        leader_elect,
        webhook,
        webhook_bind_address,
        webhook_cert_dir,
        metrics_bind_address,
        health_probe_bind_address,
    } = args;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let metrics_door = Door::open(metrics_bind_address, "--metrics-bind-address").await?;
    let probes_door = Door::open(health_probe_bind_address, "--health-probe-bind-address").await?;
    let webhook = match webhook {
        false => None,
        true => {
            let certificate = Certificate::from_files(
                &webhook_cert_dir.join("tls.crt"),
                &webhook_cert_dir.join("tls.key"),
            )?;
            Some((Door::open(webhook_bind_address, "--webhook-bind-address").await?, certificate.acceptor()?))
        }
    };
    let aws = Aws::new(AwsOptions { region, lattice_endpoint }).await;
    let options = Options {
        cluster: Cluster {
            account: account_id,
            name: cluster_name,
            vpc: vpc_id,
            network_for_all: default_service_network.clone().filter(|_| service_network_override),
        },
        default_network: default_service_network,
        workers: workers.into(),
        resync: (resync_seconds > 0).then(|| Duration::from_secs(resync_seconds.into())),
        leader_elect,
        readiness_gates: webhook.is_some(),
    };
    let controller = Arc::new(GatewayController::start(&aws, options).await?);
    tracing::info!("metrics are at http://{}/metrics", metrics_door.address);
    let (stop, stopped) = watch::channel(false);
    let terms = |tls| Terms { tls, most_connections: CONNECTIONS, drain: Duration::from_secs(1) };
    let observed = Arc::new(Observed(controller.clone()));
    let metrics =
        tokio::spawn(http_server::serve(metrics_door, observed.clone(), terms(None), stopped.clone()));
    let probes = tokio::spawn(http_server::serve(probes_door, observed, terms(None), stopped.clone()));
    let webhook = webhook.map(|(door, tls)| {
        let address = door.address;
        tracing::info!("the webhook is at https://{address}/mutate-pod");
        tokio::spawn(http_server::serve(
            door,
            Arc::new(Webhook(controller.clone())),
            terms(Some(tls)),
            stopped,
        ))
    });
    tokio::spawn(announce(controller.clone()));
    let code = tokio::select! {
        _ = terminate.recv() => ExitCode::SUCCESS,
        _ = interrupt.recv() => ExitCode::SUCCESS,
        // Started anew it waits its turn.
        () = controller.lost() => ExitCode::FAILURE,
    };
    tracing::info!("stopping");
    controller.stop().await;
    stop.send_replace(true);
    let _ = metrics.await;
    let _ = probes.await;
    if let Some(webhook) = webhook {
        let _ = webhook.await;
    }
    Ok(code)
}

/// The one line on stdout that scripts wait for. A closed stdout must not end a controller that works.
async fn announce(controller: Arc<GatewayController>) {
    while !controller.is_ready() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "trellis kube is ready").and_then(|()| stdout.flush());
}

/// What an operator's machines look at.
struct Observed(Arc<GatewayController>);

impl http_server::Handler for Observed {
    fn body_limit(&self, _: &Parts) -> usize {
        0
    }

    async fn call(&self, request: Request<Bytes>) -> Response<Vec<u8>> {
        let (status, text) = match request.uri().path() {
            "/metrics" => (200, self.0.metrics() + &log::render_metrics()),
            "/healthz" => (200, "ok\n".to_owned()),
            "/readyz" if self.0.is_ready() => (200, "ok\n".to_owned()),
            "/readyz" => (503, "not every object is known yet\n".to_owned()),
            _ => (404, "this port serves /metrics, /healthz and /readyz\n".to_owned()),
        };
        http_server::text(status, text)
    }
}

/// What the API server asks when a pod is made.
struct Webhook(Arc<GatewayController>);

/// A pod with everything around it; the API server takes no larger objects.
const MAX_REVIEW: usize = 4 << 20;

impl http_server::Handler for Webhook {
    fn body_limit(&self, _: &Parts) -> usize {
        MAX_REVIEW
    }

    async fn call(&self, request: Request<Bytes>) -> Response<Vec<u8>> {
        let answer = match request.uri().path() {
            "/mutate-pod" => self.0.review(request.body()),
            _ => None,
        };
        let status = if answer.is_some() { 200 } else { 400 };
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/json")
            .body(answer.unwrap_or_default())
            .expect("status and header are constants")
    }
}
