"""What README, the docs and --help show is run as it is written."""

import os
import pathlib
import re
import subprocess

import pytest

from instance import PYTHON, ROOT, TRELLIS

COMMANDS = ["", "up", "env", "run", "exec", "ps", "rm", "status", "account", "account create", "account list", "account delete",
            "key", "key create", "key list", "key delete", "sign", "policy", "policy lint", "policy explain"]

# A user waits for the line that says it is ready, and tries a call again that came before all was in force.
AS_A_USER = """
set -eu
ip link set lo up
trellis() {
    if [ "$1" = up ]; then
        exec trellis "$@"
    else
        for _ in $(seq 60); do if command trellis "$@"; then return 0; fi; sleep 0.3; done
        return 1
    fi
}
"""


def blocks(page, heading=None):
    """The code blocks of a page, or of one section of it."""
    text = (ROOT / page).read_text()
    if heading:
        text = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)


def run_as_written(directory, script, timeout=180):
    """Runs a script where the ports it names are its own and nothing of anybody else's is around; the output."""
    tools = directory / "bin"
    tools.mkdir()
    (tools / "trellis").symlink_to(pathlib.Path(TRELLIS).resolve())
    for name in ("aws", "python3"):
        (tools / name).symlink_to(pathlib.Path(PYTHON).with_name(name if name == "aws" else pathlib.Path(PYTHON).name))
    home = directory / "home"
    home.mkdir()
    environment = {"PATH": f"{tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home),
                   "AWS_PAGER": "", "TERM": "dumb", "LANG": "C.UTF-8"}
    whose = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    done = subprocess.run(
        ["unshare", *whose, "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", AS_A_USER + script + "\nkill -TERM $! && wait $!\n"],
        cwd=home, env=environment, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_five_minutes_of_the_readme(tmp_path):
    build, *tour = blocks("README.md", "Five minutes")
    build = re.sub(r"^(make build|export PATH=.*)\n", "", build, flags=re.M)
    out = run_as_written(tmp_path, build + "".join(tour))
    assert "trellis is ready: http://127.0.0.1:4560" in out
    assert out.count("<title>Directory listing for /</title>") == 2, out
    assert '"responseCode":200' in out.replace(" ", ""), out
    assert re.search(r"^web +i-[0-9a-f]{17} +running +10\.0\.1\.10 ", out, re.M), out
    assert out.rstrip().endswith("web\nclient"), out


def test_the_accounts_and_the_share_of_the_docs(tmp_path):
    accounts, share = blocks("docs/accounts-and-sharing.md")[:2]
    # The page ends the account that the next block shares with.
    lines = [line for line in accounts.splitlines() if not line.startswith(("trellis key delete", "trellis account delete"))]
    out = run_as_written(tmp_path, 'trellis up &\neval "$(trellis env)"\n' + "\n".join(lines) + "\n" + share)
    assert "team-b" in out and "snva-" in out, out


def test_the_hosts_of_the_docs(tmp_path):
    begin = """trellis up &
eval "$(trellis env)"
VPC=$(aws ec2 create-vpc --cidr-block 10.0.0.0/16 --query Vpc.VpcId --output text)
SUBNET=$(aws ec2 create-subnet --vpc-id $VPC --cidr-block 10.0.1.0/24 --query Subnet.SubnetId --output text)
mkdir site; echo the site >site/index.html
"""
    out = run_as_written(tmp_path, begin + blocks("docs/hosts.md")[0] + "trellis exec web -- curl -sS http://127.0.0.1:8080/\n")
    assert "DEBUG=1\n" in out and "the site\n" in out, out


def shown(command):
    """The flags that a command's help shows."""
    done = subprocess.run([TRELLIS, *command.split(), "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^ +(?:-[a-z], )?(--[a-z][a-z-]*)", done.stdout, re.M)), done.stdout


def uses():
    """Every command and flag that a test types: {command: {flag: file}}."""
    found = {command: {} for command in COMMANDS}
    for path in sorted((ROOT / "e2e").glob("*.py")):
        if path.name == pathlib.Path(__file__).name:
            continue
        text = path.read_text()
        if path.name == "instance.py":
            # `Instance.cli` says where every command finds its instance.
            assert '"--data-dir", str(self.data), *words[1:]' in text
            for flags in found.values():
                flags["--data-dir"] = path.name
        for command in COMMANDS:
            typed = r'"' + r'",\s*"'.join(command.split()) + r'"'
            # `Instance(...)` is `trellis up` with flags.
            if command and (re.search(typed, text) or "Instance(" in text and command == "up"):
                found[command].setdefault("", path.name)
                for flag in re.findall(r"(--[a-z][a-z-]*)", text):
                    found[command].setdefault(flag, path.name)
    return found


@pytest.mark.parametrize("command", COMMANDS[1:])
def test_every_command_and_flag_of_the_help_is_used_by_a_test(command):
    flags, text = shown(command)
    used = uses()[command]
    if "Commands:" not in text:
        assert "" in used, f"no test runs `trellis {command}`"
    missing = sorted(flags - set(used) - {"--help", "--version"})
    assert not missing, f"no test uses these of `trellis {command}`: {missing}"


def test_the_help_shows_every_command():
    _, text = shown("")
    listed = set(re.findall(r"^  ([a-z]+)  ", text.split("Commands:")[1].split("Options:")[0], re.M))
    assert listed - {"help"} == {command for command in COMMANDS if command and " " not in command}


def test_defaults_are_what_the_help_says(own):
    """A host without flags has the limits that the help shows."""
    _, text = shown("run")
    defaults = {name: int(value) for name, value in re.findall(r"--(memory|processes|open-files) <\w+>.*?\[default: (\d+)\]", text, re.S)}
    assert set(defaults) == {"memory", "processes", "open-files"}, text
    _, subnet = own.vpc()
    name = own.host(subnet)
    script = "ulimit -Hn; ulimit -u 2>/dev/null || python3 -c 'import resource; print(resource.getrlimit(resource.RLIMIT_NPROC)[1])'; df -m --output=size /tmp | tail -1"
    files, processes, tmp = map(int, own.inside(name, "bash", "-c", script).stdout.split())
    import resource
    assert files == min(defaults["open-files"], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert processes == defaults["processes"] and tmp == defaults["memory"] // 2
