"""Private CAs of an account's own: from a key to a chain that OpenSSL and Go verify, through the clients as they
are: boto3, the AWS CLI, Terraform."""

import os
import pathlib
import subprocess

import botocore.exceptions
import pytest

from instance import ROOT, eventually, forward, unique
from test_certificates import certificate_service
from test_https import VIP
from test_terraform import Terraform

CONFIGURATION = ROOT / "e2e/terraform/private-ca/main.tf"
ROOT_TEMPLATE = "arn:aws:acm-pca:::template/RootCACertificate/V1"
# Verifies argv[1] as a server's chain for argv[3] by the roots in argv[2].
GO = """package main

import ("crypto/x509"; "encoding/pem"; "fmt"; "os")

func main() {
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	roots, _ := os.ReadFile(os.Args[2])
	if !pool.AppendCertsFromPEM(roots) { panic("no roots") }
	shown, _ := os.ReadFile(os.Args[1])
	block, rest := pem.Decode(shown)
	between.AppendCertsFromPEM(rest)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil { panic(err) }
	chains, err := leaf.Verify(x509.VerifyOptions{DNSName: os.Args[3], Roots: pool, Intermediates: between})
	if err != nil { panic(err) }
	fmt.Println("verified", len(chains[0]))
}
"""


def openssl(*words, check=True, **more):
    return subprocess.run(["openssl", *map(str, words)], check=check, capture_output=True, text=True, **more)


def root(instance, key="EC_prime256v1", signing="SHA256WITHECDSA", **more):
    """An ACTIVE root; its ARN."""
    pca = instance.client("acm-pca")
    arn = pca.create_certificate_authority(
        CertificateAuthorityType="ROOT",
        CertificateAuthorityConfiguration={
            "KeyAlgorithm": key, "SigningAlgorithm": signing, "Subject": {"CommonName": "example.com", "Organization": "example"}},
        **more)["CertificateAuthorityArn"]
    pca.get_waiter("certificate_authority_csr_created").wait(
        CertificateAuthorityArn=arn, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    csr = pca.get_certificate_authority_csr(CertificateAuthorityArn=arn)["Csr"]
    issued = issue(pca, arn, csr.encode(), signing, TemplateArn=ROOT_TEMPLATE, Validity={"Type": "YEARS", "Value": 10})
    assert "CertificateChain" not in issued
    pca.import_certificate_authority_certificate(CertificateAuthorityArn=arn, Certificate=issued["Certificate"].encode())
    assert pca.describe_certificate_authority(CertificateAuthorityArn=arn)["CertificateAuthority"]["Status"] == "ACTIVE"
    return arn


def issue(pca, authority, csr, signing="SHA256WITHECDSA", **more):
    more.setdefault("Validity", {"Type": "DAYS", "Value": 30})
    arn = pca.issue_certificate(CertificateAuthorityArn=authority, Csr=csr, SigningAlgorithm=signing, **more)
    which = {"CertificateAuthorityArn": authority, "CertificateArn": arn["CertificateArn"]}
    pca.get_waiter("certificate_issued").wait(**which)
    return pca.get_certificate(**which)


def request(directory, name, *words):
    """A request of openssl's own, for the host `name`."""
    csr = pathlib.Path(directory) / f"{unique('request')}.pem"
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext",
            f"subjectAltName=DNS:{name}", "-keyout", csr.with_suffix(".key"), "-out", csr, *words)
    return csr


def written(directory, text):
    path = pathlib.Path(directory) / f"{unique('file')}.pem"
    path.write_text(text if text.endswith("\n") else text + "\n")
    return path


