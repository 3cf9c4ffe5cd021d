# Every aws_vpclattice_* resource and data source of the provider, each with most of what it can say. `stage` is
# what changes in place from one apply to the next.

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

# Directory with certificate.pem and key.pem for cart.example.com.
variable "material" {
  type = string
}

locals {
  is_first = var.stage == "first"
  tags     = { stage = var.stage, "team/with:signs" = "a b" }
}

data "aws_caller_identity" "me" {}

# === what Lattice stands on ===

resource "aws_vpc" "main" {
  cidr_block = "10.20.0.0/16"
  tags       = local.tags
}

resource "aws_subnet" "main" {
  vpc_id     = aws_vpc.main.id
  cidr_block = "10.20.1.0/24"
}

resource "aws_security_group" "clients" {
  name   = "clients"
  vpc_id = aws_vpc.main.id

  ingress {
    from_port   = 80
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["10.20.0.0/16"]
  }
}

resource "aws_security_group" "more" {
  name   = "more"
  vpc_id = aws_vpc.main.id
}

resource "aws_acm_certificate" "cart" {
  certificate_body = file("${var.material}/certificate.pem")
  private_key      = file("${var.material}/key.pem")
  tags             = local.tags
}

# === the network and who is in it ===

resource "aws_vpclattice_service_network" "shop" {
  name      = "shop"
  auth_type = local.is_first ? "NONE" : "AWS_IAM"
  tags      = local.tags
}

resource "aws_vpclattice_service_network_vpc_association" "main" {
  service_network_identifier = aws_vpclattice_service_network.shop.id
  vpc_identifier             = aws_vpc.main.id
  security_group_ids         = [local.is_first ? aws_security_group.clients.id : aws_security_group.more.id]
  tags                       = local.tags
}

resource "aws_vpclattice_service_network_service_association" "cart" {
  service_network_identifier = aws_vpclattice_service_network.shop.arn
  service_identifier         = aws_vpclattice_service.cart.id
  tags                       = local.tags
}

resource "aws_vpclattice_service_network_service_association" "plain" {
  service_network_identifier = aws_vpclattice_service_network.shop.id
  service_identifier         = aws_vpclattice_service.plain.id
}

# === services ===

resource "aws_vpclattice_service" "cart" {
  name               = "cart"
  auth_type          = local.is_first ? "AWS_IAM" : "NONE"
  custom_domain_name = "cart.example.com"
  certificate_arn    = aws_acm_certificate.cart.arn
  tags               = local.tags
}

resource "aws_vpclattice_service" "plain" {
  name = "plain"
}

resource "aws_vpclattice_service" "tunnel" {
  name               = "tunnel"
  custom_domain_name = "tunnel.example.com"
}

# === listeners and rules ===

resource "aws_vpclattice_listener" "https" {
  name               = "https"
  protocol           = "HTTPS"
  service_identifier = aws_vpclattice_service.cart.id
  tags               = local.tags

  default_action {
    forward {
      target_groups {
        target_group_identifier = aws_vpclattice_target_group.web.id
        weight                  = local.is_first ? 80 : 70
      }
      target_groups {
        target_group_identifier = aws_vpclattice_target_group.grpc.id
        weight                  = 20
      }
    }
  }
}

resource "aws_vpclattice_listener" "http" {
  name               = "http"
  protocol           = "HTTP"
  port               = 8080
  service_identifier = aws_vpclattice_service.cart.id

  default_action {
    fixed_response {
      status_code = local.is_first ? 404 : 500
    }
  }
}

resource "aws_vpclattice_listener" "by_arn" {
  name        = "http"
  protocol    = "HTTP"
  service_arn = aws_vpclattice_service.plain.arn

  default_action {
    forward {
      target_groups {
        target_group_identifier = aws_vpclattice_target_group.plain.id
      }
    }
  }
}

resource "aws_vpclattice_listener" "tunnel" {
  name               = "tunnel"
  protocol           = "TLS_PASSTHROUGH"
  port               = 443
  service_identifier = aws_vpclattice_service.tunnel.id

  default_action {
    forward {
      target_groups {
        target_group_identifier = aws_vpclattice_target_group.tcp.id
      }
    }
  }
}

