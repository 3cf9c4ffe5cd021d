//! A node: containerd, kubelet and kube-proxy in one privileged host, whose pods have addresses of the host's subnet.
//!
//! ```text
//! DIRECTORY/pki          certificates of this node alone        (the host sees DIRECTORY at /node)
//! DIRECTORY/etc          the programs' configuration
//! DIRECTORY/containerd   images and containers
//! DIRECTORY/kubelet      volumes of pods
//! DIRECTORY/run          pod-identity.sock, where pods' requests for credentials go
//! ```
//!
//! A pod is at the end of a cable of its own from the host (`ptp`); the host answers ARP for it on the subnet, so the
//! VPC's router finds it there. That is what a VPC CNI gives on EKS.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::control_plane::{self, flags, plan_file};
use crate::files;
use crate::pki::{self, Authorities, PkiError, Subject};
use crate::plan::{Endpoint, Plan, Program, Registry, Relay};

/// Where the host sees the directory.
pub const IN_HOST: &str = "/node";
/// Where the host sees the images of the machine.
pub const IMAGES_IN_HOST: &str = "/images";

/// Where SDKs in pods ask for credentials.
const POD_IDENTITY: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 23);
const POD_IDENTITY_PORT: u16 = 80;

/// Where the node's own registry is.
const REGISTRY: u16 = 5000;
/// Of the first process of every pod.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10.1";

/// Where pods' requests for credentials come out, of the node that is kept in `directory`.
pub fn pod_identity_socket(directory: &Path) -> PathBuf {
    directory.join("run/pod-identity.sock")
}

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    /// On the machine.
    pub directory: PathBuf,
    /// Of the cluster's control plane, on the machine: it is asked for certificates.
    pub control_plane: PathBuf,
    /// Where the control plane's host is.
    pub api_address: Ipv4Addr,
    /// What Kubernetes calls the node: the host's private DNS name.
    pub name: String,
    pub address: Ipv4Addr,
    /// `aws:///us-east-1a/i-0123`.
    pub provider_id: String,
    /// Of the host's subnet, `10.0.1.0/24`.
    pub subnet_cidr: String,
    /// Of the VPC: what comes from elsewhere to a Service is no pod.
    pub vpc_cidr: String,
    /// Addresses of the subnet that the node's pods may have.
    pub pod_addresses: Vec<Ipv4Addr>,
    /// Whom pods ask for names: see [`crate::dns`].
    pub dns: Ipv4Addr,
    pub labels: Vec<(String, String)>,
    /// `KEY=VALUE:EFFECT`.
    pub taints: Vec<Taint>,
    /// Where the host has the CNI's plugins.
    pub cni: PathBuf,
}

