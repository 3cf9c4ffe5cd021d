"""What README, the docs and --help show is run as it is written.

Every block of commands is in `BLOCKS` with what runs it. That each command and flag of the help has been run is seen at
the end of the whole suite (uses.py); what its defaults are, here.
"""

import json
import os
import pathlib
import re
import resource
import subprocess

import pytest

import uses
from instance import MOUNTS, PYTHON, ROOT, TRELLIS

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
HERE = """trellis up &
eval "$(trellis env)"
"""
A_SUBNET = HERE + """VPC=$(aws ec2 create-vpc --cidr-block 10.0.0.0/16 --query Vpc.VpcId --output text)
SUBNET=$(aws ec2 create-subnet --vpc-id $VPC --cidr-block 10.0.1.0/24 --query Subnet.SubnetId --output text)
"""

# (page, first line of the block) -> what runs it: a test of this file, or one that runs the same by parts.
BLOCKS = {
    ("README.md", "make demo"): "test_what_make_offers_is_what_help_lists_and_what_is_run_where",
    ("README.md", "make build"): "test_the_five_minutes_of_the_readme",
    ("README.md", "A=$(aws ec2"): "test_the_five_minutes_of_the_readme",
    ("README.md", "trellis run -d"): "test_the_five_minutes_of_the_readme",
    ("README.md", "TG=$(aws vpc-lattice"): "test_the_five_minutes_of_the_readme",
    ("README.md", "NAME=$(aws vpc-lattice"): "test_the_five_minutes_of_the_readme",
    ("README.md", "aws vpc-lattice create-listener"): "test_the_five_minutes_of_the_readme",
    ("CONTRIBUTING.md", "make help"): "test_what_make_offers_is_what_help_lists_and_what_is_run_where",
    ("docs/accounts-and-sharing.md", "trellis account create"): "test_the_accounts_and_keys_of_the_docs",
    ("docs/accounts-and-sharing.md", 'eval "$(trellis env)"'): "test_the_share_of_the_docs",
    ("docs/api-endpoint.md", "trellis up --listen-tls"): "test_the_api_over_tls_of_the_docs",
    # A cluster, and a controller beside its API server, take minutes to make: tests of their own make them once.
    ("docs/gateway-api.md", 'eval "$(trellis env)"'): "test_class_and_gateway_are_told_what_they_are",
    ("docs/kubernetes.md", "scripts/kubernetes"): "test_a_node_is_ready_and_says_whose_it_is",
    ("docs/kubernetes.md", "aws eks create-pod-identity"): "test_pods_get_the_credentials_of_the_role_that_is_associated",
    ("docs/kubernetes.md", "make lab-2"): "test_lab_2",
    ("docs/kubernetes.md", "docker save"): "test_a_node_is_ready_and_says_whose_it_is",
    ("docs/hosts.md", "trellis run -d"): "test_the_hosts_of_the_docs",
    ("docs/identity.md", "aws iam create-user"): "test_the_user_and_the_session_of_the_docs",
    ("docs/identity.md", "aws sts assume-role"): "test_the_user_and_the_session_of_the_docs",
    ("docs/identity.md", "trellis run --subnet"): "test_the_host_with_a_role_of_the_docs",
    # A signing proxy and a redirect are of a host that has a service to call.
    ("docs/identity.md", "trellis sign --region"): "test_curl_is_let_in_by_way_of_the_proxy",
    ("docs/identity.md", "trellis sign --install-redirect"): "test_curl_is_let_in_by_way_of_the_redirect",
    ("docs/identity.md", "$ trellis policy explain"): "test_the_explanation_of_the_docs_is_what_is_printed",
    ("docs/identity.md", "trellis policy explain --running"): "test_what_is_explained_is_what_the_service_does",
    ("docs/identity.md", "$ trellis policy replay"): "test_the_log_of_what_came_is_replayed",
    ("docs/ipv6.md", "VPC=$(aws ec2"): "test_the_ipv6_of_the_docs",
    ("docs/names-and-certificates.md", "aws route53"): "test_the_private_zone_of_the_docs",
}
A_COMMAND = re.compile(r"^(\$ )?(aws|trellis|make|eval|curl|\w+=\$\()\b", re.M)


def blocks(page, heading=None):
    """The code blocks of a page, or of one section of it."""
    text = (ROOT / page).read_text()
    if heading:
        text = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)


def block(page, begins):
    [found] = [text for text in blocks(page) if text.startswith(begins)]
    return found


