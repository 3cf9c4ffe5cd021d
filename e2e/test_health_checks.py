"""Health checks of Route 53: endpoints in a VPC, and records that are passed over when theirs is ill."""

import botocore.exceptions
import pytest

from instance import eventually, unique
from test_route53 import A, ask, texts


def check(route53, **config):
    config = {"Type": "HTTP", "Port": 8080, "RequestInterval": 10, "FailureThreshold": 1, **config}
    return route53.create_health_check(CallerReference=unique("check"), HealthCheckConfig=config)["HealthCheck"]["Id"]


def put(route53, zone, name, identifier, address, **more):
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{
        "Action": "UPSERT", "ResourceRecordSet": {
            "Name": name, "Type": "A", "SetIdentifier": identifier, "TTL": 5,
            "ResourceRecords": [{"Value": address}], **more}}]})


@pytest.mark.slow
def test_answers_move_away_from_an_endpoint_that_fails_its_health_check_and_back(own):
    vpc, subnet = own.vpc()
    route53 = own.client("route53")
    zone = route53.create_hosted_zone(
        Name="example.com", CallerReference=unique("zone"), VPC={"VPCRegion": "us-east-1", "VPCId": vpc})["HostedZone"]["Id"]
    client = own.host(subnet)
    first = own.web(subnet, ip="10.0.1.10")
    over_http, over_tcp = check(route53, IPAddress="10.0.1.10", ResourcePath="/"), check(route53, Type="TCP", IPAddress="10.0.1.10")
    by_name = check(route53, FullyQualifiedDomainName="one.example.com")
    put(route53, zone, "failover.example.com", "a", "10.0.1.10", Failover="PRIMARY", HealthCheckId=over_http)
    put(route53, zone, "failover.example.com", "b", "10.0.1.11", Failover="SECONDARY")
    for identifier, address, more in (("a", "10.0.1.10", {"HealthCheckId": over_tcp}), ("b", "10.0.1.11", {})):
        put(route53, zone, "many.example.com", identifier, address, MultiValueAnswer=True, **more)
    for identifier, address, weight, more in (("a", "10.0.1.10", 255, {"HealthCheckId": by_name}), ("b", "10.0.1.11", 0, {})):
        put(route53, zone, "weighted.example.com", identifier, address, Weight=weight, **more)
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [
        {"Action": "CREATE", "ResourceRecordSet": {
            "Name": "one.example.com", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "10.0.1.10"}]}},
        # An alias that is as well as what it leads to.
        *({"Action": "CREATE", "ResourceRecordSet": {
            "Name": "alias.example.com", "Type": "A", "SetIdentifier": role, "Failover": role,
            "AliasTarget": {"HostedZoneId": zone.split("/")[-1], "DNSName": target, "EvaluateTargetHealth": True}}}
          for role, target in (("PRIMARY", "only.example.com"), ("SECONDARY", "spare.example.com"))),
        {"Action": "CREATE", "ResourceRecordSet": {
            "Name": "spare.example.com", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "10.0.1.12"}]}},
    ]})
    put(route53, zone, "only.example.com", "a", "10.0.1.10", Weight=1, HealthCheckId=over_http)

    answers = lambda name: texts(ask(own, client, f"{name}.example.com", A))
    said = lambda id: [one["StatusReport"]["Status"] for one in
                       route53.get_health_check_status(HealthCheckId=id)["HealthCheckObservations"]]
    eventually(lambda: said(over_http) and said(over_http)[0].startswith("Success: HTTP Status Code 200"), what="a success")
    eventually(lambda: said(by_name) and said(by_name)[0].startswith("Success"), what="a success by name")
    assert (answers("failover"), answers("weighted"), answers("alias")) == (["10.0.1.10"],) * 3
    assert answers("many") == ["10.0.1.10", "10.0.1.11"]

    own.cli("rm", first)
    for name, expected in (("failover", "10.0.1.11"), ("many", "10.0.1.11"), ("weighted", "10.0.1.11"), ("alias", "10.0.1.12")):
        eventually(lambda: answers(name) == [expected], timeout=60, what=f"{name} leads to {expected}")
    assert said(over_tcp)[0].startswith("Failure")
    reasons = route53.get_health_check_last_failure_reason(HealthCheckId=over_http)["HealthCheckObservations"]
    assert reasons[0]["StatusReport"]["Status"].startswith("Failure: ")

    own.web(subnet, ip="10.0.1.10")
    for name, expected in (("failover", ["10.0.1.10"]), ("many", ["10.0.1.10", "10.0.1.11"]), ("alias", ["10.0.1.10"])):
        eventually(lambda: answers(name) == expected, timeout=60, what=f"{name} leads back")

    # Upside down, what is well counts as ill.
    updated = route53.update_health_check(HealthCheckId=over_http, Inverted=True)["HealthCheck"]
    assert updated["HealthCheckVersion"] == 2
    eventually(lambda: answers("failover") == ["10.0.1.11"], timeout=60, what="the secondary")
    # Nobody looks any more: it is as if it named no check.
    route53.delete_health_check(HealthCheckId=over_http)
    eventually(lambda: answers("failover") == ["10.0.1.10"], what="the primary")


