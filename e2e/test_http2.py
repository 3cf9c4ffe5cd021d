"""HTTP/2 from clients: h2spec's whole suite against an HTTPS listener, and curl."""

import re
import sys
from xml.etree import ElementTree

import pytest

from instance import CA, ROOT, eventually, forward

sys.path.insert(0, str(ROOT / "e2e/contract"))
import http2_rows  # noqa: E402

H2SPEC = ROOT / "target/tools/h2spec"


@pytest.fixture(scope="module")
def web(shared):
    class Web:
        pass

    world = Web()
    vpc, subnet = shared.vpc("10.74.0.0/16", "10.74.1.0/24")
    shared.web(subnet, "10.74.1.10", "target")
    world.client = shared.host(subnet)
    world.service, world.name = shared.secure_service(forward(shared.group(vpc, "10.74.1.10")))
    shared.network([vpc], [world.service])
    world.url = f"https://{world.name}"
    world.trust = ["--cacert", CA]
    eventually(lambda: shared.curl(world.client, world.url, *world.trust, check=False), what="an answer")
    return world


def test_h2spec_finds_nothing_wrong(shared, web):
    report = "/tmp/h2spec.xml"
    done = shared.inside(web.client, str(H2SPEC), "-t", "-k", "-h", web.name, "-p", "443", "-o", "5", "-j", report,
                         check=False, timeout=300)
    assert re.search(r"^\d+ tests, \d+ passed, 0 skipped, 0 failed$", done.stdout, re.M), done.stdout[-4000:]
    passed = set()
    for suite in ElementTree.fromstring(shared.inside(web.client, "cat", report).stdout).iter("testsuite"):
        for number, case in enumerate(suite.iter("testcase"), 1):
            if not any(case.iter("failure")) and not any(case.iter("skipped")):
                passed.add(f"{suite.get('package')}/{number}")
    # docs/data-plane.md leans on them one by one.
    named = {test.removeprefix("h2spec ") for _, rows in http2_rows.SECTIONS for _, tests, _ in rows
             for test in tests if test.startswith("h2spec ")}
    assert len(named) > 100 and named <= passed, sorted(named - passed)


def test_http2_is_agreed_on_and_written_down(shared, web):
    version = shared.curl(web.client, f"{web.url}/echo?marked", *web.trust,
                          "-o", "/dev/null", "-w", "%{http_version} %{response_code}")
    assert version == "2 200"
    older = shared.curl(web.client, web.url, *web.trust, "--http1.1", "-o", "/dev/null", "-w", "%{http_version}")
    assert older == "1.1"

    def records():
        return [record for record in shared.records() if record["hostHeader"] == web.name]

    found = eventually(lambda: {r["protocol"] for r in records()} >= {"HTTP/2", "HTTP/1.1"} and records(),
                       what="both in the log")
    assert all(record["tlsVersion"].startswith("TLSv1.") for record in found if record["responseCode"] == 200)


def test_large_bodies_pass_whole(shared, web):
    size = shared.curl(web.client, f"{web.url}/bytes/3000000", *web.trust, "-o", "/dev/null", "-w", "%{size_download}")
    assert size == "3000000"
    shared.inside(web.client, "sh", "-c", "head -c 2000000 /dev/zero > /tmp/upload-of-h2")
    echoed = shared.curl(web.client, f"{web.url}/echo", *web.trust, "--data-binary", "@/tmp/upload-of-h2")
    assert '"body": 2000000' in echoed
