"""HTTP/1.1 through a real service: what targets do wrong, what clients do wrong, and what passes whole."""

import json
import shlex

import pytest

from instance import PYTHON, eventually, forward

# Sends raw bytes to the service and prints every byte of the answer until the connection closes or is silent.
RAW = r"""
import json, socket, sys
s = socket.create_connection((sys.argv[1], 80), 5); s.settimeout(float(sys.argv[3]))
s.sendall(sys.argv[2].encode("latin1").decode("unicode_escape").encode("latin1"))
out = b""
try:
    while data := s.recv(65536):
        out += data
    out += b"<closed>"
except TimeoutError:
    out += b"<open>"
print(json.dumps(out.decode("latin1")))
"""


@pytest.fixture(scope="module")
def web(shared):
    class Web:
        pass

    world = Web()
    vpc, subnet = shared.vpc("10.70.0.0/16", "10.70.1.0/24")
    shared.web(subnet, "10.70.1.10", "target")
    world.client = shared.host(subnet)
    world.service, world.listener, world.name = shared.service(forward(shared.group(vpc, "10.70.1.10")))
    shared.network([vpc], [world.service])
    world.url = f"http://{world.name}"
    return world


def raw(shared, web, text, wait=1.0):
    """`text` with \\r\\n escapes and HOST for the service's name."""
    text = text.replace("HOST", web.name)
    return json.loads(shared.inside(web.client, PYTHON, "-c", RAW, web.name, text, str(wait)).stdout)


@pytest.mark.parametrize("path, status, reason", [
    ("/garbage", 502, "TargetProtocolError"),
    ("/close", 502, "TargetConnectionClosed"),
])
def test_a_target_that_misbehaves_costs_one_request_and_is_named_in_the_log(shared, web, path, status, reason):
    marked = f"{path}?{web.service}"
    assert shared.status(web.client, web.url + marked) == status

    def failures():
        return [record for record in shared.records() if record.get("requestPath", "").startswith(path)
                and record["hostHeader"] == web.name]

    assert eventually(failures, what="the log record")[-1]["failureReason"] == reason
    assert shared.status(web.client, web.url) == 200


def test_nothing_listening_is_500_target_connection_error(shared, web):
    vpc, subnet = shared.vpc("10.71.0.0/16", "10.71.1.0/24")
    client = shared.host(subnet, ip="10.71.1.10")
    service, _, name = shared.service(forward(shared.group(vpc, "10.71.1.10", port=9)))
    shared.network([vpc], [service])
    assert shared.status(client, f"http://{name}/") == 500
    [record] = eventually(lambda: [r for r in shared.records() if r["hostHeader"] == name], what="the log record")
    assert record["failureReason"] == "TargetConnectionError"


def test_a_group_without_targets_is_503(shared, web):
    vpc, subnet = shared.vpc("10.72.0.0/16", "10.72.1.0/24")
    client = shared.host(subnet)
    service, _, name = shared.service(forward(shared.group(vpc)))
    shared.network([vpc], [service])
    assert shared.status(client, f"http://{name}/") == 503


@pytest.mark.parametrize("request_text", [
    r"GET / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    r"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    r"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: +5\r\n\r\nhello",
    r"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    r"GET / HTTP/1.1\r\nHost: HOST\r\nHost: other\r\n\r\n",
    r"GET / HTTP/1.1\r\n\r\n",
    r"GET / HTTP/1.1\r\nHost: HOST\r\nX-A : b\r\n\r\n",
    r"GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n folded\r\n\r\n",
    r"GET / HTTP/1.1\nHost: HOST\n\n",
    r"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    r"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
])
def test_what_two_parsers_could_read_differently_is_refused(shared, web, request_text):
    answer = raw(shared, web, request_text)
    assert answer.startswith("HTTP/1.1 400 ") or answer.startswith("HTTP/1.1 505 "), answer
    assert answer.endswith("<closed>")


def test_a_head_that_is_too_big_is_refused(shared, web):
    many = "".join(f"x-{n}: y\r\n" for n in range(101)).replace("\r\n", r"\r\n")
    assert raw(shared, web, r"GET / HTTP/1.1\r\nHost: HOST\r\n" + many + r"\r\n").startswith("HTTP/1.1 400 ")
    large = "x-large: " + "y" * 62000
    assert raw(shared, web, r"GET / HTTP/1.1\r\nHost: HOST\r\n" + large + r"\r\n\r\n").startswith("HTTP/1.1 400 ")


def test_pipelined_requests_are_answered_in_order_on_one_connection(shared, web):
    one = r"GET /bytes/{} HTTP/1.1\r\nHost: HOST\r\n\r\n"
    answer = raw(shared, web, one.format(3) + one.format(5) + r"GET /bytes/1 HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
    assert answer.count("HTTP/1.1 200 OK") == 3
    assert answer.index("\r\n\r\nxxxHTTP") < answer.index("\r\n\r\nxxxxxHTTP") < answer.index("\r\n\r\nx<closed>")


def test_an_upgrade_is_not_made(shared, web):
    out = shared.curl(web.client, web.url + "/echo", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket")
    assert "upgrade" not in {name for name, _ in json.loads(out)["headers"]}


def test_head_has_no_body_and_keeps_the_connection(shared, web):
    answer = raw(shared, web, r"HEAD /bytes/100 HTTP/1.1\r\nHost: HOST\r\n\r\nGET /bytes/2 HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
    assert "content-length: 100" in answer.lower()
    assert answer.endswith("\r\n\r\nxx<closed>"), answer


def test_chunks_and_trailers_pass(shared, web):
    answer = raw(shared, web, r"GET /chunked HTTP/1.1\r\nHost: HOST\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n")
    assert "transfer-encoding: chunked" in answer.lower()
    assert "x-checksum: 123" in answer.lower()
    assert shared.curl(web.client, web.url + "/chunked") == "one two three"
    sent = shared.inside(web.client, "sh", "-c",
                         f"head -c 300000 /dev/zero | curl -sS -H 'Transfer-Encoding: chunked' -T - {shlex.quote(web.url)}/echo").stdout
    assert json.loads(sent)["body"] == 300000


def test_a_body_waits_for_100_continue(shared, web):
    out = shared.inside(web.client, "sh", "-c",
                        f"head -c 2000000 /dev/zero | curl -sS -H 'Expect: 100-continue' --data-binary @- {shlex.quote(web.url)}/echo").stdout
    assert json.loads(out)["body"] == 2000000


def test_big_bodies_stream_both_ways(shared, web):
    size = 64 << 20
    out = shared.inside(web.client, "sh", "-c", f"curl -sS {shlex.quote(web.url)}/bytes/{size} | wc -c").stdout
    assert int(out) == size


def test_metrics_are_prometheus_text(shared, web):
    import re
    import urllib.request

    shared.curl(web.client, web.url)
    [port] = re.findall(r"metrics.*127\.0\.0\.1:(\d+)", shared.log.read_text()) or [None]
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert f'service="{web.service}"' in text and "# TYPE trellis_" in text
