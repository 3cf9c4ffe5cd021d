"""`trellis sign`: applications that cannot sign call services that let in nobody unsigned. What lab 2's sidecar does."""

import json
import os

import pytest

from instance import CA, PYTHON, ROOT, TRELLIS, eventually, forward

GRPCURL = ROOT / "target/tools/grpcurl"
ADMIN = "arn:aws:iam::111122223333:user/admin"
REGION = "us-east-1"
PROXY = "http://127.0.0.1:8080"
SIGN = [TRELLIS, "sign", "--region", REGION]
# The group of the signing proxy where the redirect exempts it.
GROUP = "1337"
# What a host needs for that: rules of its own, and the machine's groups.
OPEN = ("--privileged", "--share-filesystem")


def policy(resource):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
         "Action": "vpc-lattice-svcs:Invoke", "Resource": resource}]})


@pytest.fixture(scope="module")
def shop(shared):
    """Two services on HTTPS alone, with AWS_IAM: of one the account may call /open, of the other, which is gRPC, all."""

    class Shop:
        pass

    world = Shop()
    provider, provider_subnet = shared.vpc()
    world.consumer, world.subnet = shared.vpc()
    shared.web(provider_subnet, "10.0.1.10", "one")
    server = shared.host(provider_subnet, PYTHON, str(ROOT / "e2e/grpc_server.py"), "50051", ip="10.0.1.11")
    reach = "import socket; socket.create_connection(('127.0.0.1', 50051))"
    eventually(lambda: shared.inside(server, PYTHON, "-c", reach, check=False).returncode == 0,
               what="the gRPC server listening")
    world.service, world.name = shared.secure_service(forward(shared.group(provider, "10.0.1.10")))
    carts = shared.group(provider, "10.0.1.11", port=50051, protocolVersion="GRPC")
    world.cart, world.cart_name = shared.secure_service(forward(carts))
    for service, path in ((world.service, "/open*"), (world.cart, "/*")):
        arn = shared.lattice.get_service(serviceIdentifier=service)["arn"]
        shared.lattice.update_service(serviceIdentifier=service, authType="AWS_IAM")
        shared.lattice.put_auth_policy(resourceIdentifier=service, policy=policy(arn + path))
        if service == world.service:
            world.arn = arn
    shared.network([world.consumer], [world.service, world.cart])
    world.keys = [f"AWS_ACCESS_KEY_ID={shared.variables['AWS_ACCESS_KEY_ID']}",
                  f"AWS_SECRET_ACCESS_KEY={shared.variables['AWS_SECRET_ACCESS_KEY']}"]

    def proxy(*variables, script="exec {sign}", flags=(), host=(), mounts=(), ca=CA):
        """A host that runs the signing proxy with these variables; its name."""
        sign = " ".join([*SIGN, "--ca", str(ca), *flags])
        name = shared.host(world.subnet, "env", *variables, "sh", "-c", script.format(sign=sign), flags=host,
                           mounts=mounts)
        eventually(lambda: shared.inside(name, "curl", "-sS", "http://127.0.0.1:8081/healthz", check=False).returncode == 0,
                   what="the signing proxy listening")
        return name

    world.proxy = proxy
    return world


def ask(shared, host, url, *flags):
    """Status and body of what curl gets, without an identity of its own."""
    out = shared.curl(host, url, *flags, "-w", "\n%{http_code}")
    body, _, status = out.rpartition("\n")
    return int(status), body


def answer(shared, host, url, *flags):
    """The first answer of the service itself. It may take a while until the signing proxy has found what it needs, and
    the service's name is there; the last answer after that while."""
    answers = [(0, "")]

    def answered():
        answers.append(ask(shared, host, url, *flags))
        return answers[-1][0] not in (404, 502, 503)

    try:
        eventually(answered)
    except AssertionError:
        pass
    return answers[-1]


def let_in(shared, host, url, *flags):
    """What the service saw of a request that it let in."""
    status, body = answer(shared, host, url, *flags)
    assert status == 200, body
    seen = {name.lower(): value for name, value in json.loads(body)["headers"]}
    assert seen["x-amzn-lattice-identity"].startswith(f"Principal={ADMIN}; "), seen
    return json.loads(body)


@pytest.fixture(scope="module")
def by_proxy(shared, shop):
    return shop.proxy(*shop.keys)


