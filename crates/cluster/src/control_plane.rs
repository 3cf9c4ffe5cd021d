//! The control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler in one host.
//!
//! ```text
//! DIRECTORY/pki      authorities and certificates      (the host sees DIRECTORY at /cluster)
//! DIRECTORY/etcd     the cluster's state
//! DIRECTORY/run      api.sock, where the API server is reached from the machine;
//!                    authenticator.sock, where the API server asks who has a token;
//!                    webhook.sock, where it asks what a pod is to be given
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::files;
use crate::kubeconfig;
use crate::pki::{self, Authorities, PkiError, Subject};
use crate::plan::{Endpoint, Plan, Program, Relay};

/// Where the host sees the directory.
pub const IN_HOST: &str = "/cluster";

/// Where the API server listens, on every address of the host.
pub const PORT: u16 = 443;
const ETCD: u16 = 2379;
const ETCD_PEERS: u16 = 2380;
/// Where the API server asks who has a token.
const AUTHENTICATOR: u16 = 21362;
/// Where the API server asks what a pod is to be given, over TLS with a certificate of the cluster's authority.
pub const WEBHOOK: u16 = 21363;

/// Lets in whatever the cluster's authority calls so.
const ADMINISTRATORS: &str = "system:masters";

/// One control plane.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    /// On the machine.
    pub directory: PathBuf,
    /// Of the host.
    pub address: Ipv4Addr,
    /// `172.20.0.0/16`: what Services have addresses of.
    pub service_cidr: String,
    /// The first address of `service_cidr`: the API server as a Service.
    pub service_address: Ipv4Addr,
    /// What service account tokens say they are from: an https URL.
    pub issuer: String,
    /// Names of the API server beside Kubernetes' own.
    pub names: Vec<String>,
}

/// The sockets that machine and host share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    pub api: PathBuf,
    pub authenticator: PathBuf,
    pub webhook: PathBuf,
}

impl Sockets {
    /// Those of the control plane kept in `directory`.
    pub fn of(directory: &Path) -> Self {
        let run = directory.join("run");
        let socket = |name: &str| run.join(name);
        Self {
            api: socket("api.sock"),
            authenticator: socket("authenticator.sock"),
            webhook: socket("webhook.sock"),
        }
    }
}

/// Where the cluster's authority's certificate is.
pub fn authority_file(directory: &Path) -> PathBuf {
    directory.join("pki/ca.crt")
}

/// Where the plan of a host that is given `directory` is.
pub fn plan_file(directory: &Path) -> PathBuf {
    directory.join("plan.json")
}

