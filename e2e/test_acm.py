"""ACM's certificates that are requested: proved by DNS, exported, renewed while clients shake hands."""

import json
import subprocess

import botocore.exceptions
import pytest

from instance import CA, PYTHON, TRELLIS, eventually, forward, unique
from test_certificates import certificate_service
from test_https import VIP
from test_private_ca import openssl, root, written
from test_sharing import Account

# Four threads that shake hands again and again, verifying, until enough certificates have been seen.
SHAKE = r"""
import json, socket, ssl, sys, threading, time
address, host, trust, wanted = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
context = ssl.create_default_context(cafile=trust)
seen, failures, count, deadline, lock = set(), [], [0], time.monotonic() + 120, threading.Lock()
def shake():
    while len(seen) < wanted and time.monotonic() < deadline:
        try:
            with socket.create_connection((address, 443), 10) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
                serial = secure.getpeercert()["serialNumber"]
                with lock:
                    if serial not in seen:
                        print("serial", serial, flush=True)
                    seen.add(serial)
                secure.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
                assert secure.recv(64).startswith(b"HTTP/1.1 200"), "no answer"
        except Exception as error:
            failures.append(repr(error))
        count[0] += 1
threads = [threading.Thread(target=shake) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({"handshakes": count[0], "failures": failures[:5], "failed": len(failures), "serials": len(seen)}))
"""


def described(acm, arn):
    return acm.describe_certificate(CertificateArn=arn)["Certificate"]


def issued(acm, arn):
    return eventually(lambda: (one := described(acm, arn))["Status"] == "ISSUED" and one, what="ISSUED")


def served(own, arn, host):
    """A VPC whose host reaches a service that shows the certificate."""
    vpc, subnet = own.vpc()
    own.web(subnet, ip="10.0.1.10")
    group = own.group(vpc, "10.0.1.10")
    service = certificate_service(own, arn, host)
    own.lattice.create_listener(serviceIdentifier=service["id"], name="https", protocol="HTTPS", defaultAction=forward(group))
    own.network([vpc], [service["id"]])
    return vpc, subnet, service


def test_a_certificate_is_issued_when_the_records_that_prove_its_domains_are_in_a_zone(own):
    acm, route53 = own.client("acm"), own.client("route53")
    arn = acm.request_certificate(DomainName="shop.example.com", SubjectAlternativeNames=["*.shop.example.com", "example.com"],
                                  ValidationMethod="DNS")["CertificateArn"]
    before = described(acm, arn)
    assert (before["Status"], before["Type"]) == ("PENDING_VALIDATION", "AMAZON_ISSUED")
    options = before["DomainValidationOptions"]
    assert [one["DomainName"] for one in options] == ["shop.example.com", "*.shop.example.com", "example.com"]
    assert options[0]["ResourceRecord"] == options[1]["ResourceRecord"] != options[2]["ResourceRecord"]
    assert {one["ValidationStatus"] for one in options} == {"PENDING_VALIDATION"}
    zone = route53.create_hosted_zone(Name="example.com", CallerReference=unique("zone"))["HostedZone"]["Id"]

    def put(record, action="CREATE"):
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{
            "Action": action, "ResourceRecordSet": {"Name": record["Name"], "Type": record["Type"], "TTL": 60,
                                                    "ResourceRecords": [{"Value": record["Value"]}]}}]})

    put({**options[0]["ResourceRecord"], "Value": "_wrong.example.net."})
    put(options[2]["ResourceRecord"])
    status = lambda: [one["ValidationStatus"] for one in described(acm, arn)["DomainValidationOptions"]]
    assert status() == ["PENDING_VALIDATION", "PENDING_VALIDATION", "SUCCESS"]
    put(options[0]["ResourceRecord"], "UPSERT")
    now = issued(acm, arn)
    assert {one["ValidationStatus"] for one in now["DomainValidationOptions"]} == {"SUCCESS"}
    assert "CertificateAuthorityArn" not in now and "FailureReason" not in now

    # It is of this installation's own authority, and a service shows it.
    _, subnet, service = served(own, arn, "shop.example.com")
    client = own.host(subnet)
    words = ["--cacert", CA, "--resolve", f"shop.example.com:443:{VIP}", "https://shop.example.com/"]
    eventually(lambda: own.inside(client, "curl", "-sS", "-m", "5", *words, check=False).returncode == 0,
               what="an answer over HTTPS")
    assert described(acm, arn)["InUseBy"] == [service["arn"]]


def test_nobody_proves_a_domain_that_another_account_had_first(own):
    theirs = Account(own, "other").client
    own.client("route53").create_hosted_zone(Name="bank.test", CallerReference=unique("zone"))
    vpc = theirs("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for name, more in (("bank.test", {}), ("www.bank.test", {"VPC": {"VPCRegion": "us-east-1", "VPCId": vpc}})):
        zone = theirs("route53").create_hosted_zone(Name=name, CallerReference=unique("zone"), **more)["HostedZone"]["Id"]
        arn = theirs("acm").request_certificate(DomainName=name, ValidationMethod="DNS")["CertificateArn"]
        [option] = described(theirs("acm"), arn)["DomainValidationOptions"]
        record = option["ResourceRecord"]
        theirs("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{
            "Action": "CREATE", "ResourceRecordSet": {"Name": record["Name"], "Type": "CNAME", "TTL": 60,
                                                      "ResourceRecords": [{"Value": record["Value"]}]}}]})
        [option] = described(theirs("acm"), arn)["DomainValidationOptions"]
        assert option["ValidationStatus"] == "PENDING_VALIDATION", name


