"""Calls of EC2 that Terraform, boto3's waiters and the AWS CLI make around what there is."""

import re

import boto3
import botocore
import botocore.exceptions
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


# How each of botocore's waiters for calls that are served ends: at once, or refused for what is not there, or not
# within its time, as in EC2 for something that stays as it is.
FOREVER, AT_ONCE = "Max attempts exceeded", None
NOBODY = "0123456789abcdef0"
WAITERS = {
    "CustomerGatewayAvailable": [({"CustomerGatewayIds": [f"cgw-{NOBODY}"]}, "InvalidCustomerGatewayID.NotFound")],
    "ImageAvailable": [({"ImageIds": [f"ami-{NOBODY}"]}, "InvalidAMIID.NotFound")],
    "ImageExists": [({"ImageIds": [f"ami-{NOBODY}"]}, FOREVER)],
    "InstanceExists": [({"InstanceIds": ["HOST"]}, AT_ONCE), ({"InstanceIds": [f"i-{NOBODY}"]}, FOREVER)],
    "InstanceRunning": [({"InstanceIds": ["HOST"]}, AT_ONCE)],
    "InstanceStatusOk": [({"InstanceIds": ["HOST"]}, AT_ONCE)],
    "InstanceStopped": [({"InstanceIds": ["HOST"]}, FOREVER), ({"InstanceIds": ["ENDED"]}, "terminal failure state")],
    "InstanceTerminated": [({"InstanceIds": ["ENDED"]}, AT_ONCE), ({"InstanceIds": ["HOST"]}, FOREVER)],
    "InternetGatewayExists": [({"InternetGatewayIds": [f"igw-{NOBODY}"]}, "InvalidInternetGatewayID.NotFound")],
    "KeyPairExists": [({"KeyNames": ["k"]}, FOREVER)],
    "NatGatewayAvailable": [({"NatGatewayIds": [f"nat-{NOBODY}"]}, FOREVER)],
    "NatGatewayDeleted": [({"NatGatewayIds": [f"nat-{NOBODY}"]}, AT_ONCE)],
    # An interface in use is never `available`; it is gone with its host.
    "NetworkInterfaceAvailable": [({"NetworkInterfaceIds": ["INTERFACE"]}, FOREVER),
                                  ({"NetworkInterfaceIds": ["ENDED INTERFACE"]}, "terminal failure state")],
    "PasswordDataAvailable": [({"InstanceId": "HOST"}, FOREVER)],
    "SecurityGroupExists": [({"GroupIds": ["GROUP"]}, AT_ONCE), ({"GroupIds": [f"sg-{NOBODY}"]}, FOREVER)],
    "SnapshotCompleted": [({"SnapshotIds": [f"snap-{NOBODY}"]}, "InvalidSnapshot.NotFound")],
    "SubnetAvailable": [({"SubnetIds": ["SUBNET"]}, AT_ONCE)],
    "SystemStatusOk": [({"InstanceIds": ["HOST"]}, AT_ONCE)],
    "VolumeAvailable": [({"VolumeIds": [f"vol-{NOBODY}"]}, "InvalidVolume.NotFound")],
    "VolumeDeleted": [({"VolumeIds": [f"vol-{NOBODY}"]}, AT_ONCE)],
    "VolumeInUse": [({"VolumeIds": [f"vol-{NOBODY}"]}, "InvalidVolume.NotFound")],
    "VpcAvailable": [({"VpcIds": ["VPC"]}, AT_ONCE)],
    "VpcExists": [({"VpcIds": ["VPC"]}, AT_ONCE), ({"VpcIds": [f"vpc-{NOBODY}"]}, FOREVER)],
    "VpcPeeringConnectionDeleted": [({"VpcPeeringConnectionIds": [f"pcx-{NOBODY}"]}, AT_ONCE)],
    "VpcPeeringConnectionExists": [({"VpcPeeringConnectionIds": [f"pcx-{NOBODY}"]}, FOREVER)],
    "VpnConnectionAvailable": [({"VpnConnectionIds": [f"vpn-{NOBODY}"]}, "InvalidVpnConnectionID.NotFound")],
    "VpnConnectionDeleted": [({"VpnConnectionIds": [f"vpn-{NOBODY}"]}, "InvalidVpnConnectionID.NotFound")],
}


