"""Identities: users made by the API call services and the API as their policies say, by clients that are not ours."""

import json
import subprocess
import time

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from instance import PYTHON, TRELLIS, eventually, forward, unique

SERVICE = "vpc-lattice-svcs"
REGION = "us-east-1"
ACCOUNT = "111122223333"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}]})


def policy(action, resource="*", effect="Allow", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": effect, "Action": action, "Resource": resource, **more}]})


class User:
    """A user with a key, and clients that sign with it."""

    def __init__(self, shared, name=None, path="/"):
        self.shared = shared
        self.iam = shared.client("iam")
        self.name = name or unique("user")
        self.arn = self.iam.create_user(UserName=self.name, Path=path)["User"]["Arn"]
        self.key = self.iam.create_access_key(UserName=self.name)["AccessKey"]

    def may(self, document, name="own"):
        self.iam.put_user_policy(UserName=self.name, PolicyName=name, PolicyDocument=document)

    def client(self, service):
        return boto3.session.Session().client(
            service, region_name=REGION, endpoint_url=self.shared.endpoint,
            aws_access_key_id=self.key["AccessKeyId"], aws_secret_access_key=self.key["SecretAccessKey"],
            config=botocore.config.Config(retries={"total_max_attempts": 1}))

    def refused(self, service, operation, **members):
        """Code and message."""
        with pytest.raises(ClientError) as caught:
            getattr(self.client(service), operation)(**members)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def shop(shared):
    """A service with AWS_IAM whose policy lets every caller of the account in."""

    class Shop:
        pass

    world = Shop()
    provider, provider_subnet = shared.vpc()
    consumer, consumer_subnet = shared.vpc()
    shared.web(provider_subnet, "10.0.1.10", "one")
    world.client = shared.host(consumer_subnet, ip="10.0.1.10")
    world.service, _, world.name = shared.service(forward(shared.group(provider, "10.0.1.10")))
    shared.network([consumer], [world.service])
    world.arn = shared.lattice.get_service(serviceIdentifier=world.service)["arn"]
    world.url = f"http://{world.name}"
    shared.lattice.update_service(serviceIdentifier=world.service, authType="AWS_IAM")
    shared.lattice.put_auth_policy(resourceIdentifier=world.service, policy=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                       "Action": "vpc-lattice-svcs:Invoke", "Resource": "*"}]}))
    return world


def call(shared, shop, key, path="/"):
    """Status and body of a request that curl itself signs."""
    out = shared.curl(
        shop.client, shop.url + path, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-w", "\n%{http_code}",
        "--aws-sigv4", f"aws:amz:{REGION}:{SERVICE}", "--user", f"{key['AccessKeyId']}:{key['SecretAccessKey']}")
    body, _, status = out.rpartition("\n")
    return int(status), body


def denied(user, shop, path, tail):
    return (f"AccessDeniedException: User: {user.arn} is not authorized to perform: vpc-lattice-svcs:Invoke "
            f"on resource: {shop.arn}{path} {tail}")


def becomes(shared, shop, user, expected, path="/"):
    """The answer is `expected` within moments of the change; how long it took, in ms."""
    begin = time.monotonic()
    eventually(lambda: call(shared, shop, user.key, path)[0] == expected, what=f"status {expected}")
    return (time.monotonic() - begin) * 1000


def test_a_user_calls_a_service_as_its_policies_say_and_is_told_why_not(shared, shop):
    user = User(shared, path="/team/")
    missing = "because no identity-based policy allows the vpc-lattice-svcs:Invoke action"
    becomes(shared, shop, user, 403, "/rates")
    assert call(shared, shop, user.key, "/rates") == (403, denied(user, shop, "/rates", missing))

    user.may(policy("vpc-lattice-svcs:Invoke", f"{shop.arn}/rates*"))
    becomes(shared, shop, user, 200, "/rates")
    seen = dict(json.loads(call(shared, shop, user.key, "/rates")[1])["headers"])
    assert seen["x-amzn-lattice-identity"].startswith(f"Principal={user.arn}; ")
    assert call(shared, shop, user.key, "/other")[0] == 403

    user.may(policy("vpc-lattice-svcs:Invoke", effect="Deny"), "never")
    becomes(shared, shop, user, 403, "/rates")
    explicit = "with an explicit deny in a identity-based policy"
    assert call(shared, shop, user.key, "/rates") == (403, denied(user, shop, "/rates", explicit))
    user.iam.delete_user_policy(UserName=user.name, PolicyName="never")
    becomes(shared, shop, user, 200, "/rates")


