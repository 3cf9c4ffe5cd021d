"""`trellis kube`: classes, Gateways and routes of a cluster in, Lattice's state and real requests out."""

import pytest

from instance import eventually, unique
from mesh import PREFIX, backend, prefix, running


@pytest.fixture(scope="module")
def mesh(shared, tmp_path_factory):
    with running(shared, tmp_path_factory) as mesh:
        yield mesh


def test_class_and_gateway_are_told_what_they_are(mesh):
    assert mesh.told("", "amazon-vpc-lattice", "Accepted", "True", "Accepted", "GatewayClass") == ""
    mesh.told("infra", mesh.name, "Accepted", "True", "Accepted", "Gateway")
    message = mesh.told("infra", mesh.name, "Programmed", "True", "Programmed", "Gateway")
    assert message.startswith("aws-service-network-arn: arn:aws:vpc-lattice:us-east-1:") and mesh.network in message
    [listener] = mesh.server.get("Gateway", "infra", mesh.name)["status"]["listeners"]
    assert [kind["kind"] for kind in listener["supportedKinds"]] == ["HTTPRoute"]


def test_a_route_is_answered_by_the_endpoints_of_its_service(mesh):
    apps = mesh.namespace()
    mesh.server.service(apps, "cart", [mesh.addresses["one"], mesh.addresses["two"]])
    mesh.route(apps, "cart", [{"backendRefs": [backend("cart")]}])
    domain = mesh.domain(apps, "cart")
    assert mesh.answers(domain) in ("one", "two")
    # Addresses of the Gateway are those of its routes.
    eventually(lambda: mesh.server.get("Gateway", "infra", mesh.name)["status"].get("addresses"))

    mesh.server.endpoints(apps, "cart", [mesh.addresses["three"]])
    eventually(lambda: mesh.answers(domain) == "three", what="the new endpoint")
    assert {mesh.answers(domain) for _ in range(4)} == {"three"}

    service = mesh.service_of(apps, "cart")
    tags = mesh.trellis.lattice.list_tags_for_resource(
        resourceArn=mesh.annotation(apps, "cart", "lattice-service-arn"))["tags"]
    assert tags == {PREFIX + "ManagedBy": f"111122223333/c1/{mesh.vpc}", PREFIX + "RouteName": "cart",
                    PREFIX + "RouteNamespace": apps, PREFIX + "RouteType": "http"}
    assert mesh.trellis.lattice.get_service(serviceIdentifier=service)["name"] == f"cart-{apps}"


def test_rules_change_without_a_new_service_and_the_particular_goes_before_the_general(mesh):
    apps = mesh.namespace()
    for name, address in mesh.addresses.items():
        mesh.server.service(apps, name, [address])
    mesh.route(apps, "paths", [
        {"backendRefs": [backend("one")]},
        {"matches": [prefix("/v2"), {"path": {"type": "Exact", "value": "/two"}}], "backendRefs": [backend("two")]},
        {"matches": [{**prefix("/"), "headers": [{"name": "x-who", "value": "three"}]}], "backendRefs": [backend("three")]},
    ])
    domain = mesh.domain(apps, "paths")
    assert [mesh.answers(domain, path) for path in ("/", "/v2/x", "/two", "/two/x")] == ["one", "two", "two", "one"]
    assert mesh.answers(domain, "/", "-H", "X-Who: three") == "three"
    service = mesh.service_of(apps, "paths")

    mesh.route(apps, "paths", [
        {"matches": [prefix("/v2")], "backendRefs": [backend("three")]},
        {"matches": [{**prefix("/v2"), "method": "POST"}], "backendRefs": [backend("one")]},
    ])
    eventually(lambda: mesh.answers(domain, "/v2") == "three", what="the new rules")
    assert mesh.answers(domain, "/v2", "-X", "POST") == "one"
    assert mesh.answers(domain, "/") == 404
    assert mesh.service_of(apps, "paths") == service
    eventually(lambda: len(mesh.groups(apps)) == 2, 90, "the target group that nothing leads to gone")