def run_as_written(directory, script, timeout=180, hosts=()):
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
    names = ""
    if hosts:
        (directory / "hosts").write_text("127.0.0.1 localhost " + " ".join(hosts) + "\n")
        names = f"mount --bind {directory / 'hosts'} /etc/hosts\n"
    whose = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    done = subprocess.run(
        ["unshare", *whose, "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "bash", "-c",
         names + AS_A_USER + script + "\nkill -TERM $! && wait $!\n"],
        cwd=home, env=environment, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_every_block_of_commands_is_run_by_a_test():
    import sys
    sys.path.insert(0, str(ROOT / "e2e/botocore"))
    import tests_of
    index, found = tests_of.index(), set()
    for page in ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]:
        for text in blocks(page):
            if A_COMMAND.search(text):
                named = [key for key in BLOCKS if key[0] == page and text.startswith(key[1])]
                assert len(named) == 1, f"no test is named for the block of {page} that begins with\n{text[:200]}"
                found.update(named)
    assert found == set(BLOCKS), f"not in the docs any more: {set(BLOCKS) - found}"
    unknown = set(BLOCKS.values()) - set(index)
    assert not unknown, f"no test is called {unknown}"


def test_the_five_minutes_of_the_readme(tmp_path):
    build, *tour = blocks("README.md", "Five minutes")
    build = re.sub(r"^(make build|export PATH=.*)\n", "", build, flags=re.M)
    out = run_as_written(tmp_path, build + "".join(tour))
    assert "trellis is ready: http://127.0.0.1:4560" in out
    assert out.count("<title>Directory listing for /</title>") == 2, out
    assert '"responseCode":200' in out.replace(" ", ""), out
    assert re.search(r"^web +i-[0-9a-f]{17} +running +10\.0\.1\.10 ", out, re.M), out
    assert out.rstrip().endswith("web\nclient"), out


FIRST_KEY = """$(trellis key list --account team-b --json |
    python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["access_key_id"])')"""


def test_the_accounts_and_keys_of_the_docs(tmp_path):
    accounts = block("docs/accounts-and-sharing.md", "trellis account create")
    assert "trellis key delete AKIA..." in accounts
    out = run_as_written(tmp_path, HERE + accounts.replace("AKIA...", FIRST_KEY) + "trellis account list --json\n")
    assert "team-b" in out and out.count("aws_secret_access_key = ") == 1, out
    left = json.loads(out[out.rindex("\n["):])
    assert [account for account in left if account.get("name") == "team-b"] == [], left


def test_the_share_of_the_docs(tmp_path):
    accounts, share = blocks("docs/accounts-and-sharing.md")[:2]
    # The page ends the account that the next block shares with.
    lines = [line for line in accounts.splitlines() if not line.startswith(("trellis key delete", "trellis account delete"))]
    out = run_as_written(tmp_path, HERE + "\n".join(lines) + "\n" + share)
    assert "team-b" in out and "snva-" in out, out


def test_the_api_over_tls_of_the_docs(tmp_path):
    up, *call = block("docs/api-endpoint.md", "trellis up --listen-tls").splitlines(keepends=True)
    script = up.rstrip() + ' &\neval "$(trellis env)"\n' + "".join(call)
    out = run_as_written(tmp_path, script, hosts=["trellis.example.com"])
    assert '"Account": "111122223333"' in out, out


def test_the_hosts_of_the_docs(tmp_path):
    begin = A_SUBNET + "mkdir site; echo the site >site/index.html\n"
    out = run_as_written(tmp_path, begin + block("docs/hosts.md", "trellis run -d") + "trellis exec web -- curl -sS http://127.0.0.1:8080/\n")
    assert "DEBUG=1\n" in out and "the site\n" in out, out


def test_the_ipv6_of_the_docs(tmp_path):
    out = run_as_written(tmp_path, HERE + block("docs/ipv6.md", "VPC=$(aws ec2") + """trellis ps
trellis exec other -- curl -gsS http://[$(trellis exec web -- hostname -I | tr ' ' '\\n' | grep :)]:8080/
""")
    assert re.search(r"^other +i-\w+ +running +10\.0\.1\.\d+ +fdab:cdef:1234:5601::10 ", out, re.M), out
    assert "<title>Directory listing for /</title>" in out, out


TRUSTED = """aws iam create-role --role-name %s --assume-role-policy-document \
'{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":%s,"Action":"sts:AssumeRole"}}' >/dev/null
"""


def test_the_user_and_the_session_of_the_docs(tmp_path):
    out = run_as_written(
        tmp_path, HERE + block("docs/identity.md", "aws iam create-user")
        + TRUSTED % ("deploy", '{"AWS":"arn:aws:iam::111122223333:user/admin"}')
        + block("docs/identity.md", "aws sts assume-role"))
    assert '"Arn": "arn:aws:iam::111122223333:user/cart"' in out and '"SecretAccessKey"' in out, out
    assert '"Arn": "arn:aws:sts::111122223333:assumed-role/deploy/ann"' in out, out


