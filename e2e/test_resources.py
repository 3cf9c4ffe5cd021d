"""VPC resources: a real PostgreSQL in one VPC, asked by psql from another VPC with the same addresses."""

import glob
import pwd
import subprocess

import botocore.exceptions
import pytest

from instance import MOUNTS, PYTHON, TRELLIS, Instance, eventually, unique
from name_server import NameServer

CIDR, SUBNET = "10.70.0.0/16", "10.70.1.0/24"
SERVER = "10.70.1.10"
# PostgreSQL refuses to run as root, and as a user without a name; in a user namespace of its own it is somebody else.
NOBODY = pwd.getpwnam("nobody")
SOMEBODY = ["unshare", "--user", f"--map-user={NOBODY.pw_uid}", f"--map-group={NOBODY.pw_gid}"]


def postgres(program):
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"))
    assert found, "PostgreSQL is not installed: scripts/setup test"
    return found[-1]


class World:
    """A provider VPC with a database behind a resource gateway, and a client VPC with the same CIDR."""

    def __init__(self, instance, names, directory):
        self.instance, self.names = instance, names
        self.lattice, self.ec2 = instance.lattice, instance.ec2
        self.provider, self.provider_subnet = instance.vpc(CIDR, SUBNET)
        self.consumer, self.consumer_subnet = instance.vpc(CIDR, SUBNET)
        self.client = instance.host(self.consumer_subnet, ip=SERVER)
        self.database = self._database(directory)
        self.gateway = self.make_gateway()
        self.network = self.lattice.create_service_network(name=unique("network"))["id"]
        self.client_association = self.lattice.create_service_network_vpc_association(
            serviceNetworkIdentifier=self.network, vpcIdentifier=self.consumer, privateDnsEnabled=True)["id"]
        self.associated()

    def associated(self):
        instance = self.instance
        instance.active(lambda: self.lattice.get_service_network_vpc_association(
            serviceNetworkVpcAssociationIdentifier=self.client_association))

    def _database(self, directory):
        data = directory / "data"
        subprocess.run([*SOMEBODY, postgres("initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync"],
                       check=True, capture_output=True)
        with open(data / "pg_hba.conf", "a") as rules:
            rules.write("host all all 0.0.0.0/0 trust\n")
        host = self.instance.host(
            self.provider_subnet, *SOMEBODY, postgres("postgres"), "-D", str(data), "-c", f"listen_addresses={SERVER}",
            "-c", f"unix_socket_directories={data}", "-c", "fsync=off", ip=SERVER, flags=["--privileged"],
            mounts=[data])
        eventually(lambda: self.instance.inside(
            host, postgres("pg_isready"), "-h", SERVER, check=False).returncode == 0, what="the database")
        return host

    def make_gateway(self, **more):
        made = self.lattice.create_resource_gateway(
            name=unique("gateway"), vpcIdentifier=self.provider, subnetIds=[self.provider_subnet],
            ipv4AddressesPerEni=4, **more)
        self.instance.active(lambda: self.lattice.get_resource_gateway(resourceGatewayIdentifier=made["id"]))
        return made["id"]

    def resource(self, definition, gateway=None, ports=("5432",), private_dns=False, **more):
        """A resource in the network; its association, and the name clients use."""
        lattice = self.lattice
        made = lattice.create_resource_configuration(
            name=unique("database"), type="SINGLE", portRanges=list(ports),
            resourceGatewayIdentifier=gateway or self.gateway, resourceConfigurationDefinition=definition, **more)
        self.instance.active(lambda: lattice.get_resource_configuration(resourceConfigurationIdentifier=made["id"]))
        association = lattice.create_service_network_resource_association(
            resourceConfigurationIdentifier=made["id"], serviceNetworkIdentifier=self.network,
            privateDnsEnabled=private_dns)["id"]
        by = {"serviceNetworkResourceAssociationIdentifier": association}
        self.instance.active(lambda: lattice.get_service_network_resource_association(**by))
        name = lattice.get_service_network_resource_association(**by)["dnsEntry"]["domainName"]
        return made["arn"], association, name

    def psql(self, host, query, port=5432):
        """The client's completed psql."""
        target = f"host={host} port={port} user=postgres dbname=postgres connect_timeout=2"
        return self.instance.inside(self.client, "psql", target, "-Atc", query, check=False)

    def answers(self, host, port=5432):
        return self.psql(host, "select 1", port).stdout == "1\n"

    def asks(self, host, query):
        eventually(lambda: self.answers(host), what=f"an answer of {host}")
        return self.psql(host, query).stdout.strip()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    names = NameServer()
    with Instance(tmp_path_factory.mktemp("resources"), "--resolver", names.address) as instance:
        yield World(instance, names, tmp_path_factory.mktemp("database"))
    names.close()


def by_address(address=SERVER):
    return {"ipResource": {"ipAddress": address}}


def test_a_database_is_asked_across_vpcs_with_the_same_addresses(world):
    assert not world.answers(SERVER), "there is no way from VPC to VPC"
    arn, association, name = world.resource(by_address())
    source = world.asks(name, "select host(inet_client_addr())")
    assert source in {f"10.70.1.{last}" for last in (251, 252, 253, 254)}, source
    address = world.instance.inside(world.client, "getent", "ahostsv4", name).stdout.split()[0]
    assert address.startswith("129.224."), address
    text = world.psql(name, "select repeat('x', 5000000)").stdout
    assert len(text) == 5_000_001

    refused = world.psql(name, "select 1", port=5433)
    assert "Connection refused" in refused.stderr, refused.stderr
    assert "Connection refused" in world.psql("129.224.127.1", "select 1").stderr

    def recorded():
        return [line for line in world.instance.records() if line.get("resourceConfigurationArn") == arn]

    record = eventually(recorded, what="the access-log line")[0]
    assert record["serviceNetworkResourceAssociationId"] == association
    assert record["protocol"] == "tcp" and record["vpcEndpointId"] == "-"
    assert record["sourceIpPort"].startswith(f"{SERVER}:") and record["resourceIpPort"] == f"{SERVER}:5432"
    assert record["destinationIpPort"] == f"{address}:5432"
    assert record["gatewayIpPort"].rsplit(":", 1)[0] in {f"10.70.1.{last}" for last in (251, 252, 253, 254)}


def test_deleting_the_association_ends_connections_and_the_name(world):
    _, association, name = world.resource(by_address())
    world.asks(name, "select 1")
    target = f"host={name} user=postgres dbname=postgres"
    session = subprocess.Popen(
        [TRELLIS, "exec", "--data-dir", str(world.instance.data), world.client, "--",
         "psql", target, "-Atc", "select pg_sleep(60)"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    busy = "select count(*) from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()"
    eventually(lambda: world.psql(name, busy).stdout == "1\n", what="the query running")
    world.lattice.delete_service_network_resource_association(serviceNetworkResourceAssociationIdentifier=association)
    _, errors = session.communicate(timeout=30)
    assert session.returncode != 0, errors
    assert "could not translate host name" in world.psql(name, "select 1").stderr
    eventually(lambda: not [item for item in world.lattice.list_service_network_resource_associations(
        serviceNetworkIdentifier=world.network)["items"] if item["id"] == association], what="the association gone")


def test_a_resource_with_a_name_is_where_the_providers_resolver_says(world):
    world.names.addresses["db.corp.test"] = [SERVER]
    _, _, name = world.resource({"dnsResource": {"domainName": "DB.corp.test", "ipAddressType": "IPV4"}})
    assert world.asks(name, "select 40 + 2") == "42"
    # One that leads back to ourselves leads nowhere.
    world.names.addresses["loop.corp.test"] = ["127.0.0.1", "169.254.171.1"]
    _, _, loop = world.resource({"dnsResource": {"domainName": "loop.corp.test", "ipAddressType": "IPV4"}})

    def tried():
        assert not world.answers(loop)
        return ("loop.corp.test", 1) in world.names.asked

    eventually(tried, what="the name being asked for")


# Asks over TCP what only the provider's hosts are to be told.
QUERY_OVER_TCP = r"""
import socket, struct, sys
query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x08internal\x04test\0" + struct.pack("!HH", 1, 1)
try:
    s = socket.create_connection((sys.argv[1], 53), timeout=10)
    s.sendall(struct.pack("!H", len(query)) + query)
    print(len(s.recv(512)))
except OSError:
    print(0)
"""


def test_the_resolver_of_the_providers_vpc_is_no_resource_by_address_or_by_name(world):
    world.names.addresses |= {"resolver.test": ["10.70.0.2"], "internal.test": ["192.0.2.7"]}
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        world.resource(by_address("10.70.0.2"), ports=("53",))
    assert "resolver" in str(refused.value)
    _, _, name = world.resource({"dnsResource": {"domainName": "resolver.test", "ipAddressType": "IPV4"}}, ports=("53",))
    asked = world.instance.inside(world.client, PYTHON, "-c", QUERY_OVER_TCP, name)
    assert asked.stdout == "0\n", asked
    assert ("internal.test", 1) not in world.names.asked


def test_the_gateways_security_groups_decide_what_it_begins(world):
    group = world.ec2.create_security_group(GroupName=unique("gateway"), Description="gateway", VpcId=world.provider)["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    world.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    gateway = world.make_gateway(securityGroupIds=[group])
    _, _, name = world.resource(by_address(), gateway=gateway)
    assert not world.answers(name)
    to_database = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": f"{SERVER}/32"}]}]
    world.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=to_database)
    assert world.asks(name, "select 7") == "7"
    world.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=to_database)
    eventually(lambda: not world.answers(name), what="the gateway being held back")


def test_the_vpc_associations_security_groups_choose_the_clients(world):
    instance = world.instance
    vpc, subnet = instance.vpc(CIDR, SUBNET)
    group = world.ec2.create_security_group(GroupName=unique("clients"), Description="clients", VpcId=vpc)["GroupId"]
    chosen, other = instance.host(subnet, ip="10.70.1.20"), instance.host(subnet, ip="10.70.1.21")
    permission = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "10.70.1.20/32"}]}]
    world.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission)
    association = world.lattice.create_service_network_vpc_association(
        serviceNetworkIdentifier=world.network, vpcIdentifier=vpc, securityGroupIds=[group])["id"]
    instance.active(lambda: world.lattice.get_service_network_vpc_association(
        serviceNetworkVpcAssociationIdentifier=association))
    _, _, name = world.resource(by_address())

    def ask(host):
        return instance.inside(host, "psql", f"host={name} user=postgres connect_timeout=2", "-Atc", "select 1", check=False)

    eventually(lambda: ask(chosen).stdout == "1\n", what="the chosen client's answer")
    silent = ask(other)
    assert silent.returncode != 0 and "timeout expired" in silent.stderr, silent.stderr


