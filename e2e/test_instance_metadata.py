"""IMDSv2 inside hosts, by the official SDKs as they are and by hand; and instance profiles."""

import json
import pathlib
import time

import boto3
import pytest
from botocore.exceptions import ClientError

from instance import PYTHON, document, eventually, unique, user

METADATA = "http://169.254.169.254/latest"
TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
WHO = [PYTHON, "-c", "import boto3; print(boto3.client('sts', region_name='us-east-1').get_caller_identity()['Arn'])"]


def profile(instance, trust=TRUST, action="iam:ListUsers"):
    """An instance profile and its role of the same name, which may do one thing; the name."""
    iam, name = instance.client("iam"), unique("app")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def described(instance, host):
    filters = [{"Name": "tag:Name", "Values": [host]}]
    return instance.ec2.describe_instances(Filters=filters)["Reservations"][0]["Instances"][0]


def token(instance, host, *flags, base=METADATA):
    done = instance.inside(host, "curl", "-sS", "-f", "-g", "-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60", *flags, f"{base}/api/token")
    return done.stdout


def read(instance, host, path, its_token, *flags, base=METADATA):
    """Body and status."""
    done = instance.inside(host, "curl", "-sS", "-g", "-H", f"X-aws-ec2-metadata-token: {its_token}", "-w", "\n%{http_code}", *flags, f"{base}/{path}")
    body, status = done.stdout.rsplit("\n", 1)
    return body, int(status)


@pytest.fixture(scope="module")
def world(shared):
    _, subnet = shared.vpc()
    name = profile(shared)
    host = shared.host(subnet, flags=["--iam-instance-profile", name])
    return shared, subnet, name, host


def test_boto3_and_the_aws_cli_in_a_host_are_its_role_without_a_word_of_configuration(world):
    instance, _, name, host = world
    arn = f"arn:aws:sts::111122223333:assumed-role/{name}/{described(instance, host)['InstanceId']}"
    assert instance.inside(host, *WHO).stdout.strip() == arn
    aws = str(pathlib.Path(PYTHON).with_name("aws"))
    by_cli = instance.inside(host, PYTHON, aws, "sts", "get-caller-identity", "--region", "us-east-1", "--output", "json")
    assert json.loads(by_cli.stdout)["Arn"] == arn
    users = "import boto3; print(len(boto3.client('iam', region_name='us-east-1').list_users()['Users']))"
    assert int(instance.inside(host, PYTHON, "-c", users).stdout) >= 0
    roles = "import boto3; boto3.client('iam', region_name='us-east-1').list_roles()"
    assert "AccessDenied" in instance.inside(host, PYTHON, "-c", roles, check=False).stderr
    assert described(instance, host)["IamInstanceProfile"]["Arn"].endswith(f":instance-profile/{name}")


def test_an_instance_is_told_where_and_what_it_is(world):
    instance, subnet, name, host = world
    its, known = token(instance, host), described(instance, host)
    mac = known["NetworkInterfaces"][0]["MacAddress"]
    for path, expected in {
        "meta-data/instance-id": known["InstanceId"],
        "meta-data/local-ipv4": known["PrivateIpAddress"],
        "meta-data/mac": mac,
        "meta-data/local-hostname": known["PrivateDnsName"],
        f"meta-data/network/interfaces/macs/{mac}/vpc-id": known["VpcId"],
        f"meta-data/network/interfaces/macs/{mac}/subnet-id": subnet,
        "meta-data/placement/availability-zone": known["Placement"]["AvailabilityZone"],
        "meta-data/placement/region": "us-east-1",
        "meta-data/iam/security-credentials/": name,
    }.items():
        assert read(instance, host, path, its) == (expected, 200), path
    assert instance.inside(host, "cat", "/sys/class/net/eth0/address").stdout.strip() == mac
    document = json.loads(read(instance, host, "dynamic/instance-identity/document", its)[0])
    assert document["instanceId"] == known["InstanceId"] and document["accountId"] == "111122223333"
    info = json.loads(read(instance, host, "meta-data/identity-credentials/ec2/info", its)[0])
    assert info["AccountId"] == "111122223333"
    info = json.loads(read(instance, host, "meta-data/iam/info", its)[0])
    assert info["InstanceProfileId"] == known["IamInstanceProfile"]["Id"]
    assert read(instance, host, "meta-data/nothing", its)[1] == 404


