"""Credentials for a while: roles that users assume, and what their sessions may do to APIs and services."""

import json

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from instance import document, eventually, forward, unique, user

ACCOUNT = "111122223333"
REGION = "us-east-1"
INVOKE = "vpc-lattice-svcs:Invoke"


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(principal, *actions, **more):
    return document({"Effect": "Allow", "Principal": principal, "Action": ["sts:AssumeRole", *actions], **more})


def client(shared, service, credentials):
    """A client that signs with `credentials`, as an answer of STS or of IAM has them."""
    return boto3.client(
        service, region_name=REGION, endpoint_url=shared.endpoint, aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"], aws_session_token=credentials.get("SessionToken"))


def refusal(call, **input):
    with pytest.raises(ClientError) as caught:
        call(**input)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


@pytest.fixture(scope="module")
def people(shared):
    """A user who may assume roles, and nothing else."""

    class People:
        pass

    world = People()
    world.iam = shared.client("iam")
    world.key = user(world.iam, allow(["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]))
    world.user = world.key["Arn"]
    world.sts = client(shared, "sts", world.key)

    def role(trusted, *allowed, **more):
        name = unique("role")
        arn = world.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted, **more)["Role"]["Arn"]
        if allowed:
            world.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(*allowed))
        return name, arn

    world.role = role
    return world


def test_a_session_of_a_role_calls_the_api_as_far_as_its_policies_go(shared, people):
    name, arn = people.role(trust({"AWS": people.user}), allow("vpc-lattice:List*"))
    answer = people.sts.assume_role(RoleArn=arn, RoleSessionName="one")
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/one"
    assert answer["AssumedRoleUser"]["Arn"] == session
    credentials = answer["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    identity = client(shared, "sts", credentials).get_caller_identity()
    assert identity["Arn"] == session and identity["Account"] == ACCOUNT
    assert identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    assert identity["UserId"].startswith("AROA") and identity["UserId"].endswith(":one")
    lattice = client(shared, "vpc-lattice", credentials)
    assert "items" in lattice.list_services()
    code, message = refusal(lattice.create_service, name="never")
    assert code == "AccessDeniedException"
    assert message.startswith(f"User: {session} is not authorized to perform: vpc-lattice:CreateService on resource: ")
    assert message.endswith("because no identity-based policy allows the vpc-lattice:CreateService action")
    info = shared.client("sts").get_access_key_info(AccessKeyId=credentials["AccessKeyId"])
    assert info["Account"] == ACCOUNT
    # A token that was changed, or another key's, is nobody's.
    broken = dict(credentials, SessionToken=credentials["SessionToken"][:-4] + "AAAA")
    assert refusal(client(shared, "sts", broken).get_caller_identity)[0] == "InvalidClientTokenId"
    stolen = dict(people.key, SessionToken=credentials["SessionToken"])
    assert refusal(client(shared, "sts", stolen).get_caller_identity)[0] == "InvalidClientTokenId"


def test_a_role_is_assumed_by_whom_its_trust_policy_names_and_nobody_else(shared, people):
    _, strangers = people.role(trust({"Service": "ec2.amazonaws.com"}), allow("*"))
    denied = f"User: {people.user} is not authorized to perform: sts:AssumeRole on resource: {strangers}"
    assert refusal(people.sts.assume_role, RoleArn=strangers, RoleSessionName="one") == ("AccessDenied", denied)
    # Not even the operator.
    assert refusal(shared.client("sts").assume_role, RoleArn=strangers, RoleSessionName="one")[0] == "AccessDenied"
    nowhere = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    assert refusal(people.sts.assume_role, RoleArn=nowhere, RoleSessionName="one")[0] == "AccessDenied"
    # With all of the account: the user needs a policy of its own.
    _, accounts = people.role(trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))
    plain = user(people.iam)
    arn, sts = plain["Arn"], client(shared, "sts", plain)
    code, message = refusal(sts.assume_role, RoleArn=accounts, RoleSessionName="one")
    assert code == "AccessDenied" and message == (
        f"User: {arn} is not authorized to perform: sts:AssumeRole on resource: {accounts} "
        "because no identity-based policy allows the sts:AssumeRole action")
    # By its name: it needs none.
    _, named = people.role(trust({"AWS": arn}))
    sts.assume_role(RoleArn=named, RoleSessionName="one")
    # The external id of a third party.
    condition = {"StringEquals": {"sts:ExternalId": "blue"}}
    _, external = people.role(trust({"AWS": people.user}, Condition=condition))
    assert refusal(people.sts.assume_role, RoleArn=external, RoleSessionName="one")[0] == "AccessDenied"
    assert refusal(people.sts.assume_role, RoleArn=external, RoleSessionName="one", ExternalId="red")[0] == "AccessDenied"
    people.sts.assume_role(RoleArn=external, RoleSessionName="one", ExternalId="blue")


def test_tags_source_identity_and_policies_of_a_session_bind_it_and_those_chained_to_it(shared, people):
    more = ("sts:TagSession", "sts:SetSourceIdentity")
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    _, second = people.role(trust(root, *more, Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}}),
                            allow("vpc-lattice:*", Condition={"StringEquals": {
                                "aws:PrincipalTag/team": "blue", "aws:SourceIdentity": "ann"}}))
    _, first = people.role(trust(root, *more), allow(["sts:*", "vpc-lattice:*"]))
    _, untagged = people.role(trust(root), allow("*"))
    tags = [{"Key": "team", "Value": "blue"}, {"Key": "desk", "Value": "7"}]
    asked = dict(RoleSessionName="one", Tags=tags, TransitiveTagKeys=["team"], SourceIdentity="ann")
    assert refusal(people.sts.assume_role, RoleArn=untagged, **asked)[1].endswith(
        f"is not authorized to perform: sts:TagSession on resource: {untagged}")
    assert refusal(people.sts.assume_role, RoleArn=second, **asked)[0] == "AccessDenied"
    answer = people.sts.assume_role(RoleArn=first, **asked)
    assert answer["SourceIdentity"] == "ann" and answer["PackedPolicySize"] >= 1
    chain = client(shared, "sts", answer["Credentials"])
    assert refusal(chain.assume_role, RoleArn=second, RoleSessionName="two", DurationSeconds=3601) == (
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
    assert refusal(chain.assume_role, RoleArn=second, RoleSessionName="two", Tags=tags)[0] == "ValidationError"
    assert refusal(chain.assume_role, RoleArn=second, RoleSessionName="two", SourceIdentity="eve")[0] == "ValidationError"
    chained = chain.assume_role(RoleArn=second, RoleSessionName="two")
    client(shared, "vpc-lattice", chained["Credentials"]).list_services()
    # Session policies take away and give nothing.
    limited = people.sts.assume_role(
        RoleArn=first, RoleSessionName="one", Policy=document(allow(["vpc-lattice:ListServices", "iam:*"])))
    lattice = client(shared, "vpc-lattice", limited["Credentials"])
    lattice.list_services()
    assert refusal(lattice.list_target_groups)[1].endswith(
        "because no session policy allows the vpc-lattice:ListTargetGroups action")
    assert refusal(client(shared, "iam", limited["Credentials"]).list_users)[0] == "AccessDenied"
    malformed = refusal(people.sts.assume_role, RoleArn=first, RoleSessionName="one", Policy="{}")
    assert malformed[0] == "MalformedPolicyDocument"
    long = refusal(people.sts.assume_role, RoleArn=first, RoleSessionName="one", DurationSeconds=7200)
    assert long == ("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")


def test_a_user_and_whom_it_vouches_for_get_credentials_for_a_while(shared, people):
    token = people.sts.get_session_token(DurationSeconds=900)["Credentials"]
    sts = client(shared, "sts", token)
    assert sts.get_caller_identity()["Arn"] == people.user
    assert refusal(sts.get_session_token)[0] == "AccessDenied"
    assert refusal(client(shared, "iam", token).list_users)[0] == "AccessDenied"
    _, arn = people.role(trust({"AWS": people.user}))
    sts.assume_role(RoleArn=arn, RoleSessionName="one")

    assert refusal(people.sts.get_federation_token, Name="guest")[0] == "AccessDenied"
    federates = client(shared, "sts", user(people.iam, allow(["sts:*", "vpc-lattice:*"])))
    answer = federates.get_federation_token(Name="guest", Policy=document(
        allow(["vpc-lattice:ListServices", "sts:AssumeRole"])))
    guest = f"arn:aws:sts::{ACCOUNT}:federated-user/guest"
    assert answer["FederatedUser"]["Arn"] == guest
    assert client(shared, "sts", answer["Credentials"]).get_caller_identity()["Arn"] == guest
    lattice = client(shared, "vpc-lattice", answer["Credentials"])
    lattice.list_services()
    assert refusal(lattice.list_target_groups)[0] == "AccessDeniedException"
    _, open_role = people.role(trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))
    guests = client(shared, "sts", answer["Credentials"])
    assert refusal(guests.assume_role, RoleArn=open_role, RoleSessionName="one")[0] == "AccessDenied"
    operator = shared.client("sts").get_session_token()["Credentials"]
    client(shared, "vpc-lattice", operator).list_services()
    assert client(shared, "sts", operator).get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/admin"


