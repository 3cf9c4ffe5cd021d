"""Sends requests to one URL for some seconds on keep-alive connections; prints who answered and
how many failed. Exits 1 when more did than may: none, unless said.

Usage: load.py URL SECONDS [MAY_FAIL] | load.py URL xCOUNT [MAY_FAIL]
"""

import collections
import http.client
import json
import sys
import threading
import time
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
limit = sys.argv[2]
may_fail = int(sys.argv[3]) if len(sys.argv) > 3 else 0
count = int(limit[1:]) if limit.startswith("x") else None
deadline = time.monotonic() + (60 if count else float(limit))
answers, failures, lock = collections.Counter(), [], threading.Lock()
remaining = [count or sys.maxsize]


def take():
    with lock:
        remaining[0] -= 1
        return remaining[0] >= 0


def send():
    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=10)
    while time.monotonic() < deadline and take():
        try:
            connection.request("GET", url.path or "/")
            response = connection.getresponse()
            body = response.read()
            if response.status == 200:
                answer = json.loads(body)
                with lock:
                    answers[f"{answer['version']} on {answer['host']}"] += 1
            else:
                with lock:
                    failures.append(f"status {response.status}")
        except OSError as error:
            with lock:
                failures.append(repr(error))
            connection.close()


threads = [threading.Thread(target=send) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
total = sum(answers.values())
for who, times in sorted(answers.items()):
    print(f"  {times:6d}  {100 * times / max(total, 1):5.1f} %  {who}")
print(f"  {total} answered, {len(failures)} failed" + "".join(f"\n    {f}" for f in failures[:3]))
sys.exit(len(failures) > may_fail or not total)
