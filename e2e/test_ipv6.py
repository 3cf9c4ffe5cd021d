"""IPv6: hosts, services, targets, resources and security groups, between VPCs with the same addresses."""

import ipaddress
import json

import pytest

from instance import PYTHON, Instance, eventually, forward, unique
from name_server import NameServer
from test_security_groups import CHECK, TIMED_OUT

CIDRS = ("10.66.0.0/16", "10.66.1.0/24", "fd12:3456:789a::/56", "fd12:3456:789a:1::/64")
PREFIX = "fd12:3456:789a:1::"
CLIENT, SERVER, OTHER = PREFIX + "10", PREFIX + "10", PREFIX + "20"
SOURCE = "fd00:ec2:80::a9fe:ab02"
VIP = "fd00:ec2:80::a9fe:ab01"
UNREACHABLE = 7


@pytest.fixture(scope="module")
def pair(shared):
    """A client's VPC and a provider's, of the same blocks of both families; a service with IPv6 targets."""
    class Pair:
        pass

    world = Pair()
    world.consumer, world.consumer_subnet = shared.dualstack_vpc(*CIDRS)
    world.provider, world.provider_subnet = shared.dualstack_vpc(*CIDRS)
    world.client = shared.host(world.consumer_subnet, ip="10.66.1.10", ipv6=CLIENT)
    world.server = shared.web(world.provider_subnet, "10.66.1.10", ipv6=SERVER)
    world.group = shared.group(world.provider, SERVER, ipAddressType="IPV6", health=CHECK)
    world.service, _, world.name = shared.service(forward(world.group))
    world.network = shared.network([world.consumer], [world.service])
    return world


def join(shared, network, service):
    """Associates the service and waits until it is served."""
    made = shared.lattice.create_service_network_service_association(
        serviceNetworkIdentifier=network, serviceIdentifier=service)["id"]
    shared.active(lambda: shared.lattice.get_service_network_service_association(
        serviceNetworkServiceAssociationIdentifier=made))


def echo(shared, host, url, *flags):
    answer = json.loads(shared.curl(host, url, *flags))
    return answer, dict(answer["headers"])


def test_a_request_goes_by_ipv6_all_the_way_between_vpcs_of_the_same_blocks(shared, pair):
    answer, headers = echo(shared, pair.client, f"http://{pair.name}/there", "-6")
    assert answer["name"] == pair.server and answer["peer"] == SOURCE
    assert headers["x-forwarded-for"] == CLIENT and headers["x-forwarded-port"] == "80"

    def recorded():
        return [line for line in shared.records() if line.get("requestPath") == "/there"]

    record = eventually(recorded, what="the access-log line")[0]
    assert record["sourceIpPort"].startswith(f"[{CLIENT}]:"), record
    assert record["targetIpPort"] == f"[{SERVER}]:8080", record


def test_either_family_of_clients_reaches_either_family_of_targets(shared, pair):
    answer, headers = echo(shared, pair.client, f"http://{pair.name}/", "-4")
    assert (answer["peer"], headers["x-forwarded-for"]) == (SOURCE, "10.66.1.10")
    group = shared.group(pair.provider, "10.66.1.10")
    service, _, name = shared.service(forward(group))
    join(shared, pair.network, service)
    answer, headers = echo(shared, pair.client, f"http://{name}/", "-6")
    assert (answer["peer"], headers["x-forwarded-for"]) == ("169.254.171.2", CLIENT)


def test_https_is_served_by_ipv6_too(shared, pair):
    group = shared.group(pair.provider, SERVER, ipAddressType="IPV6")
    service, name = shared.secure_service(forward(group))
    join(shared, pair.network, service)
    answer, headers = echo(shared, pair.client, f"https://{name}/", "-6k")
    assert answer["peer"] == SOURCE and headers["x-forwarded-proto"] == "https"


@pytest.mark.slow
def test_ipv6_targets_are_checked_by_ipv6(shared, pair):
    def status():
        (target,) = shared.lattice.list_targets(targetGroupIdentifier=pair.group)["items"]
        assert target["id"] == SERVER
        return target["status"]

    eventually(lambda: status() == "HEALTHY", 40, "HEALTHY")
    shared.inside(pair.server, "curl", "-sS", f"http://[{SERVER}]:8080/health/down")
    try:
        eventually(lambda: status() == "UNHEALTHY", 40, "UNHEALTHY")
    finally:
        shared.inside(pair.server, "curl", "-sS", f"http://[{SERVER}]:8080/health/up")
    eventually(lambda: status() == "HEALTHY", 40, "HEALTHY again")


# A resolver of our own choosing must be asked directly, which getent cannot; so: a query by hand.
QUERY = r"""
import socket, struct, sys
server, name = sys.argv[1:]
question = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack("!HH", 28, 1)
s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
s.sendto(struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question, (server, 53))
data = s.recv(4096)
print(socket.inet_ntop(socket.AF_INET6, data[-16:]) if struct.unpack("!H", data[6:8])[0] else "none")
"""


