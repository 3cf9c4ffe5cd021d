"""Route 53: private hosted zones, as boto3 and the AWS CLI make them and hosts see them."""

import json
import re

import botocore.exceptions
import pytest

from instance import PYTHON, eventually, fixed, unique
from test_sharing import Account

# What a host asks its resolver, over UDP or TCP, and all of what it is told.
QUERY = r"""
import json, socket, struct, sys
name, kind, transport, payload = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
question = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
opt = b"\0" + struct.pack("!HHIH", 41, payload, 0, 0) if payload else b""
query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 1 if opt else 0) + question + opt
server = ("169.254.169.253", 53)
if transport == "tcp":
    s = socket.create_connection(server, 5); s.sendall(struct.pack("!H", len(query)) + query)
    f = s.makefile("rb"); data = f.read(struct.unpack("!H", f.read(2))[0])
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(query, server); data = s.recv(65535)
def label(at):
    out = []
    while True:
        length = data[at]
        if length == 0: return ".".join(out) or ".", at + 1
        if length >= 0xC0:
            rest, _ = label(struct.unpack("!H", data[at:at + 2])[0] & 0x3FFF)
            return ".".join(out + ([rest] if rest != "." else [])), at + 2
        out.append(data[at + 1:at + 1 + length].decode()); at += 1 + length
_, flags, _, answers, authority, extra = struct.unpack("!HHHHHH", data[:12])
_, at = label(12); at += 4
sections = []
for count in (answers, authority, extra):
    records = []
    for _ in range(count):
        owner, at = label(at)
        t, _, ttl, length = struct.unpack("!HHIH", data[at:at + 10]); at += 10
        value = data[at:at + length]
        text = ".".join(map(str, value)) if t == 1 else label(at)[0] if t in (2, 5, 12) else value.hex()
        records.append([owner.lower(), t, ttl, text.lower()]); at += length
    sections.append(records)
print(json.dumps({"rcode": flags & 15, "tc": bool(flags & 0x200), "answers": sections[0], "authority": sections[1],
                  "extra": sections[2], "size": len(data)}))
"""
A, CNAME, SOA, TXT, AAAA, OPT = 1, 5, 6, 16, 28, 41
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


def ask(instance, host, name, kind=A, transport="udp", payload=0):
    return json.loads(instance.inside(host, PYTHON, "-c", QUERY, name, str(kind), transport, str(payload)).stdout)


def texts(answer, kind=A):
    return sorted(text for _, t, _, text in answer["answers"] if t == kind)


@pytest.fixture(scope="module")
def world(shared):
    class World:
        pass

    world = World()
    world.vpc, subnet = shared.vpc("10.60.0.0/16", "10.60.1.0/24")
    world.other, other_subnet = shared.vpc("10.60.0.0/16", "10.60.1.0/24")
    world.client, world.outsider = shared.host(subnet), shared.host(other_subnet)
    world.route53 = shared.client("route53")
    return world


def zone_of(world, name, vpc=None):
    made = world.route53.create_hosted_zone(
        Name=name, CallerReference=unique("zone"), VPC={"VPCRegion": "us-east-1", "VPCId": vpc or world.vpc},
        HostedZoneConfig={"Comment": "of a test"})
    return made["HostedZone"]["Id"]


def change(world, zone, action, name, kind, *values, ttl=300, **more):
    record_set = {"Name": name, "Type": kind, **more}
    if values:
        record_set |= {"TTL": ttl, "ResourceRecords": [{"Value": value} for value in values]}
    changes = [{"Action": action, "ResourceRecordSet": record_set}]
    return world.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def in_sync(world, info):
    eventually(lambda: world.route53.get_change(Id=info["Id"])["ChangeInfo"]["Status"] == "INSYNC", what="INSYNC")


