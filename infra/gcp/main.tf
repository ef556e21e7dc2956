# A deployment on Google Cloud: what machines may ever exist, and what they may do. Applied, it runs
# none. The services that it takes are turned on beforehand: infra/README.md has the command.

locals {
  registry = "${var.region}-docker.pkg.dev"
  # Networks, groups, accounts, roles and jobs take no label.
  mark = join(";", [for key, value in module.core.tags : "${key}=${value}"])
}

module "core" {
  source = "../modules/core"

  cloud     = "gcp"
  name      = var.name
  region    = var.region
  account   = var.project
  registry  = local.registry
  image_tag = var.image_tag
  head      = var.head
  pools     = { for name, pool in var.pools : name => { for key, value in pool : key => value if key != "zones" } }
  max_hours = var.max_hours
  schedules = var.schedules
  readable  = var.readable
  writable  = var.writable
  kms       = false # the key is the user's
}

# Where the types of a group are to be had: in the zones that have all of them. A zone that is down
# counts too: another set of zones is another group, and the old one ends with all its machines.
data "google_compute_zones" "all" {
  project = var.project
  region  = var.region
}

locals {
  groups = merge(
    { head = merge(var.head, { zones = [], most = 1 }) },
    var.pools,
  )
  types = {
    for name, group in local.groups : name => [for type in group.machines : split("+", type)[0]]
  }
}

data "google_compute_machine_types" "zone" {
  for_each = toset(data.google_compute_zones.all.names)

  project = var.project
  zone    = each.key
  filter  = join(" OR ", [for type in sort(distinct(flatten(values(local.types)))) : "(name = \"${type}\")"])
}

# Zones that have T4: every zone has N1 machines, most have no T4 to attach, and the provider cannot
# list them. From SkyPilot's catalogue v8, made from Google's own list; a group with `zones` of its own
# goes by those.
locals {
  t4 = {
    asia-east1      = "ac", asia-east2 = "ac", asia-northeast1 = "ac", asia-northeast3 = "bc",
    asia-south1     = "ab", asia-southeast1 = "abc", asia-southeast2 = "ab", australia-southeast1 = "ac",
    europe-central2 = "bc", europe-west1 = "bcd", europe-west2 = "ab", europe-west3 = "b",
    europe-west4    = "abc", me-west1 = "bc", northamerica-northeast1 = "c", southamerica-east1 = "abc",
    us-central1     = "abcf", us-east1 = "bcd", us-east4 = "abc", us-west1 = "ab", us-west2 = "bc",
    us-west3        = "b", us-west4 = "ab",
  }
  # Not those for AI alone, such as us-south1-ai1b.
  ordinary = [for zone in sort(data.google_compute_zones.all.names) : zone if can(regex("-[a-z]$", zone))]
  allowed = {
    for name, group in local.groups : name => (
      length(group.zones) > 0 ? group.zones :
      !endswith(group.machines[0], "+t4") ? local.ordinary :
      [for letter in split("", lookup(local.t4, var.region, "")) : "${var.region}-${letter}"]
    )
  }
  zones = {
    for name, group in local.groups : name => [
      for zone in local.ordinary : zone
      if contains(local.allowed[name], zone) && length(setsubtract(
        local.types[name], [for type in data.google_compute_machine_types.zone[zone].machine_types : type.name]
      )) == 0
    ]
  }
}

module "storage" {
  source = "../modules/gcp/storage"

  project      = var.project
  region       = var.region
  bucket       = module.core.bucket
  repository   = module.core.repository
  token        = module.core.token
  kms_key      = var.kms_key
  destroy_data = var.destroy_data
}

module "network" {
  source = "../modules/gcp/network"

  project    = var.project
  region     = var.region
  prefix     = module.core.prefix
  mark       = local.mark
  cidr       = var.cidr
  groups     = merge({ (module.core.head_group) = 1 }, { for pool in module.core.pools : pool.group => pool.most })
  head_group = module.core.head_group
  machines   = [module.iam.head.email, module.iam.worker.email]
}

module "iam" {
  source = "../modules/gcp/iam"

  project    = var.project
  region     = var.region
  prefix     = module.core.prefix
  mark       = local.mark
  roles      = module.core.roles
  bucket     = module.storage.bucket
  repository = module.storage.repository
  token      = module.storage.token
  access     = module.core.access
}

data "google_compute_image" "machine" {
  project = split("/", var.machine_image)[1]
  family  = strcontains(var.machine_image, "/family/") ? reverse(split("/", var.machine_image))[0] : null
  name    = strcontains(var.machine_image, "/family/") ? null : reverse(split("/", var.machine_image))[0]
}

module "head" {
  source = "../modules/gcp/head"

  project   = var.project
  region    = var.region
  group     = module.core.head_group
  machines  = var.head.machines
  zones     = local.zones["head"]
  disk_gib  = var.head.disk_gib
  max_hours = var.max_hours
  script    = module.core.scripts["head"]
  image     = { link = data.google_compute_image.machine.self_link, disk_gib = data.google_compute_image.machine.disk_size_gb }
  account   = module.iam.head.email
  timer     = module.iam.timer.email
  subnet    = module.network.subnets[module.core.head_group]
  internet  = var.internet
  labels    = module.core.tags
}

module "pool" {
  source   = "../modules/gcp/pool"
  for_each = module.core.pools

  project   = var.project
  region    = var.region
  group     = each.value.group
  machines  = each.value.machines
  zones     = local.zones[each.key]
  gpu       = length(each.value.gpus) > 0
  spot      = each.value.spot
  disk_gib  = each.value.disk_gib
  max_hours = var.max_hours
  script    = module.core.scripts[each.key]
  image     = { link = data.google_compute_image.machine.self_link, disk_gib = data.google_compute_image.machine.disk_size_gb }
  account   = module.iam.worker.email
  timer     = module.iam.timer.email
  subnet    = module.network.subnets[each.value.group]
  internet  = var.internet
  labels    = module.core.tags
}

module "schedule" {
  source   = "../modules/gcp/schedule"
  for_each = module.core.schedules

  project     = var.project
  region      = var.region
  prefix      = module.core.prefix
  mark        = local.mark
  name        = each.key
  wake        = each.value.wake
  kill        = each.value.kill
  timezone    = each.value.timezone
  head_group  = module.head.group
  pool_groups = [for pool in module.pool : pool.group]
  timer       = module.iam.timer.email
}

module "budget" {
  source = "../modules/gcp/budget"
  count  = var.email == "" ? 0 : 1

  project = var.project
  prefix  = module.core.prefix
  email   = var.email
  amount  = var.monthly_budget
}

# What machines read, and `imgbatch cloud connect`: the same as the output.
resource "google_storage_bucket_object" "deployment" {
  bucket       = module.storage.bucket
  name         = "control/deployment.json"
  content      = jsonencode(local.deployment)
  content_type = "application/json"
}