def test_names_of_services_have_an_ipv6_address_and_the_resolver_is_asked_by_ipv6(shared, pair):
    for server in ("fd00:ec2::253", "169.254.169.253"):
        assert shared.inside(pair.client, PYTHON, "-c", QUERY, server, pair.name).stdout.strip() == VIP
    assert shared.inside(pair.client, "getent", "ahostsv6", pair.name).stdout.split()[0] == VIP
    assert "nameserver fd00:ec2::253" in shared.inside(pair.client, "cat", "/etc/resolv.conf").stdout


def reaches(shared, host, url):
    """Whether `host` gets an answer; without one, it must be silence."""
    done = shared.inside(host, "curl", "-sS", "-m", "1.5", "-o", "/dev/null", url, check=False)
    assert done.returncode in (0, TIMED_OUT), done.stderr
    return done.returncode == 0


def test_security_groups_decide_about_ipv6_apart_from_ipv4(shared, pair):
    ec2 = shared.ec2

    def group(vpc):
        name = unique("group")
        return ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]

    def admit(group, port=8080, **peer):
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peer}])

    egress = ec2.describe_security_groups(GroupIds=[servers := group(pair.provider)])["SecurityGroups"][0]
    assert [r["CidrIpv6"] for p in egress["IpPermissionsEgress"] for r in p["Ipv6Ranges"]] == ["::/0"]
    guarded = shared.web(pair.provider_subnet, "10.66.1.30", ipv6=PREFIX + "30", groups=[servers])
    neighbour = shared.host(pair.provider_subnet, ip="10.66.1.31", ipv6=PREFIX + "31")
    url = f"http://[{PREFIX}30]:8080/"
    assert not reaches(shared, neighbour, url)
    admit(servers, Ipv6Ranges=[{"CidrIpv6": PREFIX + "31/128"}])
    eventually(lambda: reaches(shared, neighbour, url), what="the rule in force")
    assert not reaches(shared, neighbour, "http://10.66.1.30:8080/")

    # Trellis alone, by the prefix list of IPv6.
    target = shared.group(pair.provider, PREFIX + "30", ipAddressType="IPV6")
    service, _, name = shared.service(forward(target))
    network = shared.network([], [service])
    vpc, subnet = shared.dualstack_vpc(*CIDRS)
    clients = group(vpc)
    chosen = shared.host(subnet, ip="10.66.1.10", ipv6=CLIENT)
    other = shared.host(subnet, ip="10.66.1.20", ipv6=OTHER)
    association = shared.lattice.create_service_network_vpc_association(
        serviceNetworkIdentifier=network, vpcIdentifier=vpc, securityGroupIds=[clients])["id"]
    shared.active(lambda: shared.lattice.get_service_network_vpc_association(
        serviceNetworkVpcAssociationIdentifier=association))
    admit(clients, 80, Ipv6Ranges=[{"CidrIpv6": CLIENT + "/128"}])
    lists = ec2.describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.ipv6.vpc-lattice"]}])
    admit(servers, PrefixListIds=[{"PrefixListId": lists["PrefixLists"][0]["PrefixListId"]}])

    def served():
        done = shared.inside(chosen, "curl", "-6sS", "-m", "3", f"http://{name}/", check=False)
        return done.returncode == 0 and done.stdout.startswith("{") and json.loads(done.stdout)

    assert eventually(served, what="an answer by IPv6")["name"] == guarded
    for family in ("-6", "-4"):
        done = shared.inside(other, "curl", family, "-sS", "-m", "1.5", f"http://{name}/", check=False)
        assert done.returncode == TIMED_OUT, done


def make_gateway(instance, vpc, subnet, **more):
    lattice = instance.lattice
    made = lattice.create_resource_gateway(
        name=unique("gateway"), vpcIdentifier=vpc, subnetIds=[subnet], **more)
    assert made["ipAddressType"] == more["ipAddressType"]
    instance.active(lambda: lattice.get_resource_gateway(resourceGatewayIdentifier=made["id"]))
    return made["id"]


def resource(instance, gateway, network, definition):
    """A resource in the network; the name clients use."""
    lattice = instance.lattice
    made = lattice.create_resource_configuration(
        name=unique("web"), type="SINGLE", portRanges=["8080"], resourceGatewayIdentifier=gateway,
        resourceConfigurationDefinition=definition)
    instance.active(lambda: lattice.get_resource_configuration(resourceConfigurationIdentifier=made["id"]))
    association = lattice.create_service_network_resource_association(
        resourceConfigurationIdentifier=made["id"], serviceNetworkIdentifier=network)["id"]
    by = {"serviceNetworkResourceAssociationIdentifier": association}
    instance.active(lambda: lattice.get_service_network_resource_association(**by))
    return lattice.get_service_network_resource_association(**by)["dnsEntry"]["domainName"]


