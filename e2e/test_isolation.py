"""Nothing passes between VPCs except through Trellis."""

import json
import threading
import http.server

import pytest

from instance import ROOT, PYTHON, forward


@pytest.fixture(scope="module")
def pair(shared):
    class Pair:
        pass

    world = Pair()
    world.left, left_subnet = shared.vpc("10.20.0.0/16", "10.20.1.0/24")
    world.right, right_subnet = shared.vpc("10.30.0.0/16", "10.30.1.0/24")
    # One that may change its routes and addresses.
    world.client = shared.host(left_subnet, ip="10.20.1.10", flags=["--privileged"])
    world.neighbour = shared.web(left_subnet, "10.20.1.11")
    world.other = shared.web(right_subnet, "10.30.1.10")
    return world


def blocked(shared, host, url):
    done = shared.inside(host, "curl", "-sS", "-m", "2", "-o", "/dev/null", url, check=False)
    return done.returncode != 0


def test_hosts_of_one_vpc_reach_each_other(shared, pair):
    assert json.loads(shared.curl(pair.client, "http://10.20.1.11:8080/"))["peer"] == "10.20.1.10"


@pytest.mark.parametrize("extra", [
    "",
    "ip route replace 10.30.0.0/16 via 10.20.1.1;",
    "ip route replace default via 10.20.1.1; ip addr add 10.30.1.99/32 dev lo;",
])
def test_the_other_vpc_is_out_of_reach_even_with_routes_of_ones_own(shared, pair, extra):
    done = shared.inside(pair.client, "sh", "-c",
                         f"{extra} curl -sS -m 2 http://10.30.1.10:8080/", check=False)
    assert done.returncode != 0, done.stdout


def test_the_machine_itself_is_out_of_reach(shared, pair):
    """Neither the API endpoint nor any other socket of the machine answers inside a VPC."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        api = shared.endpoint.rsplit(":", 1)[1]
        for port in (server.server_port, api):
            for address in ("127.0.0.1", "10.20.1.1", "10.20.0.2", "169.254.171.1", "169.254.169.253"):
                assert blocked(shared, pair.client, f"http://{address}:{port}/"), (address, port)
    finally:
        server.shutdown()
        server.server_close()


def test_a_vpc_without_association_reaches_no_service(shared, pair):
    group = shared.group(pair.right, "10.30.1.10")
    service, _, name = shared.service(forward(group))
    shared.network([pair.right], [service])
    assert json.loads(shared.curl(pair.other, f"http://{name}/"))["name"]
    assert blocked(shared, pair.client, f"http://{name}/")
    done = shared.inside(pair.client, "curl", "-sS", "-m", "2", "-H", f"Host: {name}", "http://169.254.171.1/", check=False)
    assert done.returncode != 0


def test_two_vpcs_with_one_cidr_live_side_by_side(shared):
    names = []
    for _ in range(2):
        _, subnet = shared.vpc("10.77.0.0/16", "10.77.1.0/24")
        server = shared.web(subnet, "10.77.1.10")
        client = shared.host(subnet, ip="10.77.1.11")
        names.append((server, client))
    for server, client in names:
        assert json.loads(shared.curl(client, "http://10.77.1.10:8080/"))["name"] == server
