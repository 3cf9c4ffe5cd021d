"""`trellis kube`: policies, other clusters, replicas and readiness gates."""

import base64
import json

import pytest

from api_server import GATEWAY, ApiServer, Controller
from instance import eventually, free_port, unique
from mesh import PREFIX, backend, policy, prefix, running


@pytest.fixture(scope="module")
def mesh(shared, tmp_path_factory):
    with running(shared, tmp_path_factory) as mesh:
        yield mesh


@pytest.fixture(scope="module")
def spare(mesh, tmp_path_factory):
    """Another cluster beside the same network, without a controller."""
    with ApiServer(tmp_path_factory.mktemp("spare")) as server:
        yield mesh.in_cluster(server)


def test_an_iam_auth_policy_asks_callers_until_it_goes_and_the_oldest_counts(mesh):
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "asked", [{"backendRefs": [backend("one")]}])
    domain = mesh.domain(apps, "asked")
    service = mesh.service_of(apps, "asked")
    document = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "vpc-lattice-svcs:Invoke", "Resource": "*",
         "Condition": {"StringEquals": {"vpc-lattice-svcs:RequestMethod": "GET"}}}]})
    mesh.server.apply(policy("IAMAuthPolicy", apps, "first", ("HTTPRoute", "asked"), policy=document))
    mesh.told(apps, "first", "Accepted", "True", "Accepted", "IAMAuthPolicy")
    eventually(lambda: mesh.answers(domain, "/", "-X", "POST") == 403, what="a call that is not allowed refused")
    assert mesh.answers(domain) == "one"
    notes = mesh.server.get("IAMAuthPolicy", apps, "first")["metadata"]["annotations"]
    assert notes[PREFIX + "iam-auth-policy-resource-id"] == service
    assert notes[PREFIX + "iam-auth-policy-resource-type"] == "Service"

    # Creation times are in seconds, and of one second the name decides.
    mesh.server.apply(policy("IAMAuthPolicy", apps, "second", ("HTTPRoute", "asked"), policy=document))
    mesh.told(apps, "second", "Accepted", "False", "Conflicted", "IAMAuthPolicy")
    mesh.server.delete("IAMAuthPolicy", apps, "second")
    mesh.server.delete("IAMAuthPolicy", apps, "first")
    eventually(lambda: mesh.answers(domain, "/", "-X", "POST") == "one", what="nobody asked any more")
    assert mesh.trellis.lattice.get_service(serviceIdentifier=service)["authType"] == "NONE"
    eventually(lambda: mesh.server.get("IAMAuthPolicy", apps, "first") is None)


def test_a_policy_without_its_object_says_so_and_takes_hold_when_that_comes(mesh):
    apps = mesh.namespace()
    mesh.server.apply(policy("IAMAuthPolicy", apps, "early", ("HTTPRoute", "late"), policy='{"Version":"2012-10-17","Statement":[]}'))
    mesh.told(apps, "early", "Accepted", "False", "TargetNotFound", "IAMAuthPolicy")
    mesh.server.apply(policy("IAMAuthPolicy", apps, "wrong", ("Service", "late"), policy="{}"))
    mesh.told(apps, "wrong", "Accepted", "False", "Invalid", "IAMAuthPolicy")
    document = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}]})
    mesh.server.patch("IAMAuthPolicy", apps, "early", {"spec": {"policy": document}})
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "late", [{"backendRefs": [backend("one")]}])
    domain = mesh.domain(apps, "late")
    mesh.told(apps, "early", "Accepted", "True", "Accepted", "IAMAuthPolicy")
    eventually(lambda: mesh.answers(domain) == 403, what="the policy that was there before the route")


