"""A client in one VPC calls a service in another through a service network."""

import collections
import json

import pytest

from instance import eventually, fixed, forward


@pytest.fixture(scope="module")
def shop(shared):
    """Two VPCs of the same addresses, two versions of a target, a client, a service with rules."""

    class Shop:
        pass

    world = Shop()
    world.provider, provider_subnet = shared.vpc()
    world.consumer, consumer_subnet = shared.vpc()
    shared.web(provider_subnet, "10.0.1.10", "one")
    shared.web(provider_subnet, "10.0.1.20", "two")
    world.client = shared.host(consumer_subnet, ip="10.0.1.10")
    world.one = shared.group(world.provider, "10.0.1.10")
    world.two = shared.group(world.provider, "10.0.1.20")
    world.service, world.listener, world.name = shared.service(forward(world.one))
    world.network = shared.network([world.consumer], [world.service])
    world.url = f"http://{world.name}"

    lattice = shared.lattice
    where = {"serviceIdentifier": world.service, "listenerIdentifier": world.listener}

    def rule(name, priority, match, action):
        lattice.create_rule(**where, name=name, priority=priority, match={"httpMatch": match}, action=action)

    rule("next", 10, {"pathMatch": {"match": {"prefix": "/next"}}}, forward(world.two))
    rule("exact", 20, {"pathMatch": {"match": {"exact": "/Exact"}, "caseSensitive": True}}, forward(world.two))
    rule("blind", 30, {"pathMatch": {"match": {"exact": "/Blind"}, "caseSensitive": False}}, forward(world.two))
    rule("method", 40, {"method": "PUT"}, forward(world.two))
    rule("header", 50, {"headerMatches": [
        {"name": "X-Stage", "match": {"exact": "canary"}},
        {"name": "x-who", "match": {"contains": "bob"}, "caseSensitive": True},
    ]}, forward(world.two))
    rule("gone", 60, {"pathMatch": {"match": {"prefix": "/gone"}}}, fixed(404))
    rule("broken", 70, {"pathMatch": {"match": {"prefix": "/broken"}}}, fixed(500))
    eventually(lambda: shared.status(world.client, world.url + "/broken") == 500, what="the last rule in force")
    return world


@pytest.mark.parametrize("path, flags, expected", [
    ("/", (), "one"),
    ("/nex", (), "one"),
    ("/next", (), "two"),
    ("/next/page?x=1", (), "two"),
    ("/Exact", (), "two"),
    ("/exact", (), "one"),
    ("/Exact/", (), "one"),
    ("/bLIND", (), "two"),
    ("/", ("-X", "PUT"), "two"),
    ("/", ("-H", "x-stage: canary", "-H", "x-who: xbobx"), "two"),
    ("/", ("-H", "x-stage: CANARY", "-H", "x-who: bob"), "two"),
    ("/", ("-H", "x-stage: canary", "-H", "x-who: BOB"), "one"),
    ("/", ("-H", "x-stage: canary"), "one"),
])
def test_rules_choose_the_target_group(shared, shop, path, flags, expected):
    assert json.loads(shared.curl(shop.client, shop.url + path, *flags))["name"] == expected


@pytest.mark.parametrize("path, status, body", [("/gone", 404, "Not Found"), ("/broken/x", 500, "Internal Server Error")])
def test_fixed_responses_are_answered_by_trellis(shared, shop, path, status, body):
    out = shared.curl(shop.client, shop.url + path, "-w", "%{http_code}")
    assert out == f"{body}{status}"


def test_an_unknown_host_is_not_found(shared, shop):
    out = shared.curl(shop.client, f"{shop.url}/", "-H", "Host: nobody.example.com", "-w", "%{http_code}")
    assert out == "Not Found404"


