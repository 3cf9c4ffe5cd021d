"""`trellis policy explain --running` and `replay` of what really came: the policies in force and the log of requests,
beside what services answered."""

import json

import pytest

from instance import eventually, forward, unique

ACCOUNT = "111122223333"
REGION = "us-east-1"
INVOKE = "vpc-lattice-svcs:Invoke"


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": INVOKE, "Resource": "*", **statement} for statement in statements]})


@pytest.fixture(scope="module")
def shop(shared):
    """A service and a network with AWS_IAM; a role at a path that is let in by its tag and the service's."""

    class Shop:
        pass

    world = Shop()
    iam, lattice = shared.client("iam"), shared.lattice
    provider, provider_subnet = shared.vpc()
    consumer, consumer_subnet = shared.vpc()
    shared.web(provider_subnet, "10.0.1.10", "one")
    world.client = shared.host(consumer_subnet)
    world.service, _, name = shared.service(forward(shared.group(provider, "10.0.1.10")))
    world.url = f"http://{name}"
    world.network = shared.network([consumer], [world.service])
    service = lattice.get_service(serviceIdentifier=world.service)
    world.arn, world.service_name = service["arn"], service["name"]
    lattice.tag_resource(resourceArn=world.arn, tags={"stage": "test"})
    lattice.update_service(serviceIdentifier=world.service, authType="AWS_IAM")
    lattice.put_auth_policy(resourceIdentifier=world.service, policy=policy(
        {"Sid": "Team", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Condition": {"StringEquals": {
            "aws:PrincipalTag/team": "red", "aws:ResourceTag/stage": "test"}}}))
    world.role = unique("role")
    arn = iam.create_role(
        RoleName=world.role, Path="/teams/", Tags=[{"Key": "team", "Value": "red"}],
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}]}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=world.role, PolicyName="a+b", PolicyDocument=policy(
        {"Condition": {"ArnLike": {"aws:PrincipalArn": arn}}, "Resource": ["*/open", "*/bounded"]}))
    bound = iam.create_policy(PolicyName=unique("bound"), PolicyDocument=policy(
        {}, {"Effect": "Deny", "Resource": "*/bounded"}))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=world.role, PermissionsBoundary=bound)
    world.role_arn = arn
    world.keys = shared.client("sts").assume_role(RoleArn=arn, RoleSessionName="ann")["Credentials"]
    world.caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/{world.role}/ann"
    eventually(lambda: call(shared, world, "/open") == 200, what="the policies in force")
    return world


def call(shared, shop, path):
    keys = shop.keys
    return shared.status(
        shop.client, shop.url + path, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
        "-H", f"x-amz-security-token: {keys['SessionToken']}", "--aws-sigv4", f"aws:amz:{REGION}:vpc-lattice-svcs",
        "-u", f"{keys['AccessKeyId']}:{keys['SecretAccessKey']}")


def explain(shared, shop, *words, caller=None):
    return shared.cli("policy", "explain", "--running", "--service", shop.service_name, "--caller", caller or shop.caller,
                      *words, check=False)


@pytest.mark.parametrize("path, status, verdict", [
    ("/open", 200, "allowed"),
    ("/closed", 403, f"denied because no identity-based policy allows the {INVOKE} action"),
    ("/bounded", 403, "denied with an explicit deny in a identity-based policy")])
def test_what_is_explained_is_what_the_service_does(shared, shop, path, status, verdict):
    assert call(shared, shop, path) == status
    done = explain(shared, shop, "--path", path)
    assert done.stdout.endswith(f"\n{verdict}\n"), done
    assert done.returncode == (0 if status == 200 else 1)
    assert f"service-based: {shop.service_name}\n  statement 1 (Team) allows\n" in done.stdout
    assert f"identity-based: role {shop.role}, a+b\n" in done.stdout and "permissions boundary arn:aws:iam::" in done.stdout
    assert "not looked at: session policies, service control policies" in done.stdout


def test_a_file_stands_for_what_is_in_force_and_nobody_is_told_who_is_not_there(shared, shop, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(policy({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{shop.role}"}}))
    done = explain(shared, shop, "--path", "/open", "--service-policy", str(other))
    assert "statement 1 does not apply: it is not about this caller" in done.stdout and done.returncode == 1, done
    done = explain(shared, shop, "--path", "/open", caller="anonymous")
    assert done.returncode == 1 and "identity-based" not in done.stdout, done
    done = explain(shared, shop, "--path", "/open", "--account", ACCOUNT, "--network", shop.network)
    assert done.returncode == 0, done
    done = explain(shared, shop, "--path", "/open", "--network", "sn-0123456789abcdef0")
    assert done.returncode and "sn-0123456789abcdef0" in done.stderr, done
    done = explain(shared, shop, caller=f"arn:aws:sts::{ACCOUNT}:assumed-role/nobody/x")
    assert "there is no role nobody in the account" in done.stderr, done


def test_the_log_of_what_came_is_replayed(shared, shop, tmp_path):
    assert call(shared, shop, "/open") == 200
    new = tmp_path / "new.json"
    new.write_text(policy({"Principal": {"AWS": shop.role_arn}, "Condition": {"StringEquals": {"aws:PrincipalTag/team": "blue"}}}))
    log = str(shared.data / "access-logs/access.log")

    def replay(*words):
        done = shared.cli("policy", "replay", "--service", shop.service, "--service-policy", str(new), "--json", *words, log,
                          check=False)
        return json.loads(done.stdout)

    eventually(lambda: replay()["groups"], what="the request in the log")
    told = replay()
    assert told["lines"]["malformed"] == 0, told
    group = next(group for group in told["groups"] if group["path"] == "/open" and group["was"] == "allowed")
    assert (group["is"], group["caller"]) == ("denied", f"arn:aws:sts::{ACCOUNT}:assumed-role/{shop.role}/*"), group
    new.write_text(policy({"Principal": {"AWS": shop.role_arn}, "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}}))
    assert any("path of the caller's role" in missing for group in replay()["groups"] for missing in group.get("missing", ()))
    principals = tmp_path / "principals"
    principals.write_text(shop.role_arn + "\n")
    told = replay("--principals", str(principals))
    assert told["groups"] == [] and told["same"]["allowed"] >= 1, told
