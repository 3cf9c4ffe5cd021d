"""Two accounts in one installation: keys, invitations, and who may do what with the other's resources."""

import json
import re
import subprocess

import botocore.exceptions
import pytest

from instance import TRELLIS, Instance, eventually, fixed, forward, unique


class Account:
    """One account's clients; the instance's own helpers work for it too."""

    def __init__(self, instance, name=None):
        self.instance = instance
        if name is None:
            self.variables = instance.variables
        else:
            instance.cli("account", "create", "--name", name)
            instance.cli("key", "create", "--account", name)
            self.variables = environment(instance, "--account", name)
        self.id = self.variables["AWS_ACCOUNT_ID"]

    def client(self, service):
        return self.view().client(service)

    def view(self):
        """The instance, with this account's key."""
        view = Instance(self.instance.directory)
        view.endpoint, view.variables = self.instance.endpoint, self.variables
        return view

    @property
    def lattice(self):
        return self.client("vpc-lattice")

    @property
    def ram(self):
        return self.client("ram")

    def share(self, consumer, *arns):
        """Offers resources, and has the consumer accept; the share's ARN."""
        share = self.ram.create_resource_share(
            name=unique("share"), resourceArns=list(arns), principals=[consumer.id])["resourceShare"]["resourceShareArn"]
        consumer.accept(share)
        return share

    def accept(self, share):
        [invitation] = self.ram.get_resource_share_invitations(resourceShareArns=[share])["resourceShareInvitations"]
        assert invitation["status"] == "PENDING"
        self.ram.accept_resource_share_invitation(resourceShareInvitationArn=invitation["resourceShareInvitationArn"])


def environment(instance, *flags):
    lines = re.findall(r"^export (\w+)=(.*)$", instance.cli("env", *flags).stdout, re.MULTILINE)
    return {name: value.strip("'") for name, value in lines}


