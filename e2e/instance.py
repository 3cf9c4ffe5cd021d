"""A running Trellis and what a test does with it: clients, hosts, waiting, looking."""

import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import boto3
import botocore.config

import uses

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRELLIS = os.environ.get("TRELLIS_BIN") or shutil.which("trellis") or str(ROOT / "target/release/trellis")
PROGRAM = TRELLIS
# Every start of it is written down.
TRELLIS = uses.through_shim(TRELLIS)
PYTHON = sys.executable


def _mounts():
    """What tests run in hosts that is not of the machine's own programs: this checkout and the Python it is tested
    with, read-only."""
    places = {str(ROOT), sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(sys.executable))}
    places = sorted(place for place in places if not place.startswith(("/usr/", "/bin/")) and place != "/usr")
    outer = [place for place in places if not any(place != other and place.startswith(other + "/") for other in places)]
    return [word for place in outer for word in ("--mount", f"{place}:ro")]


MOUNTS = _mounts()
# Where a host finds the certificate of Trellis's own CA.
CA = "/etc/trellis/ca.pem"
_names = itertools.count()


def unique(kind):
    """A name no other test of this run uses."""
    return f"{kind}-{os.getpid()}-{next(_names)}"


def free_port():
    """A port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(look, timeout=20, what="the expected state"):
    """Calls `look` until it returns something true; that something. Failing after `timeout` is a
    broken promise, not a slow machine: give it room."""
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"{what} did not come within {timeout} s; last seen: {seen!r}"
        time.sleep(0.05)


def document(*statements):
    """A policy of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def user(iam, *statements):
    """A new user who may do what the statements say: what IAM tells of it, and of its access key."""
    made = iam.create_user(UserName=unique("user"))["User"]
    if statements:
        iam.put_user_policy(UserName=made["UserName"], PolicyName="own", PolicyDocument=document(*statements))
    return {**made, **iam.create_access_key(UserName=made["UserName"])["AccessKey"]}


