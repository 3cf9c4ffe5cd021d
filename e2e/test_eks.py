"""Kubernetes clusters in VPCs: AWS CLI and kubectl as people use them, real programs in hosts, requests to pods."""

import json
import os
import re
import signal
import subprocess

import boto3
import pytest
from botocore.exceptions import ClientError

from cluster import Cluster, packed, programs, trust
from instance import Instance, eventually, unique, user


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    with Instance(tmp_path_factory.mktemp("eks"), "--kubernetes", programs()) as instance:
        instance.cli("image", "build", "--name", "demo/echo:1", programs() / "images/echo")
        yield instance


@pytest.fixture(scope="module")
def cluster(instance):
    """A cluster with one node, which takes some seconds to make: tests leave it as they find it."""
    made = Cluster(instance).create(tags={"team": "one"})
    made.nodegroup(labels={"role": "web"})
    return made


def inside(instance, prefix):
    """Command lines of what runs in the host whose name begins so, by number on the machine."""
    [pid] = [host["pid"] for host in json.loads(instance.cli("ps", "--json").stdout) if host["name"].startswith(prefix)]
    namespace = os.readlink(f"/proc/{pid}/ns/pid")
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                found[int(entry)] = open(f"/proc/{entry}/cmdline").read().split("\0")[0]
        except OSError:
            pass
    return found


def deployment(name, image="demo/echo:1", replicas=1, **pod):
    labels = {"app": name}
    container = {"name": "main", "image": image, "ports": [{"containerPort": 8080}],
                 "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **pod}}}}


def addresses(cluster, name, count):
    """Addresses of the ready pods of a deployment."""
    cluster.run("rollout", "status", f"deployment/{name}", "--timeout=90s", timeout=100)
    pods = [pod for pod in cluster.get("pods", "-l", f"app={name}")["items"] if "deletionTimestamp" not in pod["metadata"]]
    found = [pod["status"]["podIP"] for pod in pods]
    assert len(found) == count, found
    return found


def test_a_cluster_is_described_as_clients_expect_it(cluster):
    seen = cluster.described()
    network = seen["resourcesVpcConfig"]
    assert (seen["version"], seen["status"], seen["tags"]) == ("1.35", "ACTIVE", {"team": "one"})
    assert network["vpcId"] == cluster.vpc and network["subnetIds"] == cluster.subnets
    assert network["clusterSecurityGroupId"].startswith("sg-")
    assert seen["endpoint"].startswith("https://127.0.0.1:")
    assert re.fullmatch(r"https://oidc\.eks\.us-east-1\.amazonaws\.com/id/[0-9A-F]{32}", seen["identity"]["oidc"]["issuer"])
    assert seen["kubernetesNetworkConfig"]["serviceIpv4Cidr"] == "10.100.0.0/16"
    assert "BEGIN" not in seen["certificateAuthority"]["data"]


def test_a_node_is_ready_and_says_whose_it_is(cluster):
    [node] = cluster.get("nodes")["items"]
    [ready] = [each for each in node["status"]["conditions"] if each["type"] == "Ready"]
    assert ready["status"] == "True"
    assert re.fullmatch(r"ip-10-0-1-\d+\.ec2\.internal", node["metadata"]["name"])
    labels = node["metadata"]["labels"]
    assert labels["eks.amazonaws.com/nodegroup"] == "nodes" and labels["role"] == "web"
    assert labels["topology.kubernetes.io/zone"] == "us-east-1a"
    assert node["spec"]["providerID"].startswith("aws:///us-east-1a/i-")


def test_pods_have_addresses_of_the_subnet_that_ec2_knows_and_security_groups_guard(cluster, instance):
    cluster.apply(deployment("web", replicas=2))
    found = addresses(cluster, "web", 2)
    interfaces = instance.ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [cluster.vpc]}])
    known = {each["PrivateIpAddress"] for interface in interfaces["NetworkInterfaces"] for each in interface["PrivateIpAddresses"]}
    assert set(found) <= known
    group = cluster.described()["resourcesVpcConfig"]["clusterSecurityGroupId"]
    member = instance.host(cluster.subnets[1], groups=[group])
    stranger = instance.host(cluster.subnets[1])
    for address in found:
        answer = json.loads(instance.curl(member, f"http://{address}:8080/hello"))
        assert answer["path"] == "/hello" and answer["host"].startswith("web-")
    blocked = instance.inside(stranger, "curl", "-sS", "-m", "2", f"http://{found[0]}:8080/", check=False)
    assert blocked.returncode == 28, blocked