def code(call, **arguments):
    """The error code of a call, or None when it is accepted."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return None


@pytest.fixture(scope="module")
def parties(tmp_path_factory):
    """An owner, a consumer and a bystander, in an installation of their own."""
    with Instance(tmp_path_factory.mktemp("sharing")) as instance:
        yield Account(instance), Account(instance, "consumer"), Account(instance, "bystander")


def service_of(account):
    service = account.lattice.create_service(name=unique("service"))
    Instance.active(lambda: account.lattice.get_service(serviceIdentifier=service["id"]))
    return service


def resource_of(account):
    """A resource configuration with its gateway."""
    view = account.view()
    vpc, subnet = view.vpc()
    lattice = account.lattice
    gateway = lattice.create_resource_gateway(name=unique("gateway"), vpcIdentifier=vpc, subnetIds=[subnet])["id"]
    Instance.active(lambda: lattice.get_resource_gateway(resourceGatewayIdentifier=gateway))
    resource = lattice.create_resource_configuration(
        name=unique("resource"), type="SINGLE", resourceGatewayIdentifier=gateway, portRanges=["5432"],
        resourceConfigurationDefinition={"ipResource": {"ipAddress": "10.0.1.9"}})
    Instance.active(lambda: lattice.get_resource_configuration(resourceConfigurationIdentifier=resource["id"]))
    return resource


def associate(account, network, service):
    """An association of a service with a network, ACTIVE."""
    made = account.lattice.create_service_network_service_association(
        serviceNetworkIdentifier=network["arn"], serviceIdentifier=service["arn"])
    by = {"serviceNetworkServiceAssociationIdentifier": made["id"]}
    Instance.active(lambda: account.lattice.get_service_network_service_association(**by))
    return made


def join(account, network):
    """A VPC of the account in a network, ACTIVE: the association."""
    vpc = account.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = account.lattice.create_service_network_vpc_association(
        serviceNetworkIdentifier=network["arn"], vpcIdentifier=vpc)
    by = {"serviceNetworkVpcAssociationIdentifier": made["id"]}
    Instance.active(lambda: account.lattice.get_service_network_vpc_association(**by))
    return made


def gone(get, **by):
    return eventually(lambda: code(get, **by) == "ResourceNotFoundException", what="the end of an association")


# --- accounts ---


def test_an_operator_makes_accounts_and_keys_and_takes_them_back(own):
    made = json.loads(own.cli("account", "create", "222233334444", "--name", "team-b", "--json").stdout)
    assert (made["id"], made["name"]) == ("222233334444", "team-b")
    key = json.loads(own.cli("key", "create", "--account", "team-b", "--json").stdout)
    variables = environment(own, "--account", "222233334444")
    assert variables["AWS_ACCESS_KEY_ID"] == key["AccessKeyId"]
    assert variables["AWS_SECRET_ACCESS_KEY"] == key["SecretAccessKey"]
    assert variables["AWS_ENDPOINT_URL"] == own.endpoint

    team, admin = own.variables | variables, own.variables
    own.variables = team
    assert own.aws("sts", "get-caller-identity")["Account"] == "222233334444"
    network = own.aws("vpc-lattice", "create-service-network", "--name", "theirs")["id"]
    own.variables = admin
    assert own.aws("vpc-lattice", "list-service-networks")["items"] == []
    assert "222233334444" in own.cli("account", "list").stdout
    listed = json.loads(own.cli("key", "list", "--json").stdout)
    assert {entry["account"] for entry in listed} == {"111122223333", "222233334444"}
    assert "222233334444" in own.cli("account", "delete", "team-b", check=False).stderr

    # Keys outlive a restart, and no secret is in a log or on the command line's lists.
    own.restart()
    own.variables = own.variables | variables | {"AWS_ENDPOINT_URL": own.endpoint}
    own.aws("vpc-lattice", "delete-service-network", "--service-network-identifier", network)
    assert key["SecretAccessKey"] not in own.log.read_text() + json.dumps(listed)
    own.cli("key", "delete", key["AccessKeyId"])
    refused = own.aws("vpc-lattice", "list-service-networks", check=False)
    assert "UnrecognizedClientException" in refused.stderr
    own.cli("account", "delete", "team-b")
    assert "team-b" not in own.cli("account", "list").stdout


@pytest.mark.parametrize("words, says", [
    (["account", "create", "111122223333"], "exists already"),
    (["account", "create", "--name", "1"], "begins with a letter"),
    (["account", "delete", "111122223333"], "admin key's"),
    (["account", "delete", "nobody"], "trellis account list"),
    (["key", "create", "--account", "nobody"], "no account is called nobody"),
    (["key", "delete", "AKIA0"], "trellis key list"),
    (["env", "--account", "nobody"], "no account is called nobody"),
])
def test_what_an_operator_gets_wrong_is_said_and_changes_nothing(shared, words, says):
    before = shared.cli("account", "list").stdout + shared.cli("key", "list").stdout
    done = shared.cli(*words, check=False)
    assert done.returncode == 1 and says in done.stderr, done.stderr
    assert shared.cli("account", "list").stdout + shared.cli("key", "list").stdout == before


def test_ec2_and_tagging_know_nothing_of_another_account(parties):
    owner, consumer, _ = parties
    vpc, subnet = owner.view().vpc()
    ec2, tagging = consumer.client("ec2"), consumer.client("resourcegroupstaggingapi")
    assert code(ec2.describe_vpcs, VpcIds=[vpc]) == "InvalidVpcID.NotFound"
    assert code(ec2.create_subnet, VpcId=vpc, CidrBlock="10.0.9.0/24") == "InvalidVpcID.NotFound"
    assert code(ec2.delete_subnet, SubnetId=subnet) == "InvalidSubnetID.NotFound"
    assert vpc not in [found["VpcId"] for found in ec2.describe_vpcs()["Vpcs"]]
    network = owner.lattice.create_service_network(name=unique("network"), tags={"whose": "owner"})
    filters = [{"Key": "whose", "Values": ["owner"]}]
    assert tagging.get_resources(TagFilters=filters)["ResourceTagMappingList"] == []
    [found] = owner.client("resourcegroupstaggingapi").get_resources(TagFilters=filters)["ResourceTagMappingList"]
    assert found["ResourceARN"] == network["arn"]
    failed = tagging.tag_resources(ResourceARNList=[network["arn"]], Tags={"a": "b"})["FailedResourcesMap"]
    assert network["arn"] in failed
    # "Only the VPC owner" makes an association, and targets are in the account's own VPCs.
    lattice = consumer.lattice
    own = lattice.create_service_network(name=unique("own"))
    assert code(lattice.create_service_network_vpc_association,
                serviceNetworkIdentifier=own["id"], vpcIdentifier=vpc) == "ResourceNotFoundException"
    config = {"port": 80, "protocol": "HTTP", "vpcIdentifier": vpc}
    assert code(lattice.create_target_group, name=unique("group"), type="IP", config=config) in (
        "ResourceNotFoundException", "ValidationException")


def test_a_key_of_one_account_is_for_every_service_and_no_other_account(parties):
    owner, consumer, _ = parties
    for account in (owner, consumer):
        assert account.client("sts").get_caller_identity()["Account"] == account.id
        created = account.lattice.create_service_network(name="the-same-name")
        assert created["arn"].split(":")[4] == account.id


# --- the whole story, with the AWS CLI ---


def test_a_consumers_hosts_call_a_service_of_another_account_through_a_shared_network(parties):
    owner, consumer, _ = parties
    instance = owner.view()
    provider_vpc, provider_subnet = instance.vpc()
    instance.web(provider_subnet, "10.0.1.10", "shared-web")
    service, _, name = instance.service(forward(instance.group(provider_vpc, "10.0.1.10")))
    network = instance.lattice.get_service_network(serviceNetworkIdentifier=instance.network([], [service]))

    share = owner.view().aws(
        "ram", "create-resource-share", "--name", "shop", "--resource-arns", network["arn"],
        "--principals", consumer.id)["resourceShare"]
    theirs = consumer.view()
    [invitation] = theirs.aws("ram", "get-resource-share-invitations", "--resource-share-arns",
                              share["resourceShareArn"])["resourceShareInvitations"]
    assert invitation["status"] == "PENDING"
    theirs.aws("ram", "accept-resource-share-invitation", "--resource-share-invitation-arn",
               invitation["resourceShareInvitationArn"])
    assert network["arn"] in [item["arn"] for item in theirs.aws("vpc-lattice", "list-service-networks")["items"]]

    # The same addresses as the provider's: nothing but the network joins the two.
    vpc, subnet = theirs.vpc()
    client = theirs.host(subnet, ip="10.0.1.10")
    made = theirs.aws("vpc-lattice", "create-service-network-vpc-association",
                      "--service-network-identifier", network["arn"], "--vpc-identifier", vpc)
    by = {"serviceNetworkVpcAssociationIdentifier": made["id"]}
    Instance.active(lambda: consumer.lattice.get_service_network_vpc_association(**by))
    marker = "/from-the-other-account"
    answer = json.loads(theirs.curl(client, f"http://{name}{marker}"))
    assert answer["name"] == "shared-web"
    records = lambda: [record for record in theirs.records() if record["requestPath"] == marker]
    [record] = eventually(records, what="the log record")
    assert record["sourceVpcId"] == vpc and record["serviceArn"].split(":")[4] == owner.id

    # "Existing associations stay": the request goes on after the share is gone, until the association is.
    owner.view().aws("ram", "delete-resource-share", "--resource-share-arn", share["resourceShareArn"])
    assert code(consumer.lattice.get_service_network, serviceNetworkIdentifier=network["arn"]) == "AccessDeniedException"
    assert theirs.status(client, f"http://{name}/") == 200
    owner.lattice.delete_service_network_vpc_association(**by)
    gone(consumer.lattice.get_service_network_vpc_association, **by)
    assert theirs.inside(client, "curl", "-sS", "-m", "3", f"http://{name}/", check=False).returncode != 0


# --- every row of the table: who may see, associate and delete what ---


@pytest.fixture(scope="module")
def world(parties):
    """A network, a service and a resource of the owner, all shared with the consumer; things of the consumer's."""
    owner, consumer, bystander = parties

    class World:
        pass

    world = World()
    world.network = owner.lattice.create_service_network(name=unique("network"))
    world.service, world.resource = service_of(owner), resource_of(owner)
    world.listener = owner.lattice.create_listener(
        serviceIdentifier=world.service["id"], name="http", protocol="HTTP", defaultAction=fixed(404))
    world.closed = owner.lattice.create_service_network(name=unique("closed"))
    world.group = owner.lattice.create_target_group(
        name=unique("group"), type="IP",
        config={"port": 80, "protocol": "HTTP",
                "vpcIdentifier": owner.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]})
    owner.share(consumer, world.network["arn"], world.service["arn"], world.resource["arn"])
    owner.share(bystander, world.network["arn"])
    world.own_network = consumer.lattice.create_service_network(name=unique("own"))
    world.own_service = service_of(consumer)
    return world