# === a service of Lattice ===


@pytest.fixture(scope="module")
def shop(shared):
    """A service with AWS_IAM for sessions with the tag `environment = prod`."""

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
    shared.lattice.update_service(serviceIdentifier=world.service, authType="AWS_IAM")
    shared.lattice.put_auth_policy(resourceIdentifier=world.service, policy=document({
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": INVOKE, "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalTag/environment": "prod"}}}))
    return world


def send(shared, shop, credentials, path="/"):
    """Status and body of a request that is signed as an SDK does."""
    request = AWSRequest("GET", f"http://{shop.name}{path}", headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    keys = Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    SigV4Auth(keys, "vpc-lattice-svcs", REGION).add_auth(request)
    fields = [flag for name, value in request.prepare().headers.items() for flag in ("-H", f"{name}: {value}")]
    out = shared.curl(shop.client, f"http://{shop.name}{path}", *fields, "-w", "\n%{http_code}")
    body, _, status = out.rpartition("\n")
    return int(status), body


def test_a_session_calls_a_service_by_its_tags_and_is_refused_in_the_words_of_lattice(shared, people, shop):
    name, arn = people.role(trust({"AWS": people.user}, "sts:TagSession"), allow(INVOKE))

    def assume(session, environment):
        return people.sts.assume_role(
            RoleArn=arn, RoleSessionName=session, Tags=[{"Key": "environment", "Value": environment}])["Credentials"]

    prod = assume("eks-prod", "prod")
    eventually(lambda: send(shared, shop, prod)[0] == 200, what="a session that is let in")
    seen = dict(json.loads(send(shared, shop, prod)[1])["headers"])
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/eks-prod"
    assert seen["x-amzn-lattice-identity"].startswith(f"Principal={session}; ")
    assert "; SessionName=eks-prod; " in seen["x-amzn-lattice-identity"]
    status, body = send(shared, shop, assume("eks-dev", "dev"))
    assert (status, body) == (403, (
        f"AccessDeniedException: User: arn:aws:sts::{ACCOUNT}:assumed-role/{name}/eks-dev is not authorized to perform: "
        f"vpc-lattice-svcs:Invoke on resource: {shop.arn}/ because no service-based policy allows the "
        f"vpc-lattice-svcs:Invoke action"))
    # Revoked as AWS does it: a denial of all tokens from before.
    people.iam.put_role_policy(RoleName=name, PolicyName="revoke", PolicyDocument=document(
        {"Effect": "Deny", "Action": "*", "Resource": "*",
         "Condition": {"DateLessThan": {"aws:TokenIssueTime": "2100-01-01T00:00:00Z"}}}))
    eventually(lambda: send(shared, shop, prod)[0] == 403, what="sessions that are revoked")
    refused = refusal(client(shared, "vpc-lattice", prod).list_services)
    assert refused[1].endswith("with an explicit deny in an identity-based policy")


def test_a_role_of_another_account_is_assumed_where_both_accounts_say_so(shared, people):
    other = json.loads(shared.cli("account", "create", "--name", unique("other"), "--json").stdout)["id"]
    key = json.loads(shared.cli("key", "create", "--account", other, "--json").stdout)

    iam = client(shared, "iam", key)

    def role(trusted):
        made = iam.create_role(RoleName=unique("role"), AssumeRolePolicyDocument=trust(trusted))["Role"]
        return made["Arn"]

    by_account, by_name, strangers = role({"AWS": ACCOUNT}), role({"AWS": people.user}), role({"AWS": other})
    for arn in by_account, by_name:
        credentials = people.sts.assume_role(RoleArn=arn, RoleSessionName="across")["Credentials"]
        who = client(shared, "sts", credentials).get_caller_identity()
        assert who["Account"] == other and who["Arn"].endswith("/across")
    code, message = refusal(people.sts.assume_role, RoleArn=strangers, RoleSessionName="across")
    assert code == "AccessDenied" and message.startswith(f"User: {people.user} is not authorized to perform: sts:AssumeRole on resource: {strangers}")
    # To be named in person is not enough from another account: a policy of one's own has to allow it too.
    bare = user(people.iam)
    named = role({"AWS": bare["Arn"]})
    assert refusal(client(shared, "sts", bare).assume_role, RoleArn=named, RoleSessionName="across")[0] == "AccessDenied"


def test_a_denial_of_ec2_is_decoded_by_its_own_account_alone(shared, people):
    code, message = refusal(client(shared, "ec2", people.key).describe_vpcs)
    told, _, encoded = message.partition(" Encoded authorization failure message: ")
    assert code == "UnauthorizedOperation" and told.endswith("because no identity-based policy allows the ec2:DescribeVpcs action.")
    decoded = json.loads(shared.client("sts").decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"])
    assert decoded["allowed"] is False and decoded["explicitDeny"] is False
    assert decoded["context"]["action"] == "ec2:DescribeVpcs" and decoded["context"]["principal"]["arn"] == people.user
    for wrong in (encoded[:-4] + "AAAA", "x", encoded[1:]):
        assert refusal(shared.client("sts").decode_authorization_message, EncodedMessage=wrong)[0] == "InvalidAuthorizationMessageException"
    other = json.loads(shared.cli("account", "create", "--name", unique("other"), "--json").stdout)["id"]
    key = json.loads(shared.cli("key", "create", "--account", other, "--json").stdout)

    assert refusal(client(shared, "sts", key).decode_authorization_message, EncodedMessage=encoded)[0] == "InvalidAuthorizationMessageException"
    assert refusal(people.sts.decode_authorization_message, EncodedMessage=encoded)[0] == "AccessDenied"
