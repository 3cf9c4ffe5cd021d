"""gRPC through an HTTPS listener: a real service (grpcio) in one VPC, grpcurl in another."""

import json

import pytest

from instance import CA, PYTHON, ROOT, eventually, fixed, forward

GRPCURL = ROOT / "target/tools/grpcurl"


@pytest.fixture(scope="module")
def cart(shared):
    class Cart:
        pass

    world = Cart()
    home, subnet = shared.vpc("10.75.0.0/16", "10.75.1.0/24")
    server = shared.host(subnet, PYTHON, str(ROOT / "e2e/grpc_server.py"), "50051", ip="10.75.1.10")
    away, elsewhere = shared.vpc("10.75.0.0/16", "10.75.1.0/24")
    world.client = shared.host(elsewhere, ip="10.75.1.10")
    eventually(lambda: shared.inside(server, PYTHON, "-c", "import socket; socket.create_connection(('127.0.0.1', 50051))",
                                     check=False).returncode == 0, what="the gRPC server listening")
    world.vpc = home
    group = shared.group(home, "10.75.1.10", port=50051, protocolVersion="GRPC")
    world.service, world.name = shared.secure_service(forward(group))
    shared.network([away], [world.service])

    def call(method, *messages, flags=()):
        data = " ".join(json.dumps({"name": message}) for message in messages)
        return shared.inside(
            world.client, str(GRPCURL), "-cacert", CA, "-import-path", str(ROOT / "e2e"),
            "-proto", "cart.proto", "-d", data, *flags, f"{world.name}:443", f"shop.Cart/{method}", check=False)

    world.call = call
    eventually(lambda: call("Add", "tea").returncode == 0, what="an answer")
    return world


def names(done):
    assert done.returncode == 0, done.stderr
    decoder, text, found = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value["name"])
        text = text[end:].strip()
    return found


def test_a_call_and_its_trailers_cross(shared, cart):
    done = cart.call("Add", "coffee", flags=["-v"])
    assert '"name": "added coffee"' in done.stdout, done.stderr
    assert "x-served-by: cart" in done.stdout


def test_streams_cross_both_ways(cart):
    assert names(cart.call("Count", "tea")) == [f"tea {n}" for n in range(5)]
    assert names(cart.call("Talk", "a", "b", "c")) == ["heard a", "heard b", "heard c"]


def test_a_status_crosses_and_is_logged(shared, cart):
    done = cart.call("Refuse", "milk")
    assert done.returncode != 0
    assert "Code: NotFound" in done.stderr and "no milk here" in done.stderr
    records = eventually(lambda: [r for r in shared.records() if r.get("requestPath") == "/shop.Cart/Refuse"],
                         what="the log record")
    assert (records[0]["grpcResponseCode"], records[0]["responseCode"]) == (5, 200)


def test_a_deadline_ends_a_call(shared, cart):
    done = cart.call("Slow", "tea", flags=["-max-time", "0.5"])
    assert done.returncode != 0 and "DeadlineExceeded" in done.stderr


def test_grpc_before_http1_targets_is_unavailable(shared, cart):
    vpc, subnet = shared.vpc("10.76.0.0/16", "10.76.1.0/24")
    shared.web(subnet, "10.76.1.10")
    client = shared.host(subnet)
    service, name = shared.secure_service(forward(shared.group(vpc, "10.76.1.10")))
    shared.network([vpc], [service])

    def ask():
        return shared.inside(client, str(GRPCURL), "-cacert", CA, "-import-path",
                             str(ROOT / "e2e"), "-proto", "cart.proto", "-d", "{}", f"{name}:443", "shop.Cart/Add",
                             check=False)

    done = eventually(lambda: (d := ask()) and "Unavailable" in d.stderr and d, what="UNAVAILABLE")
    assert "the target group does not speak gRPC" in done.stderr


def test_calls_that_reach_no_target_have_the_status_that_fits(shared, cart):
    vpc, subnet = shared.vpc("10.78.0.0/16", "10.78.1.0/24")
    client = shared.host(subnet)
    nobody = shared.group(vpc, "10.78.1.200", port=50051, protocolVersion="GRPC")
    services = [shared.secure_service(action) for action in (forward(nobody), fixed(404))]
    shared.network([vpc], [service for service, _ in services])
    for (_, name), code in zip(services, ("Unavailable", "Unimplemented")):
        def ask():
            return shared.inside(client, str(GRPCURL), "-cacert", CA, "-import-path",
                                 str(ROOT / "e2e"), "-proto", "cart.proto", "-d", "{}", f"{name}:443", "shop.Cart/Add",
                                 check=False)

        eventually(lambda: f"Code: {code}" in ask().stderr, what=code)
    records = eventually(lambda: [r for r in shared.records() if r["hostHeader"].split(":")[0] == services[0][1]],
                         what="the log record")
    assert {(r["responseCode"], r["grpcResponseCode"]) for r in records} == {(500, 14)}, records
