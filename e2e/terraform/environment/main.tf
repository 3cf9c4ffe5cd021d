# What two clusters of one account share before either is there: a private zone for their services' names, a private CA
# and a certificate of it for those names, the role that pods call with.

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

# What every configuration here is given; this one needs none.
variable "material" {
  type = string
}

locals {
  domain = "example.com"
}

data "aws_region" "current" {}
data "aws_partition" "current" {}

# A zone is private by the VPC it is made with. The clusters' own VPCs are associated later and elsewhere.
resource "aws_vpc" "dummy" {
  cidr_block = "10.0.0.0/16"
  tags       = { Name = "dummy" }
}

resource "aws_route53_zone" "private" {
  name          = local.domain
  force_destroy = true

  vpc {
    vpc_id = aws_vpc.dummy.id
  }

  lifecycle {
    ignore_changes = [vpc]
  }
}

data "aws_iam_policy_document" "pods" {
  statement {
    effect  = "Allow"
    actions = ["sts:AssumeRole", "sts:TagSession"]

    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "client" {
  name               = "vpc-lattice-sigv4-client"
  description        = "What pods call services with."
  assume_role_policy = data.aws_iam_policy_document.pods.json
}

resource "aws_iam_role_policy_attachment" "client" {
  for_each = toset(["VPCLatticeServicesInvokeAccess", "AWSCertificateManagerPrivateCAReadOnly"])

  role       = aws_iam_role.client.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/${each.key}"
}

resource "aws_acmpca_certificate_authority" "this" {
  type                            = "ROOT"
  permanent_deletion_time_in_days = 7

  certificate_authority_configuration {
    key_algorithm     = "RSA_4096"
    signing_algorithm = "SHA512WITHRSA"

    subject {
      common_name  = local.domain
      organization = "example"
    }
  }
}

resource "aws_acmpca_certificate" "this" {
  certificate_authority_arn   = aws_acmpca_certificate_authority.this.arn
  certificate_signing_request = aws_acmpca_certificate_authority.this.certificate_signing_request
  signing_algorithm           = "SHA512WITHRSA"
  template_arn                = "arn:${data.aws_partition.current.partition}:acm-pca:::template/RootCACertificate/V1"

  validity {
    type  = "YEARS"
    value = 10
  }
}

resource "aws_acmpca_certificate_authority_certificate" "this" {
  certificate_authority_arn = aws_acmpca_certificate_authority.this.arn
  certificate               = aws_acmpca_certificate.this.certificate
  certificate_chain         = aws_acmpca_certificate.this.certificate_chain
}

resource "aws_acm_certificate" "this" {
  domain_name               = local.domain
  subject_alternative_names = ["*.${local.domain}"]
  certificate_authority_arn = aws_acmpca_certificate_authority.this.arn

  options {
    certificate_transparency_logging_preference = "DISABLED"
  }

  depends_on = [aws_acmpca_certificate_authority_certificate.this]
}

output "region" {
  value = data.aws_region.current.name
}

output "private_zone_id" {
  value = aws_route53_zone.private.zone_id
}

output "custom_domain_name" {
  value = local.domain
}

output "acm_certificate_arn" {
  value = aws_acm_certificate.this.arn
}

output "certificate_authority_arn" {
  value = aws_acmpca_certificate_authority.this.arn
}

output "private_zone_arn" {
  value = aws_route53_zone.private.arn
}

output "client_role_arn" {
  value = aws_iam_role.client.arn
}