def test_a_verified_domain_is_a_private_name_in_the_clients_vpc_alone(world):
    world.names.proven.add("verified.test")
    started = world.lattice.start_domain_verification(domainName="verified.test")
    assert started["status"] == "PENDING"
    verification = {"domainVerificationIdentifier": started["id"]}
    eventually(lambda: world.lattice.get_domain_verification(**verification)["status"] == "VERIFIED", what="VERIFIED")
    unproven = world.lattice.start_domain_verification(domainName="unproven.test")
    world.resource(by_address(), customDomainName="db.verified.test", private_dns=True,
                   domainVerificationIdentifier=started["id"])
    world.resource(by_address(), customDomainName="db.unproven.test", private_dns=True,
                   domainVerificationIdentifier=unproven["id"])
    world.resource(by_address(), customDomainName="quiet.verified.test", domainVerificationIdentifier=started["id"])
    # The VPC's DNS attributes have to be on, and one of them is off by default.
    assert "could not translate host name" in world.psql("db.verified.test", "select 1").stderr
    for vpc in (world.consumer, world.provider):
        world.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert world.asks("db.verified.test", "select 3") == "3"
    for host in ("db.unproven.test", "quiet.verified.test"):
        assert "could not translate host name" in world.psql(host, "select 1").stderr
    assert world.instance.inside(world.database, "getent", "hosts", "db.verified.test", check=False).returncode == 2
    assert world.lattice.get_domain_verification(domainVerificationIdentifier=unproven["id"])["status"] == "PENDING"


