"""Floods of every kind beside somebody who has nothing to do with them: not one of their requests fails.

What they felt is printed as a table, not asserted: time on a machine that others use proves nothing. A few seconds
each; SOAK_SECONDS has each flood last so long (`make soak`).
"""

import json
import os
import pathlib
import subprocess
import threading
import time

import pytest

from instance import CA, PYTHON, ROOT, TRELLIS, Instance, eventually, forward

SECONDS = float(os.environ.get("SOAK_SECONDS", "4"))
FLOODS, BYSTANDER = str(ROOT / "e2e/floods.py"), str(ROOT / "e2e/bystander.py")
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
        instance.network([quiet, loud], [service])
        for url in (f"http://{world.name}/", f"https://{world.name}/"):
            eventually(lambda: instance.status(world.bystander, url, "--cacert", CA) == 200, what="an answer")
        world.quiet = watch(world)
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


def resident(world):
    pages = int(pathlib.Path(f"/proc/{world.instance.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def report(world):
    print(f"\n{'flood':24}{'requests':>9}{'failed':>7}{'p50 ms':>8}{'p99 ms':>8}{'x quiet':>8}{'API p99':>9}{'x quiet':>8}"
          f"{'MiB before':>11}{'in it':>7}{'after':>7}  what became of it")
    for name, felt, memory, became in [("(none)", world.quiet, ("", "", ""), ""), *world.table]:
        api = felt["api"]
        print(f"{name:24}{felt['done']:9}{felt['failed'] + len(api['failed']):7}{felt['p50']:8.1f}{felt['p99']:8.1f}"
              f"{felt['p99'] / world.quiet['p99']:8.1f}{api['p99']:9.1f}{api['p99'] / world.quiet['api']['p99']:8.1f}"
              f"{memory[0]:>11}{memory[1]:>7}{memory[2]:>7}  {became}")


def endpoint(world):
    return world.instance.endpoint.removeprefix("http://").split(":")


@pytest.mark.parametrize("flood, arguments, where", [
    ("idle", lambda world: (world.name, "80", "12000"), "host"),
    ("unfinished", lambda world: (world.name, "80", "4000"), "host"),
    ("silent_target", lambda world: (world.name, "80", "8000"), "host"),
    ("http2_heads", lambda world: (world.name, "443", CA, "100"), "host"),
    ("resets", lambda world: (world.name, "443", CA), "host"),
    ("handshakes", lambda world: (world.name, "443", CA), "host"),
    ("names", lambda world: ("169.254.169.253", "20"), "host"),
    ("unsigned", lambda world: (*endpoint(world), "300"), "machine"),
    ("idle", lambda world: (*endpoint(world), "1100"), "machine"),
], ids=["idle connections", "unfinished heads", "at a silent target", "HTTP2 heads", "rapid resets", "TLS handshakes",
        "DNS", "unsigned bodies", "silent API connections"])
def test_a_flood_fails_no_request_of_a_bystander(world, request, flood, arguments, where):
    instance = world.instance
    inside = [TRELLIS, "exec", "--data-dir", str(instance.data), world.stranger, "--"] if where == "host" else []
    before = resident(world)
    with open(instance.directory / "flood.log", "w+") as log:
        process = subprocess.Popen([*inside, PYTHON, FLOODS, flood, *arguments(world)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout.readline() == "ready\n", pathlib.Path(log.name).read_text()
            felt = watch(world)
            during = resident(world)
            process.stdin.close()
            became = process.stdout.read().strip()
            process.wait(60)
        finally:
            process.kill()
            process.wait(10)
            process.stdout.close()
    # It is over when what it held has gone.
    after = watch(world, 1)
    world.table.append((request.node.callspec.id, felt, (before, during, resident(world)), became))
    assert not felt["failed"] and not felt["api"]["failed"], (felt["failures"], felt["api"]["failed"][:5])
    assert not after["failed"] and not after["api"]["failed"], (after["failures"], after["api"]["failed"][:5])
    assert felt["done"] > 0 and json.loads(became), became
