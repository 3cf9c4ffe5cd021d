"""The AWS CLI and boto3, unmodified, through the whole life of every resource."""

import pytest

from instance import eventually, forward, unique


def test_the_aws_cli_makes_changes_and_removes_a_whole_network(own):
    aws = own.aws
    vpc = aws("ec2", "create-vpc", "--cidr-block", "10.0.0.0/16",
              "--tag-specifications", "ResourceType=vpc,Tags=[{Key=Name,Value=main}]")["Vpc"]["VpcId"]
    aws("ec2", "wait", "vpc-available", "--vpc-ids", vpc)
    subnet = aws("ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", "10.0.1.0/24")["Subnet"]["SubnetId"]
    found = aws("ec2", "describe-vpcs", "--filters", "Name=tag:Name,Values=ma*")["Vpcs"]
    assert [v["VpcId"] for v in found] == [vpc]
    network = aws("vpc-lattice", "create-service-network", "--name", "shop", "--tags", "team=a")
    group = aws("vpc-lattice", "create-target-group", "--name", "web", "--type", "IP", "--config",
                f"port=8080,protocol=HTTP,vpcIdentifier={vpc}")
    service = aws("vpc-lattice", "create-service", "--name", "web")
    listener = aws("vpc-lattice", "create-listener", "--service-identifier", service["arn"], "--name", "http",
                   "--protocol", "HTTP", "--default-action",
                   f"forward={{targetGroups=[{{targetGroupIdentifier={group['id']}}}]}}")
    assert listener["port"] == 80
    rule = aws("vpc-lattice", "create-rule", "--service-identifier", service["id"], "--listener-identifier",
               listener["arn"], "--name", "one", "--priority", "5", "--match",
               "httpMatch={method=GET,pathMatch={match={prefix=/a}}}", "--action", "fixedResponse={statusCode=404}")
    joined = aws("vpc-lattice", "create-service-network-service-association",
                 "--service-network-identifier", network["arn"], "--service-identifier", service["arn"])
    opened = aws("vpc-lattice", "create-service-network-vpc-association",
                 "--service-network-identifier", network["id"], "--vpc-identifier", vpc)
    eventually(lambda: aws("vpc-lattice", "get-service-network-vpc-association",
                           "--service-network-vpc-association-identifier", opened["arn"])["status"] == "ACTIVE")
    tagged = aws("resourcegroupstaggingapi", "get-resources", "--tag-filters", "Key=team,Values=a")
    assert [item["ResourceARN"] for item in tagged["ResourceTagMappingList"]] == [network["arn"]]
    refused = aws("vpc-lattice", "delete-service-network", "--service-network-identifier", network["id"], check=False)
    assert refused.returncode and "ConflictException" in refused.stderr, refused.stderr
    refused = aws("ec2", "delete-vpc", "--vpc-id", vpc, check=False)
    assert refused.returncode and "DependencyViolation" in refused.stderr, refused.stderr

    aws("vpc-lattice", "delete-rule", "--service-identifier", service["id"], "--listener-identifier", listener["id"],
        "--rule-identifier", rule["arn"])
    for kind, made in (("service", joined), ("vpc", opened)):
        aws("vpc-lattice", f"delete-service-network-{kind}-association",
            f"--service-network-{kind}-association-identifier", made["id"])
    eventually(lambda: not aws("vpc-lattice", "list-service-network-vpc-associations", "--vpc-identifier", vpc)["items"])
    eventually(lambda: not aws("vpc-lattice", "list-service-network-service-associations",
                               "--service-identifier", service["id"])["items"])
    aws("vpc-lattice", "delete-listener", "--service-identifier", service["id"], "--listener-identifier", listener["id"])
    aws("vpc-lattice", "delete-target-group", "--target-group-identifier", group["id"])
    aws("vpc-lattice", "delete-service", "--service-identifier", service["id"])
    aws("vpc-lattice", "delete-service-network", "--service-network-identifier", network["id"])
    eventually(lambda: not aws("vpc-lattice", "list-services")["items"])
    eventually(lambda: not aws("vpc-lattice", "list-target-groups")["items"])
    aws("ec2", "delete-subnet", "--subnet-id", subnet)
    aws("ec2", "delete-vpc", "--vpc-id", vpc)
    assert not aws("ec2", "describe-vpcs")["Vpcs"]


