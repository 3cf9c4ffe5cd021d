//! `trellis sign`: the signing proxy as a process, and the rules that lead an application to it.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::request::Parts;
use http::{Request, Response};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use trellis_sign::{IpNet, Options, Redirect, SigningAlgorithm, SigningProxy, TrustSource};

use crate::http_server::{self, Door, Terms};
use crate::log;

/// Connections to the metrics at once.
const METRICS_CONNECTIONS: usize = 64;

#[derive(Debug, Args)]
#[command(after_help = "Beside an application in its network namespace, in a group of its own:\n  \
    trellis sign --install-redirect --exempt-group 1337\n  \
    setpriv --regid 1337 --clear-groups trellis sign --region us-east-1 --ca ca.pem\n\n\
    or, without the redirect, as the HTTP proxy of an application:\n  \
    trellis sign --region us-east-1 --ca ca.pem &\n  \
    http_proxy=http://127.0.0.1:8080 curl http://cart.example.com/\n\n\
    Credentials are found as AWS SDKs find them: AWS_ACCESS_KEY_ID, the profile (AWS_PROFILE),\n\
    AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, AWS_CONTAINER_CREDENTIALS_FULL_URI, instance metadata.\n\n\
    When it accepts connections, one line is printed on stdout:\n  \
    trellis sign is ready: 127.0.0.1:8080")]
pub(crate) struct Sign {
    /// Address applications and the redirect reach it at; repeatable
    #[arg(long, value_name = "ADDR:PORT", default_values = ["127.0.0.1:8080", "[::1]:8080"])]
    listen: Vec<SocketAddr>,
    /// Address of the Prometheus metrics (/metrics) and of readiness (/ready)
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8081")]
    metrics_listen: SocketAddr,
    /// Region of the services; else AWS_REGION, AWS_DEFAULT_REGION, the profile's or the instance's
    #[arg(long)]
    region: Option<String>,
    /// Profile of the shared AWS configuration, in place of AWS_PROFILE
    #[arg(long)]
    profile: Option<String>,
    /// Sign with SigV4A, good in a set of regions such as us-east-1,eu-west-1; * without one
    #[arg(long, value_name = "REGIONS", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    sigv4a: Option<String>,
    /// Whom services are verified by: a PEM file, a directory of them, or the ARN of a certificate authority
    /// (arn:aws:acm-pca:...), which is asked for its certificate; without it, those the system trusts
    #[arg(long, value_name = "FILE|DIR|ARN", env = "TRELLIS_SIGN_CA")]
    ca: Option<TrustSource>,
    /// Where ACM PCA is reached for --ca ARN; else AWS_ENDPOINT_URL_ACM_PCA, AWS_ENDPOINT_URL or Amazon's own
    #[arg(long, value_name = "URL")]
    ca_endpoint: Option<String>,
    /// Sign requests to these addresses too; repeatable. Without it only 169.254.171.0/24 and fd00:ec2:80::/64, where
    /// services are, and nobody else is sent a session token
    #[arg(long = "allow-destination", value_name = "CIDR")]
    destinations: Vec<IpNet>,
    /// Worker threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
    /// How long requests in flight may take to finish after SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_seconds: u64,
    /// Write the nftables rules that redirect TCP to services to the port of --listen, in this network namespace, and
    /// end; again replaces them. `nft delete table inet trellis_sign` takes them away
    #[arg(long)]
    install_redirect: bool,
    /// The group (a number) whose connections are not redirected, with --install-redirect: the signing proxy's. The
    /// group of this process when absent
    #[arg(long, value_name = "GID", requires = "install_redirect")]
    exempt_group: Option<u32>,
}

pub(crate) fn sign(args: Sign) -> anyhow::Result<ExitCode> {
    if args.install_redirect {
        return install_redirect(&args);
    }
    log::start();
    trellis_net::open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(args));
    // A look for credentials that hangs must not hold up the end of the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    log::finish();
    outcome
}

