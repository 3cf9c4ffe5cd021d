"""The organisation of an installation's accounts: units, service control policies on API calls and on requests to services,
and the condition keys that speak of it."""

import json

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from instance import Instance, document, eventually, unique, user

REGION = "us-east-1"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def client(instance, key, service):
    return boto3.session.Session().client(
        service, region_name=REGION, endpoint_url=instance.endpoint, aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"], config=botocore.config.Config(retries={"total_max_attempts": 1}))


def refusal(call, **members):
    with pytest.raises(ClientError) as caught:
        call(**members)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


class Member:
    """An account of its own with an operator's key."""

    def __init__(self, instance):
        self.instance = instance
        self.id = json.loads(instance.cli("account", "create", "--name", unique("team"), "--json").stdout)["id"]
        self.key = json.loads(instance.cli("key", "create", "--account", self.id, "--json").stdout)

    def client(self, service):
        return client(self.instance, self.key, service)

    def user(self, *statements):
        """Clients of a user who may do what the statements say."""
        key = user(self.client("iam"), *statements)
        return lambda service: client(self.instance, key, service)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Instance(tmp_path_factory.mktemp("organization")) as instance:
        yield instance, instance.client("organizations")


def root_of(organizations):
    return organizations.list_roots()["Roots"][0]["Id"]


def switched_on(organizations):
    """Service control policies are on; the root."""
    root = organizations.list_roots()["Roots"][0]
    if not root["PolicyTypes"]:
        root = organizations.enable_policy_type(RootId=root["Id"], PolicyType="SERVICE_CONTROL_POLICY")["Root"]
    assert root["PolicyTypes"] == [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}]
    return root["Id"]


def control(organizations, *statements):
    made = organizations.create_policy(
        Name=unique("scp"), Description="", Type="SERVICE_CONTROL_POLICY", Content=document(*statements))
    return made["Policy"]["PolicySummary"]["Id"]


def test_every_account_is_in_the_organization_of_the_management_account(world):
    instance, organizations = world
    member = Member(instance)
    own = organizations.describe_organization()["Organization"]
    assert own["MasterAccountId"] == "111122223333" and own["FeatureSet"] == "ALL"
    assert member.client("organizations").describe_organization()["Organization"]["Id"] == own["Id"]
    listed = {account["Id"]: account for page in organizations.get_paginator("list_accounts").paginate() for account in page["Accounts"]}
    assert {"111122223333", member.id} <= set(listed)
    assert listed[member.id]["Arn"] == f"arn:aws:organizations::111122223333:account/{own['Id']}/{member.id}"
    assert organizations.describe_account(AccountId=member.id)["Account"]["Status"] == "ACTIVE"
    assert organizations.list_parents(ChildId=member.id)["Parents"] == [{"Id": root_of(organizations), "Type": "ROOT"}]
    assert refusal(member.client("organizations").list_accounts)[0] == "AccessDeniedException"
    assert refusal(organizations.describe_account, AccountId="999988887777")[0] == "AccountNotFoundException"


