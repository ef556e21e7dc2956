output "prefix" { value = local.prefix }
output "roles" { value = local.roles }
output "bucket" { value = local.bucket }
output "control" { value = local.control }
output "repository" { value = local.repository }
output "image" { value = local.image }
output "token" { value = local.token }
output "tags" { value = local.tags }
output "head_group" { value = local.head_group }
output "pools" { value = local.pools }
output "access" { value = local.access }
output "standing" { value = local.standing }

output "schedules" {
  description = "As given, with the cron of the end, and in numbers alone for the cloud."
  value = {
    for name, schedule in var.schedules : name => merge(schedule, {
      wake = module.cron[name].cron
      kill = module.cron[name].kill
    })
  }

  # AWS refuses a second action of a group at the same moment. Drawback: the 1st and the 15th of a month
  # count as the same here, and two time zones never do.
  precondition {
    condition = alltrue([
      for zone in distinct([for schedule in var.schedules : schedule.timezone]) :
      length(distinct(local.moments[zone])) == length(local.moments[zone])
    ])
    error_message = "Two schedules wake or end at the same moment: give one of them another minute."
  }
}

output "scripts" {
  description = "What a machine runs when it boots: of the head and of each pool, by name."
  value       = local.scripts

  precondition {
    condition     = alltrue([for script in local.scripts : length(script) <= 16384])
    error_message = "A boot script has more than the 16 KiB that EC2 takes."
  }
}
