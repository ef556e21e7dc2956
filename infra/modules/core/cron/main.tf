# When a schedule ends: cron and hours enter; the same cron, plain, and that of the kill leave.
#
# Decision, 2026-11: a part of cron only, the one whose end is a cron too: one minute; numbers, ranges
# and lists. A day that moves into the next month has no cron, so days of the month end at 28.
# Drawback: "the last day of the month" must be written as the first of the next.

terraform {
  required_version = ">= 1.11"
}

variable "cron" {
  description = "Minute, hour, day of month, month, day of week (0 or 7 is Sunday), in local time."
  type        = string

  validation {
    condition     = can(regex("^\\S+ \\S+ \\S+ \\S+ \\S+$", var.cron))
    error_message = "cron has five fields with one space between: \"0 3 * * 1\" is Monday at 03:00."
  }
  validation {
    condition     = can(regex("^([0-9]|[1-5][0-9]) ", var.cron))
    error_message = "The minute of cron is one number from 0 to 59."
  }
  validation {
    condition = alltrue([
      for at, field in split(" ", var.cron) :
      can(regex(at == 1 ? "^[*]/[1-9][0-9]?$" : "^[*]$", field)) || field == "*" ||
      can(regex("^[0-9]{1,2}(-[0-9]{1,2})?(,[0-9]{1,2}(-[0-9]{1,2})?)*$", field))
    ])
    error_message = "Fields of cron are *, numbers, ranges and lists, such as 1-5,0; the hour may be */6."
  }
  validation {
    condition     = can(regex("^\\S+ \\S+ [*] ", var.cron)) || can(regex(" [*]$", var.cron))
    error_message = "Give days of the month or days of the week, not both: make two schedules."
  }
}

variable "hours" {
  description = "From the wake to the kill."
  type        = number

  validation {
    condition     = var.hours >= 1 && var.hours == floor(var.hours)
    error_message = "hours is a whole number, 1 at least."
  }
}

locals {
  bounds = [[0, 59], [0, 23], [1, 31], [1, 12], [0, 7]]
  fields = split(" ", var.cron)
  given = [
    for at, field in local.fields : flatten([
      for part in split(",", field) :
      part == "*" ? range(local.bounds[at][0], local.bounds[at][1] + 1) :
      startswith(part, "*/") ? range(0, 24, tonumber(trimprefix(part, "*/"))) :
      range(tonumber(split("-", part)[0]), tonumber(reverse(split("-", part))[0]) + 1)
    ])
  ]
  inside = alltrue(flatten([
    for at, values in local.given :
    [for value in values : local.bounds[at][0] <= value && value <= local.bounds[at][1]]
  ]))
  # `range` of Terraform counts down too.
  forward = alltrue([
    for ends in regexall("([0-9]+)-([0-9]+)", var.cron) : tonumber(ends[0]) <= tonumber(ends[1])
  ])

  minute    = local.given[0][0]
  hour      = [for value in range(0, 24) : value if contains(local.given[1], value)]
  any_day   = local.fields[2] == "*"
  any_month = local.fields[3] == "*"
  any_week  = local.fields[4] == "*"
  day       = [for value in range(1, 32) : value if contains(local.given[2], value)]
  month     = [for value in range(1, 13) : value if contains(local.given[3], value)]
  week      = [for value in range(0, 7) : value if contains([for day in local.given[4] : day % 7], value)]

  # By how many days the kill comes after the wake; one number, or the days of the kill are no cron.
  shifts = distinct([for hour in local.hour : floor((hour + var.hours) / 24)])
  daily  = local.any_day && local.any_month && local.any_week
  shift  = local.daily ? 0 : local.shifts[0]

  kill_hour = [
    for value in range(0, 24) : value
    if contains([for hour in local.hour : (hour + var.hours) % 24], value)
  ]
  kill_day = [for day in local.day : day + local.shift]
  kill_week = [
    for value in range(0, 7) : value
    if contains([for day in local.week : (day + local.shift) % 7], value)
  ]

  # Hours at which it wakes, of a week, or of the shortest month.
  cycle = (local.any_day ? 7 : 28) * 24
  wakes = flatten([
    for day in(local.any_day ? local.week : local.day) : [for hour in local.hour : day * 24 + hour]
  ])
}

output "cron" {
  description = "The cron that was given, in numbers and lists alone."
  value = join(" ", [
    local.minute,
    join(",", local.hour),
    local.any_day ? "*" : join(",", local.day),
    local.any_month ? "*" : join(",", local.month),
    local.any_week ? "*" : join(",", local.week),
  ])

  precondition {
    condition     = local.inside && local.forward
    error_message = "A field of cron ${var.cron} is out of its range, or a range in it runs backwards."
  }
}

output "kill" {
  description = "The cron of the end."
  value = join(" ", [
    local.minute,
    join(",", local.kill_hour),
    local.any_day ? "*" : join(",", local.kill_day),
    local.any_month ? "*" : join(",", local.month),
    local.any_week ? "*" : join(",", local.kill_week),
  ])

  precondition {
    condition     = local.daily || length(local.shifts) == 1
    error_message = "Some hours of cron ${var.cron} end on another day than others: make two schedules."
  }
  precondition {
    condition     = local.any_day || alltrue([for day in local.kill_day : day <= 28])
    error_message = "cron ${var.cron} ends after the 28th, a day that not every month has."
  }
  precondition {
    condition     = local.any_month || local.shift == 0 || !local.any_day
    error_message = "cron ${var.cron} of some months ends in another month: give days of the month."
  }
  precondition {
    condition = alltrue(flatten([
      for one in local.wakes : [
        for other in local.wakes :
        one == other || (other - one + local.cycle) % local.cycle > var.hours
      ]
    ]))
    error_message = "cron ${var.cron} wakes again before the ${var.hours} hours are over: the kill of one would end the next."
  }
}

output "moments" {
  description = "Each day of the week, hour and minute of wake and kill, to tell where two fall together."
  # A day of the month is any day of the week.
  value = flatten([
    for one in [
      { week = local.any_day ? local.week : range(0, 7), hour = local.hour },
      { week = local.any_day ? local.kill_week : range(0, 7), hour = local.kill_hour },
    ] : [for day in one.week : [for hour in one.hour : "${day} ${hour}:${local.minute}"]]
  ])
}