def test_an_exported_key_opens_with_the_passphrase_alone(own, tmp_path):
    acm, authority = own.client("acm"), root(own)
    arn = acm.request_certificate(DomainName="a.example.com", CertificateAuthorityArn=authority,
                                  KeyAlgorithm="EC_prime256v1")["CertificateArn"]
    issued(acm, arn)
    exported = acm.export_certificate(CertificateArn=arn, Passphrase=b"correct horse")
    key = written(tmp_path, exported["PrivateKey"])
    assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    opened = openssl("pkey", "-in", key, "-passin", "pass:correct horse", "-pubout").stdout
    of_certificate = openssl("x509", "-in", written(tmp_path, exported["Certificate"]), "-noout", "-pubkey").stdout
    assert opened == of_certificate
    assert openssl("pkey", "-in", key, "-passin", "pass:wrong horse", "-pubout", check=False).returncode != 0
    assert "correct horse" not in own.log.read_text()
    [summary] = acm.list_certificates(Includes={"keyTypes": ["EC_prime256v1"]})["CertificateSummaryList"]
    assert summary["Exported"] is True and summary["RenewalEligibility"] == "ELIGIBLE"
    for passphrase in (b"abc", b"with # in it", b"caf\xc3\xa9!"):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            acm.export_certificate(CertificateArn=arn, Passphrase=passphrase)
        assert refused.value.response["Error"]["Code"] == "ValidationException"
    # A public one has to have been asked for as exportable; options can be changed.
    public = acm.request_certificate(DomainName="b.example.com", ValidationMethod="DNS")["CertificateArn"]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        acm.export_certificate(CertificateArn=public, Passphrase=b"correct horse")
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    acm.update_certificate_options(CertificateArn=public, Options={"CertificateTransparencyLoggingPreference": "DISABLED",
                                                                   "Export": "ENABLED"})
    assert described(acm, public)["Options"] == {"CertificateTransparencyLoggingPreference": "DISABLED", "Export": "ENABLED"}
    with pytest.raises(acm.exceptions.RequestInProgressException):
        acm.export_certificate(CertificateArn=public, Passphrase=b"correct horse")


def test_a_list_of_certificates_is_filtered_and_sorted(own):
    acm, authority = own.client("acm"), root(own)
    arns = [acm.request_certificate(DomainName=f"{name}.example.com", CertificateAuthorityArn=authority,
                                    KeyAlgorithm="EC_prime256v1")["CertificateArn"] for name in "abc"]
    waiting = acm.request_certificate(DomainName="d.example.com", ValidationMethod="DNS",
                                      KeyAlgorithm="EC_secp384r1")["CertificateArn"]
    for arn in arns:
        issued(acm, arn)
    both = {"keyTypes": ["EC_prime256v1", "EC_secp384r1"]}
    listed = lambda **more: [one["CertificateArn"] for one in acm.list_certificates(**more)["CertificateSummaryList"]]
    ordered = lambda order: listed(Includes=both, SortBy="CREATED_AT", SortOrder=order)
    assert ordered("ASCENDING") == [*arns, waiting] and ordered("DESCENDING") == [waiting, *reversed(arns)]
    assert listed() == [], "by default those of RSA alone"
    assert listed(Includes=both, CertificateStatuses=["PENDING_VALIDATION"]) == [waiting]
    assert listed(Includes={"keyTypes": ["EC_secp384r1"]}) == [waiting]
    pages = acm.get_paginator("list_certificates").paginate(
        Includes=both, SortBy="CREATED_AT", SortOrder="DESCENDING", PaginationConfig={"PageSize": 1})
    assert [one["CertificateArn"] for page in pages for one in page["CertificateSummaryList"]] == [waiting, *reversed(arns)]


@pytest.mark.slow
def test_renewed_certificates_take_their_place_without_one_failed_handshake(own, tmp_path):
    acm, authority = own.client("acm"), root(own)
    own.client("acm-pca").create_permission(CertificateAuthorityArn=authority, Principal="acm.amazonaws.com",
                                            Actions=["IssueCertificate", "GetCertificate", "ListPermissions"])
    arn = acm.request_certificate(DomainName="shop.example.com", CertificateAuthorityArn=authority)["CertificateArn"]
    issued(acm, arn)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        acm.renew_certificate(CertificateArn=arn)
    assert refused.value.response["Error"]["Code"] == "ValidationException", "nobody uses it"
    _, subnet, _ = served(own, arn, "shop.example.com")
    trust = written(tmp_path, acm.get_certificate(CertificateArn=arn)["CertificateChain"])
    client = own.host(subnet, mounts=[tmp_path])
    words = ["--cacert", str(trust), "--resolve", f"shop.example.com:443:{VIP}", "https://shop.example.com/"]
    eventually(lambda: own.inside(client, "curl", "-sS", "-m", "5", *words, check=False).returncode == 0,
               what="an answer over HTTPS")

    renewals = 4
    load = subprocess.Popen([TRELLIS, "exec", "--data-dir", own.data, client, "--", PYTHON, "-c", SHAKE, VIP,
                             "shop.example.com", trust, str(1 + renewals)], stdout=subprocess.PIPE, text=True)
    assert load.stdout.readline().startswith("serial ")
    for _ in range(renewals):
        before = described(acm, arn)["Serial"]
        acm.renew_certificate(CertificateArn=arn)
        eventually(lambda: described(acm, arn)["Serial"] != before, what="a successor")
        shown = load.stdout.readline()
        assert shown.startswith("serial "), shown
    told = json.loads(load.stdout.readline())
    load.wait(10)
    assert told["failed"] == 0, told
    assert told["serials"] == 1 + renewals and told["handshakes"] > renewals, told
