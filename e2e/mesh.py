"""A service network with a cluster, its controller and hosts, for the tests of `trellis kube`.

The cluster is an API server without nodes; endpoints are hosts of a VPC, so that what is routed is answered.
"""

import contextlib
import json

from api_server import GATEWAY, ApiServer, Controller
from instance import eventually, unique

PREFIX = "application-networking.k8s.aws/"


class Mesh:
    """A VPC with three web servers and a client, a service network, a cluster and its controller."""

    def __init__(self, instance, server):
        self.trellis, self.server = instance, server
        self.vpc, self.subnet = instance.vpc("10.60.0.0/16", "10.60.1.0/24")
        self.addresses = {name: f"10.60.1.{number}" for number, name in enumerate(("one", "two", "three"), 10)}
        for host, address in self.addresses.items():
            instance.web(self.subnet, address, host)
        self.client = instance.host(self.subnet)
        self.name = unique("shop")
        self.network = instance.lattice.create_service_network(name=self.name)["id"]
        made = instance.lattice.create_service_network_vpc_association(
            serviceNetworkIdentifier=self.network, vpcIdentifier=self.vpc)["id"]
        instance.active(lambda: instance.lattice.get_service_network_vpc_association(
            serviceNetworkVpcAssociationIdentifier=made))
        self.prepare()

    def in_cluster(self, server):
        """The same VPC and network, for another cluster."""
        other = Mesh.__new__(Mesh)
        other.__dict__ = {**self.__dict__, "server": server}
        other.prepare()
        return other

    def prepare(self):
        self.server.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "infra"}},
            {"apiVersion": GATEWAY, "kind": "GatewayClass", "metadata": {"name": "amazon-vpc-lattice"},
             "spec": {"controllerName": "application-networking.k8s.aws/gateway-api-controller"}})
        self.gateway(self.name)

    def gateway(self, name):
        self.server.apply(
            {"apiVersion": GATEWAY, "kind": "Gateway", "metadata": {"name": name, "namespace": "infra"},
             "spec": {"gatewayClassName": "amazon-vpc-lattice", "listeners": [
                 {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
             ]}})

    def namespace(self):
        name = unique("apps")
        self.server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def route(self, namespace, name, rules, kind="HTTPRoute", annotations=None, **spec):
        self.server.apply(
            {"apiVersion": GATEWAY, "kind": kind,
             "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}},
             "spec": {"parentRefs": [{"name": self.name, "namespace": "infra"}], "rules": rules, **spec}})

    def annotation(self, namespace, route, name, kind="HTTPRoute"):
        return self.server.get(kind, namespace, route)["metadata"].get("annotations", {}).get(PREFIX + name)

    def domain(self, namespace, route, kind="HTTPRoute"):
        """The generated domain of a route that is in force."""
        self.told(namespace, route, "Programmed", "True", "Programmed", kind)
        return eventually(lambda: self.annotation(namespace, route, "lattice-assigned-domain-name", kind))

    def told(self, namespace, name, condition, status, reason, kind="HTTPRoute"):
        """The message of the condition once it is so."""
        def look():
            found = self.server.condition(kind, namespace, name, condition)
            return found if found and found[:2] == (status, reason) else None
        try:
            return eventually(look, 30, f"{condition} {reason}")[2]
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.server.condition(kind, namespace, name, condition)}") from None

    def answers(self, domain, path="/", *flags):
        """Who answered; the status where nobody of ours did."""
        text = self.trellis.curl(self.client, f"http://{domain}{path}", *flags, "-w", "\n%{http_code}", check=False)
        body, _, status = text.rpartition("\n")
        try:
            return json.loads(body)["name"]
        except (ValueError, KeyError, TypeError):
            return int(status or 0)

    def service_of(self, namespace, route):
        arn = self.annotation(namespace, route, "lattice-service-arn")
        return arn.rsplit("/", 1)[1]

    def rules(self, service):
        lattice = self.trellis.lattice
        [listener] = lattice.list_listeners(serviceIdentifier=service)["items"]
        rules = lattice.list_rules(serviceIdentifier=service, listenerIdentifier=listener["id"])["items"]
        return sorted((rule["priority"], rule["id"]) for rule in rules if not rule["isDefault"])

    def groups(self, namespace):
        """The target groups of a namespace's Services."""
        found = self.trellis.lattice.get_paginator("list_target_groups").paginate()
        return [group for page in found for group in page["items"] if group["name"].startswith(f"k8s-{namespace}-")]


@contextlib.contextmanager
def running(instance, directories):
    """A mesh with a controller at work."""
    with ApiServer(directories.mktemp("cluster")) as server:
        mesh = Mesh(instance, server)
        with Controller(instance, server, mesh.vpc) as controller:
            mesh.controller = controller
            yield mesh


def backend(name, weight=1, **more):
    return {"name": name, "port": 80, "weight": weight, **more}


def prefix(path):
    return {"path": {"type": "PathPrefix", "value": path}}


def policy(kind, namespace, name, target, **spec):
    kind_of, target_name = target
    group = "" if kind_of == "Service" else "gateway.networking.k8s.io"
    return {"apiVersion": PREFIX + "v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
            "spec": {"targetRef": {"group": group, "kind": kind_of, "name": target_name}, **spec}}