def test_services_logs_and_exec_work(cluster, instance):
    cluster.apply(deployment("backend"))
    [address] = addresses(cluster, "backend", 1)
    cluster.run("expose", "deployment", "backend", "--port=80", "--target-port=8080")
    service = cluster.get("service", "backend")["spec"]["clusterIP"]
    [node] = [host["name"] for host in json.loads(instance.cli("ps", "--json").stdout)
              if host["name"].startswith("node-nodes-")]
    seen = eventually(lambda: instance.inside(node, "curl", "-sS", "-m", "2", f"http://{service}/", check=False).stdout)
    assert json.loads(seen)["host"].startswith("backend-")
    assert cluster.run("logs", "deployment/backend").returncode == 0
    missing = cluster.run("exec", "deployment/backend", "--", "/no-such-program", check=False)
    assert "no such file" in missing.stderr


def test_pods_find_services_by_name_and_all_other_names_as_their_vpc_does(cluster, instance, tmp_path):
    instance.cli("image", "import", packed("/usr/bin/curl", "demo/curl:1", tmp_path / "curl.tar"))
    cluster.apply(deployment("named"))
    addresses(cluster, "named", 1)
    cluster.run("expose", "deployment", "named", "--port=80", "--target-port=8080")
    group = cluster.described()["resourcesVpcConfig"]["clusterSecurityGroupId"]
    web = instance.web(cluster.subnets[1], groups=[group])
    [address] = [host["ip"] for host in json.loads(instance.cli("ps", "--json").stdout) if host["name"] == web]
    urls = ["http://named.default.svc.cluster.local/", "http://named/", f"http://ip-{address.replace('.', '-')}.ec2.internal:8080/"]
    words = ["-sS", "--retry", "30", "--retry-all-errors", "--retry-delay", "1", *urls]
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks"}, "spec": {
        "restartPolicy": "Never", "containers": [{"name": "curl", "image": "demo/curl:1", "args": words}]}})
    ended = lambda: cluster.get("pod", "asks")["status"]["phase"] in ("Succeeded", "Failed")
    eventually(ended, 90, "all names found")
    said = cluster.run("logs", "asks").stdout
    assert cluster.get("pod", "asks")["status"]["phase"] == "Succeeded", said
    assert said.count('"host":"named-') == 2, said
    assert cluster.get("service", "kube-dns", "-n", "kube-system")["spec"]["clusterIP"] == "10.100.0.10"


def test_programs_that_are_killed_come_back_with_their_data(cluster, instance):
    cluster.run("create", "configmap", "kept", "--from-literal=a=b")
    killed = {"kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler"}
    for program in killed:
        [pid] = [pid for pid, command in inside(instance, "eks-").items() if os.path.basename(command) == program]
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: cluster.run("get", "--raw", "/readyz", check=False).returncode == 0, 60, "the API server back")
    assert cluster.get("configmap", "kept")["data"] == {"a": "b"}
    # Each comes back by itself, the others later than the API server.
    eventually(lambda: killed <= {os.path.basename(command) for command in inside(instance, "eks-").values()}, 60, "all of them back")


def is_refused(done):
    """Whether kubectl was told that nobody knows its user: it has two ways to say so."""
    return done.returncode != 0 and ("Unauthorized" in done.stderr or "logged in" in done.stderr)