def test_lists_page_to_the_last_item(own):
    lattice = own.lattice
    made = {lattice.create_service_network(name=f"page-{n}")["id"] for n in range(7)}
    first = lattice.list_service_networks(maxResults=3)
    assert len(first["items"]) == 3 and first["nextToken"]
    pages = list(lattice.get_paginator("list_service_networks").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["items"]) for page in pages] == [3, 3, 1] and "nextToken" not in pages[-1]
    assert {item["id"] for page in pages for item in page["items"]} == made
    own.lattice.delete_service_network(serviceNetworkIdentifier=first["items"][0]["id"])
    rest = lattice.list_service_networks(maxResults=100, nextToken=first["nextToken"])
    assert len(rest["items"]) == 4


def test_a_client_token_makes_a_create_happen_once(shared):
    lattice, name = shared.lattice, unique("token")
    first = lattice.create_service_network(name=name, clientToken="token-" + name)
    again = lattice.create_service_network(name=name, clientToken="token-" + name)
    assert first["id"] == again["id"] and first["arn"] == again["arn"]
    with pytest.raises(lattice.exceptions.ConflictException):
        lattice.create_service_network(name=name + "x", clientToken="token-" + name)


def test_regions_are_apart(shared):
    name = unique("net")
    west = shared.client("vpc-lattice", region="us-west-2")
    made = west.create_service_network(name=name)
    assert ":us-west-2:" in made["arn"]
    assert shared.lattice.create_service_network(name=name)["id"] != made["id"]
    east = shared.lattice
    with pytest.raises(east.exceptions.ResourceNotFoundException):
        east.get_service_network(serviceNetworkIdentifier=made["id"])


def test_what_was_sent_comes_back_as_clients_compare_it(shared):
    lattice = shared.lattice
    vpc, _ = shared.vpc("10.61.0.0/16", "10.61.1.0/24")
    group = shared.group(vpc)
    arn = lattice.get_target_group(targetGroupIdentifier=group)["arn"]
    service, listener, _ = shared.service(forward(arn))
    where = {"serviceIdentifier": service, "listenerIdentifier": listener}
    got = lattice.get_listener(**where)
    assert got["defaultAction"] == {"forward": {"targetGroups": [{"targetGroupIdentifier": group, "weight": 100}]}}
    match = {"httpMatch": {
        "pathMatch": {"match": {"prefix": "/x"}, "caseSensitive": True},
        "headerMatches": [{"name": "a", "match": {"exact": "b"}, "caseSensitive": False}]}}
    rule = lattice.create_rule(**where, name="one", priority=1, match=match, action=forward((group, 7)))
    got = lattice.get_rule(**where, ruleIdentifier=rule["id"])
    assert got["match"] == match and got["action"] == forward((group, 7)) and got["isDefault"] is False
    rules = lattice.list_rules(**where)["items"]
    assert sorted(item["isDefault"] for item in rules) == [False, True] and all(item["name"] for item in rules)
    health = lattice.create_target_group(name=unique("hc"), type="IP", config={
        "port": 80, "protocol": "HTTP", "vpcIdentifier": vpc})["config"]["healthCheck"]
    assert health == {
        "enabled": True, "protocol": "HTTP", "protocolVersion": "HTTP1", "path": "/",
        "healthCheckIntervalSeconds": 30, "healthCheckTimeoutSeconds": 5, "healthyThresholdCount": 5,
        "unhealthyThresholdCount": 2, "matcher": {"httpCode": "200"}}
    lattice.update_rule(**where, ruleIdentifier=rule["id"])


def test_priorities_swap_in_one_batch(shared):
    lattice = shared.lattice
    service, listener, _ = shared.service({"fixedResponse": {"statusCode": 404}})
    where = {"serviceIdentifier": service, "listenerIdentifier": listener}
    match = {"httpMatch": {"method": "GET"}}
    a, b = [lattice.create_rule(**where, name=n, priority=p, match=match, action={"fixedResponse": {"statusCode": 500}})["id"]
            for n, p in (("first", 1), ("second", 2))]
    answer = lattice.batch_update_rule(**where, rules=[
        {"ruleIdentifier": a, "priority": 2}, {"ruleIdentifier": b, "priority": 1}])
    assert len(answer["successful"]) == 2 and not answer["unsuccessful"]
    assert lattice.get_rule(**where, ruleIdentifier=a)["priority"] == 2
    with pytest.raises(lattice.exceptions.ConflictException):
        lattice.create_rule(**where, name="third", priority=1, match=match, action={"fixedResponse": {"statusCode": 404}})
