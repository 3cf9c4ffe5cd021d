"""Terraform and its AWS provider, unmodified, make a cluster with all that belongs to one."""

import pytest

from cluster import programs
from instance import ROOT, Instance
from test_terraform import Terraform

CONFIGURATION = ROOT / "e2e/terraform/eks/main.tf"


@pytest.mark.slow
def test_terraform_makes_changes_and_destroys_a_cluster(tmp_path):
    with Instance(tmp_path, "--kubernetes", programs()) as own:
        terraform = Terraform(tmp_path / "terraform", own, tmp_path, CONFIGURATION)
        terraform.init()
        terraform.apply()
        terraform.plans_nothing()
        changes = terraform.changes("second")
        for address in ("aws_eks_cluster.main", "aws_eks_node_group.main", "aws_eks_access_entry.main"):
            assert changes[address][0] == ["update"], changes[address]
        terraform.apply("second")
        terraform.plans_nothing("second")
        group = own.client("eks").describe_nodegroup(clusterName="terraform", nodegroupName="main")["nodegroup"]
        assert group["labels"] == {"stage": "second"} and group["scalingConfig"]["maxSize"] == 2
        terraform.run("destroy", "-auto-approve", "-input=false", "-no-color", stage="second")
        assert own.client("eks").list_clusters()["clusters"] == []
        assert own.ec2.describe_vpcs()["Vpcs"] == []
