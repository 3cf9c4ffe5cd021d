"""etcd and kube-apiserver alone, as a cluster without nodes: real objects, watches, finalizers and definitions.

Nothing but these two runs: who needs endpoints writes EndpointSlices. `trellis kube` runs beside them.
"""

import os
import pathlib
import shutil
import subprocess
import threading

import requests
import yaml

from instance import ROOT, TRELLIS, eventually, free_port

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
PROGRAMS = pathlib.Path(os.environ.get("TRELLIS_KUBERNETES") or CACHE / "trellis/kubernetes/current")
# Gateway API's definitions come with its Go module, which scripts/setup fetches.
DEFINITIONS = pathlib.Path(os.environ.get("TRELLIS_GATEWAY_API") or ROOT / "target/gateway-api")
EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
ADMIN = ("admin.crt", "admin.key")
GATEWAY = "gateway.networking.k8s.io/v1"

# Kind -> the plural in its path.
PLURALS = {"GatewayClass": "gatewayclasses", "EndpointSlice": "endpointslices", "TargetGroupPolicy": "targetgrouppolicies",
           "VpcAssociationPolicy": "vpcassociationpolicies", "IAMAuthPolicy": "iamauthpolicies",
           "AccessLogPolicy": "accesslogpolicies", "DNSEndpoint": "dnsendpoints"}
CLUSTER_WIDE = {"MutatingWebhookConfiguration", "Namespace", "GatewayClass", "CustomResourceDefinition", "ServiceNetwork"}


def program(name):
    for place in (PROGRAMS / name, shutil.which(name)):
        if place and os.access(place, os.X_OK):
            return str(place)
    raise AssertionError(f"{name} is not there: run scripts/kubernetes, or set TRELLIS_KUBERNETES to a folder that has it")


