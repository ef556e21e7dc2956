# What a deployment can be told. `imgbatch cloud up` keeps it in NAME.tfvars.json; all but the first
# three have a default. What is refused, and why, stands in modules/core/variables.tf.

variable "name" {
  description = "Name of the deployment, one of its project: small letters, digits and hyphens, 20 at most."
  type        = string
}

variable "project" {
  description = "Id of the project. Take one of its own: what roles may do to groups, they may to all of a project."
  type        = string
}

variable "region" {
  description = "Region of everything. Take that of your pictures: reading from another costs money."
  type        = string
}

variable "head" {
  description = "The machine that leads a run: on-demand, without GPU; the group takes whichever type there is."
  type = object({
    machines = optional(list(string), ["n2-standard-4", "n2d-standard-4", "e2-standard-4"])
    disk_gib = optional(number, 60)
  })
  default = {}
}

variable "pools" {
  description = "Groups of workers by name: types of machines, their kinds of GPU, how many at most. n1-...+t4 is an N1 with a T4. zones: [] means all that have the types."
  type = map(object({
    machines = list(string)
    gpus     = optional(list(string), [])
    most     = optional(number, 8)
    spot     = optional(bool, true)
    disk_gib = optional(number, 100)
    zones    = optional(list(string), [])
  }))
  default = {
    gpu = { machines = ["g2-standard-4", "g2-standard-8", "g2-standard-12"], gpus = ["l4"] }
    t4  = { machines = ["n1-standard-4+t4"], gpus = ["t4"] }
    cpu = { machines = ["n2-standard-8", "n2d-standard-8", "e2-standard-8"] }
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
  description = "No machine lives longer, and no schedule may ask for it."
  type        = number
  default     = 24
}

variable "readable" {
  description = "Further buckets that machines may read: gs://BUCKET or gs://BUCKET/PREFIX."
  type        = list(string)
  default     = []
}

variable "writable" {
  description = "Further buckets that machines may read and write: gs://BUCKET or gs://BUCKET/PREFIX."
  type        = list(string)
  default     = []
}

variable "image_tag" {
  description = "Tag of the container image in the deployment's registry; `scripts/image` tells it."
  type        = string
  default     = "latest"
}

variable "machine_image" {
  description = "Machine image of head and workers, as a family or an image: Ubuntu or like it, with NVIDIA's driver and packages. Docker and the container toolkit are installed at each boot where they are missing."
  type        = string
  default     = "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2204-nvidia-580"
}

variable "internet" {
  description = "Give machines an address of their own to reach out to the internet; nothing reaches in either way. Without one, give a machine_image that has Docker and all of NVIDIA's container toolkit."
  type        = bool
  default     = true

  validation {
    condition     = var.internet || !startswith(var.machine_image, "projects/deeplearning-platform-release/")
    error_message = "Google's machine images have no Docker, and machines without an address cannot install it: give a machine_image that has it."
  }
}

variable "cidr" {
  description = "Addresses of the deployment's own network: a block of 10.0.0.0/8, /8 to /12."
  type        = string
  default     = "10.64.0.0/10"
}

variable "email" {
  description = "Who hears when the project's month comes near `monthly_budget`; \"\": nobody."
  type        = string
  default     = ""
}

variable "monthly_budget" {
  description = "What a month of the project may cost before it is worth a letter, in the currency of its billing account."
  type        = number
  default     = 100
}

variable "kms_key" {
  description = "Key of Cloud KMS, in the same region, for the bucket, the images and the token; \"\": Google's own."
  type        = string
  default     = ""
}

variable "destroy_data" {
  description = "Let `terraform destroy` end the bucket with all data in it."
  type        = bool
  default     = false
}