def test_an_access_log_policy_subscribes_moves_and_unsubscribes(mesh):
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    mesh.route(apps, "logged", [{"backendRefs": [backend("one")]}])
    mesh.domain(apps, "logged")
    service, lattice = mesh.service_of(apps, "logged"), mesh.trellis.lattice

    def destinations():
        found = lattice.list_access_log_subscriptions(resourceIdentifier=service)["items"]
        return [item["destinationArn"] for item in found]

    group = "arn:aws:logs:us-east-1:111122223333:log-group:{}:*"
    mesh.server.apply(policy("AccessLogPolicy", apps, "log", ("HTTPRoute", "logged"), destinationArn=group.format("first")))
    mesh.told(apps, "log", "Accepted", "True", "Accepted", "AccessLogPolicy")
    assert destinations() == [group.format("first")]
    mesh.server.patch("AccessLogPolicy", apps, "log", {"spec": {"destinationArn": group.format("second")}})
    eventually(lambda: destinations() == [group.format("second")], what="the new destination")
    mesh.server.patch("AccessLogPolicy", apps, "log", {"spec": {"destinationArn": "arn:aws:s3:::shop-logs"}})
    eventually(lambda: destinations() == ["arn:aws:s3:::shop-logs"], what="a destination of another kind")
    mesh.server.delete("AccessLogPolicy", apps, "log")
    eventually(lambda: not destinations(), what="the subscription gone")
    eventually(lambda: mesh.server.get("AccessLogPolicy", apps, "log") is None)


def test_https_grpc_and_tls_routes_get_listeners_of_their_kind(mesh):
    name = unique("secure")
    network = mesh.trellis.lattice.create_service_network(name=name)["id"]
    everybody = {"namespaces": {"from": "All"}}
    mesh.server.apply({
        "apiVersion": GATEWAY, "kind": "Gateway", "metadata": {"name": name, "namespace": "infra"},
        "spec": {"gatewayClassName": "amazon-vpc-lattice", "listeners": [
            {"name": "https", "port": 443, "protocol": "HTTPS", "allowedRoutes": everybody},
            {"name": "tls", "port": 444, "protocol": "TLS", "tls": {"mode": "Passthrough"}, "allowedRoutes": everybody}]}})
    apps = mesh.namespace()
    mesh.server.service(apps, "one", [mesh.addresses["one"]])
    to = [{"backendRefs": [backend("one")]}]
    parents = {"parentRefs": [{"name": name, "namespace": "infra"}]}
    mesh.route(apps, "web", to, **parents)
    mesh.route(apps, "calls", [{"matches": [{"method": {"service": "shop.Cart"}}], **to[0]}], "GRPCRoute", **parents)
    mesh.route(apps, "pass", to, "TLSRoute", hostnames=["pass.example.com"], **parents)
    lattice = mesh.trellis.lattice
    for route, kind, protocol, port, group in (
        ("web", "HTTPRoute", "HTTPS", 443, ("HTTP", "HTTP1")), ("calls", "GRPCRoute", "HTTPS", 443, ("HTTP", "GRPC")),
        ("pass", "TLSRoute", "TLS_PASSTHROUGH", 444, ("TCP", None)),
    ):
        mesh.told(apps, route, "Programmed", "True", "Programmed", kind)
        arn = eventually(lambda: mesh.annotation(apps, route, "lattice-service-arn", kind))
        [listener] = lattice.list_listeners(serviceIdentifier=arn)["items"]
        assert (listener["protocol"], listener["port"]) == (protocol, port), route
        tags = [(item, lattice.list_tags_for_resource(resourceArn=item["arn"])["tags"]) for item in mesh.groups(apps)]
        [made] = [item for item, found in tags if found[PREFIX + "RouteName"] == route]
        config = lattice.get_target_group(targetGroupIdentifier=made["id"])["config"]
        assert (config["protocol"], config.get("protocolVersion")) == group, route
        found = lattice.list_service_network_service_associations(serviceIdentifier=arn)["items"]
        assert [item["serviceNetworkId"] for item in found] == [network], route
        mesh.server.delete(kind, apps, route)
        eventually(lambda: mesh.server.get(kind, apps, route) is None, 30, "the finalizer taken away")


