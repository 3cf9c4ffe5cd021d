"""Who may call a service: requests signed by signers that are not ours, and policies about their callers."""

import json

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.crt.auth import CrtSigV4AsymAuth, CrtSigV4Auth

from instance import ROOT, eventually, forward

SERVICE = "vpc-lattice-svcs"
REGION = "us-east-1"
ADMIN = "arn:aws:iam::111122223333:user/admin"
UNSIGNED = "UNSIGNED-PAYLOAD"
# Built by scripts/setup.
GO_SIGNER = ROOT / "target/tools/go_signer"


def policy(principal, resource="*", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": principal, "Action": "vpc-lattice-svcs:Invoke", "Resource": resource,
         **more}]})


@pytest.fixture(scope="module")
def shop(shared):
    """A service with AWS_IAM that lets the account's callers in and nobody else."""

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
    world.url = f"http://{world.name}"
    world.credentials = Credentials(
        shared.variables["AWS_ACCESS_KEY_ID"], shared.variables["AWS_SECRET_ACCESS_KEY"])
    shared.lattice.update_service(serviceIdentifier=world.service, authType="AWS_IAM")
    shared.lattice.put_auth_policy(
        resourceIdentifier=world.service, policy=policy({"AWS": "arn:aws:iam::111122223333:root"}))
    eventually(lambda: send(shared, world, world.url, sign(world, SigV4Auth))[0] == 200, what="the policy in force")
    return world


def sign(shop, signer, path="/", method="GET", region=REGION, headers=(), data=None, **more):
    """The headers that `signer` adds to a request of `path`; for one that signs the query, its URL."""
    request = AWSRequest(method, shop.url + path, headers={"X-Amz-Content-SHA256": UNSIGNED, **dict(headers)}, data=data)
    signer(shop.credentials, SERVICE, region, **more).add_auth(request)
    prepared = request.prepare()
    return prepared.url if signer is SigV4QueryAuth else dict(prepared.headers.items())


def send(shared, shop, url, headers=(), *flags):
    """Status and body."""
    fields = [flag for name, value in dict(headers).items() if name.lower() != "content-length"
              for flag in ("-H", f"{name}: {value if isinstance(value, str) else value.decode()}")]
    out = shared.curl(shop.client, url, "--path-as-is", *fields, *flags, "-w", "\n%{http_code}")
    body, _, status = out.rpartition("\n")
    return int(status), body


PATHS = ["/", "/a%20b", "/a//b/./c/../d", "/caf%C3%A9?x=1&y=a%2Fb", "/a:b@c/d?b=2&a=1&a=0"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("signer, region", [
    (SigV4Auth, REGION), (CrtSigV4Auth, REGION), (CrtSigV4AsymAuth, REGION), (CrtSigV4AsymAuth, "*")])
def test_requests_signed_by_curl_botocore_and_its_crt_are_let_in(shared, shop, signer, region, path):
    status, body = send(shared, shop, shop.url + path, sign(shop, signer, path, region=region))
    assert status == 200, body
    seen = {name: value for name, value in json.loads(body)["headers"]}
    assert seen["x-amzn-lattice-identity"].startswith(f"Principal={ADMIN}; ")
    assert seen["x-amzn-lattice-identity"].endswith("; Type=AWS_IAM")


@pytest.mark.parametrize("path", ["/", "/a%20b?x=1", "/a:b"])
@pytest.mark.parametrize("flags", [(), ("-X", "POST", "-d", "some text")])
def test_requests_signed_by_curl_itself_are_let_in(shared, shop, path, flags):
    key = shop.credentials
    out = send(shared, shop, shop.url + path, {"x-amz-content-sha256": UNSIGNED},
               "--aws-sigv4", f"aws:amz:{REGION}:{SERVICE}", "--user", f"{key.access_key}:{key.secret_key}", *flags)
    assert out[0] == 200, out[1]


@pytest.mark.parametrize("path", ["/", "/a%20b?x=1&y=a%2Fb", "/a:b@c/d?b=2&a=1&a=0", "/caf%C3%A9"])
def test_requests_signed_by_the_sdk_for_go_are_let_in(shared, shop, path):
    key = shop.credentials
    named = ["--env", f"AWS_ACCESS_KEY_ID={key.access_key}", "--env", f"AWS_SECRET_ACCESS_KEY={key.secret_key}"]
    done = shared.cli("exec", shop.client, *named, "--", str(GO_SIGNER), "POST", shop.url + path, REGION, "some text")
    body, status = done.stdout.strip().rsplit("\n", 1)
    assert status == "200", done
    seen = dict(json.loads(body)["headers"])
    assert seen["x-amzn-lattice-identity"].startswith(f"Principal={ADMIN}; ")


def test_a_presigned_query_is_let_in(shared, shop):
    status, body = send(shared, shop, sign(shop, SigV4QueryAuth, "/x?y=1", expires=60), {"X-Amz-Content-SHA256": UNSIGNED})
    assert status == 200, body


def test_the_admin_key_is_let_in_by_a_policy_about_it_and_the_anonymous_are_not(shared, shop):
    status, body = send(shared, shop, shop.url + "/x")
    assert (status, body) == (403, (
        f"AccessDeniedException: User: anonymous is not authorized to perform: vpc-lattice-svcs:Invoke on resource: "
        f"{shop.arn}/x because no service-based policy allows the vpc-lattice-svcs:Invoke action"))
    signed = sign(shop, SigV4Auth, "/x")
    assert send(shared, shop, shop.url + "/x", signed)[0] == 200
    status, body = send(shared, shop, shop.url + "/y", signed)
    assert status == 403 and body.startswith("InvalidSignatureException: The request signature we calculated"), body
    status, body = send(shared, shop, shop.url + "/", sign(shop, SigV4Auth, headers={"X-Amz-Content-SHA256": "0" * 64}))
    assert (status, body) == (403, "InvalidSignatureException: Signed payloads are not supported")
    records = eventually(lambda: [r for r in shared.records() if r.get("requestPath") == "/x" and r["responseCode"] == 200])
    assert records[-1]["resolvedUser"] == records[-1]["callerPrincipal"] == ADMIN


def test_a_policy_that_is_put_or_deleted_is_in_force_at_once(shared, shop):
    def allowed(wanted):
        eventually(lambda: send(shared, shop, shop.url + "/z")[0] == wanted, what=f"the answer {wanted}")

    lattice = shared.lattice
    before = lattice.get_auth_policy(resourceIdentifier=shop.service)["policy"]
    try:
        for document, wanted in [
            (policy("*", f"{shop.arn}/z"), 200),
            (policy("*", f"{shop.arn}/other"), 403),
            (policy("*", Condition={"StringEquals": {"vpc-lattice-svcs:RequestMethod": "GET"}}), 200),
            (policy("*", Condition={"StringNotEqualsIgnoreCase": {"aws:PrincipalType": "anonymous"}}), 403),
            (policy("*", Condition={"StringEquals": {"aws:ResourceTag/tier": "gold"}}), 403),
        ]:
            lattice.put_auth_policy(resourceIdentifier=shop.service, policy=document)
            allowed(wanted)
        lattice.tag_resource(resourceArn=shop.arn, tags={"tier": "gold"})
        allowed(200)
        lattice.delete_auth_policy(resourceIdentifier=shop.service)
        allowed(403)
    finally:
        lattice.put_auth_policy(resourceIdentifier=shop.service, policy=before)
    eventually(lambda: send(shared, shop, shop.url, sign(shop, SigV4Auth))[0] == 200, what="the policy as before")
