# What a configuration looks up around a VPC, a subnet and a host that are there.

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

variable "vpc" {
  type = string
}

variable "subnet" {
  type = string
}

variable "instance" {
  type = string
}

variable "interface" {
  type = string
}

data "aws_vpc" "it" {
  id = var.vpc
}

data "aws_vpcs" "all" {}

data "aws_vpc_dhcp_options" "it" {
  dhcp_options_id = data.aws_vpc.it.dhcp_options_id
}

data "aws_subnet" "it" {
  id = var.subnet
}

data "aws_subnets" "all" {}

data "aws_instance" "it" {
  instance_id   = var.instance
  get_user_data = true
}

data "aws_instances" "all" {}

data "aws_ec2_instance_type" "it" {
  instance_type = data.aws_instance.it.instance_type
}

data "aws_ec2_instance_types" "all" {}

data "aws_ec2_instance_type_offering" "it" {
  filter {
    name   = "instance-type"
    values = [data.aws_instance.it.instance_type]
  }
}

data "aws_ec2_instance_type_offerings" "zones" {
  location_type = "availability-zone"
}

data "aws_network_interface" "it" {
  id = var.interface
}

data "aws_network_interfaces" "all" {}

data "aws_security_group" "default" {
  vpc_id = var.vpc
  name   = "default"
}

data "aws_security_groups" "all" {}

data "aws_vpc_security_group_rules" "all" {}

data "aws_vpc_security_group_rule" "it" {
  security_group_rule_id = data.aws_vpc_security_group_rules.all.ids[0]
}

data "aws_route_table" "main" {
  vpc_id = var.vpc
}

data "aws_route_tables" "all" {}

data "aws_route" "local" {
  route_table_id         = data.aws_route_table.main.id
  destination_cidr_block = data.aws_vpc.it.cidr_block
}

data "aws_network_acls" "all" {}

data "aws_prefix_list" "lattice" {
  name = "com.amazonaws.us-east-1.vpc-lattice"
}

data "aws_ec2_managed_prefix_list" "lattice" {
  name = "com.amazonaws.us-east-1.vpc-lattice"
}

data "aws_ec2_managed_prefix_lists" "all" {}

data "aws_availability_zones" "all" {}

data "aws_availability_zone" "it" {
  name = data.aws_subnet.it.availability_zone
}

data "aws_region" "it" {}

data "aws_regions" "all" {}

data "aws_caller_identity" "me" {}

# What there is none of.
data "aws_nat_gateways" "none" {
  vpc_id = var.vpc
}

data "aws_vpc_peering_connections" "none" {}

data "aws_ebs_volumes" "none" {}

data "aws_ebs_snapshot_ids" "none" {}

data "aws_ami_ids" "none" {
  owners = ["self"]
}

data "aws_eips" "none" {}

data "aws_ec2_transit_gateway_attachments" "none" {}

# What every VPC has by itself, taken over; a network ACL stays as it is.
resource "aws_default_security_group" "it" {
  vpc_id = var.vpc
  tags   = { stage = var.stage }

  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_default_route_table" "it" {
  default_route_table_id = data.aws_route_table.main.id
  tags                   = { stage = var.stage }
}

resource "aws_ec2_tag" "vpc" {
  resource_id = var.vpc
  key         = "stage"
  value       = var.stage
}

output "found" {
  value = {
    options  = data.aws_vpc_dhcp_options.it.domain_name_servers
    type     = data.aws_instance.it.instance_type
    memory   = data.aws_ec2_instance_type.it.memory_size
    zones    = sort(data.aws_ec2_instance_type_offerings.zones.locations)
    absent   = concat(data.aws_nat_gateways.none.ids, data.aws_vpc_peering_connections.none.ids, data.aws_ebs_volumes.none.ids, data.aws_ebs_snapshot_ids.none.ids, data.aws_ami_ids.none.ids, data.aws_eips.none.allocation_ids, data.aws_ec2_transit_gateway_attachments.none.ids)
  }
}
