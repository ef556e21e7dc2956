# What a deployment can be told. `imgbatch cloud up` keeps it in NAME.tfvars.json; all but the first
# two have a default. What is refused, and why, stands in modules/core/variables.tf.

variable "name" {
  description = "Name of the deployment: small letters, digits and hyphens, 20 at most."
  type        = string
}

variable "region" {
  description = "Region of everything. Take that of your pictures: reading from another costs money."
  type        = string
}

variable "head" {
  description = "The machine that leads a run: on-demand, without GPU, the preferred type first."
  type = object({
    machines = optional(list(string), ["m7i.xlarge", "m6i.xlarge", "m7a.xlarge", "m6a.xlarge"])
    disk_gib = optional(number, 60)
  })
  default = {}
}

variable "pools" {
  description = "Groups of workers by name: types of machines, their kinds of GPU, how many at most."
  type = map(object({
    machines = list(string)
    gpus     = optional(list(string), [])
    most     = optional(number, 8)
    spot     = optional(bool, true)
    disk_gib = optional(number, 100)
  }))
  default = {
    gpu = {
      machines = [
        "g6.xlarge", "g6.2xlarge", "g5.xlarge", "g5.2xlarge", "g4dn.xlarge", "g4dn.2xlarge",
      ]
      gpus = ["l4", "a10g", "t4"]
    }
    l4   = { machines = ["g6.xlarge", "g6.2xlarge", "g6.4xlarge"], gpus = ["l4"] }
    a10g = { machines = ["g5.xlarge", "g5.2xlarge", "g5.4xlarge"], gpus = ["a10g"] }
    t4   = { machines = ["g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge"], gpus = ["t4"] }
    cpu = {
      machines = [
        "c7i.2xlarge", "c7a.2xlarge", "c6i.2xlarge", "c6a.2xlarge", "m7i.2xlarge", "m6i.2xlarge",
      ]
    }
  }
}

variable "schedules" {
  description = "When to wake the head by itself: cron of five fields, time zone, hours until the kill."
  type = map(object({
    cron     = string
    timezone = optional(string, "UTC")
    hours    = number
  }))
  default = {}
}

variable "max_hours" {
  description = "No run and no schedule may let machines live longer; 168 at most."
  type        = number
  default     = 24
}

variable "readable" {
  description = "Further buckets that machines may read: s3://BUCKET or s3://BUCKET/PREFIX."
  type        = list(string)
  default     = []
}

variable "writable" {
  description = "Further buckets that machines may read and write: s3://BUCKET or s3://BUCKET/PREFIX."
  type        = list(string)
  default     = []
}

variable "image_tag" {
  description = "Tag of the container image in the deployment's registry; `scripts/image` tells it."
  type        = string
  default     = "latest"
}

variable "ami_gpu" {
  description = "Machine image of pools with GPUs; \"\": AWS's newest with drivers and Docker."
  type        = string
  default     = ""
}

variable "ami_cpu" {
  description = "Machine image of the head and of pools without GPU; \"\": AWS's newest Amazon Linux."
  type        = string
  default     = ""
}

variable "vpc_cidr" {
  description = "Addresses of the deployment's own network: a /16."
  type        = string
  default     = "10.83.0.0/16"
}

variable "email" {
  description = "Who hears when the account's month comes near `monthly_budget`; \"\": nobody."
  type        = string
  default     = ""
}

variable "monthly_budget" {
  description = "Dollars a month of the whole account that are worth a letter."
  type        = number
  default     = 100
}

variable "kms" {
  description = "Encrypt the bucket and the images with a key of your own: 1 dollar a month."
  type        = bool
  default     = false
}

variable "destroy_data" {
  description = "Let `terraform destroy` end the bucket with all data in it."
  type        = bool
  default     = false
}