ARN = "arn:aws:rds:us-east-1:111122223333:db:orders"
# Sends its second argument to whoever connects to the port in the first.
SAY = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])))
while True:
    client, _ = server.accept()
    client.sendall(sys.argv[2].encode())
    client.close()
"""
LISTEN = """
import socket, sys
print(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).recv(100).decode(), end="")
"""


def test_a_host_that_says_it_is_a_database_is_reached_by_its_arn(own):
    lattice = own.lattice
    provider, provider_subnet = own.vpc()
    consumer, consumer_subnet = own.vpc()
    own.ec2.modify_vpc_attribute(VpcId=consumer, EnableDnsHostnames={"Value": True})
    client = own.host(consumer_subnet)
    gateway = lattice.create_resource_gateway(
        name=unique("gateway"), vpcIdentifier=provider, subnetIds=[provider_subnet])["id"]
    own.active(lambda: lattice.get_resource_gateway(resourceGatewayIdentifier=gateway))
    resource = lattice.create_resource_configuration(
        name=unique("orders"), type="ARN", resourceGatewayIdentifier=gateway,
        resourceConfigurationDefinition={"arnResource": {"arn": ARN}})["id"]

    def got():
        return lattice.get_resource_configuration(resourceConfigurationIdentifier=resource)

    own.active(got)
    assert f"no host is {ARN}" in got()["failureReason"]
    network = own.network([consumer])
    by = {"serviceNetworkResourceAssociationIdentifier": lattice.create_service_network_resource_association(
        resourceConfigurationIdentifier=resource, serviceNetworkIdentifier=network)["id"]}
    own.active(lambda: lattice.get_service_network_resource_association(**by))
    association = lattice.get_service_network_resource_association(**by)
    generated, of_rds = (association[entry]["domainName"] for entry in ("dnsEntry", "privateDnsEntry"))
    assert of_rds.startswith("orders.") and of_rds.endswith(".us-east-1.rds.amazonaws.com")

    def run(word, port, arn=ARN):
        host = unique("database")
        own.cli("run", "-d", "--subnet", provider_subnet, *MOUNTS, "--name", host, "--resource-arn", arn,
                "--resource-port", str(port), "--", PYTHON, "-c", SAY, str(port), word)
        return host

    def heard(name, port):
        return own.inside(client, PYTHON, "-c", LISTEN, name, str(port), check=False).stdout

    host = run("one", 5432)
    for name in (generated, of_rds):
        eventually(lambda: heard(name, 5432) == "one", what=f"the database at {name}")
    assert "failureReason" not in got()
    assert heard(generated, 5433) == "", "the database has one port"
    with pytest.raises(Exception, match=f"{ARN} is i-[0-9a-f]+ already"):
        run("two", 5432)
    with pytest.raises(Exception, match="is not a database of account 111122223333"):
        run("two", 5432, ARN.replace("us-east-1", "eu-west-1"))
    own.cli("rm", host)
    eventually(lambda: heard(of_rds, 5432) == "", what="nobody there")
    assert f"no host is {ARN}" in got()["failureReason"]
    run("two", 6432)
    eventually(lambda: heard(of_rds, 6432) == "two", what="the next host")


def test_a_gateway_takes_addresses_of_its_subnet_and_keeps_it(world):
    vpc, subnet = world.instance.vpc("10.71.0.0/16", "10.71.1.0/28")
    gateway = world.lattice.create_resource_gateway(
        name=unique("gateway"), vpcIdentifier=vpc, subnetIds=[subnet], ipv4AddressesPerEni=10)["id"]
    [described] = world.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert described["AvailableIpAddressCount"] == 1
    with pytest.raises(world.ec2.exceptions.ClientError) as refused:
        world.ec2.delete_subnet(SubnetId=subnet)
    assert refused.value.response["Error"]["Code"] == "DependencyViolation"
    world.instance.active(lambda: world.lattice.get_resource_gateway(resourceGatewayIdentifier=gateway))
    world.lattice.delete_resource_gateway(resourceGatewayIdentifier=gateway)

    def deleted():
        try:
            world.ec2.delete_subnet(SubnetId=subnet)
            return True
        except world.ec2.exceptions.ClientError:
            return False

    eventually(deleted, what="the subnet free")
