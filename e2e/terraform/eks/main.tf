# A cluster as people write one: roles, nodes, access, add-ons, the identity of pods. `stage` is what changes in place.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {}

variable "stage" {
  type    = string
  default = "first"
}

variable "material" {
  type    = string
  default = ""
}

locals {
  is_first = var.stage == "first"
  tags     = { stage = var.stage }
}

resource "aws_vpc" "main" {
  cidr_block = "10.40.0.0/16"
}

resource "aws_subnet" "main" {
  for_each          = { a = "10.40.1.0/24", b = "10.40.2.0/24" }
  vpc_id            = aws_vpc.main.id
  cidr_block        = each.value
  availability_zone = "us-east-1${each.key}"
}

resource "aws_iam_role" "main" {
  for_each = { cluster = "eks", node = "ec2", pod = "pods.eks" }
  name     = "terraform-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "${each.value}.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
    }]
  })
}

resource "aws_eks_cluster" "main" {
  name     = "terraform"
  role_arn = aws_iam_role.main["cluster"].arn
  version  = "1.35"
  tags     = local.tags

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }

  vpc_config {
    subnet_ids              = [for subnet in aws_subnet.main : subnet.id]
    endpoint_private_access = true
  }

  enabled_cluster_log_types = local.is_first ? [] : ["api", "audit"]
}

resource "aws_eks_node_group" "main" {
  cluster_name    = aws_eks_cluster.main.name
  node_group_name = "main"
  node_role_arn   = aws_iam_role.main["node"].arn
  subnet_ids      = [aws_subnet.main["a"].id]
  instance_types  = ["t3.medium"]
  labels          = { stage = var.stage }
  tags            = local.tags

  scaling_config {
    desired_size = 1
    max_size     = local.is_first ? 1 : 2
    min_size     = 1
  }

  update_config {
    max_unavailable = 1
  }

  taint {
    key    = "team"
    value  = "a"
    effect = "PREFER_NO_SCHEDULE"
  }
}

resource "aws_eks_access_entry" "main" {
  cluster_name      = aws_eks_cluster.main.name
  principal_arn     = aws_iam_role.main["pod"].arn
  kubernetes_groups = local.is_first ? ["one"] : ["one", "two"]
  tags              = local.tags
}

resource "aws_eks_access_policy_association" "main" {
  cluster_name  = aws_eks_cluster.main.name
  principal_arn = aws_eks_access_entry.main.principal_arn
  policy_arn    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"

  access_scope {
    type       = "namespace"
    namespaces = ["default"]
  }
}

data "aws_eks_addon_version" "main" {
  addon_name         = "vpc-cni"
  kubernetes_version = aws_eks_cluster.main.version
}

resource "aws_eks_addon" "main" {
  cluster_name  = aws_eks_cluster.main.name
  addon_name    = "vpc-cni"
  addon_version = data.aws_eks_addon_version.main.version
  tags          = local.tags
}

resource "aws_eks_pod_identity_association" "main" {
  cluster_name    = aws_eks_cluster.main.name
  namespace       = "default"
  service_account = "worker"
  role_arn        = aws_iam_role.main["pod"].arn
  tags            = local.tags
}

data "aws_eks_cluster" "main" {
  name = aws_eks_cluster.main.name
}

data "aws_eks_cluster_auth" "main" {
  name = aws_eks_cluster.main.name
}

# As the EKS module does it.
resource "aws_ec2_tag" "main" {
  resource_id = aws_eks_cluster.main.vpc_config[0].cluster_security_group_id
  key         = "stage"
  value       = var.stage
}

output "endpoint" {
  value = data.aws_eks_cluster.main.endpoint
}