def test_a_record_of_a_private_zone_resolves_in_its_vpc_and_in_no_other(shared, world):
    zone = zone_of(world, "example.com")
    described = world.route53.get_hosted_zone(Id=zone)
    assert described["HostedZone"]["Config"] == {"Comment": "of a test", "PrivateZone": True}
    assert [vpc["VPCId"] for vpc in described["VPCs"]] == [world.vpc] and "DelegationSet" not in described

    info = change(world, zone, "CREATE", "www.example.com", "A", "10.60.1.7", "10.60.1.8")["ChangeInfo"]
    assert info["Status"] == "PENDING"
    in_sync(world, info)
    answer = ask(shared, world.client, "WWW.example.com")
    assert (answer["rcode"], texts(answer)) == (NOERROR, ["10.60.1.7", "10.60.1.8"]), answer
    assert {record[2] for record in answer["answers"]} == {300}
    assert "10.60.1.7" in shared.inside(world.client, "getent", "ahostsv4", "www.example.com").stdout
    assert texts(ask(shared, world.outsider, "www.example.com")) == []

    # What is not there has the zone's SOA, and nobody else is asked.
    for name, kind, rcode in (("www.example.com", AAAA, NOERROR), ("no.example.com", A, NXDOMAIN)):
        answer = ask(shared, world.client, name, kind)
        assert (answer["rcode"], answer["answers"]) == (rcode, []), answer
        [[owner, kind, ttl, _]] = answer["authority"]
        assert (owner, kind, ttl) == ("example.com", SOA, 900)

    # A VPC that is associated later answers too, and one that leaves no longer does.
    vpc = {"VPCRegion": "us-east-1", "VPCId": world.other}
    in_sync(world, world.route53.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=vpc)["ChangeInfo"])
    assert len(texts(ask(shared, world.outsider, "www.example.com"))) == 2
    [summary] = world.route53.list_hosted_zones_by_vpc(VPCId=world.other, VPCRegion="us-east-1")["HostedZoneSummaries"]
    assert (summary["Name"], f"/hostedzone/{summary['HostedZoneId']}") == ("example.com.", zone)
    in_sync(world, world.route53.disassociate_vpc_from_hosted_zone(HostedZoneId=zone, VPC=vpc)["ChangeInfo"])
    assert texts(ask(shared, world.outsider, "www.example.com")) == []

    in_sync(world, change(world, zone, "DELETE", "www.example.com", "A", "10.60.1.8", "10.60.1.7")["ChangeInfo"])
    assert ask(shared, world.client, "www.example.com")["rcode"] == NXDOMAIN
    in_sync(world, world.route53.delete_hosted_zone(Id=zone)["ChangeInfo"])
    with pytest.raises(world.route53.exceptions.NoSuchHostedZone):
        world.route53.get_hosted_zone(Id=zone)


def test_an_alias_leads_to_a_service_wherever_the_service_is(shared, world):
    service, _, generated = shared.service(fixed(404))
    shared.network([world.vpc], [service])
    zone = zone_of(world, "svc.test")
    change(world, zone, "CREATE", "server.svc.test", "CNAME", generated)
    change(world, zone, "CREATE", "chain.svc.test", "CNAME", "Server.svc.test.")
    target = {"HostedZoneId": "Z2FDTNDATAQYW2", "DNSName": generated, "EvaluateTargetHealth": False}
    change(world, zone, "CREATE", "svc.test", "A", AliasTarget=target)
    info = change(world, zone, "CREATE", "*.svc.test", "TXT", '"wild \\"card\\""')["ChangeInfo"]
    in_sync(world, info)
    answer = ask(shared, world.client, "chain.svc.test")
    assert [record[:2] for record in answer["answers"]] == [
        ["chain.svc.test", CNAME], ["server.svc.test", CNAME], [generated, A]], answer
    assert texts(answer)[0].startswith("169.254.171.")
    answer = ask(shared, world.client, "svc.test")
    assert [record[:2] for record in answer["answers"]] == [["svc.test", A]] and "169.254.171." in texts(answer)[0]
    assert shared.status(world.client, "http://chain.svc.test/", "-H", f"Host: {generated}") == 404
    [[_, _, _, text]] = ask(shared, world.client, "any.thing.svc.test", TXT)["answers"]
    assert bytes.fromhex(text) == b'\x0bwild "card"'
    assert ask(shared, world.client, "x.server.svc.test")["rcode"] == NXDOMAIN


def test_the_most_specific_zone_wins_and_nothing_falls_through(shared, world):
    outer, inner = zone_of(world, "nest.test"), zone_of(world, "in.nest.test")
    change(world, outer, "CREATE", "a.in.nest.test", "A", "10.60.9.1")
    change(world, outer, "CREATE", "b.nest.test", "A", "10.60.9.2")
    in_sync(world, change(world, inner, "CREATE", "c.in.nest.test", "A", "10.60.9.3")["ChangeInfo"])
    assert ask(shared, world.client, "a.in.nest.test")["rcode"] == NXDOMAIN
    assert texts(ask(shared, world.client, "b.nest.test")) == ["10.60.9.2"]
    assert texts(ask(shared, world.client, "c.in.nest.test")) == ["10.60.9.3"]
    with pytest.raises(world.route53.exceptions.ConflictingDomainExists, match="already been associated"):
        zone_of(world, "nest.test")
    with pytest.raises(world.route53.exceptions.LastVPCAssociation):
        world.route53.disassociate_vpc_from_hosted_zone(
            HostedZoneId=outer, VPC={"VPCRegion": "us-east-1", "VPCId": world.vpc})


