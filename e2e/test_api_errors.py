"""Every refusal is an error the client's own parser understands."""

import datetime
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.client
import botocore.config
import botocore.crt.auth
import botocore.credentials
import botocore.exceptions
import botocore.session
import pytest

from instance import unique


def refused(call, **parameters):
    """The error a call ends in: its code, status and whole parsed body."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response


# Per service: a call, and the error for an unknown key, a wrong secret, and no signature.
AUTHENTICATION = [
    ("vpc-lattice", "list_services", ("UnrecognizedClientException", 403), ("InvalidSignatureException", 403), ("MissingAuthenticationTokenException", 403)),
    ("ec2", "describe_vpcs", ("AuthFailure", 401), ("AuthFailure", 401), ("AuthFailure", 401)),
    ("sts", "get_caller_identity", ("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403), ("MissingAuthenticationToken", 403)),
    ("resourcegroupstaggingapi", "get_resources", ("UnrecognizedClientException", 400), ("InvalidSignatureException", 400), ("MissingAuthenticationTokenException", 400)),
]


def session_client(shared, service, key, secret, **settings):
    session = botocore.session.Session()
    return session.create_client(
        service, region_name="us-east-1", endpoint_url=shared.endpoint, aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=botocore.config.Config(retries={"total_max_attempts": 1}, **settings))


@pytest.mark.parametrize("service, operation, unknown, wrong, missing", AUTHENTICATION)
def test_callers_who_are_not_who_they_say_get_the_errors_the_service_has(shared, service, operation, unknown, wrong, missing):
    key, secret = shared.variables["AWS_ACCESS_KEY_ID"], shared.variables["AWS_SECRET_ACCESS_KEY"]
    code, status, _ = refused(getattr(session_client(shared, service, "AKIANOBODYNOBODYNOBO", secret), operation))
    assert (code, status // 100) == (unknown[0], 4)
    code, status, response = refused(getattr(session_client(shared, service, key, secret[:-1] + "~"), operation))
    assert (code, status // 100) == (wrong[0], 4)
    assert secret not in str(response)
    unsigned = session_client(shared, service, key, secret, signature_version=botocore.UNSIGNED)
    code, status, _ = refused(getattr(unsigned, operation))
    assert status // 100 == 4 and code.startswith("MissingAuthenticationToken") or code == missing[0]
    getattr(session_client(shared, service, key, secret), operation)()


@pytest.mark.parametrize("minutes, accepted", [(-14, True), (-16, False), (14, True), (16, False)])
def test_a_clock_may_be_wrong_by_fifteen_minutes(shared, monkeypatch, minutes, accepted):
    import botocore.compat
    real = botocore.compat.get_current_datetime

    def shifted(*arguments, **keywords):
        return real(*arguments, **keywords) + datetime.timedelta(minutes=minutes)

    # botocore signs with the one, or with the other where the CRT is installed.
    for signer in (botocore.auth, botocore.crt.auth):
        monkeypatch.setattr(signer, "get_current_datetime", shifted)
    if accepted:
        shared.lattice.list_services()
    else:
        code, status, _ = refused(shared.lattice.list_services)
        assert status == 403 and code in ("InvalidSignatureException", "SignatureDoesNotMatch")


def test_a_presigned_url_works_until_it_is_changed(shared):
    credentials = botocore.credentials.Credentials(
        shared.variables["AWS_ACCESS_KEY_ID"], shared.variables["AWS_SECRET_ACCESS_KEY"])
    request = botocore.awsrequest.AWSRequest(
        "GET", f"{shared.endpoint}/?Action=GetCallerIdentity&Version=2011-06-15")
    botocore.auth.SigV4QueryAuth(credentials, "sts", "us-east-1", expires=60).add_auth(request)
    url = request.prepare().url
    assert b"<Account>111122223333</Account>" in urllib.request.urlopen(url).read()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))
    assert caught.value.code == 403


def test_validation_names_every_field_and_changes_nothing(shared):
    before = len(shared.lattice.list_target_groups()["items"])
    client = shared.client("vpc-lattice", parameter_validation=False)
    code, status, response = refused(
        client.create_target_group, name="UPPER", type="IP",
        config={"port": 70000, "protocol": "HTTP", "vpcIdentifier": "vpc-0123456789abcdef0"})
    assert (code, status) == ("ValidationException", 400)
    assert response["reason"] == "fieldValidationFailed"
    names = {field["name"] for field in response["fieldList"]}
    assert any("port" in name for name in names) and any("name" in name for name in names), names
    assert len(shared.lattice.list_target_groups()["items"]) == before


def test_what_is_not_there_is_named(shared):
    code, status, response = refused(shared.lattice.get_service, serviceIdentifier="svc-0123456789abcdef0")
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert response["resourceId"] == "svc-0123456789abcdef0" and response["resourceType"] == "SERVICE"


def test_a_name_taken_is_a_conflict_that_says_already_exists(shared):
    name = unique("net")
    first = shared.lattice.create_service_network(name=name)
    code, status, response = refused(shared.lattice.create_service_network, name=name)
    assert (code, status) == ("ConflictException", 409)
    assert "already exist" in response["message"] and response["resourceType"] == "SERVICE_NETWORK", response
    assert first["id"] in str(response)


def test_a_quota_is_402_with_its_code(shared):
    lattice = shared.lattice
    service = lattice.create_service(name=unique("svc").replace("svc-", "q-"))["id"]
    for port in (80, 81):
        lattice.create_listener(serviceIdentifier=service, name=f"l{port}", protocol="HTTP", port=port,
                                defaultAction={"fixedResponse": {"statusCode": 404}})
    code, status, response = refused(
        lattice.create_listener, serviceIdentifier=service, name="l82", protocol="HTTP", port=82,
        defaultAction={"fixedResponse": {"statusCode": 404}})
    assert (code, status) == ("ServiceQuotaExceededException", 402)
    assert response["quotaCode"] == "L-D64E952E" and response["serviceCode"] == "vpc-lattice"


@pytest.mark.parametrize("cidr, code", [
    ("10.0.0.0/15", "InvalidVpc.Range"),
    ("10.0.0.0/29", "InvalidVpc.Range"),
    ("nonsense", "InvalidParameterValue"),
    ("300.0.0.0/16", "InvalidParameterValue"),
])
def test_a_cidr_aws_would_refuse_is_refused(shared, cidr, code):
    before = len(shared.ec2.describe_vpcs()["Vpcs"])
    found, status, _ = refused(shared.ec2.create_vpc, CidrBlock=cidr)
    assert status == 400 and found == code
    assert len(shared.ec2.describe_vpcs()["Vpcs"]) == before


def test_a_target_outside_its_vpc_is_not_registered(shared):
    vpc, _ = shared.vpc("10.60.0.0/16", "10.60.1.0/24")
    group = shared.group(vpc)
    lattice = shared.lattice
    answer = lattice.register_targets(targetGroupIdentifier=group, targets=[
        {"id": "10.60.1.5"}, {"id": "10.99.0.5"}, {"id": "8.8.8.8"}, {"id": "169.254.171.1"}])
    assert [target["id"] for target in answer["successful"]] == ["10.60.1.5"]
    assert {target["id"] for target in answer["unsuccessful"]} == {"10.99.0.5", "8.8.8.8", "169.254.171.1"}
    assert all(target["failureCode"] and target["failureMessage"] for target in answer["unsuccessful"])
    assert len(lattice.list_targets(targetGroupIdentifier=group)["items"]) == 1


def test_an_operation_that_is_not_there_says_what_to_use_instead(shared):
    code, status, response = refused(
        shared.ec2.run_instances, ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1)
    assert (code, status) == ("UnsupportedOperation", 400) and "trellis run" in str(response), response


# What is not served speaks each protocol: what its clients show of the refusal.
NOT_SERVED = [
    (("cloudfront", "list-distributions"), "SignatureDoesNotMatch"),
    (("s3api", "list-buckets"), "SignatureDoesNotMatch"),
    (("s3api", "get-bucket-location", "--bucket", "b"), "SignatureDoesNotMatch"),
    (("sns", "list-topics"), "SignatureDoesNotMatch"),
    (("dynamodb", "list-tables"), "InvalidSignatureException"),
    (("apigateway", "get-rest-apis"), "InvalidSignatureException"),
]


@pytest.mark.parametrize("words, code", NOT_SERVED)
def test_a_service_that_is_not_served_is_refused_in_its_own_protocol(shared, words, code):
    done = shared.aws(*words, check=False)
    assert done.returncode != 0
    assert f"({code})" in done.stderr and "which is not served here" in done.stderr, done.stderr


def sample(shape, name=""):
    """A value that satisfies a shape of botocore's, with no more in it than there must be."""
    kind = shape.type_name
    if kind == "structure":
        members = shape.required_members or list(shape.members)[:1] * getattr(shape, "is_tagged_union", False)
        return {member: sample(shape.members[member], member) for member in members}
    if kind == "list":
        return [sample(shape.member, name)]
    if kind == "string":
        text = {"Bucket": "bucket", "Key": "a/key"}.get(name, "abc").ljust(shape.metadata.get("min", 0), "x")
        return shape.enum[0] if shape.enum else text
    return {"map": {}, "boolean": True, "timestamp": "2026-01-01", "blob": b"x"}.get(kind, 1)