def test_a_chain_of_a_private_ca_verifies_in_openssl_and_go_and_java_reads_it(own, tmp_path):
    pca, authority = own.client("acm-pca"), root(own, "RSA_4096", "SHA512WITHRSA")
    issued = issue(pca, authority, request(tmp_path, "cart.example.com").read_bytes(), "SHA512WITHRSA")
    # What a sidecar puts into its trust store: the certificate and nothing else.
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_PAGER": "", **own.variables}
    shown = subprocess.run(["aws", "acm-pca", "get-certificate-authority-certificate", "--certificate-authority-arn",
                            authority, "--output", "text"], check=True, capture_output=True, text=True, env=environment).stdout
    assert shown.strip() == issued["CertificateChain"].strip()
    trust, leaf = written(tmp_path, shown), written(tmp_path, issued["Certificate"])
    assert openssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "cart.example.com",
                   "-CAfile", trust, leaf).stdout.strip().endswith(": OK")
    program = tmp_path / "verify.go"
    program.write_text(GO)
    environment = {"PATH": "/usr/local/go/bin:/usr/bin:/bin", "HOME": str(tmp_path), "GOFLAGS": "-mod=mod"}
    done = subprocess.run(["go", "run", program, leaf, trust, "cart.example.com"], capture_output=True, text=True,
                          env=environment)
    assert done.stdout == "verified 2\n", done.stderr
    store = tmp_path / "trust.p12"
    subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "root", "-file", trust, "-keystore", store,
                    "-storepass", "changeit"], check=True, capture_output=True)
    listed = subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "leaf", "-file", leaf, "-keystore", store,
                             "-storepass", "changeit"], check=True, capture_output=True, text=True)
    assert "added" in listed.stderr


def test_an_authority_whose_certificate_openssl_signed_issues_below_openssls_root(own, tmp_path):
    pca = own.client("acm-pca")
    arn = pca.create_certificate_authority(
        CertificateAuthorityType="SUBORDINATE",
        CertificateAuthorityConfiguration={"KeyAlgorithm": "RSA_2048", "SigningAlgorithm": "SHA256WITHRSA",
                                           "Subject": {"CommonName": "below", "Organization": "example"}},
    )["CertificateAuthorityArn"]
    pca.get_waiter("certificate_authority_csr_created").wait(
        CertificateAuthorityArn=arn, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    csr = written(tmp_path, pca.get_certificate_authority_csr(CertificateAuthorityArn=arn)["Csr"])
    above, key = tmp_path / "above.pem", tmp_path / "above.key"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=above", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign", "-keyout", key, "-out", above)

    def signed(*extensions, by=(above, key)):
        file, out = tmp_path / f"{unique('extensions')}.cnf", tmp_path / f"{unique('signed')}.pem"
        lines = ["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid", *extensions]
        file.write_text("".join(f"{line}\n" for line in lines))
        openssl("x509", "-req", "-in", csr, "-CA", by[0], "-CAkey", by[1], "-CAcreateserial", "-days", "1825", "-sha256",
                "-extfile", file, "-out", out)
        return out.read_bytes()

    def refused(code, certificate, chain=above):
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            pca.import_certificate_authority_certificate(
                CertificateAuthorityArn=arn, Certificate=certificate, CertificateChain=chain.read_bytes())
        assert raised.value.response["Error"]["Code"] == code, raised.value

    authority = ("basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign")
    refused("MalformedCertificateException", signed("basicConstraints=critical,CA:FALSE"))
    stranger, strangers_key = tmp_path / "stranger.pem", tmp_path / "stranger.key"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=above", "-keyout", strangers_key,
            "-out", stranger)
    refused("MalformedCertificateException", signed(*authority), chain=stranger)
    pca.import_certificate_authority_certificate(
        CertificateAuthorityArn=arn, Certificate=signed(*authority), CertificateChain=above.read_bytes())
    assert pca.describe_certificate_authority(CertificateAuthorityArn=arn)["CertificateAuthority"]["Status"] == "ACTIVE"

    issued = issue(pca, arn, request(tmp_path, "cart.example.com").read_bytes(), "SHA256WITHRSA")
    leaf, between = written(tmp_path, issued["Certificate"]), written(tmp_path, issued["CertificateChain"])
    assert openssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "cart.example.com", "-CAfile", above,
                   "-untrusted", between, leaf).stdout.strip().endswith(": OK")


