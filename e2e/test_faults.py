"""Parts of a whole instance that break: /healthz and `trellis status` say which, and they begin again by themselves.

The faults are in debug builds only, which `cargo test` leaves in target/debug; no release has them. Files that have run out are
another thing: any build is tried with those.
"""

import json
import os
import pathlib
import socket
import subprocess

import pytest

import instance as module
from instance import PYTHON, ROOT, Instance, eventually, fixed, unique

DEBUG = ROOT / "target/debug/trellis"
ASK = ("import socket, sys\n"
       "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)\n"
       "s.sendto(bytes.fromhex('123401000001000000000000') + b'\\x09localhost\\x00\\x00\\x01\\x00\\x01', ('169.254.169.253', 53))\n"
       "s.recv(512)")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    assert DEBUG.exists(), "`cargo test` makes the debug build"
    saved, module.TRELLIS = module.TRELLIS, str(DEBUG)
    try:
        with Instance(tmp_path_factory.mktemp("faults")) as instance:
            class World:
                pass

            world = World()
            world.instance = instance
            vpc, subnet = instance.vpc()
            world.client = instance.host(subnet)
            world.service, _, world.name = instance.service(fixed(404))
            instance.network([vpc], [world.service])
            eventually(lambda: instance.status(world.client, f"http://{world.name}/") == 404, what="an answer")
            yield world
    finally:
        module.TRELLIS = saved


def set_broken(instance, part, broken):
    """Over the local socket, by a path that is short enough."""
    directory = os.open(instance.data, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(f"/proc/self/fd/{directory}/trellis.sock")
            connection.sendall(json.dumps({"ask": "break", "part": part, "broken": broken}).encode() + b"\n")
            answer = json.loads(connection.makefile().readline())
            assert answer == {"answer": "removed"}, answer
    finally:
        os.close(directory)


def parts(instance):
    return {part["name"]: part["healthy"] for part in json.loads(instance.cli("status", "--json", check=False).stdout)}


WORK = {
    "api": lambda world: world.instance.lattice.list_services(),
    "store": lambda world: world.instance.ec2.create_vpc(CidrBlock="10.9.0.0/16"),
    "resolvers": lambda world: world.instance.inside(world.client, PYTHON, "-c", ASK),
    "workers": lambda world: world.instance.curl(world.client, f"http://{world.name}/"),
}


@pytest.mark.parametrize("part", WORK)
def test_a_part_that_panics_again_and_again_is_named_and_works_again_as_soon_as_it_can(world, part):
    instance, work = world.instance, WORK[part]
    assert all(parts(instance).values()), parts(instance)
    set_broken(instance, part, True)
    try:
        # Somebody meets it, and may be lucky with a worker: a resolver that nobody asks is not looked at.
        try:
            work(world)
        except Exception:  # noqa: BLE001: whatever it is, it was asked for
            pass
        eventually(lambda: parts(instance)[part] is False, timeout=60, what=f"{part} said to be broken")
        status, text = instance.observed("/healthz")
        assert status == 503 and text.startswith(f"{part}: "), (status, text)
        assert [name for name, healthy in parts(instance).items() if not healthy] == [part], "and nothing else is"
    finally:
        set_broken(instance, part, False)
    eventually(lambda: all(parts(instance).values()), timeout=60, what="everything healthy")
    assert instance.observed("/healthz") == (200, "ok\n")
    work(world)
    assert instance.process.poll() is None


FILL = ("import socket, sys, time\n"
        "held = []\n"
        "for _ in range(400):\n"
        "    s = socket.socket(); s.settimeout(2)\n"
        "    try: s.connect((sys.argv[1], 80))\n"
        "    except OSError: pass\n"
        "    held.append(s)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()")


def test_files_that_have_run_out_stop_nobody_for_good(tmp_path):
    with Instance(tmp_path) as instance:
        vpc, subnet = instance.vpc()
        client, neighbour = instance.host(subnet), instance.host(subnet)
        service, _, name = instance.service(fixed(404))
        instance.network([vpc], [service])
        eventually(lambda: instance.status(client, f"http://{name}/") == 404, what="an answer")
        # From now on as many as it has, and a few: fewer than clients may have of them.
        files = len(os.listdir(f"/proc/{instance.process.pid}/fd")) + 24
        subprocess.run(["prlimit", "--pid", str(instance.process.pid), f"--nofile={files}:{files}"], check=True)
        inside = [module.TRELLIS, "exec", "--data-dir", str(instance.data), client, "--"]
        greedy = subprocess.Popen([*inside, PYTHON, "-c", FILL, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert greedy.stdout.readline() == "held\n"
            eventually(lambda: "cannot accept" in pathlib.Path(instance.log).read_text(), timeout=60, what="accepts that fail")
        finally:
            greedy.stdin.close()
            greedy.wait(60)
            greedy.stdout.close()
        eventually(lambda: instance.status(neighbour, f"http://{name}/") == 404, timeout=60, what="HTTP again")
        instance.lattice.create_service(name=unique("after"))
        instance.inside(neighbour, PYTHON, "-c", ASK)
        eventually(lambda: instance.observed("/healthz") == (200, "ok\n"), timeout=60, what="everything healthy")
        metrics = instance.observed("/metrics")[1]
        [errors] = [line for line in metrics.splitlines() if line.startswith("trellis_proxy_accept_errors_total ")]
        assert float(errors.split()[1]) > 0 or "cannot accept a connection" in pathlib.Path(instance.log).read_text()
