"""An ordinary client: requests one after the other, kept connections and new ones, with and without TLS.

Usage: bystander.py NAME CA SECONDS; prints how many there were, which failed, and how long they took.
"""

import http.client
import json
import socket
import ssl
import sys
import time

name, ca, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
context = ssl.create_default_context(cafile=ca)
makers = {
    "http": lambda: http.client.HTTPConnection(name, timeout=10),
    "https": lambda: http.client.HTTPSConnection(name, timeout=10, context=context),
}
kept = {kind: make() for kind, make in makers.items()}
deadline = time.monotonic() + seconds
took, failures, count = [], [], 0
while time.monotonic() < deadline:
    kind = "https" if count % 4 == 3 else "http"
    fresh = count % 16 in (14, 15)
    connection = makers[kind]() if fresh else kept[kind]
    began = time.monotonic()
    try:
        if fresh:
            socket.gethostbyname(name)
        connection.request("POST", "/echo", b"x" * 2000) if count % 5 == 0 else connection.request("GET", "/bytes/3000")
        answer = connection.getresponse()
        if answer.status != 200 or not answer.read():
            failures.append(f"{answer.status} over {kind}")
    except OSError as error:
        failures.append(f"{error!r} over {kind}")
        connection.close()
    except http.client.HTTPException as error:
        failures.append(f"{error!r} over {kind}")
        connection.close()
    took.append(time.monotonic() - began)
    if fresh:
        connection.close()
    count += 1
    time.sleep(0.002)
took.sort()
print(json.dumps({
    "done": count, "failed": len(failures), "failures": failures[:10],
    "p50": took[len(took) // 2] * 1000, "p99": took[len(took) * 99 // 100] * 1000, "worst": took[-1] * 1000,
}))