def is_served(ec2, operation):
    """Whether Trellis answers the call with anything but that there is no such action."""
    shape = ec2.meta.service_model.operation_model(operation).input_shape
    required = {name: "x" for name in shape.required_members}
    method = getattr(ec2, botocore.xform_name(operation))
    try:
        method(**required)
    except ec2.exceptions.ClientError as error:
        return error.response["Error"]["Code"] not in ("InvalidAction", "UnsupportedOperation")
    except botocore.exceptions.ParamValidationError:
        return False
    return True


def test_every_waiter_of_a_call_that_is_served_ends_as_it_would_in_ec2(own):
    ec2 = own.client("ec2")
    model = ec2._get_waiter_config()["waiters"]
    served = {name for name, waiter in model.items() if is_served(ec2, waiter["operation"])}
    assert served == set(WAITERS), served ^ set(WAITERS)
    vpc, subnet = own.vpc()
    known = {"VPC": vpc, "SUBNET": subnet,
             "GROUP": ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"][0]["GroupId"]}
    for kind in ("HOST", "ENDED"):
        name = own.host(subnet)
        found = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": [name]}])
        known[kind] = found["Reservations"][0]["Instances"][0]["InstanceId"]
    own.cli("rm", name)
    eventually(lambda: ec2.describe_instances(InstanceIds=[known["ENDED"]])
               ["Reservations"][0]["Instances"][0]["State"]["Name"] == "terminated")
    known["INTERFACE"], known["ENDED INTERFACE"] = (known[kind].replace("i-", "eni-", 1) for kind in ("HOST", "ENDED"))
    for name, cases in WAITERS.items():
        for asked, outcome in cases:
            asked = {member: [known.get(one, one) for one in value] if isinstance(value, list) else known.get(value, value)
                     for member, value in asked.items()}
            waiter = ec2.get_waiter(botocore.xform_name(name))
            limits = {"Delay": 0, "MaxAttempts": 2 if outcome == FOREVER else 20}
            try:
                waiter.wait(**asked, WaiterConfig=limits)
                ended = None
            except botocore.exceptions.WaiterError as error:
                ended = str(error)
            assert ended is None if outcome is None else outcome in (ended or ""), f"{name} {asked}: {ended}"


def test_all_that_boto3s_resources_have_can_be_looked_at(own):
    """Every attribute and every collection of the resources of boto3 for what there is."""
    _, subnet = own.vpc()
    own.host(subnet)
    ec2, seen = own.client("ec2"), 0
    session = boto3.session.Session(own.variables["AWS_ACCESS_KEY_ID"], own.variables["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    all_there_is = session.resource("ec2", endpoint_url=own.endpoint)

    def first(answer, key):
        return answer[0][key]

    things = [
        all_there_is.Vpc(first(ec2.describe_vpcs()["Vpcs"], "VpcId")),
        all_there_is.Subnet(subnet),
        all_there_is.Instance(first(ec2.describe_instances()["Reservations"][0]["Instances"], "InstanceId")),
        all_there_is.NetworkInterface(first(ec2.describe_network_interfaces()["NetworkInterfaces"], "NetworkInterfaceId")),
        all_there_is.SecurityGroup(first(ec2.describe_security_groups()["SecurityGroups"], "GroupId")),
        all_there_is.RouteTable(first(ec2.describe_route_tables()["RouteTables"], "RouteTableId")),
        all_there_is.NetworkAcl(first(ec2.describe_network_acls()["NetworkAcls"], "NetworkAclId")),
        all_there_is.DhcpOptions(first(ec2.describe_dhcp_options()["DhcpOptions"], "DhcpOptionsId")),
    ]
    for thing in things:
        thing.load()
    for thing in [all_there_is, *things]:
        for collection in thing.meta.resource_model.collections:
            list(getattr(thing, collection.name).all())
            seen += 1
    assert seen >= 30, seen
