# A VPC that gets IPv6 from one apply to the next, and what of Lattice may have it.

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

# As the other configuration is given it.
variable "material" {
  type = string
}

locals {
  has_ipv6 = var.stage != "first"
}

resource "aws_vpc" "main" {
  cidr_block                       = "10.20.0.0/16"
  assign_generated_ipv6_cidr_block = local.has_ipv6
}

resource "aws_subnet" "main" {
  vpc_id                          = aws_vpc.main.id
  cidr_block                      = "10.20.1.0/24"
  ipv6_cidr_block                 = local.has_ipv6 ? cidrsubnet(aws_vpc.main.ipv6_cidr_block, 8, 1) : null
  assign_ipv6_address_on_creation = local.has_ipv6
}

resource "aws_security_group" "web" {
  name   = "web"
  vpc_id = aws_vpc.main.id

  ingress {
    from_port        = 80
    to_port          = 80
    protocol         = "tcp"
    ipv6_cidr_blocks = ["fd00:ec2:80::/64"]
  }

  egress {
    from_port        = 0
    to_port          = 0
    protocol         = "-1"
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }
}

resource "aws_vpclattice_target_group" "ipv6" {
  count = local.has_ipv6 ? 1 : 0
  name  = "ipv6"
  type  = "IP"

  config {
    port            = 80
    protocol        = "HTTP"
    ip_address_type = "IPV6"
    vpc_identifier  = aws_subnet.main.vpc_id
  }
}

resource "aws_vpclattice_target_group_attachment" "ipv6" {
  count                   = local.has_ipv6 ? 1 : 0
  target_group_identifier = aws_vpclattice_target_group.ipv6[0].id

  target {
    id = cidrhost(aws_subnet.main.ipv6_cidr_block, 16)
  }
}

resource "aws_vpclattice_resource_gateway" "dualstack" {
  count           = local.has_ipv6 ? 1 : 0
  name            = "dualstack"
  vpc_id          = aws_vpc.main.id
  subnet_ids      = [aws_subnet.main.id]
  ip_address_type = "DUALSTACK"
}

resource "aws_vpclattice_resource_configuration" "database" {
  count                       = local.has_ipv6 ? 1 : 0
  name                        = "database"
  resource_gateway_identifier = aws_vpclattice_resource_gateway.dualstack[0].id
  port_ranges                 = ["5432"]
  protocol                    = "TCP"

  resource_configuration_definition {
    ip_resource {
      ip_address = cidrhost(aws_subnet.main.ipv6_cidr_block, 17)
    }
  }
}
