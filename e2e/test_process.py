"""The process: readiness, credentials, refusals, stopping, being killed, running without root."""

import configparser
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import botocore.exceptions
import pytest

from instance import PROGRAM, Instance, TRELLIS, PYTHON, ROOT, eventually, fixed, forward, unique


def descendants(pid):
    """Every process below `pid`, by /proc."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def up(directory, listen="127.0.0.1:0"):
    """`trellis up` that is expected to fail."""
    return subprocess.run(
        [TRELLIS, "up", "--data-dir", directory, "--listen", listen, "--metrics-listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=20)


def test_credentials_are_written_in_aws_format_for_the_owner_alone(own):
    path = own.data / "credentials"
    assert path.stat().st_mode & 0o777 == 0o600
    profile = configparser.ConfigParser()
    profile.read(path)
    assert profile["default"]["aws_access_key_id"] == own.variables["AWS_ACCESS_KEY_ID"]
    assert profile["default"]["aws_secret_access_key"] == own.variables["AWS_SECRET_ACCESS_KEY"]
    identity = own.client("sts").get_caller_identity()
    assert identity["Account"] == "111122223333"
    assert own.variables["AWS_SECRET_ACCESS_KEY"] not in own.log.read_text()


def test_the_admin_key_may_be_given(tmp_path):
    given = {"TRELLIS_ADMIN_ACCESS_KEY_ID": "AKIAGIVENGIVENGIVEN1",
             "TRELLIS_ADMIN_SECRET_ACCESS_KEY": "given/secret+key", "TRELLIS_ACCOUNT_ID": "999988887777"}
    with Instance(tmp_path, environment=given) as instance:
        assert instance.variables["AWS_ACCESS_KEY_ID"] == "AKIAGIVENGIVENGIVEN1"
        assert instance.client("sts").get_caller_identity()["Account"] == "999988887777"


def test_a_second_instance_on_the_directory_is_refused(own):
    done = up(own.data)
    assert done.returncode == 1
    assert "another" in done.stderr and str(own.data) in done.stderr, done.stderr
    assert own.lattice.list_services()["items"] == []


def test_a_port_in_use_is_named_with_the_flag_that_changes_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = up(tmp_path / "state", listen=f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr and "--listen" in done.stderr, done.stderr


@pytest.mark.parametrize("damage", ["garbage", "truncate"])
def test_a_damaged_data_directory_is_refused_and_left_alone(tmp_path, damage):
    with Instance(tmp_path) as instance:
        for _ in range(5):
            instance.lattice.create_service_network(name=unique("net"))
    state = instance.data / "state.redb"
    content = state.read_bytes()
    broken = b"\x00garbage" * 1000 if damage == "garbage" else content[: len(content) // 3]
    state.write_bytes(broken)
    done = up(instance.data)
    assert done.returncode == 1 and "damaged" in done.stderr, done.stderr
    assert state.read_bytes() == broken


def test_state_that_is_gone_beside_its_keys_is_refused_and_nothing_is_made(tmp_path):
    with Instance(tmp_path) as instance:
        instance.lattice.create_service_network(name=unique("net"))
    (instance.data / "state.redb").unlink()
    before = sorted(instance.data.rglob("*"))
    done = up(instance.data)
    assert done.returncode == 1 and "backup" in done.stderr and "credentials" in done.stderr, done.stderr
    assert sorted(instance.data.rglob("*")) == before


def test_a_data_directory_that_others_can_enter_is_closed_or_refused(tmp_path):
    with Instance(tmp_path) as instance:
        assert instance.data.stat().st_mode & 0o777 == 0o700
    instance.data.chmod(0o755)
    with instance.start():
        assert instance.data.stat().st_mode & 0o777 == 0o700
        assert "others could get at" in instance.log.read_text()
    foreign = tmp_path / "pictures"
    foreign.mkdir(mode=0o755)
    (foreign / "holiday.jpg").write_text("")
    done = up(foreign)
    assert done.returncode == 1 and "chmod 700" in done.stderr, done.stderr
    assert [entry.name for entry in foreign.iterdir()] == ["holiday.jpg"]


def test_status_and_healthz_tell_of_every_part(own):
    parts = json.loads(own.cli("status", "--json").stdout)
    assert {part["name"] for part in parts} == {"api", "metrics", "store", "workers", "resolvers"}
    assert all(part["healthy"] for part in parts), parts
    text = own.cli("status").stdout
    assert "PART" in text and text.count(" ok ") == 5, text
    assert own.observed("/healthz") == (200, "ok\n")


def test_a_log_that_nobody_reads_stops_and_blocks_nothing(tmp_path):
    """stderr is a pipe that is never read, then closed; a host sends what makes the resolver log."""
    instance = Instance(tmp_path, environment={"RUST_LOG": "info,hickory_proto=trace"})
    reader, writer = os.pipe()
    with instance.start(stderr=writer):
        os.close(writer)
        _, subnet = instance.vpc()
        client = instance.host(subnet)
        # OPT whose two bytes of data are no option, about a name that nobody else is asked for.
        packets = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20); "
            "name = b''.join(bytes([len(l)]) + l for l in b'vpc-lattice-svcs.us-east-1.on.aws'.split(b'.')) + bytes(1); "
            "q = bytes.fromhex('123401000001000000000001') + name + bytes.fromhex('00010001' '00002904d000000000' '0002' '000a')"
            "\nfor _ in range(2000): s.sendto(q, ('169.254.169.253', 53)); s.recv(512)")
        instance.inside(client, PYTHON, "-c", packets)
        os.close(reader)
        instance.inside(client, PYTHON, "-c", packets)
        assert instance.observed("/healthz") == (200, "ok\n")
        instance.lattice.create_service_network(name=unique("net"))
        status, text = instance.observed("/metrics")
        assert status == 200 and "trellis_task_restarts_total 0\n" in text, text
        dropped = re.search(r'trellis_log_lines_total{outcome="dropped"} (\d+)', text)
        suppressed = re.search(r'trellis_log_lines_total{outcome="suppressed"} (\d+)', text)
        assert int(dropped[1]) > 0 and int(suppressed[1]) > 1000, text
        assert instance.stop() == 0


def test_the_api_is_served_over_tls_with_a_certificate_of_the_private_ca_or_a_given_one(tmp_path):
    ours = tmp_path / "ours"
    ours.mkdir()
    with Instance(ours, "--listen-tls", "127.0.0.1:0", "--tls-name", "trellis.example.com") as instance:
        url = re.search(r"https://127.0.0.1:\d+", instance.log.read_text())[0]
        client = instance.client("sts", endpoint=url, verify=instance.variables["TRELLIS_CA_BUNDLE"])
        assert client.get_caller_identity()["Account"] == "111122223333"
        port = url.rsplit(":", 1)[1]
        done = subprocess.run(
            ["curl", "-sS", "--cacert", instance.variables["TRELLIS_CA_BUNDLE"], "--connect-to", f"::127.0.0.1:{port}",
             f"https://trellis.example.com:{port}/"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3",
         "-subj", "/CN=given", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem",
         "-out", tmp_path / "given.pem"], check=True, capture_output=True)
    given = tmp_path / "given"
    given.mkdir()
    flags = ["--tls-certificate", str(tmp_path / "given.pem"), "--tls-key", str(tmp_path / "key.pem")]
    with Instance(given, "--listen-tls", "127.0.0.1:0", *flags) as instance:
        url = re.search(r"https://127.0.0.1:\d+", instance.log.read_text())[0]
        client = instance.client("sts", endpoint=url, verify=str(tmp_path / "given.pem"))
        assert client.get_caller_identity()["Account"] == "111122223333"


def test_plain_text_beyond_loopback_is_warned_about(tmp_path):
    with Instance(tmp_path, listen="0.0.0.0:0", metrics="0.0.0.0:0") as instance:
        text = instance.log.read_text()
        assert "--listen 0.0.0.0:0 is in plain text" in text and "--metrics-listen 0.0.0.0:0 is in plain" in text, text


def test_silent_connections_delay_nobodys_calls(own):
    host, port = own.endpoint.removeprefix("http://").split(":")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    silent = [socket.create_connection((host, int(port))) for _ in range(1100)]
    try:
        # With a time of its own: before, the first of these waited for a silent one's 30 s.
        lattice = own.client("vpc-lattice", read_timeout=10, connect_timeout=10)
        for _ in range(20):
            lattice.list_services()
            silent += [socket.create_connection((host, int(port))) for _ in range(20)]
    finally:
        for connection in silent:
            connection.close()


def test_bodies_that_nobody_signed_are_not_held(own):
    """300 bodies of 4 MiB, none of which a known key is named for."""
    host, port = own.endpoint.removeprefix("http://").split(":")
    body = b"x" * (4 << 20)
    before = resident(own.process.pid)
    head = (f"POST / HTTP/1.1\r\nhost: vpc-lattice.us-east-1.amazonaws.com\r\ncontent-length: {len(body)}\r\n\r\n").encode()
    open_ones = []
    for _ in range(300):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(head + body[: len(body) - 1])
        open_ones.append(connection)
    assert resident(own.process.pid) - before < 100 << 20
    own.lattice.list_services()
    for connection in open_ones[-3:]:
        connection.sendall(b"x")
        assert connection.recv(64).startswith(b"HTTP/1.1 403")
    for connection in open_ones:
        connection.close()


def resident(pid):
    """Bytes of memory a process has."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_commands_without_an_instance_say_how_to_start_one(tmp_path):
    for words in (["ps"], ["env"], ["rm", "x"], ["exec", "x", "--", "id"]):
        done = subprocess.run([TRELLIS, words[0], "--data-dir", tmp_path, *words[1:]], capture_output=True, text=True)
        assert done.returncode == 1 and "trellis up" in done.stderr, done.stderr


