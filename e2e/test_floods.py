"""Floods of every kind beside somebody who has nothing to do with them: not one of their requests fails, and what the
process took of memory for a flood it gives back after it.

What they felt is printed as a table. Once each and a few seconds: time on a machine that others use proves nothing, and no
time is asserted. `make soak` (SOAK_ROUNDS) takes turns, quiet and flood, and judges the median of what the flood made of the
quiet turn before it. The flood steps back from the processors (SCHED_IDLE), or a machine with few of them would be
measured, and not what Trellis makes of what it is sent.
"""

import json
import os
import pathlib
import statistics
import subprocess
import threading
import time

import pytest

from instance import CA, PYTHON, ROOT, TRELLIS, Instance, eventually, forward, unique

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "0"))
"""How often each flood comes; 0: once, and nothing is judged."""
SECONDS = float(os.environ.get("SOAK_SECONDS", "4")) / max(1, 2 * ROUNDS)
MOST = 1.5
"""What a flood may make of a bystander's p99, in the median of the rounds."""
SLACK = 64
"""MiB of memory that may be kept after a flood, of what there was before the first."""
FLOODS, BYSTANDER = str(ROOT / "e2e/floods.py"), str(ROOT / "e2e/bystander.py")
PASSED = "passed.example.com"
SILENT = ("import socket; s = socket.create_server(('', 8080), backlog=4096); held = []\n"
          "while True: held.append(s.accept()[0])")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Instance(tmp_path_factory.mktemp("floods")) as instance:
        class World:
            table = []

        world = World()
        world.instance = instance
        targets, subnet = instance.vpc("10.60.0.0/16", "10.60.1.0/24")
        instance.web(subnet, "10.60.1.10")
        instance.host(subnet, PYTHON, "-c", SILENT, ip="10.60.1.11")
        world.operator = instance.client("vpc-lattice", read_timeout=10, connect_timeout=10)
        quiet, quiet_subnet = instance.vpc("10.61.0.0/16", "10.61.1.0/24")
        loud, loud_subnet = instance.vpc("10.62.0.0/16", "10.62.1.0/24")
        world.bystander = instance.host(quiet_subnet)
        world.stranger = instance.host(loud_subnet)
        lattice = instance.lattice
        good, silent = instance.group(targets, "10.60.1.10"), instance.group(targets, "10.60.1.11")
        service, listener, world.name = instance.service(forward(good))
        secure = lattice.create_listener(serviceIdentifier=service, name="https", protocol="HTTPS", port=443,
                                         defaultAction=forward(good))["id"]
        for each in (listener, secure):
            lattice.create_rule(serviceIdentifier=service, listenerIdentifier=each, name="silent", priority=1,
                                match={"httpMatch": {"pathMatch": {"match": {"exact": "/silent"}}}},
                                action=forward(silent))
        cart, world.cart = instance.secure_service(
            forward(instance.group(targets, "10.60.1.11", protocolVersion="GRPC")))
        passed = lattice.create_service(name=unique("passed"), customDomainName=PASSED)
        instance.active(lambda: lattice.get_service(serviceIdentifier=passed["id"]))
        lattice.create_listener(serviceIdentifier=passed["id"], name="passed", protocol="TLS_PASSTHROUGH", port=8443,
                                defaultAction=forward(instance.group(targets, "10.60.1.11", protocol="TCP")))
        instance.network([quiet, loud], [service, cart, passed["id"]])
        for url in (f"http://{world.name}/", f"https://{world.name}/"):
            eventually(lambda: instance.status(world.bystander, url, "--cacert", CA) == 200, what="an answer")
        world.quiet = watch(world)
        world.memory = anonymous(world)
        yield world
        report(world)