def test_health_checks_are_made_listed_and_refused_as_route_53_does(shared):
    route53 = shared.client("route53")
    reference = unique("check")
    config = {"Type": "HTTPS", "FullyQualifiedDomainName": "www.example.com"}
    made = route53.create_health_check(CallerReference=reference, HealthCheckConfig=config)
    again = route53.create_health_check(CallerReference=reference, HealthCheckConfig=config)
    assert made["HealthCheck"] == again["HealthCheck"]
    filled = made["HealthCheck"]["HealthCheckConfig"]
    assert (filled["Port"], filled["RequestInterval"], filled["FailureThreshold"], filled["EnableSNI"]) == (443, 30, 3, True)
    id = made["HealthCheck"]["Id"]
    assert route53.get_health_check(HealthCheckId=id)["HealthCheck"] == made["HealthCheck"]
    pages = route53.get_paginator("list_health_checks").paginate(PaginationConfig={"PageSize": 1})
    assert id in [one["Id"] for page in pages for one in page["HealthChecks"]]
    route53.change_tags_for_resource(ResourceType="healthcheck", ResourceId=id, AddTags=[{"Key": "Name", "Value": "x"}])
    tags = route53.list_tags_for_resource(ResourceType="healthcheck", ResourceId=id)["ResourceTagSet"]["Tags"]
    assert tags == [{"Key": "Name", "Value": "x"}]

    def refused(code, **config):
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            route53.create_health_check(CallerReference=unique("check"), HealthCheckConfig=config)
        assert raised.value.response["Error"]["Code"] == code, raised.value

    for config in ({"Type": "CALCULATED", "HealthThreshold": 1}, {"Type": "TCP", "IPAddress": "10.0.0.1"}, {"Type": "HTTP"},
                   {"Type": "HTTP", "IPAddress": "127.0.0.1"}, {"Type": "HTTP", "IPAddress": "169.254.169.253"},
                   {"Type": "HTTP", "IPAddress": "10.0.0.1", "RequestInterval": 20},
                   {"Type": "HTTP", "IPAddress": "10.0.0.1", "ResourcePath": "/a b"},
                   {"Type": "TCP", "Port": 1, "IPAddress": "10.0.0.1", "ResourcePath": "/"}):
        refused("InvalidInput", **config)
    with pytest.raises(route53.exceptions.HealthCheckAlreadyExists):
        route53.create_health_check(CallerReference=reference, HealthCheckConfig={"Type": "HTTP", "IPAddress": "10.0.0.1"})
    with pytest.raises(route53.exceptions.HealthCheckVersionMismatch):
        route53.update_health_check(HealthCheckId=id, HealthCheckVersion=7, Port=1)
    route53.delete_health_check(HealthCheckId=id)
    with pytest.raises(route53.exceptions.NoSuchHealthCheck):
        route53.get_health_check(HealthCheckId=id)