def test_curl_is_let_in_by_way_of_the_proxy(shared, shop, by_proxy):
    url = f"http://{shop.name}/open/a%20b?x=1&y=a%2Fb"
    assert let_in(shared, by_proxy, url, "-x", PROXY)["path"] == "/open/a%20b?x=1&y=a%2Fb"
    for flags in ((), ("--http2-prior-knowledge",), ("-X", "POST", "-d", "some text")):
        let_in(shared, by_proxy, f"{PROXY}/open", "-H", f"Host: {shop.name}", *flags)
    status, body = ask(shared, by_proxy, f"https://{shop.name}/open", "--cacert", CA)
    assert (status, body.startswith("AccessDeniedException: User: anonymous")) == (403, True), body


def test_the_exact_denial_passes(shared, shop, by_proxy):
    let_in(shared, by_proxy, f"http://{shop.name}/open", "-x", PROXY)
    assert ask(shared, by_proxy, f"http://{shop.name}/closed", "-x", PROXY) == (403, (
        f"AccessDeniedException: User: {ADMIN} is not authorized to perform: vpc-lattice-svcs:Invoke on resource: "
        f"{shop.arn}/closed because no service-based policy allows the vpc-lattice-svcs:Invoke action"))


def test_https_is_not_tunnelled_and_the_text_says_what_to_do(shared, shop, by_proxy):
    done = shared.inside(by_proxy, "curl", "-sS", "-v", "-x", PROXY, f"https://{shop.name}/open", check=False)
    assert done.returncode != 0 and "501" in done.stderr, done.stderr


def test_a_large_body_streams_through(shared, shop, by_proxy):
    let_in(shared, by_proxy, f"http://{shop.name}/open", "-x", PROXY)
    out = shared.inside(by_proxy, "sh", "-c",
                        f"head -c 20000000 /dev/zero | curl -sS -m 60 -x {PROXY} -T - http://{shop.name}/open/upload").stdout
    assert json.loads(out)["body"] == 20000000, out


def test_metrics_tell_what_was_signed(shared, shop, by_proxy):
    let_in(shared, by_proxy, f"http://{shop.name}/open", "-x", PROXY)
    text = shared.curl(by_proxy, "http://127.0.0.1:8081/metrics")
    signed = [line for line in text.splitlines() if line.startswith('trellis_sign_answers_total{code="2xx"} ')]
    assert signed and int(signed[0].split()[1]) >= 1, text
    assert shared.curl(by_proxy, "http://127.0.0.1:8081/ready") == "ok\n"


def test_sigv4a_is_let_in(shared, shop):
    host = shop.proxy(*shop.keys, flags=["'--sigv4a=*'"])
    let_in(shared, host, f"http://{shop.name}/open", "-x", PROXY)