fn install_redirect(args: &Sign) -> anyhow::Result<ExitCode> {
    let ports: Vec<u16> = args.listen.iter().map(SocketAddr::port).collect();
    let port = ports[0];
    if ports.iter().any(|other| *other != port) {
        bail!("--install-redirect leads to one port: give every --listen the same");
    }
    let exempt_group = match args.exempt_group {
        Some(group) => group,
        None => fs::metadata("/proc/self").context("cannot read the group of this process")?.gid(),
    };
    let rules = Redirect { port, exempt_group }.to_string();
    trellis_net::install_rules(&rules).context("the redirect is not in force")?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: Sign) -> anyhow::Result<ExitCode> {
    let Sign {
        listen,
        metrics_listen,
        region,
        profile,
        sigv4a,
        ca,
        ca_endpoint,
        destinations,
        workers,
        drain_seconds,
        install_redirect: _,
        exempt_group: _,
    } = args;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let drain = Duration::from_secs(drain_seconds);

    let algorithm = match sigv4a {
        Some(region_set) => SigningAlgorithm::SigV4A { region_set },
        None => SigningAlgorithm::SigV4 { region: region_of(region, profile.as_deref()).await? },
    };
    let metrics_door = Door::open(metrics_listen, "--metrics-listen").await?;
    let proxy = SigningProxy::start(Options {
        listen,
        workers: workers.into(),
        credentials: trellis_sign::chain(profile),
        algorithm,
        trust: ca.unwrap_or(TrustSource::System),
        ca_endpoint: ca_endpoint.or_else(ca_endpoint_of_environment),
        destinations,
        drain,
    })?;
    let proxy = Arc::new(proxy);
    tracing::info!("metrics are at http://{}/metrics", metrics_door.address);
    let (stop, stopped) = watch::channel(false);
    let terms = Terms { tls: None, most_connections: METRICS_CONNECTIONS, drain: Duration::from_secs(1) };
    let observed = Arc::new(Observed(proxy.clone()));
    let metrics = tokio::spawn(http_server::serve(metrics_door, observed, terms, stopped));
    announce(&proxy);

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
    }
    proxy.stop().await;
    stop.send_replace(true);
    let _ = metrics.await;
    Ok(ExitCode::SUCCESS)
}

async fn region_of(flag: Option<String>, profile: Option<&str>) -> anyhow::Result<String> {
    match flag {
        Some(region) => Ok(region),
        None => trellis_sign::region_of_chain(profile).await.context(
            "the region of the services is not known: give it with --region or AWS_REGION, or sign for every region \
             with --sigv4a",
        ),
    }
}

fn ca_endpoint_of_environment() -> Option<String> {
    ["AWS_ENDPOINT_URL_ACM_PCA", "AWS_ENDPOINT_URL"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()))
}

/// The one line on stdout that scripts wait for. A closed stdout must not end a proxy that works.
fn announce(proxy: &SigningProxy) {
    let addresses: Vec<String> = proxy.addresses().iter().map(SocketAddr::to_string).collect();
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "trellis sign is ready: {}", addresses.join(" ")).and_then(|()| stdout.flush());
}

/// What an operator's machines look at.
struct Observed(Arc<SigningProxy>);

impl http_server::Handler for Observed {
    fn body_limit(&self, _: &Parts) -> usize {
        0
    }

    async fn call(&self, request: Request<Bytes>) -> Response<Vec<u8>> {
        let (status, text) = match request.uri().path() {
            "/metrics" => (200, self.0.metrics() + &log::render_metrics()),
            "/healthz" => (200, "ok\n".to_owned()),
            "/ready" => match self.0.readiness() {
                Ok(()) => (200, "ok\n".to_owned()),
                Err(missing) => (503, format!("{missing}\n")),
            },
            _ => (404, "this port serves /metrics, /healthz and /ready\n".to_owned()),
        };
        http_server::text(status, text)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Sign {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Sign(sign) => sign,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sigv4a_is_for_every_region_unless_it_says_which() {
        assert_eq!(parse("trellis sign").sigv4a, None);
        assert_eq!(parse("trellis sign --sigv4a").sigv4a.as_deref(), Some("*"));
        assert_eq!(
            parse("trellis sign --sigv4a=us-east-1,eu-west-1").sigv4a.as_deref(),
            Some("us-east-1,eu-west-1")
        );
    }

    #[test]
    fn an_exempt_group_is_nothing_without_the_redirect() {
        assert!(Cli::try_parse_from("trellis sign --exempt-group 7".split_whitespace()).is_err());
        let sign = parse("trellis sign --install-redirect --exempt-group 7 --listen 127.0.0.1:9000");
        assert_eq!((sign.exempt_group, sign.listen.len()), (Some(7), 1));
    }

    #[test]
    fn an_authority_is_a_path_or_an_arn_of_acm_pca() {
        assert!(
            Cli::try_parse_from(["trellis", "sign", "--ca", "arn:aws:acm:us-east-1:1:certificate/x"])
                .is_err()
        );
        assert_eq!(parse("trellis sign --ca /etc/ca").ca, Some(TrustSource::Path("/etc/ca".into())));
    }
}
