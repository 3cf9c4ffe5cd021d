"""A host is a sandbox: what its processes must not read, write, see or reach, with root and without."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

import instance as module
from instance import PROGRAM, Instance, eventually, unique

SECRET = "what only the machine may know"
BINARY = pathlib.Path(PROGRAM)


class World:
    """An installation, a host in it, and things of the machine that are not for the host."""

    def __init__(self, instance, directory):
        self.instance, self.directory = instance, directory
        _, self.subnet = instance.vpc()
        self.secret = directory / "secret"
        self.secret.write_text(SECRET)
        self.host = self.start()

    def start(self, *flags, command=("sleep", "infinity")):
        name = unique("box")
        self.instance.cli("run", "-d", "--subnet", self.subnet, *flags, "--name", name, "--", *command)
        return name

    def sh(self, script, host=None):
        return self.instance.inside(host or self.host, "sh", "-c", script, check=False)


@pytest.fixture(scope="module", params=["root", "rootless"])
def world(request):
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("these are the tests of an installation as root")
    directory = pathlib.Path("/tmp") / f"trellis-sandbox-{os.getpid()}-{request.param}"
    directory.mkdir()
    saved, prefix, environment = module.TRELLIS, [], {}
    if request.param == "rootless":
        directory.chmod(0o777)
        binary = directory / "trellis"
        shutil.copy(BINARY, binary)
        binary.chmod(0o755)
        module.TRELLIS, environment = str(binary), {"HOME": str(directory)}
        if os.geteuid() == 0:
            prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    try:
        with Instance(directory, prefix=prefix, environment=environment) as made:
            made.is_root = request.param == "root"
            yield World(made, directory)
    finally:
        module.TRELLIS = saved
        shutil.rmtree(directory, ignore_errors=True)


# What is tried inside, and what would be there if the machine were.
READS = {
    "the admin key": "cat {data}/credentials",
    "the sealing key": "cat {data}/keys/sealing.key",
    "the state": "cat {data}/state.redb",
    "others' logs": "ls {data}/hosts",
    "the access log": "cat {data}/access-logs/access.log",
    "a file of the machine's /tmp": "cat {secret}",
    "the data directory by way of the first process": "ls /proc/1/root{data} || ls /proc/1/cwd/",
    "the program of the first process": "head -c 4 /proc/1/exe",
    "the memory map of the first process": "cat /proc/1/maps | grep .",
    "its environment": "cat /proc/1/environ | grep -a .",
    "password hashes": "cat /etc/shadow",
    "host keys": "ls /etc/ssh/ssh_host_*",
    "private keys": "ls /etc/ssl/private",
    "the machine's homes": "ls /home/* ~root/.[a-z]*",
    "the machine's services": "ls /run/systemd /run/dbus /var/run/docker.sock",
    "its spools and state": "ls /var/lib/* /var/log/* /boot /srv/* /opt/*",
    "the kernel's log": "head -c 1 /dev/kmsg || dmesg | grep .",
    "memory": "head -c 1 /dev/mem || head -c 1 /proc/kcore | grep .",
    "disks": "ls /dev/sd* /dev/vd* /dev/nvme* /dev/mapper",
    "keys of the kernel": "cat /proc/keys | grep .",
    "firmware": "ls /sys/firmware | grep .",
}

WRITES = {
    "/etc": "touch /etc/x",
    "a file of /etc": "echo x >>/etc/passwd.new || echo x >>/etc/ssl/openssl.cnf",
    "/usr": "touch /usr/x",
    "a program": "echo x >>/usr/bin/env",
    "the root": "touch /x",
    "core_pattern": "echo x >/proc/sys/kernel/core_pattern",
    "a kernel setting": "echo 1 >/proc/sys/vm/drop_caches",
    "a setting of the network": "echo 1 >/proc/sys/net/ipv4/ip_forward",
    "sysrq": "echo h >/proc/sysrq-trigger",
    "the kernel's log": "echo x >/dev/kmsg",
    "a device": "mknod /tmp/disk b 8 0",
    "a program for everybody": "touch /tmp/x && chmod u+s /tmp/x",
    "its limits": "ulimit -n 2000000",
}

CALLS = {
    "mount": "mount -t tmpfs none /mnt",
    "a remount": "mount -o remount,rw /usr",
    "an unmount": "umount /proc/sys /proc/acpi /etc/resolv.conf",
    "a user namespace": "unshare --user true",
    "another namespace": "unshare --net true",
    "entering a namespace": "nsenter --target 1 --net true",
    "a change of the clock": "date -s 2001-01-01",
    "a reboot": "reboot -f",
    "a link": "ip link add br0 type bridge",
    "an address": "ip addr add 10.0.1.99/24 dev eth0",
    "a route": "ip route add 192.0.2.0/24 via 10.0.1.1",
    "rules of its own": "nft add table ip x || /usr/sbin/nft add table ip x",
    "a key in the kernel": "python3 -c 'import ctypes; exit(ctypes.CDLL(None).syscall(250, 0, -4, 1) < 0)'",
    "a BPF program": "python3 -c 'import ctypes; exit(ctypes.CDLL(None).syscall(321, 0, 0, 0) < 0)'",
    "io_uring": "python3 -c 'import ctypes; exit(ctypes.CDLL(None).syscall(425, 1, 0) < 0)'",
    "tracing the first process": "python3 -c 'import ctypes; exit(ctypes.CDLL(None).ptrace(16, 1, 0, 0) < 0)'",
    "a socket to the hypervisor": "python3 -c 'import socket; socket.socket(40, 1)'",
    "a socket to the kernel's ciphers": "python3 -c 'import socket; socket.socket(38, 5)'",
    "killing the first process": "kill -9 1; sleep 0.1; ! true",
}


@pytest.mark.parametrize("what", READS)
def test_a_host_does_not_read(world, what):
    done = world.sh(f"({READS[what].format(data=world.instance.data, secret=world.secret)}) 2>/dev/null")
    assert (done.returncode != 0 and done.stdout == "") or done.stdout == "", done


@pytest.mark.parametrize("what", WRITES)
def test_a_host_does_not_write(world, what):
    done = world.sh(f"({WRITES[what]}) 2>/dev/null")
    assert done.returncode != 0, done


@pytest.mark.parametrize("what", CALLS)
def test_a_host_is_refused(world, what):
    done = world.sh(f"({CALLS[what]}) 2>/dev/null")
    assert done.returncode != 0, done
    assert world.sh("true").returncode == 0


def test_these_tables_would_show_it(world):
    """A host with the machine's files and every power reads what the table says nobody reads."""
    name = world.start("--share-filesystem", "--privileged")
    data, secret = world.instance.data, world.secret
    assert world.sh(f"cat {secret}", name).stdout == SECRET
    assert "aws_secret_access_key" in world.sh(f"cat {data}/credentials", name).stdout
    assert world.sh("unshare --user true && mount -t tmpfs none /mnt && ip link add br0 type bridge", name).returncode == 0
    world.instance.cli("rm", name)


