"""Roles for whom an identity provider vouches: tokens that no part of Trellis made, keys fetched over verified TLS."""

import base64
import http.server
import json
import ssl
import subprocess
import threading
import time

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from instance import Instance, unique
from test_sessions import ACCOUNT, REGION, allow, client, document, refusal

AUDIENCE = "sts.amazonaws.com"
SUBJECT = "system:serviceaccount:shop:cart"


def openssl(*words, input=None):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, input=input).stdout


def text(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Provider:
    """An OpenID Connect provider at https://localhost, with a certificate of its own authority."""

    def __init__(self, directory):
        self.directory, self.keys, self.asked = directory, {}, 0
        self.authority = directory / "authority.pem"
        certificate, key = directory / "certificate.pem", directory / "key.pem"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
                "-keyout", directory / "authority.key", "-out", self.authority)
        request = openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key)
        (directory / "names").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-days", "2", "-CA", self.authority, "-CAkey", directory / "authority.key",
                "-extfile", directory / "names", "-out", certificate, input=request)
        self.rotate("one")
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                provider.asked += 1
                documents = {
                    "/id/1/.well-known/openid-configuration":
                        {"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/keys"},
                    "/id/1/keys": {"keys": [key["public"] for key in provider.keys.values()]},
                }
                body = json.dumps(documents.get(self.path, {})).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"https://localhost:{self.server.server_port}/id/1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def rotate(self, name):
        """Takes another key, and forgets the one before."""
        private = self.directory / f"{name}.pem"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private)
        modulus = openssl("rsa", "-in", private, "-noout", "-modulus").decode().strip().partition("=")[2]
        public = {"kty": "RSA", "kid": name, "alg": "RS256", "use": "sig", "n": text(bytes.fromhex(modulus)), "e": "AQAB"}
        self.keys = {name: {"private": private, "public": public}}

    def token(self, key=None, header=None, **claims):
        """A token of the provider's; whatever is said otherwise is otherwise."""
        name, key = key or next(iter(self.keys.items()))
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "exp": now + 600, **claims}
        head = {"alg": "RS256", "kid": name, **(header or {})}
        signed = f"{text(json.dumps(head).encode())}.{text(json.dumps(claims).encode())}"
        signature = openssl("dgst", "-sha256", "-sign", key["private"], input=signed.encode())
        return f"{signed}.{text(signature)}"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    provider = Provider(tmp_path_factory.mktemp("provider"))
    with Instance(tmp_path_factory.mktemp("instance"), environment={"SSL_CERT_FILE": str(provider.authority)}) as own:
        own.provider = provider
        own.iam = own.client("iam")
        own.provider_arn = own.iam.create_open_id_connect_provider(
            Url=provider.issuer, ClientIDList=[AUDIENCE], ThumbprintList=["0" * 40])["OpenIDConnectProviderArn"]
        own.sts = boto3.client("sts", region_name=REGION, endpoint_url=own.endpoint, config=Config(signature_version=UNSIGNED))
        yield own
    provider.server.shutdown()
    provider.server.server_close()


def role(world, *actions, **conditions):
    name = unique("web")
    issuer = world.provider.issuer.removeprefix("https://")
    condition = {"StringEquals": {f"{issuer}:sub": SUBJECT, f"{issuer}:aud": AUDIENCE, **conditions}}
    arn = world.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(
        {"Effect": "Allow", "Principal": {"Federated": world.provider_arn},
         "Action": ["sts:AssumeRoleWithWebIdentity", *actions], "Condition": condition}))["Role"]["Arn"]
    world.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(allow("vpc-lattice:List*")))
    return name, arn


def test_a_token_of_a_provider_is_changed_for_a_session_of_the_role_that_trusts_it(world):
    name, arn = role(world)
    answer = world.sts.assume_role_with_web_identity(
        RoleArn=arn, RoleSessionName="cart", WebIdentityToken=world.provider.token())
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/cart"
    assert answer["AssumedRoleUser"]["Arn"] == session
    assert answer["SubjectFromWebIdentityToken"] == SUBJECT and answer["Audience"] == AUDIENCE
    assert answer["Provider"] == world.provider.issuer
    assert client(world, "sts", answer["Credentials"]).get_caller_identity()["Arn"] == session
    client(world, "vpc-lattice", answer["Credentials"]).list_services()