def test_weights_split_requests_and_what_is_not_there_is_told(mesh):
    apps = mesh.namespace()
    for name in ("one", "two"):
        mesh.server.service(apps, name, [mesh.addresses[name]])
    mesh.route(apps, "split", [
        {"matches": [prefix("/split")], "backendRefs": [backend("one"), backend("two")]},
        {"matches": [prefix("/none")], "backendRefs": [backend("none")]},
    ])
    domain = mesh.domain(apps, "split")
    assert {mesh.answers(domain, "/split") for _ in range(20)} == {"one", "two"}
    message = mesh.told(apps, "split", "ResolvedRefs", "False", "BackendNotFound")
    assert message == f"spec.rules[1].backendRefs[0]: there is no Service {apps}/none"
    assert mesh.answers(domain, "/none") == 500
    mesh.server.service(apps, "none", [mesh.addresses["three"]])
    eventually(lambda: mesh.answers(domain, "/none") == "three", what="the Service that came later")
    mesh.told(apps, "split", "ResolvedRefs", "True", "ResolvedRefs")


def test_a_route_that_lattice_cannot_express_names_the_field_and_serves_as_before(mesh):
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "kept", [{"backendRefs": [backend("one")]}])
    domain = mesh.domain(apps, "kept")
    mesh.route(apps, "kept", [
        {"matches": [prefix("/new")], "backendRefs": [backend("one")]},
        {"matches": [{"path": {"type": "RegularExpression", "value": "/a.*"}}], "backendRefs": [backend("one")]},
    ])
    message = mesh.told(apps, "kept", "Accepted", "False", "UnsupportedValue")
    assert message.startswith("spec.rules[1].matches[0].path.type: ")
    assert mesh.answers(domain, "/") == "one"
    # For `kubectl describe` and `kubectl events`, which follow the conditions.
    refused = ("Warning", "FailedBuildModel", f"Accepted: UnsupportedValue: {message}")
    eventually(lambda: mesh.server.events(apps, "kept") == {refused, ("Normal", "DeploySucceed", "Programmed: Programmed")},
               what="the events of the route")


def test_a_rule_that_lattice_refuses_leaves_no_half_of_the_change(mesh):
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "quota", [{"matches": [prefix("/old")], "backendRefs": [backend("one")]}])
    domain = mesh.domain(apps, "quota")
    before = mesh.rules(mesh.service_of(apps, "quota"))
    # Eleven rules: one more than a listener may have.
    mesh.route(apps, "quota", [{"matches": [prefix(f"/r{number}")]} for number in range(11)])
    message = mesh.told(apps, "quota", "Programmed", "False", "RefusedByLattice")
    assert "ServiceQuotaExceededException" in message
    assert mesh.rules(mesh.service_of(apps, "quota")) == before
    assert mesh.answers(domain, "/old") == "one"


def test_a_deleted_route_leaves_nothing(mesh):
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "gone", [{"backendRefs": [backend("one")]}], hostnames=["gone.example.com"])
    mesh.domain(apps, "gone")
    service = mesh.service_of(apps, "gone")
    assert mesh.groups(apps)
    mesh.server.delete("HTTPRoute", apps, "gone")
    eventually(lambda: mesh.server.get("HTTPRoute", apps, "gone") is None, 30, "the finalizer taken away")
    lattice = mesh.trellis.lattice
    assert service not in [item["id"] for page in lattice.get_paginator("list_services").paginate() for item in page["items"]]
    eventually(lambda: not mesh.groups(apps), 90, "its target groups gone")


def test_a_gateway_that_goes_shuts_the_door_and_one_that_comes_back_opens_it(mesh):
    name = unique("door")
    network = mesh.trellis.lattice.create_service_network(name=name)["id"]
    mesh.gateway(name)
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "kept", [{"backendRefs": [backend("one")]}], parentRefs=[{"name": name, "namespace": "infra"}])
    domain, service = mesh.domain(apps, "kept"), mesh.service_of(apps, "kept")

    def networks():
        found = mesh.trellis.lattice.list_service_network_service_associations(serviceIdentifier=service)["items"]
        return [item["serviceNetworkId"] for item in found]

    assert networks() == [network]
    mesh.server.delete("Gateway", "infra", name)
    eventually(lambda: networks() == [], what="the service out of the network")
    mesh.gateway(name)
    eventually(lambda: networks() == [network], what="the service in the network again")
    assert mesh.domain(apps, "kept") == domain


