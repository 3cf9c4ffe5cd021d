"""Calls of EC2 that Terraform, boto3's waiters and the AWS CLI make around what there is."""

import re

import botocore
import pytest

from instance import eventually, unique

# What a filter is asked for when its values are not texts of any kind.
NUMBERS = re.compile(r"(port|code|type|number|index|count|limit)$")


def filters_of(ec2, operation):
    """The names that botocore's model documents for the filters of an operation."""
    shape = ec2.meta.service_model.operation_model(operation).input_shape.members.get("Filters")
    names = re.findall(r"<li>\s*<p>\s*<code>([^<]+)</code>", shape.documentation) if shape else []
    return ["tag:Name" if name.startswith("tag") and name != "tag-key" else name for name in names]


def implemented(ec2):
    """Describe operations with filters that Trellis serves: those it does not answer UnsupportedOperation for."""
    for operation in ec2.meta.service_model.operation_names:
        if not operation.startswith("Describe") or not filters_of(ec2, operation):
            continue
        method = getattr(ec2, botocore.xform_name(operation))
        required = ec2.meta.service_model.operation_model(operation).input_shape.required_members
        if required:
            continue
        try:
            method(Filters=[{"Name": "no-such-filter", "Values": ["x"]}])
        except ec2.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "InvalidParameterValue":
                yield operation, method


@pytest.mark.slow
def test_every_documented_filter_of_every_describe_call_that_is_served_is_taken(shared):
    ec2 = shared.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")
    seen, refused = {}, []
    for operation, method in implemented(ec2):
        for name in filters_of(ec2, operation):
            seen.setdefault(operation, []).append(name)
            try:
                method(Filters=[{"Name": name, "Values": ["1" if NUMBERS.search(name) else "no-such-value"]}])
            except ec2.exceptions.ClientError as error:
                refused.append((operation, name, str(error)))
    assert not refused, refused
    assert {"DescribeInstances", "DescribeInstanceStatus", "DescribeVpcs", "DescribePrefixLists"} <= set(seen)
    assert sum(map(len, seen.values())) > 300, {operation: len(names) for operation, names in seen.items()}


def test_the_cli_waits_for_everything_there_is_to_wait_for(own):
    aws = own.aws
    vpc = aws("ec2", "create-vpc", "--cidr-block", "10.0.0.0/16")["Vpc"]
    assert vpc["State"] == "available", "what settles at once is answered as settled"
    vpc = vpc["VpcId"]
    subnet = aws("ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", "10.0.1.0/24")["Subnet"]["SubnetId"]
    group = aws("ec2", "create-security-group", "--group-name", "web", "--description", "web", "--vpc-id", vpc)
    name = unique("host")
    own.host(subnet, "sleep", "600", name=name)
    host = aws("ec2", "describe-instances", "--filters", f"Name=tag:Name,Values={name}")
    host = host["Reservations"][0]["Instances"][0]["InstanceId"]
    for waiter, option, value in [
        ("vpc-exists", "--vpc-ids", vpc), ("vpc-available", "--vpc-ids", vpc),
        ("subnet-available", "--subnet-ids", subnet),
        ("security-group-exists", "--group-ids", group["GroupId"]),
        ("instance-exists", "--instance-ids", host), ("instance-running", "--instance-ids", host),
        ("instance-status-ok", "--instance-ids", host), ("system-status-ok", "--instance-ids", host),
    ]:
        aws("ec2", "wait", waiter, option, value)
    ended = aws("ec2", "terminate-instances", "--instance-ids", host)["TerminatingInstances"][0]
    assert ended["CurrentState"]["Name"] in ("shutting-down", "terminated")
    aws("ec2", "wait", "instance-terminated", "--instance-ids", host)


def test_whoever_gets_the_address_of_a_host_that_is_gone_gets_none_of_its_traffic(own):
    ec2, lattice = own.client("ec2"), own.lattice
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]

    def run(name):
        own.host(subnet, "sleep", "600", name=name)
        found = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": [name]}])
        return found["Reservations"][0]["Instances"][0]

    group = lattice.create_target_group(
        name="web", type="INSTANCE", config={"port": 8080, "protocol": "HTTP", "vpcIdentifier": vpc})
    assert group["status"] == "ACTIVE"
    first = run("first")
    lattice.register_targets(targetGroupIdentifier=group["id"], targets=[{"id": first["InstanceId"]}])
    own.cli("rm", "first")
    eventually(lambda: ec2.describe_instances(InstanceIds=[first["InstanceId"]])
               ["Reservations"][0]["Instances"][0]["State"]["Name"] == "terminated")
    assert run("second")["PrivateIpAddress"] == first["PrivateIpAddress"]
    listed = lattice.list_targets(targetGroupIdentifier=group["id"])["items"]
    assert [(target["id"], target["status"], target["reasonCode"]) for target in listed] == [
        (first["InstanceId"], "UNHEALTHY", "InstanceTerminated")]


def test_a_secondary_address_leads_to_its_host_as_soon_as_it_is_assigned(own):
    _, subnet = own.vpc()
    own.web(subnet, "10.0.1.10")
    client = own.host(subnet)
    ec2 = own.client("ec2")
    by_address = [{"Name": "private-ip-address", "Values": ["10.0.1.10"]}]
    [interface] = ec2.describe_network_interfaces(Filters=by_address)["NetworkInterfaces"]
    this = {"NetworkInterfaceId": interface["NetworkInterfaceId"], "PrivateIpAddresses": ["10.0.1.140"]}

    def reached():
        return own.inside(client, "curl", "-sS", "-m", "2", "http://10.0.1.140:8080/", check=False).returncode == 0

    assert not reached()
    ec2.assign_private_ip_addresses(**this)
    eventually(reached, what="an answer at the secondary address")
    ec2.unassign_private_ip_addresses(**this)
    eventually(lambda: not reached(), what="silence at the secondary address")