def someone(instance):
    """A new user with the right to sign in to clusters and nothing else; its ARN and its variables."""
    key = user(instance.client("iam"))
    return key["Arn"], {**instance.variables, "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def test_access_entries_and_policies_say_who_may_what(cluster, instance):
    arn, variables = someone(instance)
    may = lambda *words: cluster.run("auth", "can-i", *words, variables=variables, check=False).stdout.strip()
    assert is_refused(cluster.run("get", "pods", check=False, variables=variables))
    eks = cluster.eks
    eks.create_access_entry(clusterName=cluster.name, principalArn=arn, kubernetesGroups=["readers"])
    who = eventually(lambda: cluster.run("auth", "whoami", "-o", "json", check=False, variables=variables).stdout, 30)
    seen = json.loads(who)["status"]["userInfo"]
    assert seen["username"] == arn and "readers" in seen["groups"]
    assert may("get", "pods") == "no"
    cluster.run("create", "namespace", "team-a")
    eks.associate_access_policy(
        clusterName=cluster.name, principalArn=arn, accessScope={"type": "namespace", "namespaces": ["team-*"]},
        policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy")
    eventually(lambda: may("get", "pods", "-n", "team-a") == "yes", 30, "the policy in the namespace")
    assert may("get", "pods") == "no" and may("delete", "pods", "-n", "team-a") == "no"
    eks.delete_access_entry(clusterName=cluster.name, principalArn=arn)
    eventually(lambda: cluster.run("get", "pods", "-n", "team-a", check=False, variables=variables).returncode != 0, 30,
               "the user shut out")


def test_a_token_for_one_cluster_is_none_for_another(cluster, instance):
    token = json.loads(subprocess.run(
        ["aws", "eks", "get-token", "--cluster-name", "another"], check=True, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(instance.directory), **instance.variables}).stdout)["status"]["token"]
    seen = cluster.described()
    done = cluster.run("--token", token, "--kubeconfig", "/dev/null", "--server", seen["endpoint"],
                       "--insecure-skip-tls-verify", "get", "pods", check=False)
    assert is_refused(done), done.stderr


def account(name, **annotations):
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "annotations": annotations}}


def variables_of(cluster, name):
    """What the webhook gave the pods of a deployment."""
    [pod, *_] = cluster.get("pods", "-l", f"app={name}")["items"]
    return {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}


def token(cluster, name, audience):
    """A token of a service account, bound to a running pod, as the kubelet asks for it."""
    [pod] = [pod for pod in cluster.get("pods", "-l", f"app={name}")["items"] if "deletionTimestamp" not in pod["metadata"]]
    return cluster.run("create", "token", name, "--audience", audience, "--bound-object-kind", "Pod",
                       "--bound-object-name", pod["metadata"]["name"], "--bound-object-uid", pod["metadata"]["uid"]).stdout.strip()