def test_a_vpc_association_policy_joins_the_vpc_with_its_security_groups_and_its_end_parts_them(spare):
    trellis, server = spare.trellis, spare.server
    network = trellis.lattice.create_service_network(name=unique("joined"))
    spare.gateway(network["name"])
    vpc, _ = trellis.vpc("10.61.0.0/16", "10.61.1.0/24")
    groups = [trellis.ec2.create_security_group(GroupName=unique("group"), Description="x", VpcId=vpc)["GroupId"]
              for _ in range(2)]

    def association():
        found = trellis.lattice.list_service_network_vpc_associations(serviceNetworkIdentifier=network["id"])["items"]
        return trellis.lattice.get_service_network_vpc_association(
            serviceNetworkVpcAssociationIdentifier=found[0]["id"]) if found else None

    with Controller(trellis, server, vpc, name="c2"):
        server.apply(policy("VpcAssociationPolicy", "infra", "join", ("Gateway", network["name"]), securityGroupIds=groups[:1]))
        eventually(lambda: (association() or {}).get("status") == "ACTIVE", what="the VPC in the network")
        assert association()["securityGroupIds"] == groups[:1]
        server.patch("VpcAssociationPolicy", "infra", "join", {"spec": {"securityGroupIds": groups}})
        eventually(lambda: sorted(association().get("securityGroupIds", [])) == sorted(groups), what="both security groups")
        server.delete("VpcAssociationPolicy", "infra", "join")
        eventually(lambda: association() is None, what="the VPC out of the network")
        eventually(lambda: server.get("VpcAssociationPolicy", "infra", "join") is None)


def test_of_two_replicas_one_works_and_the_other_goes_on_when_it_ends(spare):
    apps = spare.namespace()
    spare.server.service(apps, "one", [spare.addresses["one"]])
    first, second = (Controller(spare.trellis, spare.server, spare.vpc, "--leader-elect", name="pair") for _ in range(2))
    with first:
        spare.route(apps, "first", [{"backendRefs": [backend("one")]}])
        spare.domain(apps, "first")
        with second:
            first.__exit__()
            spare.route(apps, "second", [{"backendRefs": [backend("one")]}])
            assert spare.answers(spare.domain(apps, "second")) == "one"


def test_a_default_network_is_made_with_the_clusters_vpc_and_stands_for_every_gateway(spare):
    trellis, apps, gateway, name = spare.trellis, spare.namespace(), unique("any"), unique("default")
    vpc, _ = trellis.vpc("10.62.0.0/16", "10.62.1.0/24")
    spare.server.service(apps, "one", ["10.62.1.10"])
    spare.gateway(gateway)
    # The environment leads nowhere: the flag says where Lattice is.
    nowhere = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    with Controller(trellis, spare.server, vpc, "--default-service-network", name, "--service-network-override",
                    "--lattice-endpoint", trellis.endpoint, "--workers", "1", name="default", environment=nowhere):
        spare.route(apps, "cart", [{"backendRefs": [backend("one")]}], parentRefs=[{"name": gateway, "namespace": "infra"}])
        spare.told(apps, "cart", "Programmed", "True", "Programmed")
        network = trellis.lattice.get_service_network(serviceNetworkIdentifier=next(
            item["id"] for item in trellis.lattice.list_service_networks()["items"] if item["name"] == name))
        assert network["arn"] in spare.told("infra", gateway, "Programmed", "True", "Programmed", "Gateway")
        found = trellis.lattice.list_service_network_service_associations(serviceIdentifier=spare.service_of(apps, "cart"))
        assert [item["serviceNetworkName"] for item in found["items"]] == [name]
        found = trellis.lattice.list_service_network_vpc_associations(serviceNetworkIdentifier=network["id"])
        assert [item["vpcId"] for item in found["items"]] == [vpc]
        spare.server.delete("HTTPRoute", apps, "cart")
        eventually(lambda: spare.server.get("HTTPRoute", apps, "cart") is None, 30, "the finalizer taken away")


