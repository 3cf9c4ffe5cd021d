"""What goes through Trellis is read alike by everybody: hyper, h11 and Go's net/http, which have nothing in common, find the same
requests in whatever reaches a target, and nothing beside them.

Requests come from a generator with a seed (tricky.py), for SOAK_SECONDS. Which they are, whoever finds a difference is told.
"""

import base64
import json
import os
import pathlib
import random
import subprocess

import h11
import pytest

from instance import PYTHON, ROOT, eventually, forward

SECONDS = float(os.environ.get("SOAK_SECONDS", "4"))
TRICKY = str(ROOT / "e2e/tricky.py")
GO = ROOT / "target/tools/read_requests"
# Named otherwise, told otherwise or made by the parsers themselves; what they frame is compared as the body.
FRAMING = {"transfer-encoding", "content-length", "trailer"}


def hyper():
    """The example program that reads as hyper does, of the debug build that `cargo test` makes or makes now."""
    subprocess.run([os.environ.get("CARGO", "cargo"), "build", "-q", "--workspace", "--examples"], cwd=ROOT, check=True)
    return ROOT / "target/debug/examples/read_requests"


def by_program(program, pieces):
    """What a program understands of each piece."""
    told = b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces)
    done = subprocess.run([program], input=told, stdout=subprocess.PIPE, check=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_h11(piece):
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(piece)
    connection.receive_data(b"")
    requests, request = [], None
    try:
        while True:
            event = connection.next_event()
            match event:
                case h11.Request():
                    fields = [[name.decode("latin1"), value.decode("latin1")] for name, value in event.headers]
                    request = {"method": event.method.decode(), "target": event.target.decode("latin1"), "fields": fields, "body": b""}
                case h11.Data():
                    request["body"] += bytes(event.data)
                case h11.EndOfMessage():
                    requests.append({**request, "body": request["body"].hex()})
                    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is not h11.DONE:
                        return {"requests": requests, "rest": bool(connection.trailing_data[0])}
                    connection.start_next_cycle()
                case h11.ConnectionClosed() | h11.PAUSED | h11.NEED_DATA:
                    return {"requests": requests, "rest": False}
    except h11.ProtocolError:
        return {"requests": requests, "rest": True}


def comparable(understood):
    def fields(request):
        told = [(name.lower(), value.strip(" \t")) for name, value in request["fields"]]
        return sorted(field for field in told if field[0] not in FRAMING)

    requests = [(each["method"], each["target"], fields(each), each["body"]) for each in understood["requests"]]
    return requests, understood["rest"]


def differences(pieces, program):
    """Pieces that are not read alike, or not as one request."""
    found = []
    for piece, *understood in zip(pieces, by_program(program, pieces), by_program(GO, pieces), map(by_h11, pieces)):
        alike = [comparable(each) for each in understood]
        is_one = [len(requests) == 1 and not rest for requests, rest in alike]
        # A request whose body broke off before its end is none to any of them.
        is_none = [not requests and rest for requests, rest in alike]
        if not (all(each == alike[0] for each in alike) and (all(is_one) or all(is_none))):
            found.append((piece, dict(zip(("hyper", "Go", "h11"), alike))))
    return found


@pytest.fixture(scope="module")
def program():
    return hyper()


@pytest.mark.parametrize("piece", [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\nX",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n",
], ids=["two requests", "something behind", "a space before the colon", "a bare CR in a chunk"])
def test_the_comparison_would_show_it(program, piece):
    """Each is something that must never reach a target."""
    assert differences([piece], program)


def test_whatever_reaches_a_target_is_one_request_to_three_other_parsers(shared, program):
    vpc, subnet = shared.vpc("10.79.0.0/16", "10.79.1.0/24")
    target = shared.host(subnet, PYTHON, TRICKY, "keep", "8080", ip="10.79.1.10")
    client = shared.host(subnet)
    service, _, name = shared.service(forward(shared.group(vpc, "10.79.1.10")))
    shared.network([vpc], [service])
    eventually(lambda: shared.status(client, f"http://{name}/") == 200, what="an answer")
    take = lambda: [base64.b64decode(text) for text in json.loads(shared.inside(target, PYTHON, TRICKY, "kept", "8080").stdout)]
    take()
    sent, seen, left = 0, 0, SECONDS
    first = int(os.environ.get("TRICKY_SEED", random.randrange(1 << 32)))
    for seed in range(first, first + 10_000):
        if left <= 0:
            break
        turn = min(left, 20)
        left -= turn
        answers = json.loads(shared.inside(client, PYTHON, TRICKY, "send", name, str(seed), str(turn), timeout=turn + 120).stdout)
        pieces = take()
        sent, seen = sent + answers["sent"], seen + len(pieces)
        found = differences(pieces, program)
        assert not found, f"TRICKY_SEED={seed}: {len(found)} of {len(pieces)}, the first: {found[0]}"
        print(f"seed {seed}: {answers}, {len(pieces)} reached the target")
        # Both kinds have to come for the comparison to mean something.
        assert answers.get("400", 0) > 0 and answers.get("200", 0) > 0 and pieces, answers
    assert sent > 100 and seen > 20, (sent, seen)
