# Who calls and what they may do: the aws_iam_* resources of the labs. `stage` is what changes in place from one apply
# to the next.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

# Nothing here: the environment says where and who.
provider "aws" {}

variable "stage" {
  type    = string
  default = "first"
}

# For every configuration alike.
variable "material" {
  type    = string
  default = ""
}

locals {
  is_first = var.stage == "first"
  tags     = { stage = var.stage }
}

data "aws_caller_identity" "me" {}

data "aws_iam_policy" "invoke" {
  arn = "arn:aws:iam::aws:policy/VPCLatticeServicesInvokeAccess"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com", "ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "lattice" {
  statement {
    actions   = local.is_first ? ["vpc-lattice:*"] : ["vpc-lattice:*", "ec2:Describe*"]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "lattice" {
  name        = "lattice"
  path        = "/controllers/"
  description = "What a controller does."
  policy      = data.aws_iam_policy_document.lattice.json
  tags        = local.tags
}

resource "aws_iam_role" "controller" {
  name                 = "controller"
  path                 = "/controllers/"
  description          = "Stage ${var.stage}."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = local.is_first ? 3600 : 7200
  permissions_boundary = aws_iam_policy.lattice.arn
  tags                 = local.tags
}

resource "aws_iam_role_policy_attachment" "controller" {
  role       = aws_iam_role.controller.name
  policy_arn = aws_iam_policy.lattice.arn
}

resource "aws_iam_role_policy_attachment" "invoke" {
  role       = aws_iam_role.controller.name
  policy_arn = data.aws_iam_policy.invoke.arn
}

resource "aws_iam_role_policy" "own" {
  name   = "own"
  role   = aws_iam_role.controller.id
  policy = data.aws_iam_policy_document.lattice.json
}

resource "aws_iam_instance_profile" "controller" {
  name = "controller"
  role = aws_iam_role.controller.name
  tags = local.tags
}

resource "aws_iam_user" "caller" {
  name = "caller"
  path = "/people/"
  tags = local.tags
}

resource "aws_iam_access_key" "caller" {
  user = aws_iam_user.caller.name
}

resource "aws_iam_user_policy" "caller" {
  name   = "own"
  user   = aws_iam_user.caller.name
  policy = data.aws_iam_policy_document.lattice.json
}

resource "aws_iam_user_policy_attachment" "caller" {
  user       = aws_iam_user.caller.name
  policy_arn = data.aws_iam_policy.invoke.arn
}

resource "aws_iam_group" "people" {
  name = "people"
}

resource "aws_iam_group_policy_attachment" "people" {
  group      = aws_iam_group.people.name
  policy_arn = aws_iam_policy.lattice.arn
}

resource "aws_iam_user_group_membership" "caller" {
  user   = aws_iam_user.caller.name
  groups = [aws_iam_group.people.name]
}

resource "aws_iam_openid_connect_provider" "cluster" {
  url             = "https://oidc.example.com/id/1"
  client_id_list  = ["sts.amazonaws.com"]
  thumbprint_list = ["9e99a48a9960b14926bb7f3b02e22da2b0ab7280"]
  tags            = local.tags
}

resource "aws_iam_service_linked_role" "lattice" {
  aws_service_name = "vpc-lattice.amazonaws.com"
}