resource "aws_vpclattice_listener_rule" "everything" {
  name                = "everything"
  listener_identifier = aws_vpclattice_listener.https.listener_id
  service_identifier  = aws_vpclattice_service.cart.id
  priority            = 10
  tags                = local.tags

  match {
    http_match {
      method = "GET"
      header_matches {
        name           = "x-exact"
        case_sensitive = true
        match {
          exact = var.stage
        }
      }
      header_matches {
        name = "x-prefix"
        match {
          prefix = "a"
        }
      }
      header_matches {
        name           = "x-contains"
        case_sensitive = false
        match {
          contains = "b"
        }
      }
      path_match {
        case_sensitive = true
        match {
          prefix = "/${var.stage}"
        }
      }
    }
  }

  action {
    forward {
      target_groups {
        target_group_identifier = aws_vpclattice_target_group.web.id
        weight                  = local.is_first ? 1 : 2
      }
      target_groups {
        target_group_identifier = aws_vpclattice_target_group.grpc.id
        weight                  = 2
      }
    }
  }
}

resource "aws_vpclattice_listener_rule" "exact" {
  name                = "exact"
  listener_identifier = aws_vpclattice_listener.https.listener_id
  service_identifier  = aws_vpclattice_service.cart.id
  priority            = 20

  match {
    http_match {
      path_match {
        case_sensitive = false
        match {
          exact = "/exact"
        }
      }
    }
  }

  action {
    fixed_response {
      status_code = local.is_first ? 404 : 500
    }
  }
}

# === target groups ===

resource "aws_vpclattice_target_group" "web" {
  name = "web"
  type = "IP"
  tags = local.tags

  config {
    vpc_identifier   = aws_vpc.main.id
    port             = 8080
    protocol         = "HTTPS"
    protocol_version = "HTTP1"
    ip_address_type  = "IPV4"

    health_check {
      enabled                       = true
      health_check_interval_seconds = local.is_first ? 5 : 6
      health_check_timeout_seconds  = 1
      healthy_threshold_count       = 7
      unhealthy_threshold_count     = 2
      path                          = "/health/${var.stage}"
      port                          = 8081
      protocol                      = "HTTP"
      protocol_version              = "HTTP1"
      matcher {
        value = "200-299"
      }
    }
  }
}

resource "aws_vpclattice_target_group" "grpc" {
  name = "grpc"
  type = "IP"

  config {
    vpc_identifier   = aws_vpc.main.id
    port             = 50051
    protocol         = "HTTP"
    protocol_version = "GRPC"

    # As it is for such groups when nothing is said; the provider's own default is true.
    health_check {
      enabled = false
    }
  }
}

resource "aws_vpclattice_target_group" "plain" {
  name = "plain"
  type = "INSTANCE"

  config {
    vpc_identifier = aws_vpc.main.id
    port           = 80
    protocol       = "HTTP"
  }
}

resource "aws_vpclattice_target_group" "tcp" {
  name = "tcp"
  type = "IP"

  config {
    vpc_identifier = aws_vpc.main.id
    port           = 5432
    protocol       = "TCP"

    health_check {
      enabled = false
    }
  }
}

resource "aws_vpclattice_target_group" "function" {
  name = "function"
  type = "LAMBDA"
}

resource "aws_vpclattice_target_group" "balancer" {
  name = "balancer"
  type = "ALB"

  config {
    vpc_identifier = aws_vpc.main.id
    port           = 80
    protocol       = "HTTP"
  }
}

resource "aws_vpclattice_target_group_attachment" "web" {
  target_group_identifier = aws_vpclattice_target_group.web.id

  target {
    id = "10.20.1.10"
  }

  # An address is a target once a subnet has it.
  depends_on = [aws_subnet.main]
}

resource "aws_vpclattice_target_group_attachment" "tcp" {
  target_group_identifier = aws_vpclattice_target_group.tcp.id

  target {
    id   = "10.20.1.11"
    port = local.is_first ? 5432 : 5433
  }

  depends_on = [aws_subnet.main]
}

# === policies ===

resource "aws_vpclattice_auth_policy" "cart" {
  resource_identifier = aws_vpclattice_service.cart.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = "vpc-lattice-svcs:Invoke"
      Resource  = local.is_first ? "*" : "${aws_vpclattice_service.cart.arn}/*"
    }]
  })
}

resource "aws_vpclattice_resource_policy" "shop" {
  resource_arn = aws_vpclattice_service_network.shop.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = var.stage
      Effect    = "Allow"
      Principal = { AWS = data.aws_caller_identity.me.account_id }
      Action = [
        "vpc-lattice:CreateServiceNetworkVpcAssociation",
        "vpc-lattice:CreateServiceNetworkServiceAssociation",
        "vpc-lattice:GetServiceNetwork",
      ]
      Resource = aws_vpclattice_service_network.shop.arn
    }]
  })
}