def test_a_resource_with_a_name_is_where_its_aaaa_records_say(tmp_path):
    names = NameServer()
    # The IPv4 address is a decoy.
    names.addresses["web.corp.test"] = ["10.66.1.99", SERVER]
    with Instance(tmp_path, "--resolver", names.address) as instance:
        consumer, client_subnet = instance.vpc("10.66.0.0/16", "10.66.1.0/24")
        client = instance.host(client_subnet)
        provider, subnet = instance.dualstack_vpc(*CIDRS)
        server = instance.web(subnet, "10.66.1.10", ipv6=SERVER)
        gateway = make_gateway(instance, provider, subnet, ipAddressType="IPV6")
        definition = {"dnsResource": {"domainName": "web.corp.test", "ipAddressType": "IPV6"}}
        name = resource(instance, gateway, instance.network([consumer]), definition)
        answer, _ = echo(instance, client, f"http://{name}:8080/")
        assert answer["name"] == server and answer["peer"].startswith(PREFIX[:-1]), answer
        assert ("web.corp.test", 28) in names.asked
    names.close()


def test_a_resource_is_reached_by_ipv6_from_its_gateways_addresses(shared, pair):
    gateway = make_gateway(shared, pair.provider, pair.provider_subnet, ipAddressType="DUALSTACK", ipv4AddressesPerEni=2)
    names = {address: resource(shared, gateway, pair.network, {"ipResource": {"ipAddress": address}})
             for address in (SERVER, "10.66.1.10")}
    answer, _ = echo(shared, pair.client, f"http://{names[SERVER]}:8080/")
    assert answer["name"] == pair.server
    # One of the sixteen highest of the subnet.
    assert answer["peer"].startswith(PREFIX[:-1] + "ffff:ffff:ffff:ff"), answer["peer"]
    answer, _ = echo(shared, pair.client, f"http://{names['10.66.1.10']}:8080/")
    assert answer["peer"] in ("10.66.1.253", "10.66.1.254"), answer["peer"]
    record = eventually(
        lambda: [line for line in shared.records() if line.get("resourceIpPort") == f"[{SERVER}]:8080"],
        what="the access-log line")[0]
    assert record["gatewayIpPort"].startswith("["), record


@pytest.mark.parametrize("extra", [
    "",
    f"ip -6 route replace {OTHER}/128 via {PREFIX}1;",
    "ip -6 addr add fe80::10/64 dev eth0 nodad; ip -6 route replace fd12:3456:789a::/56 dev eth0;",
])
def test_the_other_vpc_is_out_of_reach_by_ipv6_even_with_routes_of_ones_own(shared, pair, extra):
    web = shared.web(pair.provider_subnet, ipv6=None)
    shown = [host for host in json.loads(shared.cli("ps", "--json").stdout) if host["name"] == web][0]
    assert shown["ipv6"].startswith(PREFIX)
    here = f"http://[{shown['ipv6']}]:8080/"
    assert reaches(shared, pair.server, here), "it is there, for those who live there"
    prober = shared.host(pair.consumer_subnet, flags=["--privileged"])
    done = shared.inside(prober, "sh", "-c", f"{extra} curl -sS -m 2 '{here}'", check=False)
    assert done.returncode in (UNREACHABLE, TIMED_OUT), done
    for host in (web, prober):
        shared.cli("rm", host)


def test_a_vpc_gets_ipv6_from_the_command_line_and_hosts_keep_it_over_a_restart(own):
    vpc, subnet = own.vpc()
    first = own.host(subnet)
    block = own.aws("ec2", "associate-vpc-cidr-block", "--vpc-id", vpc, "--amazon-provided-ipv6-cidr-block")
    block = block["Ipv6CidrBlockAssociation"]["Ipv6CidrBlock"]
    # Its fourth group may be zero, and then is not written.
    network = ipaddress.IPv6Network(block)
    assert block.startswith("fd") and network.prefixlen == 56, block
    part = str(list(network.subnets(new_prefix=64))[1])
    own.aws("ec2", "associate-subnet-cidr-block", "--subnet-id", subnet, "--ipv6-cidr-block", part)
    own.aws("ec2", "modify-subnet-attribute", "--subnet-id", subnet, "--assign-ipv6-address-on-creation")
    web = own.web(subnet)
    (shown,) = own.aws("ec2", "describe-instances", "--filters", f"Name=tag:Name,Values={web}")["Reservations"]
    address = shown["Instances"][0]["NetworkInterfaces"][0]["Ipv6Addresses"][0]["Ipv6Address"]
    assert address == part.replace("::/64", "::4")
    assert address in own.cli("ps").stdout
    client = own.host(subnet)
    url = f"http://[{address}]:8080/"
    assert json.loads(own.curl(client, url))["name"] == web
    assert own.inside(first, "curl", "-sS", "-m", "2", url, check=False).returncode == UNREACHABLE, "it has no IPv6"
    own.restart()
    eventually(lambda: own.inside(client, "curl", "-sS", "-m", "2", url, check=False).returncode == 0,
               what="the hosts again")
    assert own.aws("ec2", "disassociate-vpc-cidr-block", "--association-id",
                   own.ec2.describe_vpcs()["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["AssociationId"],
                   check=False).returncode != 0