def test_a_route_to_another_namespace_needs_a_grant(mesh):
    apps, other = mesh.namespace(), mesh.namespace()
    mesh.server.service(other, "one", [mesh.addresses["one"]])
    mesh.route(apps, "across", [{"backendRefs": [backend("one", namespace=other)]}])
    domain = mesh.domain(apps, "across")
    mesh.told(apps, "across", "ResolvedRefs", "False", "RefNotPermitted")
    assert mesh.answers(domain) == 500
    mesh.server.apply({"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
                       "metadata": {"name": "in", "namespace": other},
                       "spec": {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": apps}],
                                "to": [{"group": "", "kind": "Service"}]}})
    eventually(lambda: mesh.answers(domain) == "one", what="the granted backend")


def test_a_target_group_policy_sets_the_health_check_and_its_end_unsets_it(mesh):
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "checked", [{"backendRefs": [backend("one")]}])
    mesh.domain(apps, "checked")
    [group] = mesh.groups(apps)

    def check():
        found = mesh.trellis.lattice.get_target_group(targetGroupIdentifier=group["id"])
        check = found["config"]["healthCheck"]
        return check["path"], check["healthCheckIntervalSeconds"]

    assert check() == ("/", 30)
    mesh.server.apply({"apiVersion": PREFIX + "v1alpha1", "kind": "TargetGroupPolicy", "metadata": {"name": "p", "namespace": apps},
                       "spec": {"targetRef": {"group": "", "kind": "Service", "name": "one"},
                                "healthCheck": {"path": "/health", "intervalSeconds": 5}}})
    eventually(lambda: check() == ("/health", 5), what="the policy's health check")
    mesh.told(apps, "p", "Accepted", "True", "Accepted", "TargetGroupPolicy")
    mesh.server.delete("TargetGroupPolicy", apps, "p")
    eventually(lambda: check() == ("/", 30), what="Lattice's own health check")


def test_what_changed_while_the_controller_was_away_is_made_good_and_nothing_else_is_touched(mesh):
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "stays", [{"backendRefs": [backend("one")]}])
    mesh.route(apps, "goes", [{"backendRefs": [backend("one")]}])
    domain = mesh.domain(apps, "stays")
    mesh.domain(apps, "goes")
    service, rules = mesh.service_of(apps, "stays"), mesh.rules(mesh.service_of(apps, "stays"))
    mesh.server.service(apps, "lone", [mesh.addresses["one"]])
    mesh.route(apps, "goes", [{"backendRefs": [backend("lone")]}])
    eventually(lambda: [group for group in mesh.groups(apps) if "-lone-" in group["name"]])
    mesh.told(apps, "goes", "Programmed", "True", "Programmed")
    mesh.controller.kill()
    mesh.server.endpoints(apps, "one", [mesh.addresses["two"]])
    mesh.server.delete("HTTPRoute", apps, "goes")
    mesh.server.delete("Service", apps, "lone")
    mesh.controller.__enter__()
    eventually(lambda: mesh.answers(domain) == "two", what="the endpoint that came meanwhile")
    eventually(lambda: mesh.server.get("HTTPRoute", apps, "goes") is None, 30, "the route that went meanwhile gone")
    assert (mesh.service_of(apps, "stays"), mesh.rules(service)) == (service, rules)
    eventually(lambda: len(mesh.groups(apps)) == 1, 90, "target groups of what went gone, and no other")


def test_an_api_server_that_restarts_loses_no_change(mesh):
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "steady", [{"backendRefs": [backend("one")]}])
    domain = mesh.domain(apps, "steady")
    mesh.server.restart()
    mesh.server.endpoints(apps, "one", [mesh.addresses["three"]])
    eventually(lambda: mesh.answers(domain) == "three", 60, "the change after the restart")
