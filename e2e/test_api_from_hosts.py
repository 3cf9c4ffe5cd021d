"""The AWS API as hosts reach it, inside their VPCs: for whoever signs, and policies see the VPC."""

import pytest

from instance import PYTHON, Instance, user

WHO = [PYTHON, "-c", "import boto3; print(boto3.client('sts', region_name='us-east-1').get_caller_identity()['Arn'])"]
USERS = [PYTHON, "-c", "import boto3; print(len(boto3.client('iam', region_name='us-east-1').list_users()['Users']))"]


def run(instance, host, key, command):
    named = ["--env", f"AWS_ACCESS_KEY_ID={key['AccessKeyId']}", "--env", f"AWS_SECRET_ACCESS_KEY={key['SecretAccessKey']}"]
    return instance.cli("exec", host, *named, "--", *command, check=False)


@pytest.fixture(scope="module")
def world(shared):
    vpc, subnet = shared.vpc()
    return shared, vpc, shared.host(subnet)


def test_an_unmodified_client_in_a_host_calls_the_api_as_whom_its_key_says(world):
    instance, _, host = world
    key = user(instance.client("iam"), {"Effect": "Allow", "Action": "sts:*", "Resource": "*"})
    done = run(instance, host, key, WHO)
    assert done.stdout.strip() == key["Arn"], done
    assert "AccessDenied" in run(instance, host, key, USERS).stderr


def test_whoever_does_not_sign_or_signs_with_another_secret_is_refused_there_as_everywhere(world):
    instance, _, host = world
    key = user(instance.client("iam"), {"Effect": "Allow", "Action": "*", "Resource": "*"})
    wrong = run(instance, host, {**key, "SecretAccessKey": "x" * 40}, WHO)
    assert "SignatureDoesNotMatch" in wrong.stderr, wrong
    body = "Action=GetCallerIdentity&Version=2011-06-15"
    plain = instance.inside(host, "curl", "-sS", "-d", body, "http://169.254.169.252/")
    assert "MissingAuthenticationToken" in plain.stdout, plain


def test_policies_see_which_vpc_and_which_host_a_call_comes_from(world):
    instance, vpc, host = world
    other_vpc, subnet = instance.vpc()
    other = instance.host(subnet)
    address = instance.inside(host, "hostname", "-I").stdout.split()[0]
    inside = {"StringEquals": {"aws:SourceVpc": vpc}, "IpAddress": {"aws:VpcSourceIp": f"{address}/32"}}
    key = user(instance.client("iam"), {"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*", "Condition": inside})
    done = run(instance, host, key, USERS)
    assert int(done.stdout) >= 1, done
    assert "AccessDenied" in run(instance, other, key, USERS).stderr
    # An address there is no address of the machine's network.
    anywhere = {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}
    key = user(instance.client("iam"), {"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*", "Condition": anywhere})
    assert "AccessDenied" in run(instance, host, key, USERS).stderr
    assert other_vpc != vpc


def test_hosts_are_not_served_where_the_operator_does_not_want_it(tmp_path):
    with Instance(tmp_path, "--no-api-in-vpcs") as instance:
        _, subnet = instance.vpc()
        host = instance.host(subnet)
        done = instance.inside(host, "curl", "-sS", "--max-time", "5", "http://169.254.169.252/", check=False)
        assert done.returncode == 7, done
        assert "AWS_ENDPOINT_URL" not in instance.inside(host, "env").stdout