def test_groups_managed_policies_boundaries_and_keys_are_in_force_on_live_traffic(shared, shop):
    user = User(shared)
    iam = user.iam
    group, invoke = unique("group"), "arn:aws:iam::aws:policy/VPCLatticeServicesInvokeAccess"
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=user.name)
    iam.attach_group_policy(GroupName=group, PolicyArn=invoke)
    becomes(shared, shop, user, 200)
    iam.put_user_permissions_boundary(
        UserName=user.name, PermissionsBoundary="arn:aws:iam::aws:policy/IAMReadOnlyAccess")
    becomes(shared, shop, user, 403)
    iam.delete_user_permissions_boundary(UserName=user.name)
    becomes(shared, shop, user, 200)
    own = iam.create_policy(PolicyName=unique("policy"), PolicyDocument=policy("vpc-lattice-svcs:Invoke"))["Policy"]
    iam.attach_user_policy(UserName=user.name, PolicyArn=own["Arn"])
    iam.detach_group_policy(GroupName=group, PolicyArn=invoke)
    becomes(shared, shop, user, 200)
    iam.create_policy_version(
        PolicyArn=own["Arn"], PolicyDocument=policy("s3:GetObject"), SetAsDefault=True)
    becomes(shared, shop, user, 403)
    iam.set_default_policy_version(PolicyArn=own["Arn"], VersionId="v1")
    becomes(shared, shop, user, 200)
    iam.update_access_key(UserName=user.name, AccessKeyId=user.key["AccessKeyId"], Status="Inactive")
    becomes(shared, shop, user, 403)
    assert call(shared, shop, user.key)[1].startswith("UnrecognizedClientException: ")
    iam.update_access_key(UserName=user.name, AccessKeyId=user.key["AccessKeyId"], Status="Active")
    becomes(shared, shop, user, 200)


def test_the_api_allows_and_denies_every_service_by_the_same_policies(shared):
    user = User(shared)
    assert user.client("sts").get_caller_identity()["Arn"] == user.arn
    code, message = user.refused("vpc-lattice", "create_service_network", name=unique("sn"))
    assert (code, message) == ("AccessDeniedException", (
        f"User: {user.arn} is not authorized to perform: vpc-lattice:CreateServiceNetwork on resource: "
        f"arn:aws:vpc-lattice:{REGION}:{ACCOUNT}:servicenetwork/* "
        "because no identity-based policy allows the vpc-lattice:CreateServiceNetwork action"))
    code, message = user.refused("ec2", "describe_vpcs")
    assert (code, message.partition(". Encoded authorization failure message: ")[0]) == ("UnauthorizedOperation", (
        f"You are not authorized to perform this operation. User: {user.arn} is not authorized to perform: "
        "ec2:DescribeVpcs because no identity-based policy allows the ec2:DescribeVpcs action"))
    assert user.refused("iam", "list_users")[0] == "AccessDenied"

    user.iam.attach_user_policy(UserName=user.name, PolicyArn="arn:aws:iam::aws:policy/VPCLatticeFullAccess")
    network = user.client("vpc-lattice").create_service_network(name=unique("sn"), tags={"team": "a"})
    user.client("ec2").describe_vpcs()
    assert user.refused("ec2", "create_vpc", CidrBlock="10.0.0.0/16")[0] == "UnauthorizedOperation"
    assert user.refused("iam", "list_users")[0] == "AccessDenied"

    # What the resource and the call are tagged with.
    user.iam.detach_user_policy(UserName=user.name, PolicyArn="arn:aws:iam::aws:policy/VPCLatticeFullAccess")
    user.may(policy("vpc-lattice:*", Condition={"StringEquals": {"aws:ResourceTag/team": "a"}}))
    user.client("vpc-lattice").get_service_network(serviceNetworkIdentifier=network["id"])
    other = shared.lattice.create_service_network(name=unique("sn"))
    code, _ = user.refused("vpc-lattice", "get_service_network", serviceNetworkIdentifier=other["id"])
    assert code == "AccessDeniedException"
    user.may(policy(["vpc-lattice:CreateServiceNetwork", "vpc-lattice:TagResource"], Condition={
        "StringEquals": {"aws:RequestTag/team": "a", "vpc-lattice:AuthType": "AWS_IAM"}}))
    made = user.client("vpc-lattice").create_service_network(name=unique("sn"), authType="AWS_IAM", tags={"team": "a"})
    for members in ({"authType": "NONE", "tags": {"team": "a"}}, {"authType": "AWS_IAM", "tags": {"team": "b"}}):
        assert user.refused("vpc-lattice", "create_service_network", name=unique("sn"), **members)[0] == code
    # A creation with tags tags as well.
    user.may(policy("vpc-lattice:CreateServiceNetwork"))
    _, message = user.refused("vpc-lattice", "create_service_network", name=unique("sn"), tags={"team": "a"})
    assert "vpc-lattice:TagResource" in message
    for one in (network, other, made):
        shared.lattice.delete_service_network(serviceNetworkIdentifier=one["id"])