def test_units_are_made_in_units_and_accounts_move_between_them(world):
    instance, organizations = world
    member, root = Member(instance), root_of(organizations)
    outer = organizations.create_organizational_unit(ParentId=root, Name="outer", Tags=[{"Key": "k", "Value": "v"}])["OrganizationalUnit"]["Id"]
    inner = organizations.create_organizational_unit(ParentId=outer, Name="inner")["OrganizationalUnit"]["Id"]
    assert organizations.list_tags_for_resource(ResourceId=outer)["Tags"] == [{"Key": "k", "Value": "v"}]
    assert refusal(organizations.create_organizational_unit, ParentId=outer, Name="inner")[0] == "DuplicateOrganizationalUnitException"
    organizations.move_account(AccountId=member.id, SourceParentId=root, DestinationParentId=inner)
    assert refusal(organizations.move_account, AccountId=member.id, SourceParentId=root, DestinationParentId=inner)[0] == "SourceParentNotFoundException"
    children = organizations.list_children(ParentId=inner, ChildType="ACCOUNT")["Children"]
    assert children == [{"Id": member.id, "Type": "ACCOUNT"}]
    assert [unit["Id"] for unit in organizations.list_organizational_units_for_parent(ParentId=outer)["OrganizationalUnits"]] == [inner]
    assert [account["Id"] for account in organizations.list_accounts_for_parent(ParentId=inner)["Accounts"]] == [member.id]
    assert organizations.list_parents(ChildId=member.id)["Parents"] == [{"Id": inner, "Type": "ORGANIZATIONAL_UNIT"}]
    assert refusal(organizations.delete_organizational_unit, OrganizationalUnitId=inner)[0] == "OrganizationalUnitNotEmptyException"
    renamed = organizations.update_organizational_unit(OrganizationalUnitId=inner, Name="renamed")["OrganizationalUnit"]
    assert organizations.describe_organizational_unit(OrganizationalUnitId=inner)["OrganizationalUnit"] == renamed
    organizations.move_account(AccountId=member.id, SourceParentId=inner, DestinationParentId=root)
    organizations.delete_organizational_unit(OrganizationalUnitId=inner)
    organizations.delete_organizational_unit(OrganizationalUnitId=outer)
    assert refusal(organizations.describe_organizational_unit, OrganizationalUnitId=outer)[0] == "OrganizationalUnitNotFoundException"
    deep = root
    for level in range(5):
        deep = organizations.create_organizational_unit(ParentId=deep, Name=f"level-{level}")["OrganizationalUnit"]["Id"]
    assert refusal(organizations.create_organizational_unit, ParentId=deep, Name="below")[0] == "ConstraintViolationException"


def test_policies_are_made_attached_listed_and_kept_while_anything_has_them(world):
    instance, organizations = world
    member, root = Member(instance), switched_on(organizations)
    policy = control(organizations, EVERYTHING)
    malformed = refusal(organizations.create_policy, Name="x", Description="", Type="SERVICE_CONTROL_POLICY", Content="{}")
    assert malformed[0] == "MalformedPolicyDocumentException"
    organizations.attach_policy(PolicyId=policy, TargetId=member.id)
    assert refusal(organizations.attach_policy, PolicyId=policy, TargetId=member.id)[0] == "DuplicatePolicyAttachmentException"
    listed = organizations.list_policies_for_target(TargetId=member.id, Filter="SERVICE_CONTROL_POLICY")["Policies"]
    assert {found["Id"] for found in listed} == {policy, "p-FullAWSAccess"}
    targets = organizations.list_targets_for_policy(PolicyId=policy)["Targets"]
    assert [(found["TargetId"], found["Type"]) for found in targets] == [(member.id, "ACCOUNT")]
    assert refusal(organizations.delete_policy, PolicyId=policy)[0] == "PolicyInUseException"
    organizations.detach_policy(PolicyId="p-FullAWSAccess", TargetId=member.id)
    assert refusal(organizations.detach_policy, PolicyId=policy, TargetId=member.id)[0] == "ConstraintViolationException"
    organizations.update_policy(PolicyId=policy, Content=document({**EVERYTHING, "Action": "iam:*"}))
    assert "iam:*" in organizations.describe_policy(PolicyId=policy)["Policy"]["Content"]
    assert refusal(member.client("ec2").describe_vpcs)[0] == "UnauthorizedOperation"
    organizations.attach_policy(PolicyId="p-FullAWSAccess", TargetId=member.id)
    organizations.detach_policy(PolicyId=policy, TargetId=member.id)
    organizations.delete_policy(PolicyId=policy)
    assert refusal(organizations.describe_policy, PolicyId=policy)[0] == "PolicyNotFoundException"
    assert root


