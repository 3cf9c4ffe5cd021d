"""Names inside VPCs."""

import json

import pytest

from instance import Instance, PYTHON, eventually, fixed
from name_server import NameServer, PTR

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


@pytest.fixture
def corp(tmp_path):
    """An instance whose resolver is a zone of the user's own."""
    server = NameServer()
    with Instance(tmp_path, "--resolver", server.address) as instance:
        instance.names = server
        yield instance
    server.close()


def test_a_users_alias_of_a_generated_name_leads_to_the_service(corp):
    vpc, subnet = corp.vpc("10.42.0.0/16", "10.42.1.0/24")
    _, elsewhere = corp.vpc("10.42.0.0/16", "10.42.1.0/24")
    client, outsider = corp.host(subnet), corp.host(elsewhere)
    service, _, name = corp.service(fixed(404))
    corp.network([vpc], [service])
    corp.names.aliases = {"app.corp.test": "Www.Corp.test", "www.corp.test": name.upper(), "loop.corp.test": "loop.corp.test"}

    for server in ("169.254.169.253", "10.42.0.2"):
        answer = ask(corp, client, server, "app.corp.test")
        assert (answer["rcode"], answer["answers"]) == (0, 3) and answer["address"].startswith("169.254.171."), answer
    assert ask(corp, client, server, "loop.corp.test")["rcode"] == 2
    assert "169.254.171." in corp.inside(client, "getent", "ahostsv4", "APP.corp.test").stdout
    # Whose Host is a name that the service does not have: what is asked here is whether it is reached.
    assert corp.status(client, "http://app.corp.test/", "-H", f"Host: {name}") == 404
    answer = ask(corp, outsider, "169.254.169.253", "app.corp.test")
    assert (answer["rcode"], answer["answers"]) == (3, 2), answer


def test_a_host_is_known_by_its_private_name_and_backwards_in_its_own_vpc_alone(shared):
    ec2 = shared.ec2
    vpc, subnet = shared.vpc("10.43.0.0/16", "10.43.1.0/24")
    _, elsewhere = shared.vpc("10.43.0.0/16", "10.43.1.0/24")
    web = shared.host(subnet, ip="10.43.1.10")
    client, outsider = shared.host(subnet), shared.host(elsewhere)
    [reservation] = ec2.describe_instances(Filters=[{"Name": "private-ip-address", "Values": ["10.43.1.10"]}])["Reservations"]
    name = reservation["Instances"][0]["PrivateDnsName"]
    assert name == "ip-10-43-1-10.ec2.internal"

    assert shared.inside(client, "getent", "ahostsv4", name).stdout.startswith("10.43.1.10 ")
    assert name in shared.inside(client, "getent", "hosts", "10.43.1.10").stdout
    reverse = "10.1.43.10.in-addr.arpa"
    for host, name_or_reverse, kind in ((outsider, name, 1), (outsider, reverse, PTR)):
        answer = ask(shared, host, "169.254.169.253", name_or_reverse, kind)
        assert (answer["rcode"], answer["answers"]) == (3, 0), answer

    shared.cli("rm", web)
    eventually(lambda: ask(shared, client, "169.254.169.253", name)["rcode"] == 3, what="the name gone with its host")
