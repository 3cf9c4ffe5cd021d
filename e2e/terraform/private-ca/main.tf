# A private CA that signs itself, and a certificate of ACM that it issues.

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
  tags   = { stage = var.stage }
}

resource "aws_acmpca_certificate_authority" "this" {
  type                            = "ROOT"
  permanent_deletion_time_in_days = 7
  enabled                         = true
  tags                            = local.tags

  certificate_authority_configuration {
    key_algorithm     = "RSA_4096"
    signing_algorithm = "SHA512WITHRSA"

    subject {
      common_name  = local.domain
      organization = "example"
    }
  }
}

data "aws_partition" "current" {}

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

resource "aws_acmpca_permission" "acm" {
  certificate_authority_arn = aws_acmpca_certificate_authority.this.arn
  principal                 = "acm.amazonaws.com"
  actions                   = ["IssueCertificate", "GetCertificate", "ListPermissions"]
}

resource "aws_acm_certificate" "this" {
  domain_name               = local.domain
  subject_alternative_names = ["*.${local.domain}"]
  certificate_authority_arn = aws_acmpca_certificate_authority.this.arn
  tags                      = local.tags

  options {
    certificate_transparency_logging_preference = "DISABLED"
  }

  depends_on = [aws_acmpca_certificate_authority_certificate.this]
}

output "authority" {
  value = aws_acmpca_certificate_authority.this.arn
}

output "certificate" {
  value = aws_acm_certificate.this.arn
}
