"""Certificates: the private CA's, and those users bring through ACM."""

import base64
import os
import pathlib
import re
import subprocess

import pytest

from instance import TRELLIS, eventually, fixed, unique

DOMAIN = "cart.example.com"


class Material:
    """A self-signed RSA-2048 certificate as files."""

    def __init__(self, directory, *names, key="rsa:2048", days=30):
        directory = pathlib.Path(directory) / unique("material")
        directory.mkdir()
        self.certificate, self.key = directory / "certificate.pem", directory / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", key, "-nodes", "-days", str(days), "-subj", f"/CN={names[0]}",
             "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names),
             "-keyout", self.key, "-out", self.certificate], check=True, capture_output=True)

    @property
    def parameters(self):
        return {"Certificate": self.certificate.read_bytes(), "PrivateKey": self.key.read_bytes()}

    def serial(self):
        shown = subprocess.run(["openssl", "x509", "-in", self.certificate, "-noout", "-serial"],
                               check=True, capture_output=True, text=True).stdout
        return shown.strip().removeprefix("serial=").lower()

    def pkcs8(self):
        return subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", self.key],
                              check=True, capture_output=True).stdout


def certificate_service(instance, arn, domain=DOMAIN):
    """An active service with the custom domain; its description."""
    lattice = instance.lattice
    made = lattice.create_service(name=unique("service"), customDomainName=domain, certificateArn=arn)
    instance.active(lambda: lattice.get_service(serviceIdentifier=made["id"]))
    return lattice.get_service(serviceIdentifier=made["id"])


def test_a_certificate_lives_from_import_to_delete_and_is_held_by_its_service(own, tmp_path):
    acm, lattice = own.client("acm"), own.lattice
    material = Material(tmp_path, DOMAIN, "*.shop.example.com")
    arn = acm.import_certificate(**material.parameters, Tags=[{"Key": "team", "Value": "a"}])["CertificateArn"]
    assert re.fullmatch(r"arn:aws:acm:us-east-1:\d{12}:certificate/[0-9a-f-]{36}", arn)
    described = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert described["DomainName"] == DOMAIN and described["Status"] == "ISSUED" and described["Type"] == "IMPORTED"
    assert described["SubjectAlternativeNames"] == [DOMAIN, "*.shop.example.com"]
    assert described["KeyAlgorithm"] == "RSA_2048" and described["InUseBy"] == []
    assert described["Serial"].replace(":", "") == material.serial()
    assert described["NotAfter"] > described["ImportedAt"] > described["NotBefore"]
    listed = acm.list_certificates(CertificateStatuses=["ISSUED"])["CertificateSummaryList"]
    assert [one["CertificateArn"] for one in listed] == [arn] and listed[0]["InUse"] is False
    got = acm.get_certificate(CertificateArn=arn)
    assert got["Certificate"].split() == material.certificate.read_text().split() and "CertificateChain" not in got
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]

    service = certificate_service(own, arn)
    assert service["certificateArn"] == arn
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"] == [service["arn"]]
    with pytest.raises(acm.exceptions.ResourceInUseException):
        acm.delete_certificate(CertificateArn=arn)

    again = Material(tmp_path, DOMAIN)
    assert acm.import_certificate(CertificateArn=arn, **again.parameters)["CertificateArn"] == arn
    own.restart()
    acm, lattice = own.client("acm"), own.lattice
    described = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert described["Serial"].replace(":", "") == again.serial() and described["InUseBy"] == [service["arn"]]

    lattice.delete_service(serviceIdentifier=service["id"])
    acm.delete_certificate(CertificateArn=arn)
    with pytest.raises(acm.exceptions.ResourceNotFoundException):
        acm.describe_certificate(CertificateArn=arn)


def test_the_aws_cli_imports_lists_and_deletes(shared, tmp_path):
    material = Material(tmp_path, "cli.example.com")
    arn = shared.aws("acm", "import-certificate", "--certificate", f"fileb://{material.certificate}",
                     "--private-key", f"fileb://{material.key}", "--tags", "Key=a,Value=b")["CertificateArn"]
    listed = shared.aws("acm", "list-certificates")["CertificateSummaryList"]
    assert arn in [one["CertificateArn"] for one in listed]
    shared.aws("acm", "remove-tags-from-certificate", "--certificate-arn", arn, "--tags", "Key=a")
    assert shared.aws("acm", "list-tags-for-certificate", "--certificate-arn", arn)["Tags"] == []
    shared.aws("acm", "delete-certificate", "--certificate-arn", arn)
    refused = shared.aws("acm", "get-certificate", "--certificate-arn", arn, check=False)
    assert refused.returncode and "ResourceNotFoundException" in refused.stderr


