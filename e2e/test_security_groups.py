"""Security groups are enforced: a connection no rule allows gets no answer at all."""

import json

import pytest

from instance import MOUNTS, PYTHON, ROOT, eventually, forward, unique

CHECK = {
    "enabled": True, "path": "/health", "protocol": "HTTP",
    "healthCheckIntervalSeconds": 5, "healthCheckTimeoutSeconds": 1,
    "healthyThresholdCount": 2, "unhealthyThresholdCount": 2,
}
TIMED_OUT = 28
"""curl's exit status when nobody answers; 7 is a refusal."""


class World:
    """A VPC with one subnet, and hosts in security groups of their own."""

    def __init__(self, shared):
        self.shared = shared
        self.vpc, self.subnet = shared.vpc("10.60.0.0/16", "10.60.1.0/24")
        self.ec2 = shared.ec2

    def group(self):
        """A new security group: nothing in, everything out; its id."""
        name = unique("group")
        return self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]

    def host(self, *command, ip, groups=()):
        name = unique("host")
        flags = [word for group in groups for word in ("--security-group", group)]
        self.shared.cli("run", "-d", "--subnet", self.subnet, "--ip", ip, *MOUNTS, *flags, "--name", name, "--", *command)
        return name

    def web(self, ip, *groups):
        name = self.host(PYTHON, str(ROOT / "e2e/target.py"), ip=ip, groups=groups)
        eventually(lambda: self.shared.inside(name, "curl", "-sS", "http://127.0.0.1:8080/", check=False).returncode == 0,
                   what="the web server listening")
        return name

    def client(self, ip, *groups):
        return self.host("sleep", "infinity", ip=ip, groups=groups)

    def reaches(self, host, url):
        """Whether `host` gets an answer; without one, it must be silence."""
        done = self.shared.inside(host, "curl", "-sS", "-m", "1.5", "-o", "/dev/null", url, check=False)
        assert done.returncode in (0, TIMED_OUT), done.stderr
        return done.returncode == 0

    def comes_to(self, wanted, host, url):
        eventually(lambda: self.reaches(host, url) == wanted, what=f"{url} {'open' if wanted else 'closed'}")

    def permission(self, port=8080, **peer):
        return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peer}]

    def prefix_list(self):
        lists = self.ec2.describe_managed_prefix_lists(
            Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.vpc-lattice"]}])
        return lists["PrefixLists"][0]["PrefixListId"]


@pytest.fixture
def world(shared):
    return World(shared)


def test_rules_by_cidr_are_in_force_as_soon_as_they_change(world):
    group = world.group()
    world.web("10.60.1.10", group)
    client = world.client("10.60.1.11")
    other = world.client("10.60.1.12")
    url = "http://10.60.1.10:8080/"
    assert not world.reaches(client, url)
    permission = world.permission(IpRanges=[{"CidrIp": "10.60.1.11/32"}])
    world.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission)
    world.comes_to(True, client, url)
    assert not world.reaches(other, url)
    world.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=permission)
    world.comes_to(False, client, url)
    # One without groups is not filtered.
    world.web("10.60.1.13")
    assert world.reaches(client, "http://10.60.1.13:8080/")


def test_rules_by_group_follow_its_members(world):
    servers, clients = world.group(), world.group()
    permission = world.permission(UserIdGroupPairs=[{"GroupId": clients}])
    world.ec2.authorize_security_group_ingress(GroupId=servers, IpPermissions=permission)
    server = world.web("10.60.1.10", servers)
    member = world.client("10.60.1.11", clients)
    stranger = world.client("10.60.1.12", world.group())
    url = "http://10.60.1.10:8080/"
    world.comes_to(True, member, url)
    assert not world.reaches(stranger, url)
    late = world.client("10.60.1.14", world.group(), clients)
    world.comes_to(True, late, url)
    described = world.ec2.describe_instances(Filters=[{"Name": "private-ip-address", "Values": ["10.60.1.10"]},
                                                      {"Name": "vpc-id", "Values": [world.vpc]}])
    groups = described["Reservations"][0]["Instances"][0]["SecurityGroups"]
    assert [group["GroupId"] for group in groups] == [servers]
    world.ec2.revoke_security_group_ingress(GroupId=servers, IpPermissions=permission)
    world.comes_to(False, member, url)
    assert server