def test_the_host_with_a_role_of_the_docs(tmp_path):
    # The AWS CLI is where a host of the tests sees it, and not where a package would put it.
    run = block("docs/identity.md", "trellis run --subnet")
    run = run.replace(" --name", f" {' '.join(MOUNTS)} --name").replace("-- aws ", f"-- {pathlib.Path(PYTHON).with_name('aws')} ")
    out = run_as_written(tmp_path, A_SUBNET + TRUSTED % ("app", '{"Service":"ec2.amazonaws.com"}') + """
aws iam create-instance-profile --instance-profile-name app >/dev/null
aws iam add-role-to-instance-profile --instance-profile-name app --role-name app
""" + run)
    assert re.search(r'"Arn": "arn:aws:sts::111122223333:assumed-role/app/i-[0-9a-f]{17}"', out), out


def test_the_private_zone_of_the_docs(tmp_path):
    create, rest = block("docs/names-and-certificates.md", "aws route53").split("aws route53 change", 1)
    create = "ZONE=$(" + create.rstrip() + " --query HostedZone.Id --output text)\n"
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": {
        "Name": "server.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "10.0.1.77"}]}}]}
    begin = A_SUBNET + "trellis run -d --subnet $SUBNET --name web -- sleep infinity\n"
    out = run_as_written(tmp_path, begin + f"echo '{json.dumps(batch)}' >batch.json\n" + create + "aws route53 change" + rest)
    assert re.search(r"^10\.0\.1\.77 +STREAM", out, re.M), out


