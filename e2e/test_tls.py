"""TLS between Trellis and targets, and past Trellis: HTTPS target groups and TLS passthrough, with curl and Python."""

import json
import pathlib

from instance import PYTHON, ROOT, eventually, forward, unique
from test_certificates import Material

VIP = "169.254.171.1"
DOMAIN = "passed.example.com"


def secure_web(instance, subnet, ip, material):
    """A host that runs the test web server with TLS; its name."""
    pem = pathlib.Path(material.certificate).with_name("both.pem")
    pem.write_bytes(material.certificate.read_bytes() + material.key.read_bytes())
    host = instance.host(subnet, PYTHON, str(ROOT / "e2e/target.py"), "--tls", str(pem), ip=ip, mounts=[pem.parent])
    eventually(lambda: instance.inside(host, "curl", "-sSk", "https://127.0.0.1:8080/", check=False).returncode == 0,
               what="the web server listening")
    return host


def test_a_passthrough_listener_leaves_tls_to_its_target(own, tmp_path):
    lattice = own.lattice
    material = Material(tmp_path, DOMAIN)
    vpc, subnet = own.vpc()
    secure_web(own, subnet, "10.0.1.10", material)
    group = own.group(vpc, "10.0.1.10", protocol="TCP")
    service = lattice.create_service(name=unique("service"), customDomainName=DOMAIN)
    own.active(lambda: lattice.get_service(serviceIdentifier=service["id"]))
    lattice.create_listener(serviceIdentifier=service["id"], name="passed", protocol="TLS_PASSTHROUGH", port=8443,
                            defaultAction=forward(group))
    own.network([vpc], [service["id"]])
    client = own.host(subnet, mounts=[f"{tmp_path}:ro"])

    def curl(path, *flags, name=DOMAIN):
        return own.inside(client, "curl", "-sS", "-m", "20", "--cacert", str(material.certificate), "--resolve",
                          f"{name}:8443:{VIP}", *flags, f"https://{name}:8443{path}", check=False)

    eventually(lambda: curl("/").returncode == 0, what="an answer of the target over its own TLS")
    seen = json.loads(curl("/echo").stdout)
    assert not [name for name, _ in seen["headers"] if name.startswith(("x-forwarded", "x-amzn"))]
    size = 32 << 20
    assert curl(f"/bytes/{size}", "-o", "/dev/null", "-w", "%{size_download}").stdout == str(size)
    generated = lattice.get_service(serviceIdentifier=service["id"])["dnsEntry"]["domainName"]
    assert curl("/", "-k", name=generated).returncode == 35, "the generated name is not served"
    passed = eventually(lambda: [line for line in own.records() if line["bytesSent"] > size], what="the record")
    assert passed[0]["serverNameIndication"] == DOMAIN
    assert (passed[0]["listenerType"], passed[0]["tlsVersion"]) == ("TLS_PASSTHROUGH", "-")
    assert passed[0]["targetIpPort"] == "10.0.1.10:8080"


def test_an_https_target_group_is_probed_and_served_over_tls(own, tmp_path):
    vpc, subnet = own.vpc()
    secure_web(own, subnet, "10.0.1.10", Material(tmp_path, "nobody.knows.me"))
    own.web(subnet, ip="10.0.1.11")
    check = {"enabled": True, "protocol": "HTTPS", "path": "/health", "healthCheckIntervalSeconds": 5}
    group = own.group(vpc, "10.0.1.10", "10.0.1.11", protocol="HTTPS", health=check)
    service, _, name = own.service(forward(group))
    own.network([vpc], [service])
    client = own.host(subnet)

    def statuses():
        targets = own.lattice.list_targets(targetGroupIdentifier=group)["items"]
        return {target["id"]: target["status"] for target in targets}

    eventually(lambda: statuses() == {"10.0.1.10": "HEALTHY", "10.0.1.11": "UNHEALTHY"}, timeout=40,
               what="the one that speaks TLS being healthy")
    for _ in range(4):
        seen = json.loads(own.curl(client, f"http://{name}/echo"))
        assert dict(seen["headers"])["x-forwarded-proto"] == "http"
