# What a deployment may be. Refused here is what a cloud would refuse late, or not at all.

variable "cloud" {
  type = string

  validation {
    condition     = contains(["aws", "gcp"], var.cloud)
    error_message = "The cloud is aws or gcp."
  }
}

variable "name" {
  type = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$", var.name))
    error_message = "A name is of small letters, digits and hyphens, begins with a letter, ends with no hyphen, and has 20 characters at most."
  }
  validation {
    # imgbatch-state-ACCOUNT-REGION is the bucket in which Terraform's states lie.
    condition     = !contains(["state", "head"], var.name)
    error_message = "The names state and head are taken."
  }
}

variable "region" {
  type = string

  validation {
    condition = can(regex({
      aws = "^[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}$"
      gcp = "^[a-z]+-[a-z]+[0-9]{1,2}$"
    }[var.cloud], var.region))
    error_message = "A region looks like eu-central-1 (AWS) or europe-west4 (Google): without the letter of a zone."
  }
}

variable "account" {
  type = string

  validation {
    condition = can(regex({
      aws = "^[0-9]{12}$"
      gcp = "^[a-z][a-z0-9-]{4,28}[a-z0-9]$"
    }[var.cloud], var.account))
    error_message = "An account of AWS is a number of 12 digits; a project of Google has an id such as pictures-123456."
  }
}

variable "registry" {
  description = "Host of the container registry."
  type        = string
}

variable "image_tag" {
  type = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag))
    error_message = "A tag of an image is of letters, digits, dots, hyphens and underscores."
  }
}

variable "head" {
  type = object({
    machines = list(string)
    disk_gib = number
  })

  validation {
    condition     = length(var.head.machines) > 0
    error_message = "Give the head a type of machine."
  }
  validation {
    condition = alltrue([
      for type in var.head.machines : can(regex(local.machine[var.cloud], type))
    ])
    error_message = "A type of machine looks like m7i.xlarge (AWS) or n2-standard-4 (Google)."
  }
  validation {
    condition = alltrue([
      for type in var.head.machines : !can(regex(local.unfit[var.cloud], type))
    ])
    error_message = "Machines with a processor of Arm cannot run the image; those of Google without pd-balanced disks (c4, n4, g4) or without a known price and quota (a3, a2 but a2-highgpu) are not made here."
  }
  validation {
    condition     = var.head.disk_gib >= 30 && var.head.disk_gib <= 2000
    error_message = "The head's disk has 30 to 2000 GiB."
  }
}

variable "pools" {
  type = map(object({
    machines = list(string)
    gpus     = list(string)
    most     = number
    spot     = bool
    disk_gib = number
  }))

  validation {
    condition     = length(var.pools) > 0 && length(var.pools) <= 10
    error_message = "A deployment has one to ten pools."
  }
  validation {
    condition     = alltrue([for name, _ in var.pools : can(regex("^[a-z][a-z0-9]{0,15}$", name)) && name != "head"])
    error_message = "A pool's name is of 16 small letters and digits at most, and not head."
  }
  validation {
    # The one bound on machines that holds whatever else fails.
    condition     = alltrue([for pool in var.pools : pool.most >= 0 && pool.most <= 100 && pool.most == floor(pool.most)])
    error_message = "A pool has 0 to 100 machines at most (`most`)."
  }
  validation {
    condition     = alltrue([for pool in var.pools : length(pool.machines) > 0 && length(pool.machines) <= 40])
    error_message = "A pool has one to 40 types of machine."
  }
  validation {
    condition = alltrue(flatten([
      for pool in var.pools : [
        for type in pool.machines : can(regex(local.machine[var.cloud], type))
      ]
    ]))
    error_message = "A type of machine looks like g6.xlarge (AWS), g2-standard-4 or n1-standard-4+t4 (Google)."
  }
  validation {
    condition = alltrue(flatten([
      for pool in var.pools : [
        for type in pool.machines : !can(regex(local.unfit[var.cloud], type))
      ]
    ]))
    error_message = "Machines with a processor of Arm cannot run the image; those of Google without pd-balanced disks (c4, n4, g4) or without a known price and quota (a3, a2 but a2-highgpu) are not made here."
  }
  validation {
    condition = alltrue([
      for pool in var.pools : toset(pool.gpus) == toset(compact([
        for type in pool.machines : (
          endswith(type, "+t4") ? "t4" : lookup(local.is.gpu_of, split(local.is.family_ends, type)[0], "")
        )
      ]))
    ])
    error_message = "A pool's gpus are exactly those of its machines: t4 (g4dn; n1-...+t4), a10g (g5), l4 (g6, gr6; g2), l40s (g6e), a100 (p4d, p4de; a2-highgpu), h100 (p5)."
  }
  validation {
    condition = alltrue([
      for pool in var.pools : length(distinct([
        for type in pool.machines :
        endswith(type, "+t4") || contains(keys(local.is.gpu_of), split(local.is.family_ends, type)[0])
      ])) == 1
    ])
    error_message = "A pool's machines have GPUs, all of them or none."
  }
  validation {
    # The GPU is the template's there, and not the type's.
    condition = alltrue([
      for pool in var.pools : length(pool.machines) == 1 || !anytrue([for type in pool.machines : endswith(type, "+t4")])
    ])
    error_message = "A pool of Google with +t4 has this one type of machine."
  }
  validation {
    condition     = alltrue([for pool in var.pools : pool.disk_gib >= 30 && pool.disk_gib <= 2000])
    error_message = "A pool's disks have 30 to 2000 GiB."
  }
}

variable "max_hours" {
  type = number

  validation {
    condition     = var.max_hours >= 1 && var.max_hours <= 168
    error_message = "max_hours is from 1 to 168, a week."
  }
}

variable "schedules" {
  type = map(object({
    cron     = string
    timezone = string
    hours    = number
  }))

  validation {
    condition     = alltrue([for name, _ in var.schedules : can(regex("^[a-z][a-z0-9-]{0,31}$", name))])
    error_message = "A schedule's name is of small letters, digits and hyphens."
  }
  validation {
    condition     = alltrue([for schedule in var.schedules : schedule.hours <= var.max_hours])
    error_message = "A schedule lets machines live longer than max_hours."
  }
  validation {
    condition = alltrue([
      for schedule in var.schedules :
      can(regex("^(UTC|[A-Z][A-Za-z]+(/[A-Za-z0-9_+-]+){1,2})$", schedule.timezone))
    ])
    error_message = "A time zone is UTC or one of the IANA names, such as Europe/Berlin."
  }
}

variable "readable" {
  type = list(string)

  validation {
    condition     = alltrue([for url in var.readable : can(regex("^${local.is.scheme}://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^*?\"\\\\]*)?$", url))])
    error_message = "A readable bucket is given as ${local.is.scheme}://BUCKET or ${local.is.scheme}://BUCKET/PREFIX, without *, ?, quotes and backslashes."
  }
}

variable "writable" {
  type = list(string)

  validation {
    condition     = alltrue([for url in var.writable : can(regex("^${local.is.scheme}://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^*?\"\\\\]*)?$", url))])
    error_message = "A writable bucket is given as ${local.is.scheme}://BUCKET or ${local.is.scheme}://BUCKET/PREFIX, without *, ?, quotes and backslashes."
  }
}

variable "kms" {
  type = bool
}