def test_the_explanation_of_the_docs_is_what_is_printed(tmp_path):
    text = block("docs/identity.md", "$ trellis policy explain")
    command, expected = re.fullmatch(r"\$ (.*?[^\\])\n(.*)", text, re.S).groups()
    statement = {"Effect": "Allow", "Principal": "*", "Action": "vpc-lattice-svcs:Invoke", "Resource": "*"}
    team = {"Sid": "Team", **statement, "Condition": {"StringEquals": {"aws:PrincipalTag/team": ["red"]}}}
    del statement["Principal"]
    for name, statements in [("cart.json", [team]), ("role.json", [statement])]:
        (tmp_path / name).write_text(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    done = subprocess.run(["bash", "-c", f'trellis() {{ "{TRELLIS}" "$@"; }}\n{command}'], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == expected, done.stdout + done.stderr


# What runs each target of make; `scripts/test` is what CI runs.
MAKE = {
    "help": "here", "build": "scripts/test", "check": "scripts/test", "test": "CI",
    "lab-2": "e2e/test_labs.py", "lab-3": "e2e/test_labs.py",
    # Each runs for minutes or hours, with what the machine has to have for it: by people, before a release.
    "demo": "by hand", "demo-identity": "by hand", "soak": "by hand", "bench": "by hand", "bench-protocols": "by hand", "bench-dns": "by hand",
    "bench-control": "by hand", "fuzz": "by hand",
}


def test_what_make_offers_is_what_help_lists_and_what_is_run_where():
    listed = subprocess.run(["make", "-s", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z0-9-]+) ", listed, re.M)
    assert set(targets) == set(MAKE)
    everywhere = (ROOT / "scripts/test").read_text()
    for target, where in MAKE.items():
        recipe = subprocess.run(["make", "-n", "--no-print-directory", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        if where == "scripts/test":
            assert all(line in everywhere for line in recipe.splitlines()), f"{target}: {recipe}"
        for script in re.findall(r"(?<![\w/])(?:scripts|labs)/[\w-]+", recipe):
            assert subprocess.run(["bash", "-n", script], cwd=ROOT).returncode == 0, script
    assert "exec make test" in (ROOT / ".ci/run").read_text()
    for page in ("README.md", "CONTRIBUTING.md"):
        shown = set(re.findall(r"^make ([a-z0-9-]+)", "\n".join(blocks(page)), re.M))
        assert shown <= set(MAKE), f"{page}: {shown}"


def test_commands_are_found_in_the_help():
    assert {"up", "run", "exec", "sign", "account create", "key list", "policy explain"} <= set(uses.commands(TRELLIS))


def defaults(command):
    """Flag -> the default that help shows."""
    text = subprocess.run([TRELLIS, *command.split(), "--help"], capture_output=True, text=True, check=True).stdout
    options = re.split(r"\n(?= +(?:-[a-z], )?--[a-z])", text)
    found = {}
    for option in options:
        flag, default = re.search(r"--[a-z][a-z-]*", option), re.search(r"\[default:\s+((?:[^\[\]]|\[::1\])*)\]", option)
        if flag and default:
            found[flag[0]] = " ".join(default[1].split())
    return found


# Commands whose defaults are observed one by one; those of the controller are its own.
SHOWN = ("up", "run", "sign", "policy explain", "kube")


def test_defaults_of_an_installation_are_what_the_help_says(tmp_path):
    assert defaults("up") == {
        "--data-dir": "./.trellis", "--listen": "127.0.0.1:4560", "--metrics-listen": "127.0.0.1:4561", "--workers": "0",
        "--client-memory-mib": "1024", "--log-spool-mib": "1024", "--drain-seconds": "30",
        # What the second leads to, test_eks.py runs.
        "--dns-listen": "nowhere", "--kubernetes": "what scripts/kubernetes built"}
    out = run_as_written(tmp_path, """trellis up 2>log &
eval "$(trellis env)"
curl -sS http://127.0.0.1:4561/metrics | grep '^trellis_proxy_workers '
echo processors $(nproc)
ls .trellis/state.redb
ss -Hltun | awk '{print "listens", $5}' | sort
grep 'how long it waits at its end' log | sed 's/\\x1b\\[[0-9;]*m//g'
""")
    assert "trellis is ready: http://127.0.0.1:4560\n" in out
    assert re.search(r"^trellis_proxy_workers (\d+)\nprocessors \1$", out, re.M), out
    assert ".trellis/state.redb" in out
    assert re.findall(r"^listens (\S+)$", out, re.M) == ["127.0.0.1:4560", "127.0.0.1:4561"], out
    for value in ("client_memory_mib=1024", "log_spool_mib=1024", "drain_seconds=30"):
        assert value in out, out


def test_defaults_of_the_signing_proxy_are_what_the_help_says(tmp_path):
    assert defaults("sign") == {"--listen": "127.0.0.1:8080 [::1]:8080", "--metrics-listen": "127.0.0.1:8081", "--workers": "1",
                                "--drain-seconds": "30"}
    out = run_as_written(tmp_path, """export AWS_ACCESS_KEY_ID=AKIAEXAMPLEEXAMPLE AWS_SECRET_ACCESS_KEY=secret
command trellis sign --region us-east-1 &
for _ in $(seq 100); do [ "$(ss -Htln | wc -l)" = 3 ] && break; sleep 0.1; done
ss -Htln | awk '{print "listens", $4}' | sort
""")
    assert re.findall(r"^listens (\S+)$", out, re.M) == ["127.0.0.1:8080", "127.0.0.1:8081", "[::1]:8080"], out


def test_defaults_of_explanations_are_what_the_help_says(tmp_path):
    assert defaults("policy explain") == {
        "--caller": "anonymous", "--path": "/", "--method": "GET", "--data-dir": "./.trellis"}
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": "*", "Action": "vpc-lattice-svcs:Invoke", "Resource": "*",
        "Condition": {"StringEquals": {"vpc-lattice-svcs:RequestMethod": "GET", "vpc-lattice-svcs:RequestPath": "/"}}}}))
    service = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0"
    words = [TRELLIS, "policy", "explain", "--service-policy", str(policy), "--service", service]
    given = ["--caller", "anonymous", "--path", "/", "--method", "GET"]
    said = [subprocess.run([*words, *flags], capture_output=True, text=True).stdout for flags in ([], given)]
    assert said[0] == said[1] and said[0].splitlines()[0].startswith("anonymous") and "allowed" in said[0], said
    other = subprocess.run([*words, "--method", "POST"], capture_output=True, text=True).stdout
    assert "denied" in other, other
    nowhere = subprocess.run([TRELLIS, "policy", "explain", "--running", "--service", "cart"], cwd=tmp_path, capture_output=True, text=True)
    assert nowhere.returncode and f"no Trellis is running on {tmp_path}/.trellis" in nowhere.stderr, nowhere


def test_defaults_of_a_host_are_what_the_help_says(own):
    """A host without flags has the limits that the help shows."""
    shown = {flag: value for flag, value in defaults("run").items() if flag != "--data-dir"}
    assert set(shown) == {"--memory", "--processes", "--open-files"}, shown
    _, subnet = own.vpc()
    name = own.host(subnet)
    script = "ulimit -Hn; ulimit -u 2>/dev/null || python3 -c 'import resource; print(resource.getrlimit(resource.RLIMIT_NPROC)[1])'; df -m --output=size /tmp | tail -1"
    files, processes, tmp = map(int, own.inside(name, "bash", "-c", script).stdout.split())
    assert files == min(int(shown["--open-files"]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert processes == int(shown["--processes"]) and tmp == int(shown["--memory"]) // 2


@pytest.mark.parametrize("command", [command for command in uses.commands(TRELLIS) if command not in SHOWN])
def test_every_other_command_has_the_one_default_of_where_its_installation_is(command):
    """Which the tour of the README relies on: none of its commands says where."""
    assert defaults(command) in ({"--data-dir": "./.trellis"}, {})