SEEN = [
    ("get_service_network", "serviceNetworkIdentifier", "network"),
    ("get_service", "serviceIdentifier", "service"),
    ("get_resource_configuration", "resourceConfigurationIdentifier", "resource"),
]


@pytest.mark.parametrize("call, parameter, what", SEEN)
@pytest.mark.parametrize("form", ["arn", "id"])
def test_a_consumer_sees_what_is_shared(parties, world, call, parameter, what, form):
    _, consumer, _ = parties
    shown = getattr(consumer.lattice, call)(**{parameter: getattr(world, what)[form]})
    assert shown["arn"] == getattr(world, what)["arn"]


@pytest.mark.parametrize("call, what", [
    ("list_service_networks", "network"), ("list_services", "service"), ("list_resource_configurations", "resource")])
def test_lists_have_what_is_shared_under_its_owners_arn(parties, world, call, what):
    _, consumer, bystander = parties
    arns = [item["arn"] for page in consumer.lattice.get_paginator(call).paginate(PaginationConfig={"PageSize": 1})
            for item in page["items"]]
    assert arns.count(getattr(world, what)["arn"]) == 1 and world.closed["arn"] not in arns
    if what != "network":
        assert getattr(world, what)["arn"] not in [item["arn"] for item in getattr(bystander.lattice, call)()["items"]]


