"""Kubernetes clusters for tests: the programs, kubectl as a user runs it, and what a cluster needs before it is made."""

import functools
import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile

from instance import PYTHON, ROOT, eventually, unique

CLUSTER_TRUST = "eks.amazonaws.com"
NODE_TRUST = "ec2.amazonaws.com"


@functools.cache
def programs():
    """The folder that scripts/kubernetes built. Building takes a quarter of an hour: no test does it on the way."""
    printed = subprocess.run([ROOT / "scripts/kubernetes", "--print"], check=True, capture_output=True, text=True)
    folder = pathlib.Path(printed.stdout.strip())
    assert (folder / "images/coredns").exists(), f"{folder} is not complete: run scripts/kubernetes"
    return folder


def trust(service):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["sts:AssumeRole", "sts:TagSession"]}]})


def packed(program, name, place):
    """An image of a program of this machine and what it is linked with, in a tar of the OCI image layout; where it is."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path in [program, *re.findall(r"(/\S+) \(0x", listed)]:
            tar.add(os.path.realpath(path), arcname=path.lstrip("/"))
    blobs = {}

    def kept(content, kind):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        blobs[f"blobs/{digest.replace(':', '/')}"] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest, "size": len(content)}

    filled = kept(layer.getvalue(), "layer.v1.tar")
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    config = kept(json.dumps({
        "architecture": architecture, "os": "linux", "config": {"Entrypoint": [program]},
        "rootfs": {"type": "layers", "diff_ids": [filled["digest"]]}}).encode(), "config.v1+json")
    manifest = kept(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [filled]}).encode(),
        "manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [{**manifest, "annotations": {"io.containerd.image.name": name}}]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode(), **blobs}
    with tarfile.open(place, "w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return place


class Cluster:
    """One cluster with what it stands on: a VPC with two subnets, roles, and kubectl."""

    def __init__(self, instance, name=None, cidr="10.0"):
        self.instance, self.name = instance, name or unique("cluster")
        iam, ec2 = instance.client("iam"), instance.ec2
        self.vpc = ec2.create_vpc(CidrBlock=f"{cidr}.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"{cidr}.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for number, zone in ((1, "us-east-1a"), (2, "us-east-1b"))]
        self.role = iam.create_role(
            RoleName=f"{self.name}-cluster", AssumeRolePolicyDocument=trust(CLUSTER_TRUST))["Role"]["Arn"]
        self.node_role = iam.create_role(
            RoleName=f"{self.name}-node", AssumeRolePolicyDocument=trust(NODE_TRUST))["Role"]["Arn"]
        self.config = instance.directory / f"{self.name}.kubeconfig"

    @property
    def eks(self):
        """A client of its own each time: the instance may have been started again, on another port."""
        return self.instance.client("eks")

    def ask(self, **more):
        return self.eks.create_cluster(name=self.name, roleArn=self.role, **{
            "resourcesVpcConfig": {"subnetIds": self.subnets}, "accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"}, **more})

    def described(self):
        return self.eks.describe_cluster(name=self.name)["cluster"]

    def create(self, **more):
        """Made and ACTIVE; kubectl knows it."""
        self.ask(**more)
        return self.connect()

    def connect(self):
        eventually(lambda: self.described()["status"] != "CREATING", 90, f"{self.name} made")
        cluster = self.described()
        assert cluster["status"] == "ACTIVE", cluster["health"]
        # Its answer is a sentence whatever form is asked for.
        done = self.instance.aws("eks", "update-kubeconfig", "--name", self.name, "--kubeconfig", str(self.config), check=False)
        assert done.returncode == 0, done.stderr
        return self

    def nodegroup(self, name="nodes", size=1, **more):
        self.eks.create_nodegroup(
            clusterName=self.name, nodegroupName=name, nodeRole=self.node_role,
            **{"subnets": self.subnets[:1], "scalingConfig": {"minSize": 0, "maxSize": 5, "desiredSize": size}, **more})
        return self.settled(name)

    def settled(self, name="nodes"):
        look = lambda: self.eks.describe_nodegroup(clusterName=self.name, nodegroupName=name)["nodegroup"]
        eventually(lambda: look()["status"] not in ("CREATING", "UPDATING"), 120, f"node group {name} settled")
        group = look()
        assert group["status"] == "ACTIVE", group["health"]
        return group

    def run(self, *words, check=True, input=None, variables=None, timeout=60):
        """kubectl as a user runs it, with keys in the environment alone; the completed process."""
        environment = {
            "PATH": f"{pathlib.Path(PYTHON).parent}:{os.environ['PATH']}", "HOME": str(self.instance.directory),
            "KUBECONFIG": str(self.config), **(variables or self.instance.variables)}
        done = subprocess.run([programs() / "kubectl", *words], capture_output=True, text=True, input=input,
                              timeout=timeout, env=environment)
        assert not check or done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done

    def get(self, *words):
        return json.loads(self.run("get", *words, "-o", "json").stdout)

    def apply(self, *objects):
        return self.run("apply", "-f", "-", input="\n---\n".join(json.dumps(each) for each in objects))

    def delete(self):
        """All of it, and nothing left to be told of."""
        for group in self.eks.list_nodegroups(clusterName=self.name)["nodegroups"]:
            self.eks.delete_nodegroup(clusterName=self.name, nodegroupName=group)
        eventually(lambda: not self.eks.list_nodegroups(clusterName=self.name)["nodegroups"], 120, "the node groups gone")
        self.eks.delete_cluster(name=self.name)
        eventually(lambda: self.name not in self.eks.list_clusters()["clusters"], 60, "the cluster gone")