def test_a_long_answer_is_cut_on_udp_and_whole_on_tcp(shared, world):
    zone = zone_of(world, "long.test")
    values = [f"10.61.{number // 200}.{number % 200 + 1}" for number in range(300)]
    in_sync(world, change(world, zone, "CREATE", "many.long.test", "A", *values)["ChangeInfo"])
    answer = ask(shared, world.client, "many.long.test")
    assert answer["tc"] and answer["answers"] == [] and answer["size"] <= 512, answer
    answer = ask(shared, world.client, "many.long.test", payload=1232)
    assert answer["tc"] and [record[1] for record in answer["extra"]] == [OPT]
    assert texts(ask(shared, world.client, "many.long.test", transport="tcp")) == sorted(values)


def test_a_batch_with_faults_changes_nothing_and_tells_them_all(shared, world):
    route53, zone = world.route53, zone_of(world, "batch.test")
    change(world, zone, "CREATE", "there.batch.test", "A", "10.0.0.1")
    before = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]

    def faults(*changes):
        changes = [
            {"Action": action, "ResourceRecordSet": {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [
                {"Value": value} for value in values]}}
            for action, name, kind, *values in changes
        ]
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
        assert refused.value.response["Error"]["Code"] == "InvalidChangeBatch"
        return refused.value.response["Error"]["Message"]

    told = faults(
        ("CREATE", "new.batch.test", "A", "10.0.0.2"),
        ("CREATE", "there.batch.test", "A", "10.0.0.2"),
        ("CREATE", "batch.test", "CNAME", "a.test"),
        ("CREATE", "there.batch.test", "CNAME", "a.test"),
        ("DELETE", "gone.batch.test", "A", "10.0.0.1"),
        ("UPSERT", "bad.batch.test", "A", "10.0.0.256"),
        ("UPSERT", "bad.batch.test", "TXT", "naked"),
        ("UPSERT", "twice.batch.test", "A", "10.0.0.1", "10.0.0.1"),
        ("UPSERT", "www.elsewhere.test", "A", "10.0.0.1"),
        ("DELETE", "there.batch.test", "A", "10.0.0.9"),
    )
    for fault in (
        "Tried to create resource record set [name='there.batch.test.', type='A'] but it already exists",
        "RRSet of type CNAME with DNS name batch.test. is not permitted at apex in zone batch.test.",
        "RRSet of type CNAME with DNS name there.batch.test. is not permitted as it conflicts with other records",
        "Tried to delete resource record set [name='gone.batch.test.', type='A'] but it was not found",
        "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with '10.0.0.256'",
        "InvalidCharacterString (Value should be enclosed in quotation marks) encountered with 'naked'",
        "Duplicate Resource Record: '10.0.0.1'",
        "RRSet with DNS name www.elsewhere.test. is not permitted in zone batch.test.",
        "[name='there.batch.test.', type='A'] but the values provided do not match the current values",
    ):
        assert fault in told, (fault, told)
    assert route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"] == before
    with pytest.raises(route53.exceptions.HostedZoneNotEmpty):
        route53.delete_hosted_zone(Id=zone)