@pytest.mark.parametrize("call, arguments", [
    ("get_service_network", lambda world: {"serviceNetworkIdentifier": world.closed["arn"]}),
    ("update_service_network", lambda world: {"serviceNetworkIdentifier": world.network["arn"], "authType": "NONE"}),
    ("delete_service_network", lambda world: {"serviceNetworkIdentifier": world.network["arn"]}),
    ("update_service", lambda world: {"serviceIdentifier": world.service["arn"], "idleTimeoutSeconds": 90}),
    ("delete_service", lambda world: {"serviceIdentifier": world.service["arn"]}),
    ("list_listeners", lambda world: {"serviceIdentifier": world.service["arn"]}),
    ("get_listener", lambda world: {"serviceIdentifier": world.service["arn"],
                                    "listenerIdentifier": world.listener["id"]}),
    ("delete_resource_configuration", lambda world: {"resourceConfigurationIdentifier": world.resource["arn"]}),
    ("update_resource_configuration", lambda world: {"resourceConfigurationIdentifier": world.resource["arn"]}),
    ("get_target_group", lambda world: {"targetGroupIdentifier": world.group["arn"]}),
    ("get_auth_policy", lambda world: {"resourceIdentifier": world.service["arn"]}),
    ("get_resource_policy", lambda world: {"resourceArn": world.network["arn"]}),
    ("put_resource_policy", lambda world: {"resourceArn": world.network["arn"], "policy": "{}"}),
    ("list_tags_for_resource", lambda world: {"resourceArn": world.network["arn"]}),
    ("tag_resource", lambda world: {"resourceArn": world.network["arn"], "tags": {"a": "b"}}),
    ("create_access_log_subscription", lambda world: {"resourceIdentifier": world.network["arn"],
                                                      "destinationArn": "arn:aws:s3:::a-bucket"}),
])
def test_a_consumer_may_not_change_delete_or_look_into_what_is_shared(parties, world, call, arguments):
    owner, consumer, _ = parties
    before = owner.lattice.get_service_network(serviceNetworkIdentifier=world.network["id"])
    assert code(getattr(consumer.lattice, call), **arguments(world)) == "AccessDeniedException"
    after = owner.lattice.get_service_network(serviceNetworkIdentifier=world.network["id"])
    assert {**before, "ResponseMetadata": 0} == {**after, "ResponseMetadata": 0}