def test_targets_see_the_headers_the_reference_names(shared, shop):
    seen = json.loads(shared.curl(
        shop.client, f"{shop.url}/hello?a=b", "-H", "x-amzn-lattice-network: forged", "-H", "x-custom: kept"))
    headers = collections.defaultdict(list)
    for name, value in seen["headers"]:
        headers[name].append(value)
    assert seen["path"] == "/hello?a=b"
    assert seen["peer"].startswith("169.254.171.")
    assert headers["host"] == [shop.name]
    assert headers["x-custom"] == ["kept"]
    assert headers["x-forwarded-for"] == ["10.0.1.10"]
    assert headers["x-forwarded-port"] == ["80"]
    assert headers["x-forwarded-proto"] == ["http"]
    assert headers["x-amzn-source-vpc"] == [shop.consumer]
    assert headers["x-amzn-lattice-network"] == [
        f"SourceVpcArn=arn:aws:ec2:us-east-1:111122223333:vpc/{shop.consumer}"]
    [target] = headers["x-amzn-lattice-target"]
    parts = dict(part.split("=", 1) for part in target.split("; "))
    assert parts["ServiceArn"].endswith(shop.service)
    assert parts["ServiceNetworkArn"].endswith(shop.network)
    assert parts["TargetGroupArn"].endswith(shop.one)
    assert len(headers["x-amzn-requestid"][0]) == 36


def test_the_request_id_of_the_client_is_kept_and_returned(shared, shop):
    out = shared.curl(shop.client, shop.url, "-H", "x-amzn-requestid: mine-1", "-D", "-")
    assert "x-amzn-requestid: mine-1" in out.lower()
    assert '["x-amzn-requestid", "mine-1"]' in out


def test_weights_split_requests(shared, shop):
    groups = [shared.group(shop.provider, address) for address in ("10.0.1.10", "10.0.1.20")]
    service, _, name = shared.service(forward((groups[0], 90), (groups[1], 10)))
    lattice = shared.lattice
    made = lattice.create_service_network_service_association(
        serviceNetworkIdentifier=shop.network, serviceIdentifier=service)["id"]
    shared.active(lambda: lattice.get_service_network_service_association(
        serviceNetworkServiceAssociationIdentifier=made))
    out = shared.inside(shop.client, "sh", "-c",
                        f"for i in $(seq 20); do curl -sS {' '.join([f'http://{name}/'] * 20)}; done").stdout
    answers = json.loads("[" + out.replace("}{", "},{") + "]")
    names = collections.Counter(answer["name"] for answer in answers)
    # 400 draws of 10 %: five standard deviations on either side is 10 to 70.
    assert 10 <= names["two"] <= 70 and names["one"] + names["two"] == 400, names


def test_every_request_leaves_one_log_line_with_the_reference_fields(shared, shop):
    marker = "/logged/" + shop.service
    shared.curl(shop.client, shop.url + marker, "-A", "me \"quoted\"", "-X", "POST", "-d", "12345")

    def found():
        return [record for record in shared.records() if record.get("requestPath") == marker]

    [record] = eventually(found, what="the log record")
    assert record["requestMethod"] == "POST"
    assert record["protocol"] == "HTTP/1.1"
    assert record["responseCode"] == 200
    assert record["hostHeader"] == shop.name
    assert record["userAgent"] == 'me "quoted"'
    assert record["sourceIpPort"].startswith("10.0.1.10:")
    assert record["targetIpPort"] == "10.0.1.10:8080"
    assert record["sourceVpcId"] == shop.consumer and record["destinationVpcId"] == shop.provider
    assert record["serviceArn"].endswith(shop.service)
    assert record["serviceNetworkArn"].endswith(shop.network)
    assert record["targetGroupArn"].endswith(shop.one)
    assert record["bytesReceived"] > 5 and record["bytesSent"] > 50
    assert record["failureReason"] == "-" and record["authDeniedReason"] == "-"
    assert isinstance(record["duration"], int)


def test_a_service_that_wants_iam_denies_everybody_until_it_has_a_policy(shared, shop):
    lattice = shared.lattice
    service, _, name = shared.service(fixed(404))
    lattice.update_service(serviceIdentifier=service, authType="AWS_IAM")
    made = lattice.create_service_network_service_association(
        serviceNetworkIdentifier=shop.network, serviceIdentifier=service)["id"]
    shared.active(lambda: lattice.get_service_network_service_association(
        serviceNetworkServiceAssociationIdentifier=made))
    out = shared.curl(shop.client, f"http://{name}/x", "-w", "%{http_code}")
    assert out.endswith("403")
    assert out.startswith("AccessDeniedException: User: anonymous is not authorized to perform: vpc-lattice-svcs:Invoke")
    assert "because no service-based policy allows the vpc-lattice-svcs:Invoke action" in out