def test_the_aws_cli_makes_users_roles_and_policies(shared):
    name = unique("role")
    trust = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"},
         "Action": ["sts:AssumeRole", "sts:TagSession"]}]})
    role = shared.aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", trust)["Role"]
    assert role["AssumeRolePolicyDocument"] == json.loads(trust)
    arn = "arn:aws:iam::aws:policy/VPCLatticeServicesInvokeAccess"
    shared.aws("iam", "attach-role-policy", "--role-name", name, "--policy-arn", arn)
    attached = shared.aws("iam", "list-attached-role-policies", "--role-name", name)["AttachedPolicies"]
    assert attached == [{"PolicyName": "VPCLatticeServicesInvokeAccess", "PolicyArn": arn}]
    shared.aws("iam", "wait", "role-exists", "--role-name", name)
    found = [one["RoleName"] for one in shared.aws("iam", "list-roles", "--page-size", "1")["Roles"]]
    assert name in found
    simulated = shared.aws("iam", "simulate-principal-policy", "--policy-source-arn", role["Arn"],
                           "--action-names", "vpc-lattice-svcs:Invoke", "s3:GetObject")["EvaluationResults"]
    assert [one["EvalDecision"] for one in simulated] == ["allowed", "implicitDeny"]
    in_use = shared.aws("iam", "delete-role", "--role-name", name, check=False)
    assert "(DeleteConflict)" in in_use.stderr
    shared.aws("iam", "detach-role-policy", "--role-name", name, "--policy-arn", arn)
    shared.aws("iam", "delete-role", "--role-name", name)


def test_a_policy_that_is_none_is_refused_by_code_with_the_reason(shared):
    iam = shared.client("iam")
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException, match="statement 1: .*Effect|Effct"):
        iam.create_policy(PolicyName=unique("policy"), PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effct": "Allow", "Action": "*", "Resource": "*"}]}))


def test_policies_see_the_address_a_call_comes_from(shared):
    user = User(shared)
    user.may(policy("vpc-lattice:ListServices", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}))
    user.client("vpc-lattice").list_services()
    user.may(policy("vpc-lattice:ListServices", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))
    assert user.refused("vpc-lattice", "list_services")[0] == "AccessDeniedException"


# Asks again and again over one connection with one signature; a line for each answer: when, and what.
ASKER = """
import http.client, sys, time
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
name, key, secret, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
request = AWSRequest("GET", f"http://{name}/", headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
SigV4Auth(Credentials(key, secret), "vpc-lattice-svcs", "us-east-1").add_auth(request)
headers = dict(request.prepare().headers.items())
connection = http.client.HTTPConnection(name, timeout=10)
end = time.monotonic() + seconds
while time.monotonic() < end:
    connection.request("GET", "/", headers=headers)
    answer = connection.getresponse()
    answer.read()
    print(time.monotonic(), answer.status, flush=True)
    time.sleep(0.001)
"""