def test_what_is_revoked_is_told_by_a_list_and_by_ocsp(own, tmp_path):
    pca = own.client("acm-pca")
    host = own.endpoint.removeprefix("http://")
    authority = root(own, RevocationConfiguration={
        "CrlConfiguration": {"Enabled": True, "S3BucketName": "bucket", "CustomCname": host},
        "OcspConfiguration": {"Enabled": True, "OcspCustomCname": host}})
    issued = issue(pca, authority, request(tmp_path, "a.example.com").read_bytes())
    trust, leaf = written(tmp_path, issued["CertificateChain"]), written(tmp_path, issued["Certificate"])
    told = openssl("x509", "-in", leaf, "-noout", "-ext", "crlDistributionPoints,authorityInfoAccess").stdout
    url = f"http://{host}/crl/{authority.rsplit('/', 1)[1]}.crl"
    assert f"URI:{url}" in told and f"OCSP - URI:http://{host}" in told

    def ocsp():
        done = openssl("ocsp", "-issuer", trust, "-cert", leaf, "-url", f"http://{host}", "-CAfile", trust, check=False)
        assert "Response verify OK" in done.stderr, done.stdout + done.stderr
        return done.stdout

    def listed():
        text = openssl("crl", "-in", fetched(tmp_path, url), "-inform", "DER", "-CAfile", trust, "-noout", "-text")
        assert "verify OK" in text.stderr
        return text.stdout

    serial = openssl("x509", "-in", leaf, "-noout", "-serial").stdout.strip().removeprefix("serial=")
    assert f"{leaf}: good" in ocsp()
    eventually(lambda: "No Revoked Certificates" in listed(), what="an empty list")
    pca.revoke_certificate(CertificateAuthorityArn=authority, CertificateSerial=serial, RevocationReason="KEY_COMPROMISE")
    assert f"{leaf}: revoked" in ocsp()
    eventually(lambda: serial in listed(), what="a list with the certificate")
    assert "Key Compromise" in listed()


def fetched(directory, url):
    path = pathlib.Path(directory) / f"{unique('list')}.crl"
    eventually(lambda: subprocess.run(["curl", "-fsS", "-o", path, url], capture_output=True).returncode == 0)
    return path


def test_acm_has_a_private_ca_issue_and_a_service_shows_it(own, tmp_path):
    acm, lattice, authority = own.client("acm"), own.lattice, root(own, "RSA_2048", "SHA256WITHRSA")
    arn = acm.request_certificate(DomainName="shop.example.com", SubjectAlternativeNames=["*.example.com"],
                                  CertificateAuthorityArn=authority, IdempotencyToken="1")["CertificateArn"]
    described = lambda: acm.describe_certificate(CertificateArn=arn)["Certificate"]
    eventually(lambda: described()["Status"] == "ISSUED", what="ISSUED")
    assert described()["Type"] == "PRIVATE" and described()["CertificateAuthorityArn"] == authority
    listed = acm.list_certificates(CertificateStatuses=["ISSUED"])["CertificateSummaryList"]
    assert [one["CertificateArn"] for one in listed] == [arn] and listed[0]["IssuedAt"]
    vpc, subnet = own.vpc()
    own.web(subnet, ip="10.0.1.10")
    group = own.group(vpc, "10.0.1.10")
    service = certificate_service(own, arn, "shop.example.com")
    lattice.create_listener(serviceIdentifier=service["id"], name="https", protocol="HTTPS", defaultAction=forward(group))
    own.network([vpc], [service["id"]])
    client = own.host(subnet, mounts=[tmp_path])
    trust = written(tmp_path, acm.get_certificate(CertificateArn=arn)["CertificateChain"])
    words = ["--cacert", str(trust), "--resolve", f"shop.example.com:443:{VIP}", "https://shop.example.com/"]
    eventually(lambda: own.inside(client, "curl", "-sS", "-m", "5", *words, check=False).returncode == 0,
               what="an answer over HTTPS by the chain of the private CA")
    assert described()["InUseBy"] == [service["arn"]] and described()["RenewalEligibility"] == "ELIGIBLE"


@pytest.mark.slow
def test_terraform_applies_and_destroys_a_private_ca_and_its_certificate(own, tmp_path):
    terraform = Terraform(tmp_path / "private-ca", own, "unused", CONFIGURATION)
    terraform.init()
    terraform.apply()
    terraform.plans_nothing()
    values = {one["address"]: one["values"] for one in terraform.resources()}
    acm = own.client("acm")
    issued = acm.get_certificate(CertificateArn=values["aws_acm_certificate.this"]["arn"])
    trust, leaf = written(tmp_path, issued["CertificateChain"]), written(tmp_path, issued["Certificate"])
    assert openssl("verify", "-verify_hostname", "a.example.com", "-CAfile", trust, leaf).stdout.strip().endswith("OK")
    changes = terraform.changes("second")
    assert {tuple(actions) for actions, _ in changes.values()} == {("update",)} and len(changes) == 2, changes
    terraform.apply("second")
    terraform.plans_nothing("second")
    terraform.run("destroy", "-auto-approve", "-input=false", "-no-color", stage="second")
    assert not terraform.resources()
