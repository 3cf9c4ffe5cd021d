//! What a user can type. `--help` of each command is meant to be enough to start.

pub(crate) mod accounts;
pub(crate) mod sandbox;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use trellis_logs::Endpoint;
use trellis_model::resource::lattice::{DatabaseArn, LogDestinationKind};
use trellis_model::{SubnetId, VpcId};

use accounts::{Account, Key};
use sandbox::{SandboxFlags, Variable};

/// The port every AWS API is served on.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:4560";

#[derive(Debug, Parser)]
#[command(
    name = "trellis",
    version,
    about = "An application network anyone can run: the open, self-hosted counterpart of Amazon VPC Lattice",
    long_about = "An application network anyone can run: the open, self-hosted counterpart of Amazon VPC Lattice.\n\n\
        Start it, point any AWS client at it, and put hosts into its VPCs:\n\n  \
        trellis up &\n  \
        eval \"$(trellis env)\"\n  \
        aws ec2 create-vpc --cidr-block 10.0.0.0/16\n  \
        aws vpc-lattice create-service-network --name shop\n  \
        trellis run --subnet subnet-0123... --name web -- python3 -m http.server 8080\n  \
        trellis exec web -- curl http://cart.example.com/",
    after_help = "Every command that talks to a running instance finds it by --data-dir (or TRELLIS_DATA_DIR)."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run Trellis: control plane, data plane and DNS in one process, until SIGTERM or SIGINT
    Up(Up),
    /// Print `export NAME=value` lines that point any AWS client at the running instance
    Env(Env),
    /// Start a host in a subnet and run a command in it
    Run(Run),
    /// Run one command inside a host, or inside a VPC's router
    Exec(Exec),
    /// List hosts
    Ps(Ps),
    /// Remove hosts and everything that runs in them
    Rm(Rm),
    /// Show whether each part of the running instance does its work
    Status(Status),
    /// Make, list and delete accounts of the running instance
    Account(Account),
    /// Make, list and delete access keys of accounts
    Key(Key),
    /// Keep container images for the nodes of clusters: import archives, build from programs, list
    Image(crate::image::Image),
    /// Run the signing proxy beside an application that cannot sign its requests to services
    Sign(crate::sign::Sign),
    /// Run the Gateway API controller: turns objects of a Kubernetes cluster into resources of VPC Lattice
    Kube(crate::kube::Kube),
    /// Look into auth policies: what they mean, and what nobody means by them
    Policy(crate::policy::PolicyArgs),
}