# === access logs ===

resource "aws_vpclattice_access_log_subscription" "service" {
  resource_identifier = aws_vpclattice_service.cart.id
  destination_arn     = "arn:aws:s3:::logs-of-cart"
  tags                = local.tags
}

resource "aws_vpclattice_access_log_subscription" "network" {
  resource_identifier      = aws_vpclattice_service_network.shop.arn
  destination_arn          = "arn:aws:logs:us-east-1:${data.aws_caller_identity.me.account_id}:log-group:/shop:*"
  service_network_log_type = "SERVICE"
}

resource "aws_vpclattice_access_log_subscription" "resources" {
  resource_identifier      = aws_vpclattice_service_network.shop.id
  destination_arn          = "arn:aws:s3:::logs-of-resources"
  service_network_log_type = "RESOURCE"
}

# === resources ===

resource "aws_vpclattice_resource_gateway" "main" {
  name               = "main"
  vpc_id             = aws_vpc.main.id
  subnet_ids         = [aws_subnet.main.id]
  security_group_ids = local.is_first ? [aws_security_group.clients.id] : [aws_security_group.clients.id, aws_security_group.more.id]
  ip_address_type    = "IPV4"
  tags               = local.tags
}

resource "aws_vpclattice_resource_configuration" "single" {
  name                        = "single"
  type                        = "SINGLE"
  resource_gateway_identifier = aws_vpclattice_resource_gateway.main.id
  port_ranges                 = local.is_first ? ["5432"] : ["5432", "6000-6010"]
  protocol                    = "TCP"
  tags                        = local.tags

  allow_association_to_shareable_service_network = true

  resource_configuration_definition {
    dns_resource {
      domain_name     = "db.example.com"
      ip_address_type = "IPV4"
    }
  }
}

resource "aws_vpclattice_resource_configuration" "group" {
  name                        = "group"
  type                        = "GROUP"
  resource_gateway_identifier = aws_vpclattice_resource_gateway.main.id
  protocol                    = "TCP"
}

resource "aws_vpclattice_resource_configuration" "child" {
  name                            = "child"
  type                            = "CHILD"
  resource_configuration_group_id = aws_vpclattice_resource_configuration.group.id
  port_ranges                     = ["80"]

  resource_configuration_definition {
    ip_resource {
      ip_address = "10.20.1.20"
    }
  }
}

resource "aws_vpclattice_resource_configuration" "database" {
  name                        = "database"
  type                        = "ARN"
  resource_gateway_identifier = aws_vpclattice_resource_gateway.main.id

  resource_configuration_definition {
    arn_resource {
      arn = "arn:aws:rds:us-east-1:${data.aws_caller_identity.me.account_id}:db:orders"
    }
  }
}

resource "aws_vpclattice_service_network_resource_association" "single" {
  resource_configuration_identifier = aws_vpclattice_resource_configuration.single.id
  service_network_identifier        = aws_vpclattice_service_network.shop.id
  tags                              = local.tags
}

# === data sources ===

data "aws_vpclattice_service_network" "shop" {
  service_network_identifier = aws_vpclattice_service_network.shop.id
}

data "aws_vpclattice_service" "by_name" {
  name = aws_vpclattice_service.cart.name
}

data "aws_vpclattice_service" "by_id" {
  service_identifier = aws_vpclattice_service.cart.id
}

data "aws_vpclattice_listener" "https" {
  service_identifier  = aws_vpclattice_service.cart.id
  listener_identifier = aws_vpclattice_listener.https.listener_id
}

data "aws_vpclattice_auth_policy" "cart" {
  resource_identifier = aws_vpclattice_auth_policy.cart.resource_identifier
}

data "aws_vpclattice_resource_policy" "shop" {
  resource_arn = aws_vpclattice_resource_policy.shop.resource_arn
}

output "seen" {
  value = {
    network  = data.aws_vpclattice_service_network.shop.name
    by_name  = data.aws_vpclattice_service.by_name.arn
    by_id    = data.aws_vpclattice_service.by_id.certificate_arn
    listener = data.aws_vpclattice_listener.https.port
    auth     = data.aws_vpclattice_auth_policy.cart.policy
    resource = data.aws_vpclattice_resource_policy.shop.policy
  }
}