def anonymous(shared, service, **settings):
    return session_client(shared, service, "AKIA", "x", signature_version=botocore.UNSIGNED, **settings)


# Its host would be named after the caller's route.
ELSEWHERE = {"WriteGetObjectResponse"}


def test_every_unsigned_call_of_s3_is_refused_in_the_words_of_s3(shared):
    client = anonymous(shared, "s3")
    seen = 0
    for operation in client.meta.service_model.operation_names:
        model = client.meta.service_model.operation_model(operation)
        if operation in ELSEWHERE:
            continue
        given = sample(model.input_shape) if model.input_shape else {}
        code, status, response = refused(getattr(client, botocore.xform_name(operation)), **given)
        if model.http["method"] == "HEAD":
            assert (code, status) == ("403", 403), operation
        else:
            assert (code, status) == ("AccessDenied", 403), operation
            assert "Missing Authentication Token" in response["Error"]["Message"], operation
        seen += 1
    assert seen > 100


# Nothing of these looks like S3; the last are served here.
UNSIGNED = [
    ("eks", "create_cluster"), ("apigateway", "create_rest_api"), ("sns", "list_topics"), ("dynamodb", "list_tables"),
    ("cloudfront", "list_distributions"), ("ecs", "list_clusters"), ("vpc-lattice", "list_services"),
    ("vpc-lattice", "create_service"), ("route53", "list_hosted_zones"), ("ec2", "describe_vpcs"),
]


@pytest.mark.parametrize("service, operation", UNSIGNED)
def test_other_unsigned_calls_are_not_taken_for_those_of_s3(shared, service, operation):
    client = anonymous(shared, service)
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
    code, _, response = refused(getattr(client, operation), **(sample(shape) if shape else {}))
    assert code.startswith("MissingAuthenticationToken") or code == "AuthFailure", response
    assert "<" not in response["Error"]["Message"], response


def test_a_form_too_large_for_ec2_is_refused_in_the_words_of_ec2(shared):
    code, status, _ = refused(shared.ec2.describe_vpcs, VpcIds=["vpc-" + "0" * 2000] * 600)
    assert (code, status) == ("RequestEntityTooLarge", 413)


def test_an_unknown_service_is_named(shared):
    code, status, response = refused(shared.client("sqs").list_queues)
    assert status // 100 == 4 and "sqs" in str(response), response