class ApiServer:
    """A context manager; leaving it ends both programs."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.processes = []

    def __enter__(self):
        try:
            return self._begin()
        except BaseException:
            self.__exit__()
            raise

    def _begin(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self._keys()
        client, peer, self.port = free_port(), free_port(), free_port()
        self._start("etcd", "--data-dir", "etcd", "--unsafe-no-fsync",
                    "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
                    "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                    "--initial-cluster", f"default=http://127.0.0.1:{peer}")
        self.url = f"https://127.0.0.1:{self.port}"
        self.api = requests.Session()
        self.api.cert = tuple(str(self.directory / name) for name in ADMIN)
        self.api.verify = str(self.directory / "ca.crt")
        self.api.trust_env = False
        self.flags = ["--etcd-servers", f"http://127.0.0.1:{client}", "--secure-port", str(self.port),
                      "--bind-address", "127.0.0.1", "--endpoint-reconciler-type", "none",
                      "--tls-cert-file", "server.crt", "--tls-private-key-file", "server.key", "--client-ca-file", "ca.crt",
                      "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", "sa.pub",
                      "--service-account-signing-key-file", "sa.key", "--service-cluster-ip-range", "10.96.0.0/16",
                      "--authorization-mode", "RBAC", "--disable-admission-plugins", "ServiceAccount",
                      "--watch-cache=true", "--v", "1"]
        self.server = self._start("kube-apiserver", *self.flags)
        self._ready()
        self.define(*sorted((DEFINITIONS / "standard").glob("gateway.networking.k8s.io_*.yaml")))
        self.define(*sorted((ROOT / "crates/kube/crds").glob("*.yaml")))
        return self

    def __exit__(self, *_):
        # A stopped API server keeps its port while watches drain.
        for process in reversed(self.processes):
            process.kill()
            process.wait(10)

    def restart(self):
        """kill -9, and again."""
        self.server.kill()
        self.server.wait(10)
        self.server = self._start("kube-apiserver", *self.flags)
        self._ready()

    def _start(self, name, *words):
        with open(self.directory / f"{name}.log", "ab") as log:
            process = subprocess.Popen([program(name), *words], cwd=self.directory, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def _ready(self):
        def look():
            try:
                return self.api.get(f"{self.url}/readyz", timeout=5).ok
            except requests.RequestException:
                assert self.server.poll() is None, (self.directory / "kube-apiserver.log").read_text()[-3000:]
                return False
        eventually(look, 60, "the API server's readiness")

    def _openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.directory, check=True, capture_output=True)

    def certificate(self, name, subject, extension):
        """NAME.crt and NAME.key of the cluster's CA."""
        self._openssl("req", *EC, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        (self.directory / f"{name}.ext").write_text(extension)
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                      "-out", f"{name}.crt", "-days", "2", "-extfile", f"{name}.ext")

    def _keys(self):
        self._openssl("req", "-x509", *EC, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test CA", "-days", "2")
        self.certificate("server", "/CN=kube-apiserver", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc")
        self.certificate("admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth")
        self._openssl("genrsa", "-out", "sa.key", "2048")
        self._openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    @property
    def kubeconfig(self):
        path = self.directory / "kubeconfig"
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.directory / "ca.crt")}}],
            "users": [{"name": "admin", "user": {"client-certificate": str(self.directory / ADMIN[0]),
                                                 "client-key": str(self.directory / ADMIN[1])}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }))
        return path

    # --- objects ---

    def path(self, kind, namespace="", name="", version=None):
        group = version or {"Service": "v1", "Namespace": "v1", "Pod": "v1", "EndpointSlice": "discovery.k8s.io/v1",
                            "CustomResourceDefinition": "apiextensions.k8s.io/v1",
                            "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1"}.get(kind)
        if not group:
            ours = kind.endswith("Policy") or kind in ("ServiceExport", "ServiceImport", "ServiceNetwork")
            group = "application-networking.k8s.aws/v1alpha1" if ours else GATEWAY
        if kind == "ReferenceGrant":
            group = "gateway.networking.k8s.io/v1beta1"
        root = "api" if group == "v1" else "apis"
        within = f"/namespaces/{namespace}" if namespace and kind not in CLUSTER_WIDE else ""
        plural = PLURALS.get(kind) or kind.lower() + "s"
        return f"{self.url}/{root}/{group}{within}/{plural}" + (f"/{name}" if name else "")

    def define(self, *files):
        for file in files:
            for definition in yaml.safe_load_all(file.read_text()):
                if definition and definition["kind"] == "CustomResourceDefinition":
                    self.apply(definition)
                    name = definition["metadata"]["name"]
                    eventually(lambda: any(
                        condition["type"] == "Established" and condition["status"] == "True"
                        for condition in self.get("CustomResourceDefinition", "", name).get("status", {}).get("conditions") or []),
                        30, f"{name} established")

    def apply(self, *objects):
        """Server-side apply of objects, or of a YAML text of them."""
        for given in objects:
            for object in yaml.safe_load_all(given) if isinstance(given, str) else [given]:
                kind, metadata = object["kind"], object["metadata"]
                path = self.path(kind, metadata.get("namespace", ""), metadata["name"], object["apiVersion"])
                answer = self.api.patch(path, params={"fieldManager": "test", "force": "true"}, data=yaml.safe_dump(object),
                                        headers={"content-type": "application/apply-patch+yaml"}, timeout=30)
                assert answer.ok, f"{kind} {metadata['name']}: {answer.status_code} {answer.text}"

    def get(self, kind, namespace, name):
        """The object; None where there is none."""
        answer = self.api.get(self.path(kind, namespace, name), timeout=30)
        assert answer.ok or answer.status_code == 404, answer.text
        return answer.json() if answer.ok else None

    def patch(self, kind, namespace, name, change, part=""):
        answer = self.api.patch(self.path(kind, namespace, name) + part, json=change, timeout=30,
                                headers={"content-type": "application/merge-patch+json"})
        assert answer.ok, answer.text
        return answer.json()

    def delete(self, kind, namespace, name):
        answer = self.api.delete(self.path(kind, namespace, name), timeout=30)
        assert answer.ok, answer.text

    def events(self, namespace, name):
        """Type, reason and note of what was told of an object."""
        answer = self.api.get(f"{self.url}/apis/events.k8s.io/v1/namespaces/{namespace}/events", timeout=30)
        assert answer.ok, answer.text
        return {(event["type"], event["reason"], event["note"]) for event in answer.json()["items"]
                if event["regarding"]["name"] == name}

    def condition(self, kind, namespace, name, condition):
        """Status, reason and message of a condition of an object, or of a route at its first parent; once it is of the
        object's latest generation."""
        object = self.get(kind, namespace, name)
        status = object.get("status") or {}
        places = [status] if "conditions" in status else status.get("parents") or []
        for place in places[:1]:
            for found in place.get("conditions") or []:
                if found["type"] == condition and found.get("observedGeneration") == object["metadata"].get("generation"):
                    return found["status"], found["reason"], found.get("message", "")
        return None

    def service(self, namespace, name, addresses, port=80, target_port=8080, app="http"):
        """A Service with one port, and the EndpointSlice that a cluster's controller would write for it."""
        self.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
             "spec": {"ports": [{"name": app, "port": port, "targetPort": target_port}]}})
        self.endpoints(namespace, name, addresses, target_port, app)

    def endpoints(self, namespace, name, addresses, target_port=8080, app="http", is_ready=True, **more):
        self.apply(
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
             "endpoints": [{"addresses": [address], "conditions": {"ready": is_ready}, **more} for address in addresses],
             "ports": [{"name": app, "port": target_port, "protocol": "TCP"}]})


class Controller:
    """`trellis kube` for a cluster and an instance. A context manager."""

    def __init__(self, instance, server, vpc, *flags, name="c1", environment=None):
        self.instance, self.server, self.log = instance, server, server.directory / f"kube-{name}.log"
        self.words = [TRELLIS, "kube", "--region", "us-east-1", "--account-id", "111122223333", "--vpc-id", vpc,
                      "--cluster-name", name, "--metrics-bind-address", "127.0.0.1:0", "--health-probe-bind-address", "127.0.0.1:0",
                      *flags]
        self.environment = {**os.environ, **instance.variables, "KUBECONFIG": str(server.kubeconfig), **(environment or {})}

    def __enter__(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=log, env=self.environment, text=True)
        lines = []
        reader = threading.Thread(target=lambda: lines.append(self.process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(60)
        assert lines == ["trellis kube is ready\n"], f"{lines}\n{self.log.read_text()[-3000:]}"
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def kill(self):
        self.process.kill()
        self.process.wait(10)