def test_without_a_token_with_anothers_or_through_a_proxy_nothing_is_told(world):
    instance, subnet, name, host = world
    other = instance.host(subnet)
    its, others = token(instance, host), token(instance, other)
    assert read(instance, host, "meta-data/instance-id", "x")[1] == 401
    status = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}"]
    assert instance.inside(host, *status, f"{METADATA}/meta-data/instance-id").stdout == "401"
    # A token is its host's, and a host is who its address says: the other's token and another's role are out of reach.
    assert read(instance, other, "meta-data/instance-id", its)[1] == 401
    assert read(instance, other, f"meta-data/iam/security-credentials/{name}", others)[1] == 404
    ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60"
    put = [*status, "-X", "PUT", f"{METADATA}/api/token"]
    assert instance.inside(host, *put, "-H", ttl, "-H", "X-Forwarded-For: 10.0.0.9").stdout == "403"
    assert instance.inside(host, *put).stdout == "400"
    assert instance.inside(host, *put, "-H", "X-aws-ec2-metadata-token-ttl-seconds: 21601").stdout == "400"
    # Nobody else's router, and not the machine.
    vpc = described(instance, host)["VpcId"]
    router = instance.cli("exec", "--vpc", vpc, "--", *put, "-H", ttl)
    assert router.stdout == "403", router


def test_answers_go_one_hop_unless_the_instance_says_otherwise(world):
    instance, subnet, _, _ = world
    host = instance.host(subnet)
    known = described(instance, host)
    assert known["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    hops = ("import socket, struct\n"
            "s = socket.create_connection(('169.254.169.254', 80), 5)\n"
            "raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)\n"
            "raw.settimeout(5)\n"
            "s.sendall(b'PUT /latest/api/token HTTP/1.1\\r\\nhost: x\\r\\nx-aws-ec2-metadata-token-ttl-seconds: 9\\r\\n\\r\\n')\n"
            "while True:\n"
            "    p = raw.recv(65535)\n"
            "    if socket.inet_ntoa(p[12:16]) == '169.254.169.254' and b'HTTP/1.1 200' in p: break\n"
            "print(p[8])\n")
    assert instance.inside(host, PYTHON, "-c", hops).stdout.strip() == "1"
    instance.ec2.modify_instance_metadata_options(InstanceId=known["InstanceId"], HttpPutResponseHopLimit=2)
    assert instance.inside(host, PYTHON, "-c", hops).stdout.strip() == "2"
    for wrong in ({"HttpPutResponseHopLimit": 65}, {"HttpTokens": "optional"}):
        with pytest.raises(ClientError):
            instance.ec2.modify_instance_metadata_options(InstanceId=known["InstanceId"], **wrong)


def test_tags_are_told_and_the_service_is_off_as_the_options_say(world):
    instance, subnet, _, _ = world
    host = instance.host(subnet)
    known, its = described(instance, host), token(instance, host)
    assert read(instance, host, "meta-data/tags/instance/", its)[1] == 404
    instance.ec2.modify_instance_metadata_options(InstanceId=known["InstanceId"], InstanceMetadataTags="enabled")
    assert read(instance, host, "meta-data/tags/instance/Name", its) == (host, 200)
    instance.ec2.modify_instance_metadata_options(InstanceId=known["InstanceId"], HttpEndpoint="disabled")
    assert read(instance, host, "meta-data/instance-id", its)[1] == 403
    assert described(instance, host)["MetadataOptions"]["HttpEndpoint"] == "disabled"


