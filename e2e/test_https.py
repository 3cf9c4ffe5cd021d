"""HTTPS listeners as clients meet them: certificates by name, HTTP/1.1 and HTTP/2, hot swap under load."""

import json
import subprocess

from instance import CA, PYTHON, TRELLIS, eventually, forward
from test_certificates import DOMAIN, Material, certificate_service

VIP = "169.254.171.1"

# New connections one after another until the file `stop` is there; `progress` holds how many were served, what went
# wrong and every serial number seen, in order.
LOAD = """
import json, os, socket, ssl, sys
name, trust, progress, stop = sys.argv[1:]
context = ssl.create_default_context(cafile=trust)
seen = {"served": 0, "failed": [], "serials": []}
while not os.path.exists(stop):
    try:
        with socket.create_connection(("169.254.171.1", 443), 10) as plain:
            with context.wrap_socket(plain, server_hostname=name) as connection:
                serial = connection.getpeercert()["serialNumber"].lower()
                connection.sendall(f"GET / HTTP/1.1\\r\\nhost: {name}\\r\\nconnection: close\\r\\n\\r\\n".encode())
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:100]
        seen["served"] += 1
        if serial not in seen["serials"][-1:]:
            seen["serials"].append(serial)
    except Exception as error:
        seen["failed"].append(repr(error))
    with open(progress + ".new", "w") as file:
        json.dump(seen, file)
    os.rename(progress + ".new", progress)
"""


def https_world(instance, tmp_path):
    """A service with a custom domain, reachable over HTTPS; client host, generated name, ARN, material."""
    acm, lattice = instance.client("acm"), instance.lattice
    material = Material(tmp_path, DOMAIN)
    arn = acm.import_certificate(**material.parameters)["CertificateArn"]
    vpc, subnet = instance.vpc()
    instance.web(subnet, ip="10.0.1.10")
    group = instance.group(vpc, "10.0.1.10")
    service = certificate_service(instance, arn)
    lattice.create_listener(serviceIdentifier=service["id"], name="https", protocol="HTTPS",
                            defaultAction=forward(group))
    instance.network([vpc], [service["id"]])
    client = instance.host(subnet, mounts=[tmp_path])
    name = service["dnsEntry"]["domainName"]
    eventually(lambda: instance.inside(client, "curl", "-sS", "-m", "5", "--cacert", CA,
                                       f"https://{name}/", check=False).returncode == 0, what="an answer over HTTPS")
    return client, name, arn, material


def test_the_generated_name_is_served_over_https_to_who_trusts_the_private_ca(own, tmp_path):
    client, name, _, material = https_world(own, tmp_path)
    for flag, version in (("--http1.1", "1.1"), ("--http2", "2")):
        shown = own.curl(client, f"https://{name}/", "--cacert", CA, flag, "-o", "/dev/null", "-w",
                         "%{http_version} %{http_code} %{ssl_verify_result}")
        assert shown == f"{version} 200 0"
    strange = own.inside(client, "curl", "-sS", "-m", "10", f"https://{name}/", check=False)
    assert strange.returncode == 60, strange.stderr
    # The custom domain shows the certificate that was brought for it, an unknown name none.
    custom = ["--resolve", f"{DOMAIN}:443:{VIP}", f"https://{DOMAIN}/"]
    assert own.inside(client, "curl", "-sS", "-m", "10", "--cacert", str(material.certificate), *custom).stdout
    assert own.inside(client, "curl", "-sS", "-m", "10", "--cacert", CA, *custom, check=False).returncode == 60

    def handshake(host):
        return own.inside(client, "openssl", "s_client", "-connect", f"{VIP}:443", "-servername", host, "-CAfile",
                          str(material.certificate), "-verify_hostname", host, "-brief", check=False)

    seen = handshake(DOMAIN)
    assert "Verification: OK" in seen.stderr and f"Verified peername: {DOMAIN}" in seen.stderr, seen.stderr
    assert "alert" in handshake("unknown.example.com").stderr


def test_a_certificate_imported_again_is_shown_to_the_next_handshake_and_no_request_fails(own, tmp_path):
    client, _, arn, first = https_world(own, tmp_path)
    acm = own.client("acm")
    materials = [first] + [Material(tmp_path, DOMAIN) for _ in range(3)]
    trust, progress, stop, script = [tmp_path / name for name in ("trust.pem", "progress", "stop", "load.py")]
    trust.write_text("".join(material.certificate.read_text() for material in materials))
    script.write_text(LOAD)
    load = subprocess.Popen([TRELLIS, "exec", "--data-dir", own.data, client, "--",
                             PYTHON, script, DOMAIN, trust, progress, stop])

    def seen():
        return json.loads(progress.read_text()) if progress.exists() else {"served": 0, "failed": [], "serials": []}

    def served_more():
        before = seen()["served"]
        eventually(lambda: seen()["served"] > before + 20, what="requests served under load")

    try:
        served_more()
        for material in materials[1:]:
            acm.import_certificate(CertificateArn=arn, **material.parameters)
            eventually(lambda: seen()["serials"][-1:] == [material.serial()], what="the successor")
            served_more()
    finally:
        stop.write_text("")
        load.wait(30)
    assert not seen()["failed"], seen()
    assert seen()["serials"] == [material.serial() for material in materials]
