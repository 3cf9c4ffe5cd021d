# A private zone of two VPCs with records of the kinds people write. `stage` is what changes in place.

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

resource "aws_vpc" "first" {
  cidr_block = "10.70.0.0/16"
}

resource "aws_vpc" "second" {
  cidr_block = "10.71.0.0/16"
}

resource "aws_route53_zone" "main" {
  name          = "example.com"
  comment       = "stage ${var.stage}"
  force_destroy = true
  tags          = { stage = var.stage }

  vpc {
    vpc_id = aws_vpc.first.id
  }

  # The association below is its own resource.
  lifecycle {
    ignore_changes = [vpc]
  }
}

resource "aws_route53_zone_association" "second" {
  zone_id = aws_route53_zone.main.zone_id
  vpc_id  = aws_vpc.second.id
}

resource "aws_route53_vpc_association_authorization" "second" {
  zone_id = aws_route53_zone.main.zone_id
  vpc_id  = aws_vpc.second.id
}

resource "aws_route53_record" "address" {
  zone_id = aws_route53_zone.main.zone_id
  name    = "www"
  type    = "A"
  ttl     = var.stage == "first" ? 300 : 60
  records = ["10.70.1.1", "10.70.1.2"]
}

resource "aws_route53_record" "text" {
  zone_id = aws_route53_zone.main.zone_id
  name    = "*.text.example.com"
  type    = "TXT"
  ttl     = 300
  records = ["some text", "v=1; \\\"quoted\\\""]
}

resource "aws_route53_record" "weighted" {
  for_each       = { one = 1, three = 3 }
  zone_id        = aws_route53_zone.main.zone_id
  name           = "weighted"
  type           = "CNAME"
  ttl            = 60
  records        = ["${each.key}.example.com"]
  set_identifier = each.key

  weighted_routing_policy {
    weight = each.value
  }
}

resource "aws_route53_record" "alias" {
  zone_id = aws_route53_zone.main.zone_id
  name    = "alias"
  type    = "A"

  alias {
    zone_id                = aws_route53_zone.main.zone_id
    name                   = aws_route53_record.address.fqdn
    evaluate_target_health = false
  }
}

data "aws_route53_zone" "main" {
  name         = aws_route53_zone.main.name
  private_zone = true
  depends_on   = [aws_route53_zone_association.second]
}

output "zone" {
  value = data.aws_route53_zone.main.zone_id
}