def test_credentials_are_found_in_a_profile_file(shared, shop, tmp_path):
    key, secret = shared.variables["AWS_ACCESS_KEY_ID"], shared.variables["AWS_SECRET_ACCESS_KEY"]
    given = tmp_path / "given"
    given.mkdir(mode=0o755)
    (given / "credentials").write_text(f"[app]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    (given / "config").write_text(f"[profile app]\nregion = {REGION}\n")
    host = shop.proxy(f"AWS_SHARED_CREDENTIALS_FILE={given}/credentials", f"AWS_CONFIG_FILE={given}/config",
                      "AWS_PROFILE=app", mounts=[f"{given}:{given}:ro"])
    let_in(shared, host, f"http://{shop.name}/open", "-x", PROXY)


@pytest.mark.parametrize("place", ["container", "metadata", "web identity"])
def test_credentials_are_found_at_the_endpoints_of_containers_instances_and_sts(shared, shop, tmp_path, place):
    """Such have a session token, here one that nobody sealed: the service, which gets it with the signature, says so."""
    (tmp_path / "token").write_text("open sesame")
    variables = {
        "container": ["AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9000/v1/credentials",
                      f"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={tmp_path}/token"],
        "metadata": ["AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9000"],
        "web identity": ["AWS_ENDPOINT_URL=http://127.0.0.1:9000", f"AWS_WEB_IDENTITY_TOKEN_FILE={tmp_path}/token",
                         "AWS_ROLE_ARN=arn:aws:iam::111122223333:role/app"],
    }[place]
    serve = f"{PYTHON} {ROOT}/e2e/credential_server.py 9000 ASIAIOSFODNN7EXAMPLE secret a-session-token & exec {{sign}}"
    host = shop.proxy(*variables, script=serve, mounts=[f"{tmp_path}/token:{tmp_path}/token:ro"])
    status, body = answer(shared, host, f"http://{shop.name}/open", "-x", PROXY)
    assert status == 403 and body == "UnrecognizedClientException: The security token included in the request is invalid", body


def test_missing_credentials_are_an_answer_that_says_where_they_are_looked_for(shared, shop):
    host = shop.proxy("AWS_EC2_METADATA_DISABLED=true")
    status, body = ask(shared, host, f"http://{shop.name}/open", "-x", PROXY)
    assert status == 503 and "no AWS credentials" in body and "AWS_CONTAINER_CREDENTIALS_FULL_URI" in body, body


def test_an_authority_that_is_missing_is_named(shared, shop):
    name = shared.host(shop.subnet, "env", *shop.keys, TRELLIS, "sign", "--region", REGION, "--ca", "/no/ca.pem")
    eventually(lambda: shared.inside(name, "curl", "-sS", "http://127.0.0.1:8081/healthz", check=False).returncode == 0,
               what="the signing proxy listening")
    status, body = ask(shared, name, f"http://{shop.name}/open", "-x", PROXY)
    assert status == 503 and "/no/ca.pem" in body and "--ca" in body, body


def test_sigterm_ends_it_with_status_0(shared, shop):
    host = shop.proxy(*shop.keys)
    shared.inside(host, "sh", "-c", "kill -TERM $(pidof trellis)")

    def state():
        hosts = json.loads(shared.cli("ps", "--json").stdout)
        return next(each["state"] for each in hosts if each["name"] == host)

    eventually(lambda: state() == "exited (0)", what="the end of the signing proxy")


@pytest.fixture(scope="module")
def redirected(shared, shop):
    """A host whose connections to services are led to the signing proxy in it, but for its own."""
    if os.geteuid() != 0:
        pytest.skip("NOT CHECKED: the redirect, which needs a second group (run as root)")
    return shop.proxy(*shop.keys, host=OPEN, ca=shared.data / "ca.pem", script=(
        f"{TRELLIS} sign --install-redirect --exempt-group {GROUP} && {TRELLIS} sign --install-redirect "
        f"--exempt-group {GROUP} && exec setpriv --regid {GROUP} --clear-groups {{sign}}"))


def test_curl_is_let_in_by_way_of_the_redirect(shared, shop, redirected):
    for flags in ((), ("--http2-prior-knowledge",), ("-X", "POST", "-d", "some text")):
        assert let_in(shared, redirected, f"http://{shop.name}/open?a=b", *flags)["path"] == "/open?a=b"
    status, body = ask(shared, redirected, f"http://{shop.name}/closed")
    assert status == 403 and f"User: {ADMIN} is not authorized" in body, body


def test_the_exempt_group_is_not_redirected(shared, shop, redirected):
    let_in(shared, redirected, f"http://{shop.name}/open")
    done = shared.inside(redirected, "setpriv", "--regid", GROUP, "--clear-groups", "curl", "-sS", "-m", "10", "--cacert", str(shared.data / "ca.pem"),
                         f"https://{shop.name}/open", check=False)
    assert "User: anonymous" in done.stdout, done


def test_grpcurl_is_let_in_both_ways(shared, shop, by_proxy, redirected):
    def call(host, address, *flags):
        return shared.inside(
            host, str(GRPCURL), "-plaintext", "-import-path", str(ROOT / "e2e"), "-proto", "cart.proto",
            "-d", json.dumps({"name": "tea"}), *flags, address, "shop.Cart/Add", check=False)

    for host, address, flags in ((redirected, f"{shop.cart_name}:80", ()),
                                 (by_proxy, "127.0.0.1:8080", ("-authority", shop.cart_name))):
        done = eventually(lambda: (done := call(host, address, *flags)).returncode == 0 and done, what="an answer")
        assert '"name": "added tea"' in done.stdout, done


def test_a_proxy_whose_own_connections_are_redirected_says_so(shared, shop):
    if os.geteuid() != 0:
        pytest.skip("NOT CHECKED: the redirect, which needs a second group (run as root)")
    host = shop.proxy(*shop.keys, host=OPEN, ca=shared.data / "ca.pem",
                      script=f"{TRELLIS} sign --install-redirect --exempt-group {GROUP} && exec {{sign}}")
    status, body = answer(shared, host, f"http://{shop.name}/open")
    assert status == 508 and "--exempt-group" in body, body
