# The only contract with Python: imgbatch/cloud/deployment.py reads exactly this.

locals {
  deployment = {
    format  = 1
    name    = var.name
    cloud   = "gcp"
    region  = var.region
    account = var.project
    bucket  = "gs://${module.storage.bucket}"
    control = module.core.control
    image   = module.core.image
    token   = module.core.token
    head = {
      group    = module.head.group
      machines = var.head.machines
      disk_gib = var.head.disk_gib
    }
    pools = {
      for name, pool in module.core.pools : name => {
        group    = module.pool[name].group
        machines = pool.machines
        gpus     = pool.gpus
        most     = pool.most
        spot     = pool.spot
        zones    = local.zones[name]
        disk_gib = pool.disk_gib
      }
    }
    schedules = {
      for name, schedule in module.core.schedules : name => {
        cron     = schedule.cron
        kill     = schedule.kill
        timezone = schedule.timezone
        hours    = schedule.hours
      }
    }
    readable  = var.readable
    writable  = var.writable
    standing  = module.core.standing
    alarm     = var.email == "" ? 0 : var.monthly_budget
    max_hours = var.max_hours
  }
}

output "deployment" {
  description = "What Terraform made, for `imgbatch cloud`."
  value       = local.deployment
}
