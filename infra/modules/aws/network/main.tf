# A network of its own: machines reach out, and nothing reaches in.
#
# Decision, 2026-11: public addresses and no NAT gateway. A gateway costs 33 dollars a month with
# nothing running, and by the gigabyte; an address half a cent an hour, with the machine. Who can reach
# a machine is said by its security group either way: nobody. Drawback: one rule away from the world,
# where a private subnet would be two.

data "aws_availability_zones" "all" {
  #checkov:skip=CKV_AWS_394:A zone that AWS adds is wanted: it gets a subnet, and no other zone's addresses move.
  state = "available"

  # No local zones, and none that the account must ask for.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  # A zone keeps its addresses whichever zones come and go: its letter counts.
  zones = {
    for zone in data.aws_availability_zones.all.names :
    zone => index(split("", "abcdefghijklmnop"), substr(zone, -1, 1))
  }
}

resource "aws_vpc" "own" {
  #checkov:skip=CKV2_AWS_11:Flow logs cost by the gigabyte; machines live for hours and take no connection.
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.prefix }
}

# The group that AWS makes with a network: emptied, so that nothing lives by it.
resource "aws_default_security_group" "none" {
  vpc_id = aws_vpc.own.id
}

resource "aws_internet_gateway" "out" {
  vpc_id = aws_vpc.own.id

  tags = { Name = var.prefix }
}

resource "aws_route_table" "out" {
  vpc_id = aws_vpc.own.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.out.id
  }

  tags = { Name = var.prefix }
}

resource "aws_subnet" "zone" {
  #checkov:skip=CKV_AWS_130:Public addresses instead of a NAT gateway: see the top of this file.
  for_each = local.zones

  vpc_id                  = aws_vpc.own.id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.cidr, 4, each.value)
  map_public_ip_on_launch = true

  tags = { Name = "${var.prefix}-${each.key}" }
}

resource "aws_route_table_association" "zone" {
  for_each = aws_subnet.zone

  subnet_id      = each.value.id
  route_table_id = aws_route_table.out.id
}

# Pictures and results go to S3 of the same region by this, free and by no public address.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.own.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.out.id]

  tags = { Name = var.prefix }
}

resource "aws_security_group" "machines" {
  #checkov:skip=CKV2_AWS_5:The launch templates of head and pools name it; they are in other modules.
  name        = "${var.prefix}-machines"
  description = "Head and workers: each other, and outwards"
  vpc_id      = aws_vpc.own.id

  tags = { Name = "${var.prefix}-machines" }
}

resource "aws_vpc_security_group_ingress_rule" "each_other" {
  security_group_id            = aws_security_group.machines.id
  referenced_security_group_id = aws_security_group.machines.id
  description                  = "Ray between head and workers"
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "out" {
  #checkov:skip=CKV_AWS_382:Buckets, registry, Systems Manager and mirrors of weights are many addresses that change.
  security_group_id = aws_security_group.machines.id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "Buckets, registry, Systems Manager, weights"
  ip_protocol       = "-1"
}
