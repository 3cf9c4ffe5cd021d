"""ExternalDNS 0.15.1, its own code, between a real Kubernetes API server and Route 53 here."""

import os
import signal
import subprocess

import pytest

from api_server import ApiServer
from instance import ROOT, eventually, unique
from test_route53 import A, ask, texts

PROGRAM = ROOT / "target/tools/external-dns"
VERSION = "externaldns.k8s.io/v1alpha1"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    # Groups below k8s.io want a word of somebody's.
    "metadata": {"name": "dnsendpoints.externaldns.k8s.io",
                 "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
    "spec": {
        "group": "externaldns.k8s.io", "scope": "Namespaced",
        "names": {"kind": "DNSEndpoint", "listKind": "DNSEndpointList", "plural": "dnsendpoints", "singular": "dnsendpoint"},
        "versions": [{
            "name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}],
    },
}


class ExternalDns:
    """The program as a deployment runs it: flags, a kubeconfig, and the environment of AWS's SDK."""

    def __init__(self, instance, api, log, owner="cluster1"):
        flags = ["--provider=aws", "--registry=txt", f"--txt-owner-id={owner}", "--txt-prefix=mine-", "--policy=sync",
                 "--source=crd", "--source=service", "--crd-source-apiversion=externaldns.k8s.io/v1alpha1",
                 "--crd-source-kind=DNSEndpoint", "--domain-filter=example.com", "--aws-zone-type=private",
                 "--interval=1s", f"--kubeconfig={api.kubeconfig}"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(api.directory), **instance.variables}
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen([PROGRAM, *flags], stdout=out, stderr=out, env=environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()

    def passes(self):
        """Waits for two looks at everything from now on."""
        seen = self.log.read_text().count("All records are already up to date")
        eventually(lambda: self.log.read_text().count("All records are already up to date") >= seen + 2, timeout=60,
                   what="two rounds without a change")


def endpoint(name, kind, *targets, host=None):
    return {"apiVersion": VERSION, "kind": "DNSEndpoint", "metadata": {"name": name, "namespace": "default"},
            "spec": {"endpoints": [{"dnsName": host or f"{name}.example.com", "recordTTL": 60, "recordType": kind,
                                    "targets": list(targets)}]}}


@pytest.mark.slow
def test_external_dns_creates_updates_and_removes_records_and_knows_them_again(own, tmp_path):
    assert PROGRAM.is_file(), f"there is no {PROGRAM}: run scripts/setup test"
    vpc, subnet = own.vpc()
    client = own.host(subnet)
    route53 = own.client("route53")
    zone = route53.create_hosted_zone(
        Name="example.com", CallerReference=unique("zone"), VPC={"VPCRegion": "us-east-1", "VPCId": vpc})["HostedZone"]["Id"]

    def record(name, kind):
        sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        found = [one for one in sets if one["Name"] == f"{name}.example.com." and one["Type"] == kind]
        return [value["Value"] for one in found for value in one["ResourceRecords"]]

    def stands(name, kind, *values):
        eventually(lambda: record(name, kind) == list(values), timeout=60, what=f"{name} {kind} {values}")

    # Somebody else's, and not to be touched, whatever the cluster wants there.
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{
        "Action": "CREATE", "ResourceRecordSet": {"Name": "foreign.example.com", "Type": "A", "TTL": 60,
                                                  "ResourceRecords": [{"Value": "10.0.1.77"}]}}]})
    log = tmp_path / "external-dns.log"
    log.touch()
    with ApiServer(tmp_path / "api") as api:
        api.apply(CRD)
        is_true = lambda condition: condition["type"] == "Established" and condition["status"] == "True"
        defined = lambda: api.get("CustomResourceDefinition", "", CRD["metadata"]["name"])
        eventually(lambda: any(map(is_true, defined().get("status", {}).get("conditions") or [])),
                   what="the definition of DNSEndpoint")
        api.apply(endpoint("server", "CNAME", "real.example.com"), endpoint("real", "A", "10.0.1.5"),
                  endpoint("foreign", "A", "10.0.1.6"))
        annotations = {"external-dns.alpha.kubernetes.io/hostname": "shop.example.com"}
        api.apply({"apiVersion": "v1", "kind": "Service",
                   "metadata": {"name": "shop", "namespace": "default", "annotations": annotations},
                   "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "shop"}}})
        api.patch("Service", "default", "shop", {"status": {"loadBalancer": {"ingress": [{"ip": "10.0.1.8"}]}}}, "/status")
        gone = lambda kind, name, version: api.api.delete(api.path(kind, "default", name, version)).raise_for_status()

        with ExternalDns(own, api, log) as running:
            stands("server", "CNAME", "real.example.com")
            stands("real", "A", "10.0.1.5")
            stands("shop", "A", "10.0.1.8")
            # Whose they are is said beside them, under the prefix.
            [said] = record("mine-cname-server", "TXT")
            assert "heritage=external-dns,external-dns/owner=cluster1" in said
            eventually(lambda: texts(ask(own, client, "server.example.com")) == ["10.0.1.5"], what="an answer in the VPC")

            api.apply(endpoint("real", "A", "10.0.1.9"))
            stands("real", "A", "10.0.1.9")
            eventually(lambda: texts(ask(own, client, "server.example.com")) == ["10.0.1.9"], what="the new answer")
            gone("Service", "shop", "v1")
            stands("shop", "A")
            assert record("mine-a-shop", "TXT") == [], "what it said beside the record went with it"
            running.passes()
            assert record("foreign", "A") == ["10.0.1.77"]

        # While it is away something goes. Another owner leaves it alone; the same one knows it as its own.
        gone("DNSEndpoint", "server", VERSION)
        with ExternalDns(own, api, log, owner="cluster2") as running:
            running.passes()
            assert record("server", "CNAME") == ["real.example.com"]
        with ExternalDns(own, api, log):
            stands("server", "CNAME")
        assert (record("foreign", "A"), record("real", "A")) == (["10.0.1.77"], ["10.0.1.9"])
        assert texts(ask(own, client, "real.example.com", A)) == ["10.0.1.9"]