def test_a_host_sees_only_its_own_processes_and_users(world):
    processes = world.sh("ls /proc | grep -c '^[0-9]'").stdout
    assert int(processes) < 12, processes
    assert world.sh("cat /proc/1/comm").stdout == "trellis-host\n"
    assert world.sh("getent passwd | awk -F: '$3 >= 1000 && $3 != 65534'").stdout == ""
    first = json.loads(world.instance.cli("ps", "--json").stdout)[0]["pid"]
    outside = [line.split() for line in pathlib.Path(f"/proc/{first}/uid_map").read_text().splitlines()]
    inside_root = int(outside[0][1])
    if world.instance.is_root:
        assert inside_root >= 65534, "who is root in a host is nobody outside"
    status = world.sh("cat /proc/self/status").stdout
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status, status
    # CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT
    assert "CapBnd:\t00000000000425fb" in status, status


def test_a_detached_command_is_confined_as_one_that_enters(world):
    name = world.start(command=("sh", "-c", "grep -E 'Cap|Seccomp:|NoNewPrivs' /proc/self/status; ulimit -n; pwd; sleep infinity"))
    log = world.instance.data / f"hosts/{name}.log"
    eventually(lambda: "/root" in log.read_text())
    entered = world.sh("cd; grep -E 'Cap|Seccomp:|NoNewPrivs' /proc/self/status; ulimit -n; pwd", name).stdout
    assert log.read_text() == entered
    world.instance.cli("rm", name)


def test_a_host_has_files_of_its_own_that_go_with_it(world):
    one, other = world.start(), world.start()
    assert world.sh("echo mine | tee /tmp/f ~/f /var/tmp/f /dev/shm/f /run/f", one).returncode == 0
    assert world.sh("cat /tmp/f ~/f /var/tmp/f /dev/shm/f /run/f 2>/dev/null", other).stdout == ""
    assert not pathlib.Path("/tmp/f").exists() or pathlib.Path("/tmp/f").read_text() != "mine\n"
    world.instance.cli("rm", one, other)


