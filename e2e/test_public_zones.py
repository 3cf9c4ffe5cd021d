"""Public hosted zones on the port of `--dns-listen`, asked with dig, and delegation sets."""

import re
import subprocess

import pytest

from instance import Instance, eventually, unique


@pytest.fixture
def serving(tmp_path):
    with Instance(tmp_path, "--dns-listen", "127.0.0.1:0") as instance:
        [instance.dns_port] = re.findall(r"public hosted zones are answered at 127\.0\.0\.1:(\d+)", instance.log.read_text())
        yield instance


def dig(instance, *words):
    done = subprocess.run(["dig", "@127.0.0.1", "-p", instance.dns_port, "+norecurse", *words], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def zone_of(route53, name, **more):
    return route53.create_hosted_zone(Name=name, CallerReference=unique("zone"), **more)["HostedZone"]["Id"]


def put(route53, zone, name, kind, *values):
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{
        "Action": "UPSERT", "ResourceRecordSet": {"Name": name, "Type": kind, "TTL": 60,
                                                  "ResourceRecords": [{"Value": value} for value in values]}}]})


def test_a_public_zone_is_answered_with_authority_and_a_private_one_is_not(serving):
    route53 = serving.client("route53")
    vpc, _ = serving.vpc()
    zone = zone_of(route53, "example.com")
    put(route53, zone, "www.example.com", "A", "192.0.2.1", "192.0.2.2")
    put(route53, zone, "big.example.com", "TXT", *[f'"{number:03}{"x" * 60}"' for number in range(40)])
    put(route53, zone, "sub.example.com", "NS", "ns.sub.example.com.")
    put(route53, zone, "ns.sub.example.com", "A", "192.0.2.53")
    secret = zone_of(route53, "secret.test", VPC={"VPCRegion": "us-east-1", "VPCId": vpc})
    put(route53, secret, "www.secret.test", "A", "10.0.1.1")

    eventually(lambda: "192.0.2.53" in dig(serving, "a.sub.example.com"), what="the last record")
    for transport in ([], ["+tcp"]):
        said = dig(serving, *transport, "www.example.com")
        assert "status: NOERROR" in said and re.search(r"flags: qr aa;", said), said
        assert {"192.0.2.1", "192.0.2.2"} <= set(said.split())
    assert "status: NXDOMAIN" in (said := dig(serving, "no.example.com")) and "SOA" in said
    referral = dig(serving, "a.sub.example.com")
    assert re.search(r"flags: qr;", referral) and "ANSWER: 0" in referral and "AUTHORITY: 1" in referral
    for name in ("www.secret.test", "www.example.org", "x.vpc-lattice-svcs.us-east-1.on.aws"):
        assert "status: REFUSED" in dig(serving, name), name
    # What does not fit is cut, and whole over TCP.
    assert re.search(r"flags: qr aa tc;", dig(serving, "+ignore", "+noedns", "big.example.com", "TXT"))
    assert len(re.findall(r"^big\.example\.com\.\s+60", dig(serving, "big.example.com", "TXT"), re.M)) == 40

    put(route53, zone, "www.example.com", "A", "192.0.2.9")
    eventually(lambda: "192.0.2.9" in dig(serving, "www.example.com"), what="the changed record")
    for one in ("www.example.com", "big.example.com", "sub.example.com", "ns.sub.example.com"):
        found = [each for each in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
                 if each["Name"] == f"{one}."]
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={
            "Changes": [{"Action": "DELETE", "ResourceRecordSet": each} for each in found]})
    route53.delete_hosted_zone(Id=zone)
    eventually(lambda: "status: REFUSED" in dig(serving, "www.example.com"), what="nothing after the zone has gone")


def test_a_delegation_set_is_shared_by_zones_and_goes_when_they_have_gone(shared):
    route53 = shared.client("route53")
    made = route53.create_reusable_delegation_set(CallerReference=unique("set"))["DelegationSet"]
    assert len(made["NameServers"]) == 4
    id = made["Id"].split("/")[-1]
    zone = zone_of(route53, "delegated.example", DelegationSetId=id)
    described = route53.get_hosted_zone(Id=zone)
    assert described["DelegationSet"]["NameServers"] == made["NameServers"] and described["DelegationSet"]["Id"] == made["Id"]
    assert [one["Id"] for one in route53.list_hosted_zones(DelegationSetId=id)["HostedZones"]] == [zone]
    limit = route53.get_reusable_delegation_set_limit(Type="MAX_ZONES_BY_REUSABLE_DELEGATION_SET", DelegationSetId=id)
    assert limit["Count"] == 1
    with pytest.raises(route53.exceptions.DelegationSetInUse):
        route53.delete_reusable_delegation_set(Id=id)
    route53.delete_hosted_zone(Id=zone)
    route53.delete_reusable_delegation_set(Id=id)
    with pytest.raises(route53.exceptions.NoSuchDelegationSet):
        route53.get_reusable_delegation_set(Id=id)
