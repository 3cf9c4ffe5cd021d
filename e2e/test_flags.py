"""Flags of `trellis up` that no other test needs: each does what the help says."""

import pathlib
import subprocess
import time

import botocore.exceptions
import pytest

from instance import PYTHON, TRELLIS, Instance, eventually, fixed, forward


def threads(instance):
    tasks = pathlib.Path(f"/proc/{instance.process.pid}/task").iterdir()
    return sorted(task.joinpath("comm").read_text().strip() for task in tasks)


def test_workers_are_threads_of_the_data_plane(tmp_path):
    with Instance(tmp_path, "--workers", "3") as instance:
        assert [name for name in threads(instance) if name.startswith("proxy-")] == ["proxy-0", "proxy-1", "proxy-2"]


def test_a_quota_is_what_it_is_set_to(tmp_path):
    with Instance(tmp_path, "--quota", "L-CF78395E=1") as instance:
        lattice = instance.lattice
        service = lattice.create_service(name="limited")["id"]
        listener = lattice.create_listener(serviceIdentifier=service, name="http", protocol="HTTP", defaultAction=fixed(404))["id"]

        def rule(priority):
            lattice.create_rule(
                serviceIdentifier=service, listenerIdentifier=listener, name=f"number-{priority}", priority=priority,
                match={"httpMatch": {"method": "GET"}}, action=fixed(404))

        rule(1)
        with pytest.raises(botocore.exceptions.ClientError, match="ServiceQuotaExceededException"):
            rule(2)


def test_a_request_in_flight_has_the_drain_seconds_and_no_more(tmp_path):
    with Instance(tmp_path, "--drain-seconds", "1") as instance:
        vpc, subnet = instance.vpc()
        instance.web(subnet, "10.0.1.10")
        service, _, name = instance.service(forward(instance.group(vpc, "10.0.1.10")))
        instance.network([vpc], [service])
        client = instance.host(subnet)
        eventually(lambda: instance.status(client, f"http://{name}/") == 200, what="an answer")
        asking = subprocess.Popen([TRELLIS, "exec", "--data-dir", str(instance.data), client, "--", "sh", "-c",
                                   f"echo asked; exec curl -sS http://{name}/slow/50"], stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.DEVNULL)
        assert asking.stdout.readline() == "asked\n"
        began = time.monotonic()
        assert instance.stop() == 0
        # The request takes 50 seconds, and without the flag it would be given 30.
        assert time.monotonic() - began < 25
        asking.wait(30)


# Begins 300 requests, finishes none, and counts those that are refused.
UNFINISHED = """
import select, socket, sys
begun = []
for _ in range(300):
    begun.append(socket.create_connection((sys.argv[1], 80)))
    begun[-1].sendall(b"POST / HTTP/1.1\\r\\nHost: %s\\r\\nContent-Length: 999\\r\\n\\r\\n%s" % (sys.argv[1].encode(), b"x" * 100))
refused = set()
while more := select.select([each for each in begun if each not in refused], [], [], 5)[0]:
    for each in more:
        assert each.recv(12) == b"HTTP/1.1 503"
        refused.add(each)
print(len(refused))
"""


def test_what_a_client_has_begun_holds_no_more_than_its_part_of_the_client_memory(tmp_path):
    # Of 16 MiB in buffers of 32 KiB a client that takes all it can gets a third.
    with Instance(tmp_path, "--client-memory-mib", "16", "--workers", "1") as instance:
        vpc, subnet = instance.vpc()
        instance.web(subnet, "10.0.1.10")
        service, _, name = instance.service(forward(instance.group(vpc, "10.0.1.10")))
        instance.network([vpc], [service])
        greedy = instance.host(subnet)
        eventually(lambda: instance.status(greedy, f"http://{name}/") == 200, what="an answer")
        refused = int(instance.inside(greedy, PYTHON, "-c", UNFINISHED, name).stdout)
        assert 100 <= refused <= 200


@pytest.mark.parametrize("flags", [
    ("--client-memory-mib", "15"), ("--log-spool-mib", "0"), ("--log-spool-mib", "many"), ("--workers", "some"), ("--drain-seconds", "x"),
    ("--quota", "L-CF78395E"), ("--listen", "nowhere"), ("--resolver", "10.0.0.2")])
def test_a_value_that_means_nothing_is_refused_and_named(tmp_path, flags):
    done = subprocess.run([TRELLIS, "up", "--data-dir", tmp_path / "state", *flags], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and flags[0] in done.stderr and not (tmp_path / "state").exists(), done.stderr


def test_a_spool_of_the_least_size_is_taken(tmp_path):
    with Instance(tmp_path, "--log-spool-mib", "1") as instance:
        assert instance.lattice.list_services()["items"] == []