def test_service_control_policies_bound_operators_and_users_of_members_and_nobody_of_the_management_account(world):
    instance, organizations = world
    member, root = Member(instance), switched_on(organizations)
    unit = organizations.create_organizational_unit(ParentId=root, Name=unique("unit"))["OrganizationalUnit"]["Id"]
    user = member.user(EVERYTHING)
    assert user("iam").list_users()["Users"]
    denies = control(organizations, {"Effect": "Deny", "Action": "iam:ListUsers", "Resource": "*"})
    organizations.attach_policy(PolicyId=denies, TargetId=unit)
    assert user("iam").list_users()["Users"], "it is not in the unit yet"
    organizations.move_account(AccountId=member.id, SourceParentId=root, DestinationParentId=unit)
    code, message = refusal(user("iam").list_users)
    assert code == "AccessDenied" and message.endswith("with an explicit deny in a service control policy")
    assert refusal(member.client("iam").list_users)[1].endswith("with an explicit deny in a service control policy")
    assert user("iam").list_roles()["Roles"] == []
    # Each level has to allow.
    only = control(organizations, {"Effect": "Allow", "Action": "sts:*", "Resource": "*"})
    organizations.attach_policy(PolicyId=only, TargetId=member.id)
    organizations.detach_policy(PolicyId="p-FullAWSAccess", TargetId=member.id)
    code, message = refusal(user("iam").list_roles)
    assert message.endswith("because no service control policy allows the iam:ListRoles action"), message
    assert user("sts").get_caller_identity()["Account"] == member.id
    organizations.attach_policy(PolicyId=denies, TargetId=root)
    assert instance.client("iam").list_users() is not None
    organizations.detach_policy(PolicyId=denies, TargetId=root)


def test_conditions_see_the_organization_of_the_caller_and_of_the_resource(world):
    instance, organizations = world
    member, root = Member(instance), root_of(organizations)
    organization = organizations.describe_organization()["Organization"]["Id"]
    unit = organizations.create_organizational_unit(ParentId=root, Name=unique("unit"))["OrganizationalUnit"]["Id"]
    organizations.move_account(AccountId=member.id, SourceParentId=root, DestinationParentId=unit)
    may = lambda **condition: member.user({"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*", "Condition": condition})
    path = f"{organization}/{root}/{unit}/"
    assert may(StringEquals={"aws:PrincipalOrgID": organization})("iam").list_users()["Users"]
    assert may(**{"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": f"{organization}/{root}/{unit}/*"}})("iam").list_users()["Users"]
    assert may(StringEquals={"aws:ResourceOrgID": organization, "aws:ResourceAccount": member.id})("iam").list_users()["Users"]
    assert may(**{"ForAnyValue:StringEquals": {"aws:ResourceOrgPaths": path}})("iam").list_users()["Users"]
    refused = may(StringEquals={"aws:PrincipalOrgID": "o-another123"})
    assert refusal(refused("iam").list_users)[0] == "AccessDenied"