def test_a_host_that_never_stops_talking_keeps_its_newest_output(own):
    _, subnet = own.vpc()
    name = own.host(subnet, "sh", "-c", "seq 1 4000000; echo last words; sleep 1000")
    newest, older = (own.data / f"hosts/{name}.log{suffix}" for suffix in ("", ".1"))

    def has_said_all():
        try:
            return newest.read_text().endswith("last words\n")
        except FileNotFoundError:  # it has just become the older one
            return False

    eventually(has_said_all, what="the end of 30 MB")
    assert newest.stat().st_size <= 10 << 20 and older.stat().st_size <= 10 << 20
    text = older.read_text() + newest.read_text()
    lines = text.splitlines()[1:-1]
    assert [int(line) for line in lines] == list(range(4_000_001 - len(lines), 4_000_001))
    assert len(list((own.data / "hosts").iterdir())) == 2


def test_run_exec_ps_rm(own):
    vpc, subnet = own.vpc()
    done = own.cli("run", "--subnet", subnet, "--name", "once", "--", "sh", "-c", "hostname; ip -o -4 addr show eth0; exit 7", check=False)
    assert done.returncode == 7 and done.stdout.startswith("once\n"), done
    assert "10.0.1." in done.stdout
    assert json.loads(own.cli("ps", "--json").stdout) == []
    name = own.host(subnet, "sh", "-c", "echo started; sleep 1000", ip="10.0.1.50")
    assert own.inside(name, "cat", "/proc/sys/kernel/hostname").stdout.strip() == name
    assert own.inside(name, "sh", "-c", "exit 3", check=False).returncode == 3
    assert own.inside(name, "no-such-command", check=False).returncode == 127
    [host] = json.loads(own.cli("ps", "--json").stdout)
    assert (host["name"], host["ip"], host["vpc"], host["state"]) == (name, "10.0.1.50", vpc, "running")
    assert name in own.cli("ps").stdout
    eventually(lambda: "started" in (own.data / f"hosts/{name}.log").read_text())
    [reservation] = own.ec2.describe_instances(InstanceIds=[host["instance"]])["Reservations"]
    [instance] = reservation["Instances"]
    assert instance["PrivateIpAddress"] == "10.0.1.50" and instance["State"]["Name"] == "running"
    pid = host["pid"]
    own.cli("rm", name)
    assert not alive(pid)
    assert json.loads(own.cli("ps", "--json").stdout) == []
    done = own.cli("rm", name, check=False)
    assert done.returncode == 1 and name in done.stderr


