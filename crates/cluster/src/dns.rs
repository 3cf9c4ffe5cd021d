//! Cluster DNS: CoreDNS in pods, which knows the Services of the cluster and asks the VPC's resolver for every other name.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// As the node's registry knows it; the program is what `scripts/kubernetes` builds.
pub const IMAGE: &str = "registry.k8s.io/coredns/coredns:v1.14.3";

/// What everything of it is called. Its Service has the name that programs look for.
const NAME: &str = "coredns";
const SERVICE: &str = "kube-dns";
const NAMESPACE: &str = "kube-system";

/// A name that is not there is asked for again after five seconds: services of VPC Lattice get theirs while pods look
/// for them. Pods of CoreDNS see as resolver what their node sees.
const COREFILE: &str = ".:53 {
    errors
    health {
        lameduck 1s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30 {
        denial 9984 5
    }
    loop
    reload
    loadbalance
}
";

/// Where pods ask for names: the tenth address of Services, as on EKS, of which the API server has the first.
pub fn address(api_server: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(api_server.to_bits() + 9)
}

/// All that is applied for it, each with its path.
pub fn objects(address: Ipv4Addr) -> Vec<(String, Value)> {
    let core = |kind: &str, name: &str| format!("/api/v1/namespaces/{NAMESPACE}/{kind}/{name}");
    let rbac = |kind: &str| format!("/apis/rbac.authorization.k8s.io/v1/{kind}/system:coredns");
    let metadata = |name: &str| json!({"name": name, "namespace": NAMESPACE, "labels": {"k8s-app": SERVICE, "eks.amazonaws.com/component": NAME}});
    let look = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"]});
    vec![
        (
            core("serviceaccounts", NAME),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(NAME)}),
        ),
        (
            rbac("clusterroles"),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "system:coredns"},
                "rules": [
                    look("", &["endpoints", "services", "pods", "namespaces"]),
                    look("discovery.k8s.io", &["endpointslices"]),
                ],
            }),
        ),
        (
            rbac("clusterrolebindings"),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "system:coredns"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
                "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
            }),
        ),
        (
            core("configmaps", NAME),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(NAME), "data": {"Corefile": COREFILE}}),
        ),
        (
            format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(NAME), "spec": deployment()}),
        ),
        (
            core("services", SERVICE),
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata(SERVICE),
                "spec": {
                    "clusterIP": address,
                    "selector": {"k8s-app": SERVICE},
                    "ports": [
                        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                        {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
                    ],
                },
            }),
        ),
    ]
}

fn deployment() -> Value {
    let labels = json!({"k8s-app": SERVICE});
    let probe = |path: &str, port: u16| json!({"httpGet": {"path": path, "port": port, "scheme": "HTTP"}});
    let mut live = probe("/health", 8080);
    live["initialDelaySeconds"] = 60.into();
    let mut ready = probe("/ready", 8181);
    ready["periodSeconds"] = 1.into();
    json!({
        "replicas": 2,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": NAME,
                "priorityClassName": "system-cluster-critical",
                "dnsPolicy": "Default",
                "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
                "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                    "weight": 100,
                    "podAffinityTerm": {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"},
                }]}},
                "containers": [{
                    "name": NAME,
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "args": ["-conf", "/etc/coredns/Corefile"],
                    "resources": {"requests": {"cpu": "10m", "memory": "30Mi"}, "limits": {"memory": "170Mi"}},
                    "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": true}],
                    "ports": [
                        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                        {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                        {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
                    ],
                    "livenessProbe": live,
                    "readinessProbe": ready,
                    // Port 53 is for who has this capability, and who is not root has none in this image.
                    "securityContext": {
                        "runAsUser": 0,
                        "allowPrivilegeEscalation": false,
                        "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
                        "readOnlyRootFilesystem": true,
                    },
                }],
                "volumes": [{"name": "config", "configMap": {"name": NAME, "items": [{"key": "Corefile", "path": "Corefile"}]}}],
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_applied_where_its_name_says_and_the_service_has_the_address() {
        let dns = address(Ipv4Addr::new(172, 20, 0, 1));
        assert_eq!(dns, Ipv4Addr::new(172, 20, 0, 10));
        let objects = objects(dns);
        for (path, object) in &objects {
            let name = object["metadata"]["name"].as_str().unwrap();
            assert!(path.ends_with(&format!("/{name}")), "{path}");
            let version = object["apiVersion"].as_str().unwrap();
            assert!(path.contains(&format!("/{version}/")), "{path}");
        }
        let (_, service) = objects.last().unwrap();
        assert_eq!(service["spec"]["clusterIP"], "172.20.0.10");
    }
}
