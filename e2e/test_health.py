"""Health checks and what ListTargets says of targets."""

import json

import pytest

from instance import eventually, forward

CHECK = {"enabled": True, "path": "/health", "healthCheckIntervalSeconds": 5, "healthCheckTimeoutSeconds": 1,
         "healthyThresholdCount": 2, "unhealthyThresholdCount": 2}


@pytest.fixture(scope="module")
def checked(shared):
    class Checked:
        pass

    world = Checked()
    world.vpc, world.subnet = shared.vpc("10.50.0.0/16", "10.50.1.0/24")
    world.one = shared.web(world.subnet, "10.50.1.10", "one")
    world.two = shared.web(world.subnet, "10.50.1.11", "two")
    world.client = shared.host(world.subnet)
    world.group = shared.group(world.vpc, "10.50.1.10", "10.50.1.11", health=CHECK)
    return world


def statuses(shared, group):
    items = shared.lattice.list_targets(targetGroupIdentifier=group)["items"]
    return {item["id"].rsplit(".", 1)[1]: (item["status"], item.get("reasonCode")) for item in items}


@pytest.mark.slow
def test_the_life_of_targets(shared, checked):
    group = checked.group
    unused = ("UNUSED", "TargetGroupNotInUse")
    assert statuses(shared, group) == {"10": unused, "11": unused}

    service, listener, name = shared.service(forward(group))
    shared.network([checked.vpc], [service])
    healthy = ("HEALTHY", None)
    eventually(lambda: statuses(shared, group) == {"10": healthy, "11": healthy}, what="both HEALTHY")

    def answering():
        return {json.loads(shared.curl(checked.client, f"http://{name}/"))["name"] for _ in range(6)}

    assert answering() == {"one", "two"}

    shared.curl(checked.client, "http://10.50.1.10:8080/health/down")
    eventually(lambda: statuses(shared, group)["10"] == ("UNHEALTHY", "HealthCheckFailed"), 30, "UNHEALTHY")
    assert statuses(shared, group)["11"] == healthy
    assert answering() == {"two"}

    shared.curl(checked.client, "http://10.50.1.11:8080/health/down")
    eventually(lambda: statuses(shared, group)["11"][0] == "UNHEALTHY", 30, "both UNHEALTHY")
    assert answering() == {"one", "two"}, "fail open: all targets are used when none is healthy"

    shared.curl(checked.client, "http://10.50.1.10:8080/health/up")
    eventually(lambda: statuses(shared, group)["10"] == healthy, 30, "HEALTHY again")
    assert answering() == {"one"}

    shared.lattice.deregister_targets(targetGroupIdentifier=group, targets=[{"id": "10.50.1.11"}])
    eventually(lambda: "11" not in statuses(shared, group), 90, "the deregistered target gone")
    shared.lattice.update_listener(serviceIdentifier=service, listenerIdentifier=listener,
                                   defaultAction={"fixedResponse": {"statusCode": 404}})
    eventually(lambda: statuses(shared, group)["10"] == unused, what="UNUSED again")


def test_a_target_that_does_not_answer_is_unhealthy_from_the_start(shared, checked):
    group = shared.group(checked.vpc, "10.50.1.200", health=CHECK)
    service, _, name = shared.service(forward(group))
    seen = statuses(shared, group)["200"][0]
    assert seen in ("INITIAL", "UNHEALTHY")
    eventually(lambda: statuses(shared, group)["200"] == ("UNHEALTHY", "HealthCheckFailed"), 40, "UNHEALTHY")


def test_without_health_checks_targets_are_unavailable_and_used(shared, checked):
    group = shared.group(checked.vpc, "10.50.1.10", health={"enabled": False})
    service, _, name = shared.service(forward(group))
    shared.network([], [])
    eventually(lambda: statuses(shared, group)["10"][0] == "UNAVAILABLE", what="UNAVAILABLE")


@pytest.mark.slow
def test_a_target_in_use_drains_until_its_request_is_answered(shared, checked):
    import threading

    vpc, subnet = shared.vpc("10.51.0.0/16", "10.51.1.0/24")
    shared.web(subnet, "10.51.1.10")
    client = shared.host(subnet)
    group = shared.group(vpc, "10.51.1.10")
    service, _, name = shared.service(forward(group))
    shared.network([vpc], [service])
    answers = []
    request = threading.Thread(target=lambda: answers.append(shared.curl(client, f"http://{name}/slow/4")))
    request.start()
    eventually(lambda: [c for c in shared.inside(client, "ss", "-Htn", check=False).stdout.splitlines()] or not request.is_alive())
    import time
    time.sleep(0.5)
    shared.lattice.deregister_targets(targetGroupIdentifier=group, targets=[{"id": "10.51.1.10"}])
    assert statuses(shared, group)["10"][0] == "DRAINING"
    request.join(20)
    assert answers == ["at last"]
    eventually(lambda: statuses(shared, group) == {}, 30, "the drained target gone")