@pytest.mark.parametrize("flags, words", [
    (("--ip", "10.9.9.9"), "10.9.9.9"),
    (("--ip", "10.0.1.1"), "10.0.1.1"),
    (("--ip", "10.0.1.60"), "10.0.1.60"),
    (("--name", "bad_name"), "bad_name"),
])
def test_a_host_that_cannot_be_is_refused(own, flags, words):
    _, subnet = own.vpc()
    own.host(subnet, ip="10.0.1.60")
    name = () if "--name" in flags else ("--name", "fine")
    done = own.cli("run", "-d", "--subnet", subnet, *name, *flags, "--", "sleep", "1", check=False)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert len(json.loads(own.cli("ps", "--json").stdout)) == 1


def test_sigterm_finishes_requests_in_flight_and_leaves_nothing(own):
    vpc, subnet = own.vpc()
    _, client_subnet = own.vpc()
    own.web(subnet, "10.0.1.10")
    client_vpc = own.ec2.describe_subnets(SubnetIds=[client_subnet])["Subnets"][0]["VpcId"]
    client = own.host(client_subnet)
    service, _, name = own.service(forward(own.group(vpc, "10.0.1.10")))
    own.network([client_vpc], [service])
    answers = []
    request = threading.Thread(target=lambda: answers.append(own.curl(client, f"http://{name}/slow/2")))
    request.start()
    time.sleep(0.7)
    below = descendants(own.process.pid)
    assert own.stop() == 0
    request.join(10)
    assert answers == ["at last"]
    assert not [pid for pid in below if alive(pid)]
    assert not (own.data / "endpoint").exists() and not (own.data / "trellis.sock").exists()