@pytest.mark.slow
def test_what_others_changed_in_lattice_is_mended_at_the_next_comparison(spare):
    apps = spare.namespace()
    spare.server.service(apps, "one", [spare.addresses["one"]])
    spare.route(apps, "drifts", [{"matches": [prefix("/v1")], "backendRefs": [backend("one")]}])
    # Not more often than once a minute.
    with Controller(spare.trellis, spare.server, spare.vpc, "--resync-seconds", "60", name="mends"):
        domain = spare.domain(apps, "drifts")
        assert spare.answers(domain, "/v1") == "one"
        lattice, service = spare.trellis.lattice, spare.service_of(apps, "drifts")
        [listener] = lattice.list_listeners(serviceIdentifier=service)["items"]
        [(_, rule)] = spare.rules(service)
        lattice.delete_rule(serviceIdentifier=service, listenerIdentifier=listener["id"], ruleIdentifier=rule)
        eventually(lambda: spare.answers(domain, "/v1") == 404, what="the rule gone")
        eventually(lambda: spare.answers(domain, "/v1") == "one", 90, "the rule made anew")


def test_a_service_that_another_cluster_exports_is_behind_a_route_of_this_one(mesh, spare):
    """The other cluster's pods are in the same VPC here, which the target group does not mind."""
    apps = unique("apps")
    for cluster in (mesh, spare):
        cluster.server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": apps}})
    mesh.server.service(apps, "local", [mesh.addresses["one"]])
    importing = {"group": "application-networking.k8s.aws", "kind": "ServiceImport", "name": "far", "weight": 1}
    mesh.server.apply({"apiVersion": PREFIX + "v1alpha1", "kind": "ServiceImport", "metadata": {"name": "far", "namespace": apps},
                       "spec": {"type": "ClusterSetIP", "ports": [{"port": 80, "protocol": "TCP"}]}})
    mesh.route(apps, "both", [
        {"matches": [prefix("/far")], "backendRefs": [importing]},
        {"matches": [prefix("/mixed")], "backendRefs": [backend("local"), importing]},
    ])
    domain = mesh.domain(apps, "both")
    mesh.told(apps, "both", "ResolvedRefs", "False", "BackendNotFound")
    assert (mesh.answers(domain, "/far"), mesh.answers(domain, "/mixed")) == (500, "one")

    with Controller(spare.trellis, spare.server, spare.vpc, name="c3"):
        spare.server.service(apps, "far", [spare.addresses["two"]])
        spare.server.apply({"apiVersion": PREFIX + "v1alpha1", "kind": "ServiceExport",
                            "metadata": {"name": "far", "namespace": apps,
                                         "annotations": {PREFIX + "federation": "amazon-vpc-lattice"}}})
        eventually(lambda: mesh.answers(domain, "/far") == "two", 30, "the other cluster's endpoint")
        mesh.told(apps, "both", "ResolvedRefs", "True", "ResolvedRefs")
        assert {mesh.answers(domain, "/mixed") for _ in range(20)} == {"one", "two"}
        spare.server.endpoints(apps, "far", [spare.addresses["three"]])
        eventually(lambda: mesh.answers(domain, "/far") == "three", what="the change in the other cluster")
        mesh.server.delete("HTTPRoute", apps, "both")
        eventually(lambda: mesh.server.get("HTTPRoute", apps, "both") is None, 30)
        spare.server.delete("ServiceExport", apps, "far")
        eventually(lambda: spare.server.get("ServiceExport", apps, "far") is None)
        eventually(lambda: not [group for group in mesh.groups(apps) if "-far-" in group["name"]], 90, "its target group gone")


