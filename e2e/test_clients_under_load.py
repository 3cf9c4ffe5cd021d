"""Real HTTP/2 clients at full speed: not one call fails, whatever they send around their calls.

Each runs for a few seconds; SOAK_SECONDS has it run for so many (`make soak`).
"""

import json
import os

import pytest

from instance import CA, PYTHON, ROOT, eventually, forward

LOAD = ROOT / "e2e/load"
TOOL = str(ROOT / "target/tools/load")
SECONDS = float(os.environ.get("SOAK_SECONDS", "3"))


@pytest.fixture(scope="module")
def world(shared):
    class World:
        pass

    world = World()
    home, subnet = shared.vpc("10.77.0.0/16", "10.77.1.0/24")
    away, elsewhere = shared.vpc("10.77.0.0/16", "10.77.1.0/24")
    world.client = shared.host(elsewhere, ip="10.77.1.20")
    world.address = {}
    services = []
    for ip, kind, version in [("10.77.1.10", "grpc", "GRPC"), ("10.77.1.11", "http", "HTTP2"), ("10.77.1.12", "http", "HTTP1")]:
        server = shared.host(subnet, TOOL, "serve", kind, "8080", ip=ip)
        eventually(lambda: shared.inside(server, PYTHON, "-c",
                                         "import socket; socket.create_connection(('127.0.0.1', 8080))",
                                         check=False).returncode == 0, what=f"the {kind} server listening")
        service, name = shared.secure_service(forward(shared.group(home, ip, port=8080, protocolVersion=version)))
        services.append(service)
        world.address[version] = f"{name}:443"
    shared.network([away], services)
    for address in world.address.values():
        eventually(lambda: shared.status(world.client, f"https://{address}/", "--cacert", CA),
                   what="an answer")
    return world


@pytest.mark.parametrize("client, version, parallel", [
    (client, version, parallel)
    for client, version, counts in [
        ([TOOL, "call", "grpc"], "GRPC", (1, 8, 128)),
        ([PYTHON, str(LOAD / "grpc_python.py")], "GRPC", (8,)),
        ([TOOL, "call", "http"], "HTTP2", (1, 8, 128)),
        ([TOOL, "call", "http"], "HTTP1", (8,)),
        (["node", str(LOAD / "http2_node.mjs")], "HTTP2", (1, 64)),
        (["java", str(LOAD / "Http2Java.java")], "HTTP2", (1, 32)),
    ]
    for parallel in counts
], ids=lambda value: os.path.basename(value[-1]) if isinstance(value, list) else str(value))
def test_no_call_of_a_real_client_fails(shared, world, client, version, parallel):
    done = shared.inside(world.client, *client, world.address[version], CA,
                         str(SECONDS), str(parallel), check=False, timeout=SECONDS + 90)
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout)
    assert (seen["failed"], seen["failures"]) == (0, []), seen
    assert seen["calls"] >= parallel, seen