def watch(world, seconds=None):
    """What the bystander felt, and whether the API answered meanwhile."""
    instance, calls = world.instance, {"calls": 0, "failed": []}
    seconds = seconds or SECONDS
    over = time.monotonic() + seconds

    def call():
        took = []
        while not took or time.monotonic() < over:
            began = time.monotonic()
            try:
                world.operator.list_services()
            except Exception as error:  # noqa: BLE001: whatever it is, it is one call that failed
                calls["failed"].append(repr(error))
            took.append(time.monotonic() - began)
            calls["calls"] += 1
            time.sleep(0.02)
        took.sort()
        calls["p99"] = took[len(took) * 99 // 100] * 1000

    calling = threading.Thread(target=call)
    calling.start()
    felt = json.loads(instance.inside(world.bystander, PYTHON, BYSTANDER, world.name, CA, str(seconds),
                                      timeout=seconds + 120).stdout)
    calling.join()
    return {**felt, "api": calls}


def anonymous(world):
    """MiB of memory that Trellis has and no file is behind."""
    status = pathlib.Path(f"/proc/{world.instance.process.pid}/status").read_text()
    [kib] = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(kib) >> 10


def report(world):
    """As a table of Markdown, for docs/security.md."""
    print("\n| flood | requests | failed | p50 ms | p99 ms | × quiet | API p99 ms | × quiet | MiB in it | after "
          "| what became of it |\n|" + "---|" * 11)
    for name, felts, memory, became in [("none", [(world.quiet, world.quiet)], (world.memory, world.memory), ""),
                                        *world.table]:
        def median(of):
            return statistics.median(of(quiet, felt) for quiet, felt in felts)
        done = sum(felt["done"] for _, felt in felts)
        failed = sum(felt["failed"] + len(felt["api"]["failed"]) for _, felt in felts)
        print(f"| {name} | {done} | {failed} | {median(lambda _, felt: felt['p50']):.1f} "
              f"| {median(lambda _, felt: felt['p99']):.1f} | {median(ratio):.2f} "
              f"| {median(lambda _, felt: felt['api']['p99']):.1f} | {median(api_ratio):.2f} "
              f"| {memory[0]} | {memory[1]} | {became} |")


def ratio(quiet, felt):
    return felt["p99"] / quiet["p99"]


def api_ratio(quiet, felt):
    return felt["api"]["p99"] / quiet["api"]["p99"]


def endpoint(world):
    return world.instance.endpoint.removeprefix("http://").split(":")


def flooded(world, flood, arguments, where):
    """What the bystander felt, the memory taken, and what became of the flood; it is over when what it held has gone."""
    instance = world.instance
    inside = [TRELLIS, "exec", "--data-dir", str(instance.data), world.stranger, "--"] if where == "host" else []
    with open(instance.directory / "flood.log", "w+") as log:
        process = subprocess.Popen([*inside, PYTHON, FLOODS, flood, *arguments], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout.readline() == "ready\n", pathlib.Path(log.name).read_text()
            felt = watch(world)
            during = anonymous(world)
            process.stdin.close()
            became = process.stdout.read().strip()
            process.wait(60)
        finally:
            process.kill()
            process.wait(10)
            process.stdout.close()
    return felt, during, became


@pytest.mark.parametrize("flood, arguments, where", [
    ("idle", lambda world: (world.name, "80", "12000"), "host"),
    ("unfinished", lambda world: (world.name, "80", "4000"), "host"),
    ("silent_target", lambda world: (world.name, "80", "8000"), "host"),
    ("http2_heads", lambda world: (world.name, "443", CA, "100"), "host"),
    ("slow_bodies", lambda world: (world.name, "443", CA, "60"), "host"),
    ("grpc", lambda world: (world.cart, "443", CA, "60"), "host"),
    ("passthrough", lambda world: (world.name, "8443", PASSED, "800"), "host"),
    ("requests", lambda world: (world.name, "80"), "host"),
    ("padding", lambda world: (world.name, "443", CA), "host"),
    ("resets", lambda world: (world.name, "443", CA), "host"),
    ("handshakes", lambda world: (world.name, "443", CA), "host"),
    ("names", lambda world: ("169.254.169.253", "20"), "host"),
    ("unsigned", lambda world: (*endpoint(world), "300"), "machine"),
    ("idle", lambda world: (*endpoint(world), "1100"), "machine"),
], ids=["idle connections", "unfinished heads", "at a silent target", "HTTP2 heads", "slow bodies", "gRPC calls", "passthrough",
        "long log lines", "padded DATA", "rapid resets", "TLS handshakes", "DNS", "unsigned bodies", "silent API connections"])
def test_a_flood_fails_no_request_of_a_bystander_and_leaves_no_memory_taken(world, request, flood, arguments, where):
    felts, most, became, after = [], 0, "", []
    for _ in range(max(1, ROUNDS)):
        quiet = watch(world) if ROUNDS else world.quiet
        felt, during, became = flooded(world, flood, arguments(world), where)
        felts.append((quiet, felt))
        most = max(most, during)
        after.append(watch(world, 1))
    # It is told by the time that whoever looks again finds it gone, not by how long that takes.
    kept = []
    eventually(lambda: kept.append(anonymous(world)) or kept[-1] <= world.memory + SLACK, timeout=120,
               what=f"no more than {world.memory} + {SLACK} MiB")
    world.table.append((request.node.callspec.id, felts, (most, kept[-1]), became))
    for felt in [felt for _, felt in felts] + after:
        assert not felt["failed"] and not felt["api"]["failed"], (felt["failures"], felt["api"]["failed"][:5])
        assert felt["done"] > 0
    assert json.loads(became), became
    if ROUNDS:
        judged = statistics.median(ratio(*pair) for pair in felts)
        assert judged <= MOST, f"p99 is {judged:.2f} of what it is in quiet, of {len(felts)} rounds"
