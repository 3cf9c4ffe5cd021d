"""Calls of grpcio, as `load call grpc` makes them: see main.go.

Usage: grpc_python.py HOST:PORT CA.pem SECONDS PARALLEL
"""

import json
import sys
import threading
import time

import grpc

address, ca, seconds, parallel = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
with open(ca, "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
channel = grpc.secure_channel(address, credentials, [("grpc.enable_retries", 0)])
once = channel.unary_unary("/load.Echo/Once")
often = channel.unary_stream("/load.Echo/Often")
talk = channel.stream_stream("/load.Echo/Talk")
done = {"calls": 0, "failed": 0, "failures": []}
lock = threading.Lock()


def call(number):
    message = b"m" * (15 + number % 91)
    if number % 10 == 8:
        answers, expected = list(often(message, timeout=20)), [message] * 5
    elif number % 10 == 9:
        answers, expected = list(talk(iter([message] * 5), timeout=20)), [message] * 5
    else:
        answers, expected = [once(message, timeout=20)], [message]
    assert answers == expected, f"expected {expected!r}, found {answers!r}"


def repeat(number):
    calls, failures = 0, []
    while time.monotonic() < end:
        calls += 1
        try:
            call(number)
        except (AssertionError, grpc.RpcError) as error:
            failures.append(str(error))
        number += 1
    with lock:
        done["calls"] += calls
        done["failed"] += len(failures)
        done["failures"] += failures[:3]


end = time.monotonic() + seconds
callers = [threading.Thread(target=repeat, args=(number,)) for number in range(parallel)]
[caller.start() for caller in callers]
[caller.join() for caller in callers]
print(json.dumps(done))