/// Where an instance keeps its state.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataDir {
    /// Directory of the instance: state, credentials, logs
    #[arg(long, value_name = "DIR", default_value = "./.trellis", env = "TRELLIS_DATA_DIR", global = true)]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Env {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// Print the newest key of this account, by id or name, instead of the admin key
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) account: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Environment:\n  \
    TRELLIS_ADMIN_ACCESS_KEY_ID, TRELLIS_ADMIN_SECRET_ACCESS_KEY, TRELLIS_ACCOUNT_ID\n          \
    the admin access key and account to use instead of made ones\n  \
    AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL_CLOUDWATCH_LOGS, AWS_ENDPOINT_URL_FIREHOSE\n          \
    as --log-endpoint; credentials for them come from AWS_ACCESS_KEY_ID, AWS_PROFILE and\n          \
    the other places AWS SDKs look at\n  \
    RUST_LOG  what to log on stderr, e.g. `info` (default) or `trellis_control=debug`\n\n\
    When everything accepts work, one line is printed on stdout:\n  \
    trellis is ready: http://127.0.0.1:4560")]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// Address of the API endpoint; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = DEFAULT_LISTEN)]
    pub(crate) listen: SocketAddr,
    /// Address where the API is served over TLS as well; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen_tls: Option<SocketAddr>,
    /// Certificate that --listen-tls shows, PEM, with what leads to its root; one of the private CA when absent
    #[arg(long, value_name = "FILE", requires = "tls_key", requires = "listen_tls")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Host name or address that a certificate of the private CA is for, besides this machine's own; repeatable
    #[arg(
        long = "tls-name",
        value_name = "NAME",
        requires = "listen_tls",
        conflicts_with = "tls_certificate"
    )]
    pub(crate) tls_names: Vec<String>,
    /// Do not serve the API to hosts, which find it at http://169.254.169.252 inside their VPC: it is for whoever signs,
    /// as everywhere, and their AWS_ENDPOINT_URL
    #[arg(long)]
    pub(crate) no_api_in_vpcs: bool,
    /// Address of the Prometheus metrics, on loopback; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4561")]
    pub(crate) metrics_listen: SocketAddr,
    /// Where public hosted zones are answered to whoever asks, over UDP and TCP; port 0 takes a free one [default:
    /// nowhere]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) dns_listen: Option<SocketAddr>,
    /// Data-plane worker threads; 0 means one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) workers: usize,
    /// Memory that what clients have begun and not finished may hold in the data plane, in MiB; a client that holds too
    /// much of it is refused with 503
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    pub(crate) client_memory_mib: u64,
    /// Resolver asked for every name that is not Trellis's own, in place of the machine's (/etc/resolv.conf); repeatable
    #[arg(long = "resolver", value_name = "ADDR:PORT")]
    pub(crate) resolvers: Vec<SocketAddr>,
    /// Raise or lower a quota by its AWS code, e.g. `L-CF78395E=50` for rules per listener; repeatable
    #[arg(long = "quota", value_name = "CODE=N", value_parser = parse_quota)]
    pub(crate) quotas: Vec<(String, u64)>,
    /// Keys (a JWKS file) of an OIDC issuer that cannot be reached from here, e.g. `https://oidc.example.com/id/1=keys.json`;
    /// read anew when they are needed, and nothing is fetched from that issuer; repeatable
    #[arg(long = "issuer-keys", value_name = "URL=FILE", value_parser = parse_issuer_keys)]
    pub(crate) issuer_keys: Vec<(String, PathBuf)>,
    /// Where access log subscriptions of a kind are delivered: s3, logs or firehose = files (the default:
    /// one local file for each subscription), aws (Amazon's own), or a URL; repeatable
    #[arg(long = "log-endpoint", value_name = "KIND=URL", value_parser = parse_log_endpoint)]
    pub(crate) log_endpoints: Vec<(LogDestinationKind, Endpoint)>,
    /// How long access logs of a kind are gathered before they are delivered, e.g. `s3=60` (default; 5 for
    /// logs and firehose); repeatable
    #[arg(long = "log-interval", value_name = "KIND=SECONDS", value_parser = parse_log_interval)]
    pub(crate) log_intervals: Vec<(LogDestinationKind, Duration)>,
    /// Access logs that may wait on disk for their destinations, in MiB; beyond it the oldest are dropped
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) log_spool_mib: u64,
    /// How long requests in flight may take to finish after SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) drain_seconds: u64,
    /// Folder with the programs of Kubernetes that clusters are made of [default: what scripts/kubernetes built]
    #[arg(long, value_name = "DIR", env = "TRELLIS_KUBERNETES")]
    pub(crate) kubernetes: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A host sees the machine's programs (/usr, /bin, /lib, what anybody may know of /etc) read-only, what --mount\n\
    gives it, and an empty home, /tmp and /var of its own that go with it. docs/hosts.md says the rest.\n\n\
    Without -d the host lives as long as its command; with -d it lives until `trellis rm`,\n\
    is started again when Trellis is, and its output goes to DIR/hosts/NAME.log (10 MiB, older output in NAME.log.1).\n\n\
    A database that VPC Lattice resources of type ARN mean:\n  \
    trellis run -d --subnet subnet-0123... --name orders --resource-port 5432 \\\n    \
    --resource-arn arn:aws:rds:us-east-1:111122223333:db:orders -- postgres -D /data"
)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// Leave the host running in the background
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Address of the host; a free one of the subnet when absent
    #[arg(long, value_name = "IP")]
    pub(crate) ip: Option<Ipv4Addr>,
    /// IPv6 address of the host; when absent, a free one if the subnet assigns them, else none
    #[arg(long, value_name = "IPV6")]
    pub(crate) ipv6: Option<Ipv6Addr>,
    /// Security group of the host; repeatable. Without one, nothing of the host is filtered
    #[arg(long = "security-group", value_name = "SG")]
    pub(crate) security_groups: Vec<String>,
    /// Subnet the host is in
    #[arg(long, value_name = "SUBNET")]
    pub(crate) subnet: SubnetId,
    /// The database this host is: resource configurations of type ARN with this ARN of an RDS instance or cluster, in
    /// the subnet's account and region, lead here
    #[arg(long, value_name = "ARN", requires = "resource_port")]
    pub(crate) resource_arn: Option<DatabaseArn>,
    /// Port the database listens on
    #[arg(long, value_name = "PORT", requires = "resource_arn", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) resource_port: Option<u16>,
    /// Name or ARN of an IAM instance profile: SDKs in the host find credentials of its role by themselves
    #[arg(long, value_name = "PROFILE")]
    pub(crate) iam_instance_profile: Option<String>,
    #[command(flatten)]
    pub(crate) sandbox: SandboxFlags,
    /// A variable for the command: NAME=VALUE, or NAME for the value it has here; repeatable. Of this environment
    /// an attached command gets TERM and LANG besides, a detached one nothing
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) environment: Vec<Variable>,
    /// Name of the host, unique in this instance: 1 to 63 letters, digits and hyphens
    #[arg(long)]
    pub(crate) name: String,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// Name or instance id of the host
    #[arg(required_unless_present = "vpc", value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Enter the router of this VPC instead of a host, to look at its links, routes and packets
    #[arg(long, value_name = "VPC", conflicts_with = "host")]
    pub(crate) vpc: Option<VpcId>,
    /// A variable for the command in a host: NAME=VALUE, or NAME for the value it has here; repeatable. Of this
    /// environment it gets TERM and LANG besides
    #[arg(long = "env", value_name = "NAME[=VALUE]", conflicts_with = "vpc")]
    pub(crate) environment: Vec<Variable>,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "The exit status is 1 when some part does not do its work.")]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// Names or instance ids
    #[arg(required = true, value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
}