def test_a_service_network_object_makes_one_and_it_stays_while_a_gateway_stands_for_it(mesh):
    name = unique("made")
    mesh.server.apply({"apiVersion": PREFIX + "v1alpha1", "kind": "ServiceNetwork", "metadata": {"name": name}})
    mesh.told("", name, "Programmed", "True", "Programmed", "ServiceNetwork")
    status = mesh.server.get("ServiceNetwork", "", name)["status"]
    network = mesh.trellis.lattice.get_service_network(serviceNetworkIdentifier=status["serviceNetworkID"])
    assert (network["name"], network["arn"]) == (name, status["serviceNetworkARN"])
    mesh.gateway(name)
    mesh.told("infra", name, "Programmed", "True", "Programmed", "Gateway")
    mesh.server.delete("ServiceNetwork", "", name)
    mesh.told("", name, "Programmed", "False", "DeleteBlocked", "ServiceNetwork")
    mesh.server.delete("Gateway", "infra", name)
    eventually(lambda: mesh.server.get("ServiceNetwork", "", name) is None, 30, "the network's object gone")
    names = [item["name"] for item in mesh.trellis.lattice.list_service_networks()["items"]]
    assert name not in names


def test_a_pod_behind_a_route_waits_for_its_target_and_no_other_pod_does(spare):
    """Without nodes the test is kubelet: it says that containers are ready, and writes the EndpointSlice."""
    server, apps = spare.server, unique("gated")
    inject = {"application-networking.k8s.aws/pod-readiness-gate-inject": "enabled"}
    server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": apps, "labels": inject}})
    keys = server.directory / "webhook"
    keys.mkdir()
    server.certificate("webhook", "/CN=webhook", "subjectAltName=IP:127.0.0.1")
    for suffix in ("crt", "key"):
        (server.directory / f"webhook.{suffix}").rename(keys / f"tls.{suffix}")
    port = free_port()
    gate = PREFIX + "pod-readiness-gate"

    def pod(name, app):
        server.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": apps, "labels": {"app": app}},
                      "spec": {"containers": [{"name": "app", "image": "example.com/app"}]}})
        return server.get("Pod", apps, name)["spec"].get("readinessGates")

    with Controller(spare.trellis, server, spare.vpc, "--webhook", "--webhook-bind-address", f"127.0.0.1:{port}",
                    "--webhook-cert-dir", str(keys), name="gates"):
        server.apply({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "gates"},
            "webhooks": [{
                "name": "mpod.gwc.k8s.aws", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
                "clientConfig": {"url": f"https://127.0.0.1:{port}/mutate-pod",
                                 "caBundle": base64.b64encode((server.directory / "ca.crt").read_bytes()).decode()},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
                "namespaceSelector": {"matchLabels": inject}}]})
        server.service(apps, "cart", [])
        server.patch("Service", apps, "cart", {"spec": {"selector": {"app": "cart"}}})
        server.apply(policy("TargetGroupPolicy", apps, "quick", ("Service", "cart"),
                            healthCheck={"intervalSeconds": 5, "timeoutSeconds": 2, "healthyThresholdCount": 2}))
        spare.route(apps, "cart", [{"backendRefs": [backend("cart")]}])
        domain = spare.domain(apps, "cart")
        eventually(lambda: pod(unique("pod"), "cart") == [{"conditionType": gate}], what="the gate of a new pod")
        assert pod("other", "other") is None

        pod("one", "cart")
        server.patch("Pod", apps, "one", {"status": {"conditions": [
            {"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": "False"}]}}, "/status")
        server.endpoints(apps, "cart", [spare.addresses["one"]], is_ready=False,
                         targetRef={"kind": "Pod", "name": "one", "namespace": apps})

        def conditions():
            return {found["type"]: (found["status"], found.get("reason")) for found in
                    server.get("Pod", apps, "one")["status"]["conditions"]}

        eventually(lambda: conditions().get(gate) == ("True", "Healthy"), 60, "the gate opened")
        assert conditions()["ContainersReady"][0] == "True", "kubelet's own conditions stay"
        assert spare.answers(domain) == "one"
    server.api.delete(server.path("MutatingWebhookConfiguration", "", "gates"))
