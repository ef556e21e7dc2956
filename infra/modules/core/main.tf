# Everything about a deployment that asks no cloud: what a cloud told of itself and the user's
# variables enter; names, tags, checked pools, ends of schedules and boot scripts leave.

terraform {
  required_version = ">= 1.11"
}

locals {
  prefix = "imgbatch-${var.name}"
  # Names of buckets are of the whole world; those of roles of the whole account, and short on Google.
  bucket     = "${local.prefix}-${var.account}-${var.region}"
  control    = "${local.is.scheme}://${local.bucket}/control"
  repository = local.prefix
  head_group = "${local.prefix}-head"

  image = {
    aws = "${var.registry}/${local.repository}:${var.image_tag}"
    gcp = "${var.registry}/${var.account}/${local.repository}/imgbatch:${var.image_tag}"
  }[var.cloud]

  # What a cloud has its own way of, by nothing but the name: the provider takes its tags from here,
  # and a provider may not wait for what is asked of it. Families of machines with GPUs are those that
  # the driver of the cloud's machine image drives: Turing and newer.
  aws = {
    scheme      = "s3"
    token       = "/imgbatch/${var.name}/ray-token"
    roles       = "${local.prefix}-${var.region}"
    tags        = { "imgbatch:deployment" = var.name }
    script      = 16384 # EC2's user data, before base64
    family_ends = "."
    gpu_of = {
      g4dn = "t4", g5 = "a10g", g6 = "l4", gr6 = "l4", g6e = "l40s",
      p4d  = "a100", p4de = "a100", p5 = "h100",
    }
  }
  gcp = {
    scheme      = "gs"
    token       = "${local.prefix}-ray-token"
    roles       = "ib-${var.name}"
    tags        = { "imgbatch-deployment" = var.name }
    script      = 262144 # a value of a machine's metadata
    family_ends = "-"
    # Not a3: Google's API does not tell the quota of an on-demand H100, and nobody's figure of its price
    # was found (2026-11). Nor A2 with 80 GB, whose disk is paid for apart.
    gpu_of = { g2 = "l4", a2 = "a100" }
  }
  machine = {
    aws = "^[a-z][a-z0-9-]*[.][a-z0-9-]+$"
    gcp = "^(n1-[a-z]+-[0-9]+[+]t4|[a-z][0-9][a-z]?(-[a-z0-9]+){1,2})$"
  }
  unfit = {
    aws = "^([a-z]+[0-9]+[a-z]*g[a-z]*|a1)[.]"
    gcp = "^(t2a|[a-z]4[a-z]?|a3|a2-ultragpu|a2-megagpu)-"
  }
  is = { aws = local.aws, gcp = local.gcp }[var.cloud]

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
    token     = local.is.token
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
  # On AWS it goes compressed: three in four of the characters of base64. Drawback: the console, asked
  # for a machine's user data, does not show it.
  script_bytes = [
    for script in local.scripts :
    var.cloud == "aws" ? 0.75 * length(base64gzip(script)) : length(script)
  ]

  # A bucket or a part of one, as a policy names it.
  access = {
    for right, urls in { read = concat(var.readable, var.writable), write = var.writable } :
    right => [
      for url in distinct(urls) : {
        bucket = split("/", url)[2]
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

  # Dollars a month with nothing running, as the clouds list them for us-east-1 and us-central1 in
  # November 2026, without what they give away. What is not here costs nothing.
  standing = merge(
    { "container images, 4 GB compressed" = 0.40, "control objects and Terraform's state" = 0.02 },
    var.cloud == "gcp" ? {
      "token in Secret Manager" = 0.06
      "jobs of Cloud Scheduler" = 0.10 * length(local.machines) + 0.10 * length(var.schedules) * (1 + length(local.machines))
    } : {},
    var.kms ? { "key of your own" = 1.0 } : {},
  )
}

module "cron" {
  source   = "./cron"
  for_each = var.schedules

  cron  = each.value.cron
  hours = each.value.hours
}