impl ControlPlane {
    /// Makes what is not there yet and issues certificates anew. The plan, which the host waits for, is written last.
    /// Returns what service account tokens are verified with.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn prepare(&self, now: Timestamp) -> Result<serde_json::Value, PkiError> {
        let pki = self.directory.join("pki");
        for directory in [&pki, &self.directory.join("run"), &self.directory.join("etcd")] {
            files::directory(directory).map_err(PkiError::of_file(directory))?;
        }
        let authorities = Authorities::open(&pki, now)?;
        let names = self.names.iter().map(String::as_str).chain([
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ]);
        let addresses = [Ipv4Addr::LOCALHOST, self.address, self.service_address].map(IpAddr::from);
        let server = Subject { name: "kube-apiserver", group: None, hosts: pki::hosts(names, addresses) };
        authorities.cluster.issue_into(&pki, "apiserver", &server, now)?;
        let administrator = |name| Subject { name, group: Some(ADMINISTRATORS), hosts: Vec::new() };
        let hosts = pki::hosts([], [IpAddr::from(Ipv4Addr::LOCALHOST)]);
        authorities.cluster.issue_into(
            &pki,
            "webhook",
            &Subject { name: "webhook", group: None, hosts },
            now,
        )?;
        authorities.cluster.issue_into(&pki, "kubelet-client", &administrator("kube-apiserver"), now)?;
        authorities.cluster.issue_into(&pki, "admin", &administrator("trellis"), now)?;
        let front_proxy = Subject { name: "front-proxy", ..Subject::default() };
        authorities.front_proxy.issue_into(&pki, "front-proxy", &front_proxy, now)?;
        let server = format!("https://127.0.0.1:{PORT}");
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let user = format!("system:{name}");
            let client = Subject { name: &user, ..Subject::default() };
            authorities.cluster.kubeconfig_into(&pki.join(format!("{name}.conf")), &server, &client, now)?;
        }
        let config = kubeconfig::anonymous(&format!("http://127.0.0.1:{AUTHENTICATOR}/authenticate"));
        pki::write(&pki.join("authenticator.conf"), &config)?;
        let path = plan_file(&self.directory);
        self.plan().write(&path).map_err(PkiError::of_file(&path))?;
        Ok(authorities.key_set())
    }

    fn plan(&self) -> Plan {
        let api = Endpoint::local(PORT);
        let sockets = Sockets::of(Path::new(IN_HOST));
        Plan {
            relays: vec![
                Relay { listen: Endpoint::unix(sockets.api), connect: api.clone() },
                Relay {
                    listen: Endpoint::local(AUTHENTICATOR),
                    connect: Endpoint::unix(sockets.authenticator),
                },
                Relay { listen: Endpoint::local(WEBHOOK), connect: Endpoint::unix(sockets.webhook) },
            ],
            programs: vec![
                etcd(),
                self.api_server(),
                self.controller_manager().after(api.clone()),
                scheduler().after(api),
            ],
            ..Plan::default()
        }
    }

    fn api_server(&self) -> Program {
        let arguments = flags(&[
            ("etcd-servers", &format!("http://127.0.0.1:{ETCD}")),
            ("bind-address", "0.0.0.0"),
            ("secure-port", &PORT.to_string()),
            ("advertise-address", &self.address.to_string()),
            ("service-cluster-ip-range", &self.service_cidr),
            ("tls-cert-file", &pki_file("apiserver.crt")),
            ("tls-private-key-file", &pki_file("apiserver.key")),
            ("client-ca-file", &pki_file("ca.crt")),
            ("service-account-issuer", &self.issuer),
            ("service-account-key-file", &pki_file("service-accounts.pub")),
            ("service-account-signing-key-file", &pki_file("service-accounts.key")),
            ("api-audiences", &format!("https://kubernetes.default.svc,{}", self.issuer)),
            ("authorization-mode", "Node,RBAC"),
            ("enable-admission-plugins", "NodeRestriction"),
            ("allow-privileged", "true"),
            ("authentication-token-webhook-config-file", &pki_file("authenticator.conf")),
            ("authentication-token-webhook-version", "v1"),
            // What an access entry says is in force within this time.
            ("authentication-token-webhook-cache-ttl", "10s"),
            ("kubelet-certificate-authority", &pki_file("ca.crt")),
            ("kubelet-client-certificate", &pki_file("kubelet-client.crt")),
            ("kubelet-client-key", &pki_file("kubelet-client.key")),
            ("kubelet-preferred-address-types", "InternalIP"),
            ("enable-aggregator-routing", "true"),
            ("proxy-client-cert-file", &pki_file("front-proxy.crt")),
            ("proxy-client-key-file", &pki_file("front-proxy.key")),
            ("requestheader-client-ca-file", &pki_file("front-proxy-ca.crt")),
            ("requestheader-allowed-names", "front-proxy"),
            ("requestheader-username-headers", "X-Remote-User"),
            ("requestheader-group-headers", "X-Remote-Group"),
            ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
            ("profiling", "false"),
        ]);
        Program::new("kube-apiserver", arguments).after(Endpoint::local(ETCD))
    }

    fn controller_manager(&self) -> Program {
        let config = pki_file("kube-controller-manager.conf");
        let arguments = flags(&[
            ("kubeconfig", config.as_str()),
            ("authentication-kubeconfig", &config),
            ("authorization-kubeconfig", &config),
            ("bind-address", "127.0.0.1"),
            ("service-account-private-key-file", &pki_file("service-accounts.key")),
            ("root-ca-file", &pki_file("ca.crt")),
            ("use-service-account-credentials", "true"),
            ("cluster-signing-cert-file", &pki_file("ca.crt")),
            ("cluster-signing-key-file", &pki_file("ca.key")),
            ("allocate-node-cidrs", "false"),
            ("leader-elect", "false"),
            ("profiling", "false"),
        ]);
        Program::new("kube-controller-manager", arguments)
    }
}

fn etcd() -> Program {
    let clients = format!("http://127.0.0.1:{ETCD}");
    let peers = format!("http://127.0.0.1:{ETCD_PEERS}");
    let arguments = flags(&[
        ("data-dir", format!("{IN_HOST}/etcd").as_str()),
        ("listen-client-urls", &clients),
        ("advertise-client-urls", &clients),
        ("listen-peer-urls", &peers),
        ("initial-advertise-peer-urls", &peers),
        ("initial-cluster", &format!("default={peers}")),
        ("log-level", "warn"),
    ]);
    Program::new("etcd", arguments)
}

fn scheduler() -> Program {
    let config = pki_file("kube-scheduler.conf");
    let arguments = flags(&[
        ("kubeconfig", config.as_str()),
        ("authentication-kubeconfig", &config),
        ("authorization-kubeconfig", &config),
        ("bind-address", "127.0.0.1"),
        ("leader-elect", "false"),
        ("profiling", "false"),
    ]);
    Program::new("kube-scheduler", arguments)
}

/// `--name=value` of each.
pub(crate) fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn pki_file(name: &str) -> String {
    format!("{IN_HOST}/pki/{name}")
}

/// An address as others in the VPC write it.
pub fn url(address: Ipv4Addr) -> String {
    format!("https://{}", SocketAddr::from((address, PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plan_names_is_there_once_it_is_prepared() {
        let directory = tempfile::tempdir().unwrap();
        let control_plane = ControlPlane {
            directory: directory.path().to_owned(),
            address: Ipv4Addr::new(10, 0, 1, 4),
            service_cidr: "172.20.0.0/16".into(),
            service_address: Ipv4Addr::new(172, 20, 0, 1),
            issuer: "https://oidc.example/id/1".into(),
            names: vec!["one.eks.example".into()],
        };
        for _ in 0..2 {
            control_plane.prepare(Timestamp::now()).unwrap();
        }
        let plan = Plan::read(&plan_file(directory.path())).unwrap();
        let files = plan.programs.iter().flat_map(|program| &program.command).filter_map(|argument| {
            let path = argument.split_once('=')?.1.strip_prefix("/cluster/pki/")?;
            Some(directory.path().join("pki").join(path))
        });
        let files: Vec<_> = files.collect();
        assert!(files.len() > 15);
        for file in files {
            assert!(file.is_file(), "{}", file.display());
        }
    }
}