def test_a_change_reaches_live_traffic_and_drops_nothing(shared, shop, capsys):
    """How long from the answer of the API to the last answer by what was before; printed, for machines differ."""
    user = User(shared)
    user.may(policy("vpc-lattice-svcs:Invoke"))
    becomes(shared, shop, user, 200)
    key, changes = user.key, []

    def change(what, work, status):
        work()
        changes.append((what, time.monotonic(), status))
        time.sleep(0.5)

    role = unique("spare")
    words = ["exec", "--data-dir", str(shared.data), shop.client, "--", PYTHON, "-c", ASKER, shop.name, key["AccessKeyId"], key["SecretAccessKey"], "5"]
    with subprocess.Popen([*shared.prefix, TRELLIS, *words], stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout.readline().endswith(" 200\n")
        change("a policy denies", lambda: user.may(policy("vpc-lattice-svcs:Invoke", effect="Deny"), "never"), 403)
        change("it is gone", lambda: user.iam.delete_user_policy(UserName=user.name, PolicyName="never"), 200)
        change("a key is off", lambda: user.iam.update_access_key(UserName=user.name, AccessKeyId=key["AccessKeyId"], Status="Inactive"), 403)
        change("it is on", lambda: user.iam.update_access_key(UserName=user.name, AccessKeyId=key["AccessKeyId"], Status="Active"), 200)
        change("a role is made", lambda: user.iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST), 200)
        answers = [(float(at), int(status)) for at, status in (line.split() for line in asking.stdout)]
    assert asking.returncode == 0 and {status for _, status in answers} == {200, 403}, "every request was answered"
    assert len(answers) > 100
    for index, (what, at, status) in enumerate(changes):
        until = changes[index + 1][1] if index + 1 < len(changes) else float("inf")
        old = [when for when, seen in answers if at < when < until and seen != status]
        new = [when for when, seen in answers if at < when < until and seen == status]
        assert new and (not old or max(old) < max(new)), what
        with capsys.disabled():
            print(f"\n{what}: in force {max(0, (max(old) if old else at) - at) * 1000:.1f} ms after the answer", end="")


def test_tags_of_roles_are_found_with_all_others_in_us_east_1_alone(shared):
    iam, name = shared.client("iam"), unique("tagged")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "tier", "Value": name}])["Role"]["Arn"]
    vpc = shared.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[
        {"ResourceType": "vpc", "Tags": [{"Key": "tier", "Value": name}]}])["Vpc"]["VpcId"]
    found = lambda region: {each["ResourceARN"] for each in shared.client("resourcegroupstaggingapi", region=region).get_resources(
        TagFilters=[{"Key": "tier", "Values": [name]}])["ResourceTagMappingList"]}
    assert found("us-east-1") == {arn, f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/{vpc}"}
    assert found("eu-west-1") == set()
    values = shared.client("resourcegroupstaggingapi").get_tag_values(Key="tier")["TagValues"]
    assert name in values


@pytest.mark.parametrize("kind", ["vpc", "service"])
def test_tags_by_the_tagging_api_need_the_permission_of_the_resources_service_too(shared, kind):
    user = User(shared)
    if kind == "vpc":
        arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/{shared.vpc()[0]}"
        tag, untag = "ec2:CreateTags", "ec2:DeleteTags"
    else:
        arn = shared.lattice.create_service(name=unique("service"))["arn"]
        tag, untag = "vpc-lattice:TagResource", "vpc-lattice:UntagResource"
    tagging = user.client("resourcegroupstaggingapi")

    def why_not(operation, **members):
        failed = getattr(tagging, operation)(ResourceARNList=[arn], **members)["FailedResourcesMap"]
        return failed[arn]["ErrorMessage"] if failed else None

    def refusal(action):
        return (f"User: {user.arn} is not authorized to perform: {action} on resource: {arn} because no identity-based "
                f"policy allows the {action} action")

    user.may(policy("tag:*"))
    assert why_not("tag_resources", Tags={"stage": "prod"}) == refusal(tag)
    user.may(policy(tag, arn, Condition={"StringEquals": {"aws:RequestTag/stage": "prod"}}), name="tags")
    assert why_not("tag_resources", Tags={"stage": "test"}) == refusal(tag)
    assert why_not("tag_resources", Tags={"stage": "prod"}) is None
    assert why_not("untag_resources", TagKeys=["stage"]) == refusal(untag)
    user.may(policy(untag, arn, Condition={"StringEquals": {"aws:ResourceTag/stage": "prod"}}), name="untags")
    assert why_not("untag_resources", TagKeys=["stage"]) is None