def test_requests_to_services_are_bound_by_the_organization_too(world):
    instance, organizations = world
    member, root = Member(instance), switched_on(organizations)
    organization = organizations.describe_organization()["Organization"]["Id"]
    provider, provider_subnet = instance.vpc()
    consumer, consumer_subnet = instance.vpc()
    instance.web(provider_subnet, "10.0.1.10", "one")
    host = instance.host(consumer_subnet)
    service, name = service_of(instance, provider, "10.0.1.10", consumer, {
        "Effect": "Allow", "Principal": "*", "Action": "vpc-lattice-svcs:Invoke", "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": organization, "aws:ResourceOrgID": organization}}})
    key = user(member.client("iam"), {**EVERYTHING, "Action": "vpc-lattice-svcs:*"})

    def called(*signed):
        done = instance.inside(host, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *signed, f"http://{name}/")
        return done.stdout

    signed = ["--user", f"{key['AccessKeyId']}:{key['SecretAccessKey']}", "--aws-sigv4", f"aws:amz:{REGION}:vpc-lattice-svcs",
              "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
    eventually(lambda: called(*signed) == "200", what="the member's call")
    assert called() == "403", "the anonymous are in no organization"
    denies = control(organizations, {"Effect": "Deny", "Action": "vpc-lattice-svcs:Invoke", "Resource": "*"})
    organizations.attach_policy(PolicyId=denies, TargetId=member.id)
    eventually(lambda: called(*signed) == "403", what="the denial by the organization")
    organizations.detach_policy(PolicyId=denies, TargetId=member.id)
    eventually(lambda: called(*signed) == "200", what="the member's call again")
    assert root and service


def service_of(instance, provider, address, consumer, statement):
    """A service in front of `address` with AWS_IAM and one statement, for hosts of `consumer`; its id and name."""
    lattice = instance.lattice
    group = lattice.create_target_group(
        name=unique("group"), type="IP", config={"port": 8080, "protocol": "HTTP", "vpcIdentifier": provider})["id"]
    lattice.register_targets(targetGroupIdentifier=group, targets=[{"id": address, "port": 8080}])
    service = lattice.create_service(name=unique("cart"), authType="AWS_IAM")
    lattice.put_auth_policy(resourceIdentifier=service["id"], policy=document(statement))
    lattice.create_listener(
        serviceIdentifier=service["id"], name="http", protocol="HTTP", port=80,
        defaultAction={"forward": {"targetGroups": [{"targetGroupIdentifier": group}]}})
    network = lattice.create_service_network(name=unique("shop"))["id"]
    lattice.create_service_network_service_association(serviceIdentifier=service["id"], serviceNetworkIdentifier=network)
    lattice.create_service_network_vpc_association(vpcIdentifier=consumer, serviceNetworkIdentifier=network)
    return service["id"], service["dnsEntry"]["domainName"]


def test_switching_policies_off_takes_them_all_away(own):
    organizations, member = own.client("organizations"), Member(own)
    root = switched_on(organizations)
    policy = control(organizations, {"Effect": "Deny", "Action": "*", "Resource": "*"})
    organizations.attach_policy(PolicyId=policy, TargetId=root)
    assert refusal(member.client("iam").list_users)[0] == "AccessDenied"
    own.restart()
    organizations = own.client("organizations")
    assert refusal(member.client("iam").list_users)[0] == "AccessDenied", "a restart changes nothing"
    organizations.disable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    assert member.client("iam").list_users() is not None
    assert refusal(organizations.attach_policy, PolicyId=policy, TargetId=root)[0] == "PolicyTypeNotEnabledException"
    switched_on(organizations)
    assert member.client("iam").list_users() is not None


def test_shares_with_a_unit_or_the_organization_reach_whoever_is_in_it_without_an_invitation(own):
    organizations, ram, member = own.client("organizations"), own.client("ram"), Member(own)
    root, network = root_of(organizations), own.lattice.create_service_network(name="shared")
    unit = organizations.create_organizational_unit(ParentId=root, Name="unit")["OrganizationalUnit"]
    inner = organizations.create_organizational_unit(ParentId=unit["Id"], Name="inner")["OrganizationalUnit"]
    make = lambda **more: ram.create_resource_share(name=unique("share"), resourceArns=[network["arn"]], **more)["resourceShare"]
    assert refusal(make, principals=[unit["Arn"]])[0] == "OperationNotPermittedException"
    assert refusal(member.client("ram").enable_sharing_with_aws_organization)[0] == "OperationNotPermittedException"
    assert ram.enable_sharing_with_aws_organization()["returnValue"]
    share = make(principals=[unit["Arn"]], allowExternalPrincipals=False)
    sees = lambda account: [found["id"] for found in account.client("vpc-lattice").list_service_networks()["items"]] == [network["id"]]
    assert not sees(member)
    organizations.move_account(AccountId=member.id, SourceParentId=root, DestinationParentId=inner["Id"])
    eventually(lambda: sees(member), what="the network of the unit")
    listed = ram.get_resource_share_associations(associationType="PRINCIPAL", resourceShareArns=[share["resourceShareArn"]])
    assert [(found["associatedEntity"], found["status"], found["external"]) for found in listed["resourceShareAssociations"]] == [
        (unit["Arn"], "ASSOCIATED", False)]
    assert [found["id"] for found in ram.list_principals(resourceOwner="SELF")["principals"]] == [unit["Arn"]]
    organizations.move_account(AccountId=member.id, SourceParentId=inner["Id"], DestinationParentId=root)
    eventually(lambda: not sees(member), what="the network gone with the unit")
    whole = organizations.describe_organization()["Organization"]["Arn"]
    ram.associate_resource_share(resourceShareArn=share["resourceShareArn"], principals=[whole])
    assert sees(member)
    late = Member(own)
    eventually(lambda: sees(late), what="the network of the organization in an account made later")
    ram.disassociate_resource_share(resourceShareArn=share["resourceShareArn"], principals=[whole])
    assert not sees(member)
    # An account of the organization is not invited either.
    ram.associate_resource_share(resourceShareArn=share["resourceShareArn"], principals=[member.id])
    assert sees(member) and not member.client("ram").get_resource_share_invitations()["resourceShareInvitations"]
    assert refusal(make, principals=[whole + "x"])[0] == "InvalidParameterException"