def test_a_consumer_may_not_share_on(parties, world):
    _, consumer, bystander = parties
    assert code(consumer.ram.create_resource_share, name="on", resourceArns=[world.network["arn"]],
                principals=[bystander.id]) == "OperationNotPermittedException"


@pytest.mark.parametrize("kind", ["target group", "listener", "resource gateway"])
def test_other_kinds_are_not_shareable(parties, world, kind):
    owner, _, _ = parties
    arn = {"target group": world.group["arn"], "listener": world.listener["arn"],
           "resource gateway": owner.lattice.list_resource_gateways()["items"][0]["arn"]}[kind]
    assert code(owner.ram.create_resource_share, name="x", resourceArns=[arn]) == "InvalidParameterException"


@pytest.mark.parametrize("network, service", [("network", "own_service"), ("own_network", "service")])
@pytest.mark.parametrize("ends_it", ["owner", "consumer"])
def test_a_service_association_across_accounts_is_made_seen_and_ended_by_either(
        parties, world, network, service, ends_it):
    owner, consumer, bystander = parties
    made = associate(consumer, getattr(world, network), getattr(world, service))
    by = {"serviceNetworkServiceAssociationIdentifier": made["id"]}
    for account in (owner, consumer):
        seen = account.lattice.get_service_network_service_association(**by)
        assert seen["arn"].split(":")[4] == account.id and seen["createdBy"] == consumer.id
        by_arn = {"serviceNetworkServiceAssociationIdentifier": seen["arn"]}
        assert account.lattice.get_service_network_service_association(**by_arn)["id"] == made["id"]
        for listed in ({"serviceNetworkIdentifier": getattr(world, network)["arn"]},
                       {"serviceIdentifier": getattr(world, service)["arn"]}):
            items = account.lattice.list_service_network_service_associations(**listed)["items"]
            assert seen["arn"] in [item["arn"] for item in items]
    if network == "network":
        [listed] = bystander.lattice.list_service_network_service_associations(
            serviceNetworkIdentifier=world.network["arn"])["items"]
        assert listed["id"] == made["id"]
    assert code(bystander.lattice.delete_service_network_service_association, **by) == "ResourceNotFoundException"
    ender = owner if ends_it == "owner" else consumer
    ender.lattice.delete_service_network_service_association(**by)
    for account in (owner, consumer):
        gone(account.lattice.get_service_network_service_association, **by)


@pytest.mark.parametrize("ends_it", ["owner", "consumer"])
def test_a_vpc_association_is_its_creators_to_update_and_eithers_to_end(parties, world, ends_it):
    owner, consumer, bystander = parties
    made = join(consumer, world.network)
    by = {"serviceNetworkVpcAssociationIdentifier": made["id"]}
    for account in (owner, consumer):
        seen = account.lattice.get_service_network_vpc_association(**by)
        assert seen["arn"].split(":")[4] == account.id and seen["createdBy"] == consumer.id
    update = {**by, "privateDnsEnabled": True}
    assert code(owner.lattice.update_service_network_vpc_association, **update) == "AccessDeniedException"
    consumer.lattice.update_service_network_vpc_association(**update)
    Instance.active(lambda: consumer.lattice.get_service_network_vpc_association(**by))
    assert code(bystander.lattice.delete_service_network_vpc_association, **by) == "ResourceNotFoundException"
    (owner if ends_it == "owner" else consumer).lattice.delete_service_network_vpc_association(**by)
    for account in (owner, consumer):
        gone(account.lattice.get_service_network_vpc_association, **by)


