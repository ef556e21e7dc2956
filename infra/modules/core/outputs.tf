output "prefix" { value = local.prefix }
output "roles" { value = local.is.roles }
output "bucket" {
  value = local.bucket

  precondition {
    condition     = length(local.bucket) <= 63
    error_message = "The bucket would be named ${local.bucket}, and a name has 63 characters at most: take a shorter one for the deployment."
  }
}

output "control" { value = local.control }
output "repository" { value = local.repository }
output "image" { value = local.image }
output "token" { value = local.is.token }
output "tags" { value = local.is.tags }
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
    condition     = alltrue([for size in local.script_bytes : size <= local.is.script])
    error_message = "A boot script has more than the ${local.is.script} bytes that the cloud takes."
  }
}