def test_what_is_mounted_is_there_and_nothing_beside_it(world):
    given = world.directory / "given"
    given.mkdir(exist_ok=True)
    (given / "file").write_text("given\n")
    if world.instance.prefix:
        shutil.chown(given, 65534, 65534)
    name = world.start("--mount", f"{given}:/data", "--mount", f"{given}:/only:ro", "--mount", f"{given}/file:/a/file")
    assert world.sh("cat /data/file /only/file /a/file", name).stdout == "given\n" * 3
    assert world.sh("echo written >/data/new", name).returncode == 0
    assert (given / "new").read_text() == "written\n"
    assert (given / "new").stat().st_uid == given.stat().st_uid, "it belongs to whom the directory belongs to"
    assert world.sh("echo x >/only/new || echo x >>/only/file", name).returncode != 0
    assert world.sh(f"ls {world.directory}", name).returncode != 0
    assert world.sh("touch /data/s && chmod 4755 /data/s", name).returncode != 0
    world.instance.cli("rm", name)


def test_the_data_directory_is_not_in_what_it_is_mounted_with(world):
    name = world.start("--mount", f"{world.directory}:/all")
    assert world.sh("cat /all/secret", name).stdout == SECRET
    assert world.sh("ls /all/state", name).stdout == ""
    assert world.sh("cat /all/state/credentials", name).returncode != 0
    world.instance.cli("rm", name)
    done = world.instance.cli("run", "-d", "--subnet", world.subnet, "--mount", f"{world.instance.data}/keys:/keys",
                              "--name", unique("no"), "--", "true", check=False)
    assert done.returncode == 1 and "data directory" in done.stderr, done


def test_the_control_socket_refuses_processes_of_hosts(world):
    """A host that has the machine's files finds the socket, and is refused."""
    name = world.start("--share-filesystem", "--privileged")
    words = [module.TRELLIS, "key", "create", "--data-dir", str(world.instance.data), "--account", "111122223333"]
    done = world.instance.inside(name, *words, check=False)
    assert done.returncode == 1 and done.stdout == "" and "not for processes of hosts" in done.stderr, done
    done = world.instance.inside(world.host, *words, check=False)
    assert done.returncode != 0 and "AKIA" not in done.stdout, done
    world.instance.cli("rm", name)


def test_of_the_environment_a_command_gets_what_is_named(world):
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET, "TERM": "vt100", "LANG": "C.UTF-8", "GIVEN": "here"}
    words = [module.TRELLIS, "exec", "--data-dir", str(world.instance.data), world.host, "--env", "GIVEN", "--env", "A=b", "--", "env"]
    done = subprocess.run([*world.instance.prefix, *words], env=environment, capture_output=True, text=True)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert seen == {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "USER": "root",
                    "TERM": "vt100", "LANG": "C.UTF-8", "GIVEN": "here", "A": "b", "AWS_ENDPOINT_URL": "http://169.254.169.252"}
    words = [module.TRELLIS, "run", "--data-dir", str(world.instance.data), "--subnet", world.subnet, "--name", unique("env"), "--env", "A=b", "--", "env"]
    done = subprocess.run([*world.instance.prefix, *words], env=environment, capture_output=True, text=True)
    assert "A=b" in done.stdout and SECRET not in done.stdout and "GIVEN" not in done.stdout, done
    name = world.start("--env", "A=b", command=("sh", "-c", "env; sleep infinity"))
    log = world.instance.data / f"hosts/{name}.log"
    eventually(lambda: "A=b" in log.read_text())
    assert {line for line in log.read_text().splitlines() if "AWS" in line} == {"AWS_ENDPOINT_URL=http://169.254.169.252"}
    world.instance.cli("rm", name)


def test_descriptors_of_the_caller_stay_behind(world):
    words = [module.TRELLIS, "exec", "--data-dir", str(world.instance.data), world.host, "--", "ls", "/proc/self/fd"]
    with open(os.devnull) as kept:
        os.set_inheritable(kept.fileno(), True)
        done = subprocess.run([*world.instance.prefix, *words], pass_fds=[kept.fileno()], capture_output=True, text=True)
    # The fourth is that of the listing itself.
    assert done.stdout.split() == ["0", "1", "2", "3"], done


def test_limits_hold(world):
    name = world.start("--processes", "40", "--memory", "64", "--open-files", "64", "--cpus", "0.5")
    spawn = "import os, time\nn = 0\ntry:\n    while n < 200:\n        if os.fork() == 0: time.sleep(5); os._exit(0)\n        n += 1\nexcept OSError: pass\nprint(n)"
    made = int(world.instance.inside(name, "python3", "-c", spawn).stdout)
    assert made < 40, made
    eat = "b = []\nwhile True: b.append(bytearray(1 << 20)); print(len(b), flush=True)"
    done = world.instance.inside(name, "python3", "-c", eat, check=False)
    assert done.returncode != 0 and int(done.stdout.split()[-1]) < 70, done
    opened = "f = []\ntry:\n    while True: f.append(open('/dev/null'))\nexcept OSError: print(len(f))"
    assert int(world.instance.inside(name, "python3", "-c", opened).stdout) < 64
    world.instance.cli("rm", name)