def test_kill_9_leaves_no_process_behind_and_hosts_come_back(own):
    vpc, subnet = own.vpc()
    client_vpc, client_subnet = own.vpc()
    kept = own.web(subnet, "10.0.1.10", "kept")
    client = own.host(client_subnet)
    attached = subprocess.Popen(
        [TRELLIS, "run", "--data-dir", own.data, "--subnet", subnet, "--name", "attached", "--", "sleep", "1000"])
    eventually(lambda: "attached" in own.cli("ps").stdout)
    service, _, name = own.service(forward(own.group(vpc, "10.0.1.10")))
    own.network([client_vpc], [service])
    assert json.loads(own.curl(client, f"http://{name}/"))["name"] == "kept"
    below = descendants(own.process.pid)
    assert below
    own.kill()
    eventually(lambda: not [pid for pid in below if alive(pid)], what="every process below it gone")
    attached.wait(10)
    own.start()
    names = [host["name"] for host in json.loads(own.cli("ps", "--json").stdout)]
    assert sorted(names) == sorted([kept, client])
    eventually(lambda: own.status(client, f"http://{name}/", "-m", "3") == 200, what="the service in force again")
    assert json.loads(own.curl(client, f"http://{name}/"))["name"] == "kept"


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_to_kill_9_at_any_moment(own):
    """Twelve times: writers create and delete while the process is killed; after the restart every
    acknowledged create is there, every acknowledged delete is not, and nothing is in between."""
    expected, gone, doubtful = {}, set(), set()
    lock = threading.Lock()
    for round_ in range(12):
        stop = threading.Event()

        def write():
            lattice = own.lattice
            while not stop.is_set():
                name = unique("svc-x")[-40:].lstrip("-").replace("svc-", "s-")
                try:
                    made = lattice.create_service(name=name, tags={"round": str(round_)})
                    with lock:
                        expected[made["id"]] = name
                    if random.random() < 0.3:
                        with lock:
                            doubtful.add(made["id"])
                        lattice.delete_service(serviceIdentifier=made["id"])
                        with lock:
                            gone.add(made["id"])
                except botocore.exceptions.ClientError as error:
                    assert error.response["Error"]["Code"] == "ConflictException", error
                    with lock:
                        doubtful.discard(made["id"])
                except botocore.exceptions.BotoCoreError:
                    return

        writers = [threading.Thread(target=write) for _ in range(3)]
        for writer in writers:
            writer.start()
        # At any moment, but not before there is anything to lose, however slow the machine is.
        enough = len(expected) + random.randint(3, 15)
        eventually(lambda: len(expected) >= enough, timeout=60, what="services to lose")
        time.sleep(random.uniform(0, 0.1))
        own.kill()
        stop.set()
        for writer in writers:
            writer.join()
        own.start()
        lattice = own.lattice
        pages = lattice.get_paginator("list_services").paginate()
        listed = {item["id"]: item for page in pages for item in page["items"]}
        for identifier, name in expected.items():
            if identifier in gone:
                eventually(lambda: identifier not in {
                    i["id"] for p in lattice.get_paginator("list_services").paginate() for i in p["items"]},
                    what="an acknowledged delete to hold")
            elif identifier not in doubtful:
                assert listed[identifier]["name"] == name
                assert lattice.list_tags_for_resource(resourceArn=listed[identifier]["arn"])["tags"]
        in_between = [i for i in listed if i not in expected]
        # A create that was cut before its answer may be there whole or not at all, never half.
        for identifier in in_between:
            eventually(lambda: lattice.get_service(serviceIdentifier=identifier)["status"] == "ACTIVE")
        eventually(lambda: all(
            item["status"] == "ACTIVE" for page in lattice.get_paginator("list_services").paginate()
            for item in page["items"]), what="every service ACTIVE again")
    assert len(expected) > 30


