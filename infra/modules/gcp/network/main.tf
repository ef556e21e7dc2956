# A network of its own: machines reach Google's services, and nothing reaches in.
#
# Decision, 2026-11: machines have an address of outside while they live, as on AWS, and there is no
# NAT gateway: Google's machine images have the GPU's driver and no Docker (looked up in 2026-11, in
# notes of who used them: infra/README.md), so each boot installs it. No rule below lets anything in by
# it. Buckets, registry and the services of Google are reached by Private Google Access all the same.
# Drawbacks: 0.005 dollars an hour each, half a minute of boot, and an organization may forbid it
# (constraints/compute.vmExternalIpAccess). `internet = false` with an image of one's own that has
# Docker needs none of it.
#
# Decision, 2026-11: a subnet for each group, no larger than the group needs. A managed instance group
# has no largest size, so that whoever may resize one may resize it to anything; a machine without an
# address cannot be. Drawback: sizes go in steps (4, 12, 28, 60, 124), so a group of 8 may come to 12.

locals {
  # Of a block of 2^n addresses Google keeps four.
  length = {
    for group, most in var.groups :
    group => most <= 4 ? 29 : most <= 12 ? 28 : most <= 28 ? 27 : most <= 60 ? 26 : 25
  }
  # A group keeps its place whichever groups come and go: its name counts.
  places = 24 - tonumber(split("/", var.cidr)[1])
  place = {
    for group, _ in var.groups :
    group => parseint(substr(sha1(group), 0, 6), 16) % pow(2, local.places)
  }
  # Of the 256 addresses of a place each size has its own part, so that a change of size moves the group
  # to where it is not yet.
  range = {
    for group, length in local.length :
    group => cidrsubnet(cidrsubnet(var.cidr, local.places, local.place[group]), length - 24, 1)
  }
}

resource "google_compute_network" "own" {
  #checkov:skip=CKV2_GCP_18:Its firewall rules are below.
  project                 = var.project
  name                    = var.prefix
  description             = "Head and workers; ${var.mark}"
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"

  lifecycle {
    precondition {
      condition     = length(distinct(values(local.place))) == length(local.place)
      error_message = "Two pools would get the same addresses: give one of them another name, or the deployment another cidr."
    }
  }
}

resource "google_compute_subnetwork" "group" {
  #checkov:skip=CKV_GCP_26:Flow logs cost by the gigabyte; machines live for hours and take no connection.
  #checkov:skip=CKV_GCP_76:There is no IPv6 here.
  for_each = local.range

  project                  = var.project
  region                   = var.region
  network                  = google_compute_network.own.id
  name                     = "${each.key}-${local.length[each.key]}"
  description              = "Addresses of ${each.key}; ${var.mark}"
  ip_cidr_range            = each.value
  private_ip_google_access = true
  stack_type               = "IPV4_ONLY"

  lifecycle {
    create_before_destroy = true # a group moves from one to the other
  }
}

resource "google_compute_firewall" "each_other" {
  project                 = var.project
  network                 = google_compute_network.own.id
  name                    = "${var.prefix}-each-other"
  description             = "Ray between head and workers; ${var.mark}"
  direction               = "INGRESS"
  source_service_accounts = var.machines
  target_service_accounts = var.machines

  allow {
    protocol = "tcp"
  }
}

# Sessions (`ssh`, `jupyter`) come by Google's Identity-Aware Proxy, which asks who somebody is before
# it opens anything; these are its addresses.
resource "google_compute_firewall" "sessions" {
  project                 = var.project
  network                 = google_compute_network.own.id
  name                    = "${var.prefix}-sessions"
  description             = "Identity-Aware Proxy; ${var.mark}"
  direction               = "INGRESS"
  source_ranges           = ["35.235.240.0/20"]
  target_service_accounts = var.machines

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}