def test_the_default_group_admits_its_members_alone(world):
    default = world.ec2.describe_security_groups(Filters=[
        {"Name": "vpc-id", "Values": [world.vpc]}, {"Name": "group-name", "Values": ["default"]},
    ])["SecurityGroups"][0]["GroupId"]
    world.web("10.60.1.10", default)
    member = world.client("10.60.1.11", default)
    stranger = world.client("10.60.1.12")
    world.comes_to(True, member, "http://10.60.1.10:8080/")
    assert not world.reaches(stranger, "http://10.60.1.10:8080/")


def test_egress_rules_hold_a_host_back(world):
    group = world.group()
    world.web("10.60.1.10")
    client = world.client("10.60.1.11", group)
    url = "http://10.60.1.10:8080/"
    world.comes_to(True, client, url)
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    world.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    world.comes_to(False, client, url)
    permission = world.permission(IpRanges=[{"CidrIp": "10.60.1.0/24"}])
    world.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=permission)
    world.comes_to(True, client, url)


@pytest.mark.slow
def test_a_target_that_admits_trellis_alone_serves_and_is_healthy(shared, world):
    group = world.group()
    server = world.web("10.60.1.10", group)
    neighbour = world.client("10.60.1.11")
    target_group = shared.group(world.vpc, "10.60.1.10", health=CHECK)
    service, _, name = shared.service(forward(target_group))
    shared.network([world.vpc], [service])

    def status():
        return shared.lattice.list_targets(targetGroupIdentifier=target_group)["items"][0]["status"]

    eventually(lambda: status() == "UNHEALTHY", 40, "UNHEALTHY while no rule admits health checks")
    permission = world.permission(PrefixListIds=[{"PrefixListId": world.prefix_list()}])
    world.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission)
    eventually(lambda: status() == "HEALTHY", 40, "HEALTHY")
    assert json.loads(shared.curl(neighbour, f"http://{name}/"))["name"] == server
    assert not world.reaches(neighbour, "http://10.60.1.10:8080/")
    # The target is a client of services as well: what it may reach is everything.
    assert json.loads(shared.curl(server, f"http://{name}/"))["name"] == server


def test_the_groups_of_an_association_choose_its_clients(shared, world):
    group = world.group()
    world.web("10.60.1.10")
    chosen = world.client("10.60.1.11")
    other = world.client("10.60.1.12")
    target_group = shared.group(world.vpc, "10.60.1.10")
    service, _, name = shared.service(forward(target_group))
    network = shared.network([], [service])
    association = shared.lattice.create_service_network_vpc_association(
        serviceNetworkIdentifier=network, vpcIdentifier=world.vpc, securityGroupIds=[group])["id"]
    shared.active(lambda: shared.lattice.get_service_network_vpc_association(
        serviceNetworkVpcAssociationIdentifier=association))
    url = f"http://{name}/"
    assert not world.reaches(chosen, url)
    world.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=world.permission(80, IpRanges=[{"CidrIp": "10.60.1.11/32"}]))
    world.comes_to(True, chosen, url)
    assert not world.reaches(other, url)
    second = world.group()
    world.ec2.authorize_security_group_ingress(
        GroupId=second, IpPermissions=world.permission(80, IpRanges=[{"CidrIp": "10.60.1.12/32"}]))
    shared.lattice.update_service_network_vpc_association(
        serviceNetworkVpcAssociationIdentifier=association, securityGroupIds=[second])
    world.comes_to(True, other, url)
    world.comes_to(False, chosen, url)