def test_without_root_everything_on_one_machine_works():
    """An ordinary user: `trellis up` makes a user namespace of its own."""
    directory = pathlib.Path("/tmp") / f"trellis-rootless-{os.getpid()}"
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    binary = directory / "trellis"
    shutil.copy(PROGRAM, binary)
    binary.chmod(0o755)
    import instance as module
    saved, module.TRELLIS, module.MOUNTS = (module.TRELLIS, module.MOUNTS), str(binary), []
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    try:
        with Instance(directory, prefix=user, environment={"HOME": str(directory)}) as rootless:
            vpc, subnet = rootless.vpc()
            client_vpc, client_subnet = rootless.vpc()
            target = directory / "target.py"
            shutil.copy(ROOT / "e2e/target.py", target)
            target.chmod(0o644)
            rootless.host(subnet, "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else PYTHON,
                          str(target), "far", ip="10.0.1.10", mounts=[f"{target}:ro"])
            client = rootless.host(client_subnet, ip="10.0.1.10")
            assert rootless.inside(client, "id", "-u").stdout.strip() == "0"
            service, _, name = rootless.service(forward(rootless.group(vpc, "10.0.1.10")))
            rootless.network([client_vpc], [service])
            answer = eventually(lambda: rootless.curl(client, f"http://{name}/", check=False), what="an answer")
            assert json.loads(answer)["name"] == "far"
            assert rootless.inside(client, "curl", "-sS", "-m", "2", "http://10.0.1.10:8080/", check=False).returncode != 0
    finally:
        module.TRELLIS, module.MOUNTS = saved
        shutil.rmtree(directory, ignore_errors=True)
