"""Configuration changes under load: nothing fails, and each change is in force at once."""

import json
import threading
import time

import pytest

from instance import ROOT, PYTHON, eventually, fixed, forward, unique

# Runs in the client host: keep-alive requests until told to stop; prints what went wrong.
LOAD = r"""
import http.client, json, sys, threading, time
name, seconds = sys.argv[1], float(sys.argv[2])
deadline, failures, done = time.monotonic() + seconds, [], [0]
def send(number):
    connection = http.client.HTTPConnection(name, timeout=10)
    body = b"x" * 5000
    while time.monotonic() < deadline:
        try:
            if number % 2:
                connection.request("POST", "/echo", body)
            else:
                connection.request("GET", "/bytes/3000")
            response = connection.getresponse()
            data = response.read()
            if response.status != 200 or len(data) < 50:
                failures.append((time.time(), response.status, data[:100].decode("latin1")))
            done[0] += 1
        except Exception as error:
            failures.append((time.time(), repr(error)))
            connection.close()
threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(json.dumps({"done": done[0], "failures": failures[:20], "failed": len(failures)}))
"""


@pytest.mark.slow
def test_changes_under_load_drop_nothing(own):
    vpc, subnet = own.vpc()
    client_vpc, client_subnet = own.vpc()
    addresses = [f"10.0.1.{n}" for n in (10, 11, 12)]
    for address in addresses:
        own.web(subnet, address)
    client = own.host(client_subnet)
    first, second = own.group(vpc, *addresses[:2]), own.group(vpc, addresses[2])
    service, listener, name = own.service(forward(first))
    network = own.network([client_vpc], [service])
    seconds = 20
    result = {}
    load = threading.Thread(target=lambda: result.update(json.loads(
        own.inside(client, PYTHON, "-c", LOAD, name, str(seconds), timeout=90).stdout)))
    load.start()
    lattice = own.lattice
    where = {"serviceIdentifier": service, "listenerIdentifier": listener}
    deadline, changes = time.monotonic() + seconds - 1, 0
    while time.monotonic() < deadline:
        lattice.update_listener(**where, defaultAction=forward((first, 50), (second, 50)))
        rule = lattice.create_rule(**where, name=unique("soak"), priority=1 + changes % 100, match={
            "httpMatch": {"pathMatch": {"match": {"prefix": "/bytes"}}}}, action=forward(second))["id"]
        lattice.register_targets(targetGroupIdentifier=second, targets=[{"id": addresses[0]}])
        lattice.update_service(serviceIdentifier=service, idleTimeoutSeconds=60 + changes % 500)
        other, _, _ = own.service(fixed(404), port=80 + changes % 7)
        joined = lattice.create_service_network_service_association(
            serviceNetworkIdentifier=network, serviceIdentifier=other)["id"]
        lattice.update_rule(**where, ruleIdentifier=rule, priority=200 + changes % 100, action=forward(first, second))
        lattice.deregister_targets(targetGroupIdentifier=second, targets=[{"id": addresses[0]}])
        own.active(lambda: lattice.get_service_network_service_association(
            serviceNetworkServiceAssociationIdentifier=joined))
        lattice.delete_service_network_service_association(serviceNetworkServiceAssociationIdentifier=joined)
        lattice.delete_rule(**where, ruleIdentifier=rule)
        lattice.update_listener(**where, defaultAction=forward(first))
        changes += 10
    load.join(60)
    assert result["failed"] == 0, result
    assert result["done"] > 500 and changes >= 50, (result["done"], changes)


def test_a_change_is_in_force_when_it_has_been_answered_or_a_moment_later(shared):
    """The promise is 100 ms; the count of requests in between is what is checked here, not time:
    a client that looks again after the answer sees the new state within a few requests."""
    vpc, subnet = shared.vpc("10.52.0.0/16", "10.52.1.0/24")
    client = shared.host(subnet)
    service, listener, name = shared.service(fixed(404))
    shared.network([vpc], [service])
    for status in (500, 404) * 5:
        shared.lattice.update_listener(serviceIdentifier=service, listenerIdentifier=listener, defaultAction=fixed(status))
        # Starting curl in a host takes longer than the 100 ms a change may take.
        time.sleep(0.1)
        assert shared.status(client, f"http://{name}/") == status