def test_record_sets_are_listed_by_reversed_labels_page_by_page(shared, world):
    zone = zone_of(world, "page.test")
    names = ["a.page.test", "z.a.page.test", "b.page.test", "a-b.page.test", "*.page.test"]
    for name in names:
        change(world, zone, "CREATE", name, "A", "10.0.0.1")
    for weight, identifier in ((1, "one"), (3, "three/x")):
        change(world, zone, "CREATE", "w.page.test", "A", "10.0.0.1", Weight=weight, SetIdentifier=identifier)
    pages = world.route53.get_paginator("list_resource_record_sets").paginate(
        HostedZoneId=zone, PaginationConfig={"PageSize": 2})
    seen = [(record["Name"], record["Type"], record.get("SetIdentifier")) for page in pages
            for record in page["ResourceRecordSets"]]
    expected = [("page.test.", "NS"), ("page.test.", "SOA"), ("\\052.page.test.", "A"), ("a-b.page.test.", "A"),
                ("a.page.test.", "A"), ("z.a.page.test.", "A"), ("b.page.test.", "A"), ("w.page.test.", "A"),
                ("w.page.test.", "A")]
    assert sorted(seen) == sorted(set(seen)) and {record[:2] for record in seen} == set(expected)
    assert seen[0][:2] == ("page.test.", "NS") and [record[2] for record in seen[-2:]] == ["one", "three/x"]
    [first] = world.route53.list_resource_record_sets(
        HostedZoneId=zone, StartRecordName="w.page.test", StartRecordType="A", StartRecordIdentifier="three/x",
        MaxItems="1")["ResourceRecordSets"]
    assert first["SetIdentifier"] == "three/x"
    listed = world.route53.list_hosted_zones_by_name(DNSName="page.test", MaxItems="1")["HostedZones"]
    assert [found["Id"] for found in listed] == [zone]


def test_the_aws_cli_makes_a_zone_with_tags_and_takes_it_away(shared, world):
    vpc = f"VPCRegion=us-east-1,VPCId={world.vpc}"
    made = shared.aws("route53", "create-hosted-zone", "--name", "cli.test", "--vpc", vpc,
                      "--caller-reference", unique("cli"))
    zone = made["HostedZone"]["Id"].removeprefix("/hostedzone/")
    assert re.fullmatch("Z[A-Z0-9]+", zone)
    shared.aws("route53", "change-tags-for-resource", "--resource-type", "hostedzone", "--resource-id", zone,
               "--add-tags", "Key=team,Value=dns")
    tags = world.route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone)["ResourceTagSet"]["Tags"]
    assert tags == [{"Key": "team", "Value": "dns"}]
    shared.aws("route53", "wait", "resource-record-sets-changed", "--id", made["ChangeInfo"]["Id"])
    shared.aws("route53", "delete-hosted-zone", "--id", zone)
    listed = shared.aws("route53", "list-hosted-zones")["HostedZones"]
    assert made["HostedZone"]["Id"] not in [found["Id"] for found in listed]


def test_a_zone_answers_in_a_vpc_of_another_account_once_both_have_said_so(own):
    route53, other = own.client("route53"), Account(own, "other")
    vpc, _ = own.vpc("10.61.0.0/16", "10.61.1.0/24")
    theirs, subnet = other.view().vpc("10.62.0.0/16", "10.62.1.0/24")
    client = other.view().host(subnet)
    zone = route53.create_hosted_zone(Name="shared.test", CallerReference=unique("zone"),
                                      VPC={"VPCRegion": "us-east-1", "VPCId": vpc})["HostedZone"]["Id"].split("/")[-1]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{
        "Action": "CREATE", "ResourceRecordSet": {"Name": "www.shared.test", "Type": "A", "TTL": 60,
                                                  "ResourceRecords": [{"Value": "10.61.1.7"}]}}]})
    which = {"HostedZoneId": zone, "VPC": {"VPCRegion": "us-east-1", "VPCId": theirs}}
    receiver = other.client("route53")
    refused = lambda code: pytest.raises(botocore.exceptions.ClientError, match=code)
    with refused("NotAuthorizedException"):
        receiver.associate_vpc_with_hosted_zone(**which)
    with refused("NoSuchHostedZone"):
        receiver.get_hosted_zone(Id=zone)
    # The owner of the zone cannot do it alone either: the VPC is not the owner's.
    route53.create_vpc_association_authorization(**which)
    with refused("InvalidVPCId|NotAuthorized"):
        route53.associate_vpc_with_hosted_zone(**which)
    receiver.associate_vpc_with_hosted_zone(**which)
    eventually(lambda: texts(ask(own, client, "www.shared.test")) == ["10.61.1.7"], what="an answer in the other account")
    [summary] = receiver.list_hosted_zones_by_vpc(VPCId=theirs, VPCRegion="us-east-1")["HostedZoneSummaries"]
    assert summary["Owner"]["OwningAccount"] != other.id
    route53.delete_vpc_association_authorization(**which)
    assert texts(ask(own, client, "www.shared.test")) == ["10.61.1.7"], "what was made stays"
    receiver.disassociate_vpc_from_hosted_zone(**which)
    eventually(lambda: texts(ask(own, client, "www.shared.test")) == [], what="no answer any more")
    with refused("NotAuthorizedException"):
        receiver.associate_vpc_with_hosted_zone(**which)
