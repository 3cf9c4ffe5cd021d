"""Names inside VPCs."""

import json

import pytest

from instance import PYTHON, fixed

# A resolver of our own choosing must be asked directly, which getent cannot; so: a query by hand.
QUERY = r"""
import json, socket, struct, sys
server, name, kind = sys.argv[1], sys.argv[2], int(sys.argv[3])
question = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
s.sendto(struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question, (server, 53))
data = s.recv(4096)
ident, flags, _, answers, authority, _ = struct.unpack("!HHHHHH", data[:12])
address = ".".join(str(b) for b in data[-4:]) if answers else None
print(json.dumps({"id": ident, "rcode": flags & 15, "answers": answers, "address": address}))
"""


def ask(instance, host, server, name, kind=1):
    return json.loads(instance.inside(host, PYTHON, "-c", QUERY, server, name, str(kind)).stdout)


@pytest.fixture(scope="module")
def named(shared):
    class Named:
        pass

    world = Named()
    vpc, subnet = shared.vpc("10.40.0.0/16", "10.40.1.0/24")
    outside, outside_subnet = shared.vpc("10.40.0.0/16", "10.40.1.0/24")
    world.client, world.outsider = shared.host(subnet), shared.host(outside_subnet)
    world.service, _, world.name = shared.service(fixed(404))
    shared.network([vpc], [world.service])
    return world


@pytest.mark.parametrize("server", ["169.254.169.253", "10.40.0.2"])
def test_a_generated_name_resolves_in_an_associated_vpc(shared, named, server):
    answer = ask(shared, named.client, server, named.name)
    assert answer["rcode"] == 0 and answer["address"].startswith("169.254.171."), answer
    assert ask(shared, named.client, server, named.name.upper())["address"] == answer["address"]


@pytest.mark.parametrize("server", ["169.254.169.253", "10.40.0.2"])
def test_the_name_resolves_to_nothing_in_another_vpc(shared, named, server):
    answer = ask(shared, named.outsider, server, named.name)
    assert answer["rcode"] == 3 and answer["answers"] == 0, answer


def test_the_hosts_resolver_is_the_vpcs(shared, named):
    assert "169.254.171." in shared.inside(named.client, "getent", "ahostsv4", named.name).stdout
    assert shared.inside(named.outsider, "getent", "hosts", named.name, check=False).returncode == 2
    assert "169.254.169.253" in shared.inside(named.client, "cat", "/etc/resolv.conf").stdout


def test_the_name_goes_when_the_service_leaves_the_network(shared, named):
    vpc, subnet = shared.vpc("10.41.0.0/16", "10.41.1.0/24")
    client = shared.host(subnet)
    service, _, name = shared.service(fixed(404))
    network = shared.network([vpc], [service])
    assert ask(shared, client, "169.254.169.253", name)["answers"] == 1
    lattice = shared.lattice
    [association] = lattice.list_service_network_service_associations(serviceNetworkIdentifier=network)["items"]
    lattice.delete_service_network_service_association(serviceNetworkServiceAssociationIdentifier=association["id"])
    assert ask(shared, client, "169.254.169.253", name)["rcode"] == 3