def test_a_privileged_host_has_its_own_namespaces_to_rule_and_not_the_machine(world):
    name = world.start("--privileged")
    for script in ("mount -t tmpfs none /mnt", "unshare --user true", "ip link add br0 type bridge",
                   "echo 1 >/proc/sys/net/ipv4/ip_forward", "unshare --mount --pid --fork --mount-proc true",
                   "mkdir /tmp/l /tmp/u /tmp/w /tmp/m && mount -t overlay none -o lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w /tmp/m"):
        done = world.sh(script, name)
        assert done.returncode == 0, (script, done.stderr)
    if world.instance.is_root and pathlib.Path("/sys/fs/cgroup/pids").is_dir():
        script = "mkdir /sys/fs/cgroup/pids/pod && echo $$ >/sys/fs/cgroup/pids/pod/cgroup.procs && cat /proc/self/cgroup"
        assert ":pids:/pod" in world.sh(script, name).stdout
        assert world.sh("echo max >/sys/fs/cgroup/pids/pids.max", name).returncode != 0, "its limits are not its own"
    data, secret = world.instance.data, world.secret
    for script in (f"cat {secret}", f"cat {data}/credentials", "echo x >/proc/sys/kernel/core_pattern",
                   "mount -o remount,rw,bind /usr && touch /usr/x", "date -s 2001-01-01", "cat /etc/shadow"):
        assert world.sh(script, name).returncode != 0, script
    world.instance.cli("rm", name)


def test_typing_into_the_caller_s_terminal_is_refused(world):
    script = "import fcntl, termios, sys\ntry: fcntl.ioctl(0, termios.TIOCSTI, b'x'); print('typed')\nexcept PermissionError: print('refused')"
    words = [module.TRELLIS, "exec", "--data-dir", str(world.instance.data), world.host, "--", "python3", "-c", script]
    done = subprocess.run([*world.instance.prefix, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.stdout == "refused\n", done


# Who has subordinate ids: as /etc/subuid and /etc/subgid say, and nothing of the machine is changed for it.
WHO = 31337
FIRST = 7_000_000
AS_THEM = ("for file in passwd subuid subgid; do mount --bind \"$0/$file\" /etc/$file || exit 1; done; "
           f"exec setpriv --reuid {WHO} --regid {WHO} --clear-groups \"$@\"")


@pytest.fixture(scope="module")
def subordinate():
    if os.geteuid() != 0:
        pytest.skip("these are the tests of an installation of a user whom root has given ids")
    directory = pathlib.Path("/tmp") / f"trellis-subordinate-{os.getpid()}"
    directory.mkdir()
    directory.chmod(0o777)
    (directory / "passwd").write_text(f"root:x:0:0::/root:/bin/sh\nthem:x:{WHO}:{WHO}::/:/bin/sh\n")
    for name in ("subuid", "subgid"):
        (directory / name).write_text(f"them:{FIRST}:65536\n")
    binary = directory / "trellis"
    shutil.copy(BINARY, binary)
    binary.chmod(0o755)
    saved, module.TRELLIS = module.TRELLIS, str(binary)
    try:
        with Instance(directory, prefix=["unshare", "-m", "sh", "-c", AS_THEM, str(directory)],
                      environment={"HOME": str(directory)}) as made:
            made.is_root = False
            yield World(made, directory)
    finally:
        module.TRELLIS = saved
        shutil.rmtree(directory, ignore_errors=True)


def outside(world, name):
    """Who the first process of a host is to the machine."""
    [host] = [host for host in json.loads(world.instance.cli("ps", "--json").stdout) if host["name"] == name]
    return os.stat(f"/proc/{host['pid']}").st_uid


def test_users_of_a_host_are_the_subordinates_of_who_is_not_root(subordinate):
    name = subordinate.start()
    assert outside(subordinate, name) == FIRST, "its root"
    done = subordinate.sh("touch /tmp/x && chown 7:9 /tmp/x && stat -c %u:%g /tmp/x && "
                          "setpriv --reuid 12 --regid 13 --clear-groups id -u", host=name)
    assert done.stdout.split() == ["7:9", "12"], done.stderr


def test_of_a_host_with_mounts_the_root_alone_is_who_started_trellis(subordinate):
    given = subordinate.directory / "given"
    given.mkdir()
    os.chown(given, WHO, WHO)
    given.chmod(0o700)
    name = subordinate.start("--mount", f"{given}:/given")
    assert outside(subordinate, name) == WHO
    done = subordinate.sh("echo theirs > /given/file && chown 7 /tmp && setpriv --reuid 7 --regid 7 --clear-groups cat /given/file",
                          host=name)
    assert "ermission denied" in done.stderr and (given / "file").stat().st_uid == WHO, done
