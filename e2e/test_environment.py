"""What a lab's two clusters share, as one Terraform configuration: zone, role, private CA and certificate."""

import json
import os
import pathlib
import subprocess

import pytest

from instance import PYTHON, ROOT
from test_private_ca import openssl, written
from test_terraform import Terraform

CONFIGURATION = ROOT / "e2e/terraform/environment/main.tf"


def outputs(terraform):
    return {name: one["value"] for name, one in json.loads(terraform.run("output", "-json").stdout).items()}


@pytest.mark.slow
def test_the_environment_of_two_clusters_applies_plans_nothing_and_is_destroyed(own, tmp_path):
    terraform = Terraform(tmp_path / "environment", own, "unused", CONFIGURATION)
    terraform.init()
    terraform.apply()
    terraform.plans_nothing()
    said = outputs(terraform)
    assert said["private_zone_arn"] == f"arn:aws:route53:::hostedzone/{said['private_zone_id']}"

    # A sidecar starts with these words, and puts what it gets among the roots it trusts.
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_PAGER": "", **own.variables}
    shown = subprocess.run(
        [pathlib.Path(PYTHON).with_name("aws"), "acm-pca", "get-certificate-authority-certificate",
         "--certificate-authority-arn", said["certificate_authority_arn"], "--region", said["region"],
         "--output", "text"], check=True, capture_output=True, text=True, env=environment).stdout
    lines = shown.strip().splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----")
    assert shown.count("BEGIN CERTIFICATE") == 1
    trust = written(tmp_path, shown)
    told = openssl("x509", "-in", trust, "-noout", "-subject", "-text").stdout
    assert "O = example" in told and "CN = example.com" in told
    assert "RSA Public-Key: (4096" in told or "Public-Key: (4096 bit)" in told
    assert "sha512WithRSAEncryption" in told

    issued = own.client("acm").get_certificate(CertificateArn=said["acm_certificate_arn"])
    leaf = written(tmp_path, issued["Certificate"])
    for host in ("example.com", "demo-cluster1.example.com"):
        verified = openssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host,
                           "-CAfile", trust, leaf)
        assert verified.stdout.strip().endswith(": OK"), verified.stdout
    refused = openssl("verify", "-verify_hostname", "example.org", "-CAfile", trust, leaf, check=False)
    assert refused.returncode != 0 and "hostname mismatch" in refused.stdout + refused.stderr

    # What a second stack adds to the zone does not keep the first from going: force_destroy.
    own.client("route53").change_resource_record_sets(HostedZoneId=said["private_zone_id"], ChangeBatch={"Changes": [{
        "Action": "CREATE", "ResourceRecordSet": {"Name": "demo-cluster1.example.com", "Type": "CNAME", "TTL": 60,
                                                  "ResourceRecords": [{"Value": "a.example.net"}]}}]})
    terraform.plans_nothing()
    terraform.run("destroy", "-auto-approve", "-input=false", "-no-color")
    assert not terraform.resources()
    assert own.client("route53").list_hosted_zones()["HostedZones"] == []
    assert not own.client("iam").list_roles()["Roles"] and not own.ec2.describe_vpcs()["Vpcs"]
    [authority] = own.client("acm-pca").list_certificate_authorities()["CertificateAuthorities"]
    assert authority["Status"] == "DELETED"