@pytest.mark.parametrize("ends_it", ["owner", "consumer"])
def test_a_resource_association_across_accounts_is_made_seen_and_ended_by_either(parties, world, ends_it):
    owner, consumer, _ = parties
    made = consumer.lattice.create_service_network_resource_association(
        serviceNetworkIdentifier=world.own_network["id"], resourceConfigurationIdentifier=world.resource["arn"])
    by = {"serviceNetworkResourceAssociationIdentifier": made["id"]}
    for account in (owner, consumer):
        get = account.lattice.get_service_network_resource_association
        Instance.active(lambda: get(**by))
        assert get(**by)["arn"].split(":")[4] == account.id
        listed = account.lattice.list_service_network_resource_associations(
            resourceConfigurationIdentifier=world.resource["arn"])["items"]
        assert [item["id"] for item in listed] == [made["id"]]
    (owner if ends_it == "owner" else consumer).lattice.delete_service_network_resource_association(**by)
    for account in (owner, consumer):
        gone(account.lattice.get_service_network_resource_association, **by)


@pytest.mark.parametrize("call, far", [
    ("create_service_network_service_association", {"serviceIdentifier": "service"}),
    ("create_service_network_resource_association", {"resourceConfigurationIdentifier": "resource"}),
])
def test_two_resources_that_are_both_shared_in_are_not_associated(parties, world, call, far):
    _, consumer, _ = parties
    [(parameter, what)] = far.items()
    arguments = {"serviceNetworkIdentifier": world.network["arn"], parameter: getattr(world, what)["arn"]}
    assert code(getattr(consumer.lattice, call), **arguments) == "AccessDeniedException"


def test_a_network_or_service_with_an_association_of_a_consumer_is_not_deleted(parties):
    owner, consumer, _ = parties
    network, service = owner.lattice.create_service_network(name=unique("network")), service_of(owner)
    owner.share(consumer, network["arn"], service["arn"])
    theirs, own = service_of(consumer), consumer.lattice.create_service_network(name=unique("own"))
    associate(consumer, network, theirs)
    associate(consumer, own, service)
    assert code(owner.lattice.delete_service_network, serviceNetworkIdentifier=network["id"]) == "ConflictException"
    assert code(owner.lattice.delete_service, serviceIdentifier=service["id"]) == "ConflictException"


def test_unsharing_one_resource_leaves_the_others_and_every_association(parties):
    owner, consumer, _ = parties
    networks = [owner.lattice.create_service_network(name=unique("network")) for _ in range(2)]
    share = owner.share(consumer, *(network["arn"] for network in networks))
    made = associate(consumer, networks[0], service_of(consumer))
    owner.ram.disassociate_resource_share(resourceShareArn=share, resourceArns=[networks[0]["arn"]])
    get = consumer.lattice.get_service_network
    assert code(get, serviceNetworkIdentifier=networks[0]["arn"]) == "AccessDeniedException"
    assert get(serviceNetworkIdentifier=networks[1]["arn"])["id"] == networks[1]["id"]
    by = {"serviceNetworkServiceAssociationIdentifier": made["id"]}
    assert consumer.lattice.get_service_network_service_association(**by)["status"] == "ACTIVE"
    assert code(consumer.lattice.create_service_network_service_association,
                serviceNetworkIdentifier=networks[0]["arn"],
                serviceIdentifier=service_of(consumer)["id"]) == "AccessDeniedException"


def test_the_command_for_accounts_explains_itself():
    done = subprocess.run([TRELLIS, "account", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "trellis key create --account" in done.stdout