def test_what_cannot_be_used_is_refused_with_the_reason(shared, tmp_path):
    acm, lattice = shared.client("acm"), shared.lattice
    good, other = Material(tmp_path, DOMAIN), Material(tmp_path, DOMAIN)
    weak, stranger = Material(tmp_path, DOMAIN, key="rsa:1024"), Material(tmp_path, "stranger.example.com")
    before = len(acm.list_certificates()["CertificateSummaryList"])
    for parameters, reason in (
        ({"Certificate": good.certificate.read_bytes(), "PrivateKey": other.key.read_bytes()}, "made for"),
        (weak.parameters, "1024"),
        ({**good.parameters, "Certificate": b"no certificate"}, "PEM"),
        ({**good.parameters, "CertificateChain": stranger.certificate.read_bytes()}, "Unable to validate"),
    ):
        with pytest.raises(acm.exceptions.ValidationException) as refused:
            acm.import_certificate(**parameters)
        assert reason in str(refused.value), refused.value
        assert "PRIVATE KEY" not in str(refused.value)
    assert len(acm.list_certificates()["CertificateSummaryList"]) == before
    arn = acm.import_certificate(**good.parameters)["CertificateArn"]
    for domain, reason in (("other.example.com", f"is for {DOMAIN}"), (f"a.{DOMAIN}", f"is for {DOMAIN}")):
        with pytest.raises(lattice.exceptions.ValidationException) as refused:
            lattice.create_service(name=unique("service"), customDomainName=domain, certificateArn=arn)
        assert reason in str(refused.value) and refused.value.response["fieldList"][0]["name"] == "certificateArn"
    acm.delete_certificate(CertificateArn=arn)


def test_no_private_key_is_on_disk_in_clear(own, tmp_path):
    material = Material(tmp_path, DOMAIN)
    own.client("acm").import_certificate(**material.parameters)
    own.lattice.create_service(name=unique("service"))
    own.stop()
    key = material.pkcs8()
    # A window inside the secret numbers, as bytes, as base64 of PEM and as base64 of the request.
    lines = material.key.read_text().splitlines()
    secrets = [key[len(key) // 2:][:64], lines[len(lines) // 2].encode(), b"PRIVATE KEY",
               base64.b64encode(material.key.read_bytes())[900:964]]
    files = [path for path in [*own.data.rglob("*"), own.log] if path.is_file()]
    assert len(files) > 3
    for path in files:
        content = path.read_bytes()
        for secret in secrets:
            assert secret not in content, path


def test_the_private_ca_is_where_users_find_it_and_its_key_is_sealed(own):
    ca = own.data / "ca.pem"
    assert own.variables["TRELLIS_CA_BUNDLE"] == str(ca) and "AWS_CA_BUNDLE" not in own.variables
    shown = subprocess.run(["openssl", "x509", "-in", ca, "-noout", "-subject", "-ext", "basicConstraints"],
                           check=True, capture_output=True, text=True).stdout
    assert "Trellis CA" in shown and "CA:TRUE" in shown
    key = own.data / "keys/sealing.key"
    assert key.stat().st_mode & 0o777 == 0o600
    before = ca.read_bytes()
    own.stop()

    def refusal():
        done = subprocess.run([TRELLIS, "up", "--data-dir", own.data, "--listen", "127.0.0.1:0", "--metrics-listen",
                               "127.0.0.1:0"], capture_output=True, text=True, timeout=60, env=os.environ)
        assert done.returncode == 1 and done.stdout == "", done
        return done.stderr

    kept = key.read_text()
    key.unlink()
    assert "sealing.key is gone" in refusal() and not key.exists()
    other = base64.b64encode(bytes(range(32))).decode()
    key.write_text(f"trellis-sealing-key-1:{other}\n")
    key.chmod(0o644)
    assert "chmod 600" in refusal()
    key.chmod(0o600)
    message = refusal()
    assert "was sealed with the key" in message and other not in message
    key.write_text(kept)
    own.start()
    assert ca.read_bytes() == before
