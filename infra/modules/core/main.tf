# Everything about a deployment that asks no cloud: what a cloud told of itself and the user's
# variables enter; names, tags, checked pools, ends of schedules and boot scripts leave.

terraform {
  required_version = ">= 1.11"
}

locals {
  prefix = "imgbatch-${var.name}"
  # Names of buckets are of the whole world, those of roles of the whole account.
  bucket     = "${local.prefix}-${var.account}-${var.region}"
  roles      = "${local.prefix}-${var.region}"
  control    = "s3://${local.bucket}/control"
  repository = local.prefix
  image      = "${var.registry}/${local.repository}:${var.image_tag}"
  token      = "/imgbatch/${var.name}/ray-token"
  head_group = "${local.prefix}-head"

  tags = {
    "imgbatch:deployment" = var.name
  }

  # Families of machines with GPUs that the driver of AWS's image drives: Turing and newer.
  gpu_of = {
    g4dn = "t4", g5 = "a10g", g6 = "l4", gr6 = "l4", g6e = "l40s",
    p4d  = "a100", p4de = "a100", p5 = "h100",
  }

  pools = {
    for name, pool in var.pools : name => merge(pool, { group = "${local.prefix}-${name}" })
  }

  boot = "${path.module}/../../boot"
  common = {
    cloud     = var.cloud
    name      = var.name
    region    = var.region
    control   = local.control
    image     = local.image
    registry  = var.registry
    token     = local.token
    boot      = file("${local.boot}/boot.sh")
    watch     = file("${local.boot}/watch.sh")
    functions = file("${local.boot}/${var.cloud}.sh")
  }
  machines = merge(
    { head = { role = "head", pool = "", group = local.head_group, gpu = false } },
    {
      for name, pool in local.pools :
      name => { role = "worker", pool = name, group = pool.group, gpu = length(pool.gpus) > 0 }
    },
  )
  scripts = {
    for name, machine in local.machines :
    name => templatefile("${local.boot}/boot.sh.tftpl", merge(local.common, machine))
  }

  # A bucket or a part of one, as a policy names it.
  access = {
    for right, urls in { read = concat(var.readable, var.writable), write = var.writable } :
    right => [
      for url in distinct(urls) : {
        bucket = split("/", trimprefix(url, "s3://"))[0]
        prefix = trim(join("/", slice(split("/", url), 3, length(split("/", url)))), "/")
      }
    ]
  }

  moments = {
    for zone in distinct([for schedule in var.schedules : schedule.timezone]) :
    zone => flatten([
      for name, schedule in var.schedules : module.cron[name].moments if schedule.timezone == zone
    ])
  }

  # Dollars a month with nothing running, as AWS lists them for us-east-1 in November 2026. Group,
  # launch template, network, role, scheduled action, parameter and budget cost nothing.
  standing = merge(
    { "container images, 4 GB compressed" = 0.40, "control objects and Terraform's state" = 0.02 },
    var.kms ? { "key of your own" = 1.0 } : {},
  )
}

module "cron" {
  source   = "./cron"
  for_each = var.schedules

  cron  = each.value.cron
  hours = each.value.hours
}