def test_a_profile_is_given_replaced_and_taken_away_while_the_host_runs(world):
    instance, subnet, _, _ = world
    ec2, host = instance.ec2, instance.host(subnet)
    known, first, second = described(instance, host), profile(instance), profile(instance)
    assert "NoCredentials" in instance.inside(host, *WHO, check=False).stderr
    made = ec2.associate_iam_instance_profile(InstanceId=known["InstanceId"], IamInstanceProfile={"Name": first})
    association = made["IamInstanceProfileAssociation"]
    assert association["State"] == "associated"
    assert f":assumed-role/{first}/" in instance.inside(host, *WHO).stdout
    with pytest.raises(ClientError, match="IncorrectState"):
        ec2.associate_iam_instance_profile(InstanceId=known["InstanceId"], IamInstanceProfile={"Name": second})
    arn = instance.client("iam").get_instance_profile(InstanceProfileName=second)["InstanceProfile"]["Arn"]
    made = ec2.replace_iam_instance_profile_association(
        AssociationId=association["AssociationId"], IamInstanceProfile={"Arn": arn})["IamInstanceProfileAssociation"]
    assert f":assumed-role/{second}/" in instance.inside(host, *WHO).stdout
    filters = [{"Name": "instance-id", "Values": [known["InstanceId"]]}]
    listed = ec2.describe_iam_instance_profile_associations(Filters=filters)["IamInstanceProfileAssociations"]
    assert [each["AssociationId"] for each in listed] == [made["AssociationId"]]
    ec2.disassociate_iam_instance_profile(AssociationId=made["AssociationId"])
    assert not ec2.describe_iam_instance_profile_associations(Filters=filters)["IamInstanceProfileAssociations"]
    assert "NoCredentials" in instance.inside(host, *WHO, check=False).stderr
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        ec2.associate_iam_instance_profile(InstanceId=known["InstanceId"], IamInstanceProfile={"Name": "nothing"})
    refused = instance.cli("run", "-d", "--subnet", subnet, "--name", unique("host"), "--iam-instance-profile", "nothing", "--", "true", check=False)
    assert refused.returncode and "no IAM instance profile nothing" in refused.stderr


def test_whoever_gives_a_profile_hands_over_its_role_and_needs_permission_to(world):
    instance, subnet, name, _ = world
    iam = instance.client("iam")
    key = user(iam, {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
    other = boto3.session.Session().client(
        "ec2", region_name="us-east-1", endpoint_url=instance.endpoint,
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    known = described(instance, instance.host(subnet))
    wanted = {"InstanceId": known["InstanceId"], "IamInstanceProfile": {"Name": name}}
    with pytest.raises(ClientError, match="iam:PassRole on resource: .*role/" + name) as refused:
        other.associate_iam_instance_profile(**wanted)
    assert refused.value.response["Error"]["Code"] == "UnauthorizedOperation"
    passes = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*", "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}}
    iam.put_user_policy(UserName=key["UserName"], PolicyName="pass", PolicyDocument=document(passes))
    other.associate_iam_instance_profile(**wanted)


def test_a_role_that_does_not_trust_ec2_gives_a_host_nothing(world):
    instance, subnet, _, _ = world
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    name = profile(instance, trust)
    host = instance.host(subnet, flags=["--iam-instance-profile", name])
    body, status = read(instance, host, f"meta-data/iam/security-credentials/{name}", token(instance, host))
    assert status == 200 and json.loads(body)["Code"] == "AssumeRoleUnauthorizedAccess"
    # It is in force for the next who asks.
    instance.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(TRUST))
    assert f":assumed-role/{name}/" in instance.inside(host, *WHO).stdout


def test_over_ipv6_it_is_the_same(shared):
    _, subnet = shared.dualstack_vpc("10.9.0.0/16", "10.9.1.0/24", "fd12:9::/56", "fd12:9::/64")
    host = shared.host(subnet)
    base = "http://[fd00:ec2::254]/latest"
    body, status = read(shared, host, "meta-data/ipv6", token(shared, host, base=base), base=base)
    assert status == 200 and body.startswith("fd12:9:")


def test_credentials_survive_a_restart_and_tokens_do_not(own):
    _, subnet = own.vpc()
    name = profile(own)
    host = own.host(subnet, flags=["--iam-instance-profile", name])
    its = token(own, host)
    shown = json.loads(read(own, host, f"meta-data/iam/security-credentials/{name}", its)[0])
    left = time.mktime(time.strptime(shown["Expiration"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())
    assert 5 * 3600 < left <= 6 * 3600
    again = json.loads(read(own, host, f"meta-data/iam/security-credentials/{name}", its)[0])
    assert again == shown, "made once, not for every request"
    own.restart()
    eventually(lambda: own.inside(host, "true", check=False).returncode == 0, what="the host")
    assert read(own, host, "meta-data/instance-id", its)[1] == 401
    assert f":assumed-role/{name}/" in own.inside(host, *WHO).stdout