fn parse_quota(text: &str) -> Result<(String, u64), String> {
    let (code, value) = text.split_once('=').ok_or("expected CODE=N, such as L-CF78395E=50")?;
    let value = value.parse().map_err(|_| format!("expected a number after {code}=, found {value:?}"))?;
    Ok((code.to_owned(), value))
}

/// The URL without its scheme, as identity providers are known by, and the file.
fn parse_issuer_keys(text: &str) -> Result<(String, PathBuf), String> {
    let rest =
        text.strip_prefix("https://").ok_or("expected URL=FILE with a URL that begins with https://")?;
    match rest.rsplit_once('=') {
        Some((issuer, file)) if !issuer.is_empty() && !file.is_empty() => {
            Ok((issuer.trim_end_matches('/').to_owned(), file.into()))
        }
        _ => Err("expected =FILE after the URL".to_owned()),
    }
}

fn parse_log_endpoint(text: &str) -> Result<(LogDestinationKind, Endpoint), String> {
    let (kind, endpoint) = parse_kind(text)?;
    Ok((kind, endpoint.parse().map_err(|error: trellis_logs::EndpointError| error.to_string())?))
}

fn parse_log_interval(text: &str) -> Result<(LogDestinationKind, Duration), String> {
    let (kind, seconds) = parse_kind(text)?;
    match seconds.parse() {
        Ok(seconds @ 1..=3600) => Ok((kind, Duration::from_secs(seconds))),
        _ => Err(format!("expected 1 to 3600 seconds after {}=, found {seconds:?}", kind.as_str())),
    }
}

/// `KIND=...`.
fn parse_kind(text: &str) -> Result<(LogDestinationKind, &str), String> {
    let (name, rest) = text.split_once('=').unwrap_or((text, ""));
    let kind = LogDestinationKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    Ok((kind.ok_or("expected s3=..., logs=... or firehose=...")?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_the_shape_the_documentation_fixes() {
        let line = "trellis run -d --ip 10.0.0.9 --ipv6 fd12::9 --security-group sg-1 --subnet subnet-0123456789abcdef0 \
                    --name web -- python3 -m http.server 8080";
        let Command::Run(run) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("not run")
        };
        assert!(run.detach);
        assert_eq!(run.command, ["python3", "-m", "http.server", "8080"]);
    }

    #[test]
    fn exec_needs_a_host_or_a_vpc_and_a_command() {
        for (line, accepted) in [
            ("trellis exec web -- id", true),
            ("trellis exec --vpc vpc-0123456789abcdef0 -- ip route", true),
            ("trellis exec -- id", false),
            ("trellis exec web", false),
        ] {
            assert_eq!(Cli::try_parse_from(line.split_whitespace()).is_ok(), accepted, "{line}");
        }
    }

    #[test]
    fn quotas_are_a_code_and_a_number() {
        assert_eq!(parse_quota("L-CF78395E=50"), Ok(("L-CF78395E".into(), 50)));
        assert!(parse_quota("L-CF78395E").is_err() && parse_quota("L-CF78395E=x").is_err());
    }

    #[test]
    fn keys_of_an_issuer_are_its_url_and_a_file() {
        let keys = ("oidc.example.com/id/1".to_owned(), PathBuf::from("a.json"));
        assert_eq!(parse_issuer_keys("https://oidc.example.com/id/1/=a.json"), Ok(keys));
        for wrong in ["oidc.example.com=a.json", "http://a=b", "https://a", "https://=b", "https://a="] {
            assert!(parse_issuer_keys(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn log_endpoints_and_intervals_are_a_kind_and_a_value() {
        let url = Endpoint::Url("http://127.0.0.1:9000".into());
        assert_eq!(parse_log_endpoint("s3=http://127.0.0.1:9000"), Ok((LogDestinationKind::S3, url)));
        assert_eq!(parse_log_endpoint("logs=aws"), Ok((LogDestinationKind::Logs, Endpoint::Amazon)));
        let minute = (LogDestinationKind::Firehose, Duration::from_secs(60));
        assert_eq!(parse_log_interval("firehose=60"), Ok(minute));
        for wrong in ["s3", "s3=", "sqs=aws", "s3=9000"] {
            assert!(parse_log_endpoint(wrong).is_err(), "{wrong}");
        }
        for wrong in ["s3=0", "s3=soon", "60", "s3=86400"] {
            assert!(parse_log_interval(wrong).is_err(), "{wrong}");
        }
    }
}