def test_tokens_that_prove_nothing_are_refused_each_with_its_error(world):
    _, arn = role(world)
    provider = world.provider
    stranger = ("one", {"private": provider.directory / "authority.key"})
    now = int(time.time())
    for token, expected in [
        (provider.token(aud=["someone-else"]), ("InvalidIdentityToken", "Incorrect token audience")),
        (provider.token(exp=now - 300, iat=now - 900), ("ExpiredTokenException", None)),
        (provider.token(sub="system:serviceaccount:shop:other"),
         ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")),
        (provider.token(key=stranger), ("InvalidIdentityToken", None)),
        (provider.token(header={"alg": "none"}), ("InvalidIdentityToken", None)),
        (provider.token(iss="https://elsewhere.example"), ("InvalidIdentityToken", None)),
        ("not.a.token", ("InvalidIdentityToken", None)),
    ]:
        code, message = refusal(
            world.sts.assume_role_with_web_identity, RoleArn=arn, RoleSessionName="cart", WebIdentityToken=token)
        assert (code, message) == (expected[0], expected[1] or message), token
    gone = refusal(world.sts.assume_role_with_web_identity, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/nobody",
                   RoleSessionName="cart", WebIdentityToken=provider.token())
    assert gone[0] == "AccessDenied"


def test_tags_in_a_token_are_the_sessions_where_the_role_lets_them(world):
    tags = {"https://aws.amazon.com/tags": {"principal_tags": {"team": ["blue"]}, "transitive_tag_keys": ["team"]}}
    _, without = role(world)
    token = world.provider.token(**tags)
    denied = refusal(world.sts.assume_role_with_web_identity, RoleArn=without, RoleSessionName="x1", WebIdentityToken=token)
    assert denied[0] == "AccessDenied"
    name, arn = role(world, "sts:TagSession", **{"aws:RequestTag/team": "blue"})
    world.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(
        allow("vpc-lattice:List*", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}})))
    answer = world.sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="x1", WebIdentityToken=token)
    client(world, "vpc-lattice", answer["Credentials"]).list_services()


def test_operations_that_have_to_be_signed_are_refused_without_a_signature(world):
    assert refusal(world.sts.get_caller_identity)[0] == "MissingAuthenticationToken"


def test_keys_that_were_imported_prove_tokens_of_an_issuer_nobody_can_reach(tmp_path):
    provider = Provider(tmp_path)
    provider.server.shutdown()
    provider.server.server_close()
    keys, issuer = tmp_path / "keys.json", "https://oidc.invalid/id/7"
    provider.issuer = issuer
    publish = lambda: keys.write_text(json.dumps({"keys": [key["public"] for key in provider.keys.values()]}))
    publish()
    (tmp_path / "own").mkdir()
    with Instance(tmp_path / "own", "--issuer-keys", f"{issuer}={keys}") as own:
        iam = own.client("iam")
        arn = iam.create_open_id_connect_provider(
            Url=issuer, ClientIDList=[AUDIENCE], ThumbprintList=["0" * 40])["OpenIDConnectProviderArn"]
        role = iam.create_role(RoleName="web", AssumeRolePolicyDocument=document(
            {"Effect": "Allow", "Principal": {"Federated": arn}, "Action": "sts:AssumeRoleWithWebIdentity"}))["Role"]["Arn"]
        sts = boto3.client("sts", region_name=REGION, endpoint_url=own.endpoint, config=Config(signature_version=UNSIGNED))
        assume = lambda token: sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="web", WebIdentityToken=token)
        assert assume(provider.token())["SubjectFromWebIdentityToken"] == SUBJECT
        stolen = Provider.token(provider, key=("one", {"private": tmp_path / "authority.key"}))
        assert refusal(sts.assume_role_with_web_identity, RoleArn=role, RoleSessionName="web", WebIdentityToken=stolen)[0] == "InvalidIdentityToken"