/// What keeps pods away that do not bear it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl Node {
    /// Writes all there has to be. The plan, which the host waits for, is written last.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn prepare(&self, now: Timestamp) -> Result<(), PkiError> {
        let pki = self.directory.join("pki");
        let etc = self.directory.join("etc");
        let run = self.directory.join("run");
        for directory in [&pki, &run, &etc.join("cni"), &etc.join("certs.d/_default")] {
            files::directory(directory).map_err(PkiError::of_file(directory))?;
        }
        let authority = Authorities::open(&self.control_plane.join("pki"), now)?.cluster;
        pki::write(&pki.join("ca.crt"), authority.pem().as_bytes())?;
        let hosts = pki::hosts([self.name.as_str()], [IpAddr::from(self.address)]);
        authority.issue_into(&pki, "kubelet", &Subject { name: &self.name, group: None, hosts }, now)?;
        let server = control_plane::url(self.api_address);
        let kubelet = format!("system:node:{}", self.name);
        for (file, user, group) in
            [("kubelet", kubelet.as_str(), Some("system:nodes")), ("kube-proxy", "system:kube-proxy", None)]
        {
            let client = Subject { name: user, group, hosts: Vec::new() };
            authority.kubeconfig_into(&etc.join(format!("{file}.conf")), &server, &client, now)?;
        }
        let write = |file: &str, content: String| pki::write(&etc.join(file), content.as_bytes());
        write("kubelet.json", self.kubelet().to_string())?;
        write("kube-proxy.json", self.kube_proxy().to_string())?;
        write("cni/10-vpc.conflist", self.network().to_string())?;
        write("containerd.toml", self.containerd())?;
        // Without `server`, the registry that an image names is asked for what this one does not have.
        let registry =
            format!("[host.\"http://127.0.0.1:{REGISTRY}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
        write("certs.d/_default/hosts.toml", registry)?;
        let path = plan_file(&self.directory);
        self.plan().write(&path).map_err(PkiError::of_file(&path))
    }

    fn plan(&self) -> Plan {
        let socket = Endpoint::unix("/run/containerd/containerd.sock");
        let config = |name: &str| format!("{IN_HOST}/etc/{name}");
        let kubelet = flags(&[
            ("kubeconfig", config("kubelet.conf").as_str()),
            ("config", &config("kubelet.json")),
            ("root-dir", &format!("{IN_HOST}/kubelet")),
            ("cert-dir", &format!("{IN_HOST}/pki")),
            ("hostname-override", &self.name),
            ("node-ip", &self.address.to_string()),
            ("node-labels", &self.node_labels()),
        ]);
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Plan {
            directories: ["/run/containerd", "/var/log/pods", "/var/lib/cni"].map(PathBuf::from).to_vec(),
            settings: vec![
                setting("net/ipv4/ip_forward", "1"),
                setting("net/ipv4/conf/eth0/proxy_arp", "1"),
                setting("net/ipv4/conf/all/rp_filter", "0"),
            ],
            addresses: vec![POD_IDENTITY.into()],
            relays: vec![Relay {
                listen: Endpoint::Tcp((POD_IDENTITY, POD_IDENTITY_PORT).into()),
                connect: Endpoint::unix(pod_identity_socket(Path::new(IN_HOST))),
            }],
            registry: Some(Registry {
                listen: Endpoint::local(REGISTRY),
                images: PathBuf::from(IMAGES_IN_HOST),
            }),
            programs: vec![
                Program::new("containerd", ["--config".to_owned(), config("containerd.toml")]),
                Program::new("kubelet", kubelet).after(socket),
                Program::new("kube-proxy", ["--config".to_owned(), config("kube-proxy.json")]),
            ],
        }
    }

    fn node_labels(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        labels.join(",")
    }

    fn kubelet(&self) -> Value {
        let taints: Vec<Value> = self
            .taints
            .iter()
            .map(|taint| json!({"key": taint.key, "value": taint.value, "effect": taint.effect}))
            .collect();
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.address,
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": format!("{IN_HOST}/pki/ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": format!("{IN_HOST}/pki/kubelet.crt"),
            "tlsPrivateKeyFile": format!("{IN_HOST}/pki/kubelet.key"),
            "providerID": self.provider_id,
            "registerWithTaints": taints,
            // The host's root is nobody outside: it may not set what belongs to the machine, and need not.
            "featureGates": {"KubeletInUserNamespace": true},
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": false,
            "failSwapOn": false,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": false,
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "clusterDomain": "cluster.local",
            "clusterDNS": [self.dns],
            "maxPods": self.pod_addresses.len(),
            "serializeImagePulls": false,
            "maxParallelImagePulls": 4,
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
                "nodefs.inodesFree": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        })
    }

    fn kube_proxy(&self) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "hostnameOverride": self.name,
            "clientConnection": {"kubeconfig": format!("{IN_HOST}/etc/kube-proxy.conf")},
            "clusterCIDR": self.vpc_cidr,
            "detectLocalMode": "ClusterCIDR",
            // The machine's, not the host's to change.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            "iptables": {"minSyncPeriod": "100ms"},
        })
    }

    /// What a pod sends its packets to is the host's own address, on the other end of the pod's cable.
    fn network(&self) -> Value {
        let ranges: Vec<Value> = runs(&self.pod_addresses)
            .into_iter()
            .map(|(first, last)| {
                json!({"subnet": self.subnet_cidr, "rangeStart": first, "rangeEnd": last, "gateway": self.address})
            })
            .collect();
        json!({
            "cniVersion": "1.0.0",
            "name": "vpc",
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": false,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": "/run/cni-addresses",
                        "ranges": [ranges],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        })
    }

    fn containerd(&self) -> String {
        let (cni, pause) = (self.cni.display(), PAUSE);
        format!(
            r#"version = 2
root = "{IN_HOST}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{IN_HOST}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{IN_HOST}/etc/certs.d"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{cni}"
  conf_dir = "{IN_HOST}/etc/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#
        )
    }
}

/// Addresses in as few runs as they make, ascending.
fn runs(addresses: &[Ipv4Addr]) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let mut all = addresses.to_vec();
    all.sort_unstable();
    all.dedup();
    let mut runs: Vec<(Ipv4Addr, Ipv4Addr)> = Vec::new();
    for address in all {
        match runs.last_mut() {
            Some((_, last)) if last.to_bits() + 1 == address.to_bits() => *last = address,
            _ => runs.push((address, address)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_to_pods_in_the_runs_they_make() {
        let address = |last| Ipv4Addr::new(10, 0, 1, last);
        let runs = runs(&[address(9), address(4), address(5), address(6), address(5)]);
        assert_eq!(runs, [(address(4), address(6)), (address(9), address(9))]);
    }
}
