"""`trellis policy lint`, `explain` and `replay`: what files of policies mean, without an installation."""

import json
import subprocess

import pytest

from instance import TRELLIS

SERVICE = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0"


def policy(path, *statements):
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "vpc-lattice-svcs:Invoke", "Resource": "*", **statement} for statement in statements]}))
    return str(path)


def trellis(*words):
    return subprocess.run([TRELLIS, *words], capture_output=True, text=True)


@pytest.fixture
def layers(tmp_path):
    network = policy(tmp_path / "network.json", {"Principal": "*", "Condition": {"StringEquals": {
        "vpc-lattice-svcs:SourceVpc": "vpc-0123", "vpc-lattice-svcs:RequestMethod": "POST",
        "vpc-lattice-svcs:RequestHeader/color": "green", "aws:PrincipalOrgID": "o-abcdefghij"}}})
    service = policy(tmp_path / "service.json", {
        "Sid": "Team", "Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}})
    identity = policy(tmp_path / "identity.json", {})

    def explain(team):
        return trellis(
            "policy", "explain", "--network-policy", network, "--service-policy", service, "--identity-policy", identity,
            "--caller", "arn:aws:sts::111122223333:assumed-role/app/session", "--role",
            "arn:aws:iam::111122223333:role/teams/app", "--caller-tag", f"team={team}", "--organization", "o-abcdefghij",
            "--service", SERVICE, "--path", "/items?x=1", "--method", "POST", "--header", "color=green",
            "--key", "vpc-lattice-svcs:SourceVpc=vpc-0123")

    return explain


def test_explain_says_that_every_layer_allows(layers):
    done = layers("red")
    assert done.returncode == 0 and done.stdout.endswith("allowed\n"), done


def test_explain_names_the_statement_that_does_not_apply_and_the_layer_that_denies(layers):
    done = layers("blue")
    assert done.returncode == 1, done
    assert 'statement 1 (Team) does not apply: StringEquals aws:PrincipalTag/team wants ["red"], and it is ["blue"]' in done.stdout
    assert done.stdout.endswith("denied because no service-based policy allows the vpc-lattice-svcs:Invoke action\n")


def test_lint_finds_a_principal_that_is_not_there(tmp_path):
    gone = policy(tmp_path / "gone.json", {"Principal": {"AWS": "arn:aws:iam::111122223333:role/gone"}})
    (tmp_path / "principals").write_text("arn:aws:iam::111122223333:role/app\n")
    done = trellis("policy", "lint", "--principals", str(tmp_path / "principals"), gone)
    assert done.returncode == 1 and 'there is no principal "arn:aws:iam::111122223333:role/gone"' in done.stdout, done
    # Where an installation is makes no difference to files.
    assert trellis("policy", "lint", "--data-dir", str(tmp_path / "nowhere"), gone).returncode == 0


@pytest.mark.parametrize("layer, words", [
    ("service-based", ["--service", SERVICE.rsplit("/")[-1], "--service-policy"]),
    ("network-based", ["--network", "sn-0123456789abcdef0", "--network-policy"]),
    ("identity-based", ["--identity", "arn:aws:iam::111122223333:role/app", "--identity-policy"])])
def test_replay_names_whom_a_changed_policy_would_shut_out(tmp_path, layer, words):
    whom = {} if layer == "identity-based" else {"Principal": "*"}
    new = policy(tmp_path / "new.json", {**whom, "Condition": {"StringEquals": {"vpc-lattice-svcs:RequestMethod": "GET"}}})
    line = {"startTime": "2026-01-02T03:04:05Z", "requestMethod": "PUT", "serviceArn": SERVICE, "authDeniedReason": "-",
            "serviceNetworkArn": "arn:aws:vpc-lattice:us-east-1:111122223333:servicenetwork/sn-0123456789abcdef0",
            "resolvedUser": "arn:aws:sts::111122223333:assumed-role/app/session"}
    lines = "".join(json.dumps({**line, "requestPath": f"/items/{number}"}) + "\n" for number in range(3))
    words = ["policy", "replay", *words, new, "--json", "-"]
    done = subprocess.run([TRELLIS, *words], input=lines + "no line\n", capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert done.returncode == 1 and told["lines"] == {"read": 4, "others": 0, "malformed": 1}, done
    assert told["groups"] == [{"caller": "arn:aws:sts::111122223333:assumed-role/app/*", "count": 3, "is": "denied",
                               "layer": layer, "method": "PUT", "path": "/items/*", "was": "allowed"}], told