def test_pods_get_the_credentials_of_the_role_that_is_associated(cluster, instance):
    role = instance.client("iam").create_role(
        RoleName=unique("pod"), AssumeRolePolicyDocument=trust("pods.eks.amazonaws.com"))["Role"]["Arn"]
    association = cluster.eks.create_pod_identity_association(
        clusterName=cluster.name, namespace="default", serviceAccount="worker", roleArn=role)["association"]
    cluster.apply(account("worker"), deployment("worker", serviceAccountName="worker"))
    [address] = addresses(cluster, "worker", 1)
    given = variables_of(cluster, "worker")
    assert given["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == "http://169.254.170.23/v1/credentials"
    assert given["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == \
        "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"
    # The unmodified agent's call ...
    mine = token(cluster, "worker", "pods.eks.amazonaws.com")
    answer = instance.client("eks-auth").assume_role_for_pod_identity(clusterName=cluster.name, token=mine)
    assert answer["subject"] == {"namespace": "default", "serviceAccount": "worker"}
    assert answer["podIdentityAssociation"]["associationId"] == association["associationId"]
    name = answer["assumedRoleUser"]["arn"].rsplit("/", 1)[1]
    assert re.fullmatch(rf"eks-{cluster.name[:10]}-worker-[0-9a-z]{{1,3}}-[0-9a-f-]{{36}}", name), name
    # ... and what an SDK asks in a pod, here from the pod's node.
    [node] = [host["name"] for host in json.loads(instance.cli("ps", "--json").stdout)
              if host["name"].startswith("node-nodes-")]
    said = json.loads(instance.curl(node, given["AWS_CONTAINER_CREDENTIALS_FULL_URI"], "-H", f"Authorization: {mine}"))
    session = boto3.client("sts", region_name="us-east-1", endpoint_url=instance.endpoint, aws_access_key_id=said["AccessKeyId"],
                           aws_secret_access_key=said["SecretAccessKey"], aws_session_token=said["Token"])
    assert f"assumed-role/{role.rsplit('/', 1)[1]}/eks-" in session.get_caller_identity()["Arn"]
    for words in (["-H", "Authorization: no.token.this"], [], ["-H", f"Authorization: {mine}", "-H", "Host: evil.example"]):
        refused = instance.status(node, given["AWS_CONTAINER_CREDENTIALS_FULL_URI"], *words)
        assert refused in (400, 403), words
    cluster.eks.delete_pod_identity_association(clusterName=cluster.name, associationId=association["associationId"])
    assert instance.status(node, given["AWS_CONTAINER_CREDENTIALS_FULL_URI"], "-H", f"Authorization: {mine}") == 404


def test_pods_assume_roles_by_the_clusters_own_issuer(cluster, instance):
    issuer = cluster.described()["identity"]["oidc"]["issuer"]
    iam, host = instance.client("iam"), issuer.removeprefix("https://")
    provider = iam.create_open_id_connect_provider(
        Url=issuer, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40])["OpenIDConnectProviderArn"]
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Federated": provider}, "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{host}:sub": "system:serviceaccount:default:irsa", f"{host}:aud": "sts.amazonaws.com"}}}]}
    role = iam.create_role(RoleName=unique("irsa"), AssumeRolePolicyDocument=json.dumps(policy))["Role"]["Arn"]
    cluster.apply(account("irsa", **{"eks.amazonaws.com/role-arn": role}), deployment("irsa", serviceAccountName="irsa"))
    addresses(cluster, "irsa", 1)
    assert variables_of(cluster, "irsa")["AWS_ROLE_ARN"] == role
    answer = instance.client("sts").assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="one", WebIdentityToken=token(cluster, "irsa", "sts.amazonaws.com"))
    assert answer["Provider"] == provider.rsplit("oidc-provider/", 1)[1] or answer["Provider"] == issuer


def test_nodes_come_and_go_with_the_size_of_the_group(cluster):
    update = cluster.eks.update_nodegroup_config(
        clusterName=cluster.name, nodegroupName="nodes", scalingConfig={"desiredSize": 2})["update"]
    look = lambda: cluster.eks.describe_update(name=cluster.name, nodegroupName="nodes", updateId=update["id"])["update"]
    eventually(lambda: look()["status"] == "Successful", 120, "a second node")
    assert len(cluster.get("nodes")["items"]) == 2
    cluster.eks.update_nodegroup_config(clusterName=cluster.name, nodegroupName="nodes", scalingConfig={"desiredSize": 1})
    cluster.settled()
    assert len(cluster.get("nodes")["items"]) == 1
    eventually(lambda: len(listening(cluster.instance, "pod-identity.sock")) == 1, what="the socket gone with its node")


def listening(instance, name):
    """Sockets called so that Trellis itself has open and waits at."""
    pid = instance.process.pid
    opened = set()
    for each in os.scandir(f"/proc/{pid}/fd"):
        try:
            opened.add(os.readlink(each.path))
        except FileNotFoundError:
            pass
    # Num RefCount Protocol Flags Type St Inode Path
    lines = [line.split() for line in open(f"/proc/{pid}/net/unix").readlines()[1:]]
    return [line for line in lines if line[7:] and line[7].endswith(name) and int(line[3], 16) & 0x10000 and f"socket:[{line[6]}]" in opened]


def test_a_cluster_survives_the_end_of_trellis_and_is_reached_as_before(cluster, instance):
    cluster.apply(deployment("survivor"))
    addresses(cluster, "survivor", 1)
    before = cluster.described()["endpoint"]
    instance.restart()
    eventually(lambda: cluster.run("get", "--raw", "/readyz", check=False).returncode == 0, 60, "the API server back")
    assert cluster.described()["endpoint"] == before
    eventually(lambda: cluster.run("rollout", "status", "deployment/survivor", "--timeout=2s", check=False).returncode == 0,
               90, "the pods back")