class Instance:
    """`trellis up` as a child process. A context manager: leaving it stops the instance."""

    def __init__(self, directory, *flags, prefix=(), environment=None, listen="127.0.0.1:0", metrics="127.0.0.1:0"):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "state"
        self.flags = ["--listen", listen, "--metrics-listen", metrics, *flags]
        self.prefix = list(prefix)
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.log = self.directory / "trellis.log"
        self.variables = {}

    def __enter__(self):
        running = self.process and self.process.poll() is None
        return self if running else self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.stop()

    def start(self, timeout=30, stderr=None):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, TRELLIS, "up", "--data-dir", self.data, *self.flags],
                stdout=subprocess.PIPE, stderr=log if stderr is None else stderr, env=self.environment, text=True,
            )
        line = self._first_line(timeout)
        assert line.startswith("trellis is ready: http://"), f"{line!r}\n{self.log.read_text()}"
        self.endpoint = line.split(": ", 1)[1].strip()
        self.variables = self._env()
        return self

    def _first_line(self, timeout):
        lines = []
        reader = threading.Thread(target=lambda: lines.append(self.process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(timeout)
        return lines[0] if lines else ""

    def _env(self):
        variables = {}
        for line in self.cli("env").stdout.splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                variables[name] = value.strip("'")
        return variables

    def stop(self, timeout=60):
        """SIGTERM, as an operator does; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self):
        """SIGKILL, as the out-of-memory killer does."""
        self.process.kill()
        self.process.wait(10)

    def restart(self):
        self.kill()
        return self.start()

    # --- the command line ---

    def cli(self, *words, check=True, timeout=60, input=None):
        done = subprocess.run(
            [*self.prefix, TRELLIS, words[0], "--data-dir", str(self.data), *words[1:]],
            capture_output=True, text=True, timeout=timeout, input=input, env=self.environment,
        )
        assert not check or done.returncode == 0, f"trellis {' '.join(words)}: {done.returncode}\n{done.stderr}"
        return done

    def aws(self, *words, check=True):
        """The AWS CLI as a user runs it: only the environment points it here."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "AWS_PAGER": "", **self.variables}
        done = subprocess.run(
            [pathlib.Path(PYTHON).with_name("aws"), *words, "--output", "json"],
            capture_output=True, text=True, timeout=60, env=environment,
        )
        if check:
            assert done.returncode == 0, f"aws {' '.join(words)}: {done.stderr}"
            return json.loads(done.stdout) if done.stdout.strip() else None
        return done

    # --- clients ---

    def client(self, service, region="us-east-1", endpoint=None, verify=None, **settings):
        """A boto3 client that does not retry: a test wants to see the first answer."""
        settings = {"retries": {"total_max_attempts": 1}, **settings}
        return boto3.session.Session().client(
            service,
            region_name=region,
            endpoint_url=endpoint or self.endpoint,
            verify=verify,
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            config=botocore.config.Config(**settings),
        )

    @property
    def lattice(self):
        return self.client("vpc-lattice")

    @property
    def ec2(self):
        return self.client("ec2")

    # --- a world to test in ---

    def vpc(self, cidr="10.0.0.0/16", subnet="10.0.1.0/24"):
        """A VPC with one subnet; their ids."""
        ec2 = self.ec2
        vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        return vpc, ec2.create_subnet(VpcId=vpc, CidrBlock=subnet)["Subnet"]["SubnetId"]

    def dualstack_vpc(self, cidr, subnet, ipv6_cidr, ipv6_subnet):
        """The same with IPv6, which hosts of the subnet are given; their ids."""
        ec2 = self.ec2
        vpc = ec2.create_vpc(CidrBlock=cidr, Ipv6CidrBlock=ipv6_cidr)["Vpc"]["VpcId"]
        made = ec2.create_subnet(VpcId=vpc, CidrBlock=subnet, Ipv6CidrBlock=ipv6_subnet)["Subnet"]["SubnetId"]
        ec2.modify_subnet_attribute(SubnetId=made, AssignIpv6AddressOnCreation={"Value": True})
        return vpc, made

    def host(self, subnet, *command, name=None, ip=None, ipv6=None, groups=(), flags=(), mounts=()):
        """A detached host that sees the tests and `mounts`; its name."""
        name = name or unique("host")
        address = ["--ip", ip] if ip else []
        address += ["--ipv6", ipv6] if ipv6 else []
        address += [word for group in groups for word in ("--security-group", group)]
        given = [word for mount in mounts for word in ("--mount", str(mount))]
        self.cli("run", "-d", "--subnet", subnet, *MOUNTS, *given, *flags, *address, "--name", name, "--", *(command or ("sleep", "infinity")))
        return name

    def web(self, subnet, ip=None, *words, **more):
        """A host that runs the test web server of target.py; its name."""
        name = self.host(subnet, PYTHON, str(ROOT / "e2e/target.py"), *words, ip=ip, **more)
        eventually(lambda: self.inside(name, "curl", "-sS", "http://127.0.0.1:8080/", check=False).returncode == 0,
                   what="the web server listening")
        return name

    def inside(self, host, *command, check=True, timeout=60):
        """Runs a command in a host; the completed process."""
        return self.cli("exec", host, "--", *command, check=check, timeout=timeout)

    def curl(self, host, url, *flags, check=True):
        """curl in a host; its standard output."""
        return self.inside(host, "curl", "-sS", "-m", "10", *flags, url, check=check).stdout

    def status(self, host, url, *flags):
        """The status of a whole answer; 0 where there is none, as before a listener is there."""
        done = self.inside(host, "curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", *flags, url, check=False)
        return int(done.stdout) if done.returncode == 0 else 0

    def group(self, vpc, *addresses, port=8080, health=None, **config):
        """An IP target group with targets; its id."""
        lattice = self.lattice
        config = {"port": port, "protocol": "HTTP", "vpcIdentifier": vpc, **config}
        config["healthCheck"] = health or {"enabled": False}
        group = lattice.create_target_group(name=unique("group"), type="IP", config=config)["id"]
        if addresses:
            eventually(lambda: lattice.get_target_group(targetGroupIdentifier=group)["status"] == "ACTIVE")
            answer = lattice.register_targets(
                targetGroupIdentifier=group, targets=[{"id": address} for address in addresses])
            assert not answer["unsuccessful"], answer
        return group

    def service(self, action, port=80):
        """A service with one HTTP listener; its id, its listener's id and its name."""
        lattice = self.lattice
        service = lattice.create_service(name=unique("service"))
        listener = lattice.create_listener(
            serviceIdentifier=service["id"], name="http", protocol="HTTP", port=port, defaultAction=action)
        self.active(lambda: lattice.get_service(serviceIdentifier=service["id"]))
        return service["id"], listener["id"], service["dnsEntry"]["domainName"]

    def secure_service(self, action, port=443):
        """A service with one HTTPS listener; its id and its name, for which it has a certificate."""
        lattice = self.lattice
        service = lattice.create_service(name=unique("service"))
        lattice.create_listener(
            serviceIdentifier=service["id"], name="https", protocol="HTTPS", port=port, defaultAction=action)
        self.active(lambda: lattice.get_service(serviceIdentifier=service["id"]))
        return service["id"], service["dnsEntry"]["domainName"]

    def network(self, vpcs=(), services=()):
        """A service network with its associations, all active; its id."""
        lattice = self.lattice
        network = lattice.create_service_network(name=unique("network"))["id"]
        for service in services:
            made = lattice.create_service_network_service_association(
                serviceNetworkIdentifier=network, serviceIdentifier=service)["id"]
            self.active(lambda: lattice.get_service_network_service_association(
                serviceNetworkServiceAssociationIdentifier=made))
        for vpc in vpcs:
            made = lattice.create_service_network_vpc_association(
                serviceNetworkIdentifier=network, vpcIdentifier=vpc)["id"]
            self.active(lambda: lattice.get_service_network_vpc_association(
                serviceNetworkVpcAssociationIdentifier=made))
        return network

    @staticmethod
    def active(get, timeout=20):
        return eventually(lambda: get()["status"] == "ACTIVE", timeout, "status ACTIVE")

    def observed(self, path):
        """Status and text of /metrics or /healthz."""
        parts = json.loads(self.cli("status", "--json", check=False).stdout)
        [address] = [part["detail"].split()[-1] for part in parts if part["name"] == "metrics"]
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def records(self):
        """Every access-log record so far."""
        path = self.data / "access-logs/access.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def forward(*groups):
    """A forward action: ids, or (id, weight) pairs."""
    pairs = [group if isinstance(group, tuple) else (group, 100) for group in groups]
    return {"forward": {"targetGroups": [{"targetGroupIdentifier": g, "weight": w} for g, w in pairs]}}


def fixed(status):
    return {"fixedResponse": {"statusCode": status}}