def test_clusters_with_the_same_addresses_live_side_by_side_and_leave_nothing(cluster, instance):
    other = Cluster(instance).create()
    other.nodegroup()
    assert other.get("nodes")["items"][0]["metadata"]["name"].startswith("ip-10-0-1-")
    first, second = (each.described() for each in (cluster, other))
    assert first["endpoint"] != second["endpoint"] and first["certificateAuthority"] != second["certificateAuthority"]
    before = {host["name"] for host in json.loads(instance.cli("ps", "--json").stdout)}
    other.delete()
    after = {host["name"] for host in json.loads(instance.cli("ps", "--json").stdout)}
    assert {name.rsplit("-", 1)[0] for name in before - after} == {f"eks-{other.name}", "node-nodes"}
    assert [entry.name for entry in (instance.data / "clusters").iterdir()] == [first["identity"]["oidc"]["issuer"].rsplit("/", 1)[1]]
    groups = instance.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [other.vpc]}])["SecurityGroups"]
    assert [group["GroupName"] for group in groups] == ["default"]
    assert cluster.run("get", "--raw", "/readyz").stdout == "ok"


def test_a_cluster_that_cannot_be_made_says_what_to_do(tmp_path):
    with Instance(tmp_path, "--kubernetes", tmp_path / "nothing") as instance:
        cluster = Cluster(instance)
        cluster.ask()
        eventually(lambda: cluster.described()["status"] == "FAILED", 20, "a failure")
        [issue] = cluster.described()["health"]["issues"]
        assert "scripts/kubernetes" in issue["message"]
        cluster.delete()


@pytest.mark.parametrize(("call", "service"), [
    (lambda eks, role: eks.create_cluster(name="c", roleArn=role, resourcesVpcConfig={"subnetIds": ["subnet-0"]}),
     "eks.amazonaws.com"),
    (lambda eks, role: eks.create_nodegroup(clusterName="c", nodegroupName="n", nodeRole=role, subnets=["subnet-0"]),
     "ec2.amazonaws.com"),
    (lambda eks, role: eks.create_pod_identity_association(clusterName="c", namespace="n", serviceAccount="s", roleArn=role),
     "pods.eks.amazonaws.com"),
    (lambda eks, role: eks.update_pod_identity_association(clusterName="c", associationId="a-0", roleArn=role),
     "pods.eks.amazonaws.com"),
])
def test_a_role_is_passed_to_the_service_that_is_to_have_it(instance, call, service):
    iam = instance.client("iam")
    role = iam.create_role(RoleName=unique("passed"), AssumeRolePolicyDocument=trust(service))["Role"]["Arn"]
    for passed in ("eks.amazonaws.com", "ec2.amazonaws.com", "pods.eks.amazonaws.com"):
        key = user(iam, {"Effect": "Allow", "Action": "eks:*", "Resource": "*"},
                   {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*",
                    "Condition": {"StringEquals": {"iam:PassedToService": passed}}})
        eks = boto3.client("eks", region_name="us-east-1", endpoint_url=instance.endpoint,
                           aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        with pytest.raises(ClientError) as refused:
            call(eks, role)
        # What it names is not there: who may is told so.
        is_denied = refused.value.response["Error"]["Code"] == "AccessDeniedException"
        assert is_denied == (passed != service), (passed, refused.value)


def test_a_cluster_that_never_ran_goes_with_its_security_group(instance):
    other = Cluster(instance)
    make = lambda: instance.ec2.create_security_group(GroupName=unique("own"), Description="own", VpcId=other.vpc)["GroupId"]
    groups = [make() for _ in range(5)]
    # With EKS's own they are more than an interface may have: nothing can run.
    other.ask(resourcesVpcConfig={"subnetIds": other.subnets, "securityGroupIds": groups})
    eventually(lambda: other.described()["status"] == "FAILED", 20, "a failure")
    assert "5 security groups" in other.described()["health"]["issues"][0]["message"]
    other.delete()
    for group in groups:
        instance.ec2.delete_security_group(GroupId=group)
    for subnet in other.subnets:
        instance.ec2.delete_subnet(SubnetId=subnet)
    instance.ec2.delete_vpc(VpcId=other.vpc)
