variable "project" { type = string }
variable "region" { type = string }
variable "prefix" { type = string }
variable "head_group" { type = string }

variable "cidr" {
  type = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("^10[.].*/([89]|1[0-2])$", var.cidr))
    error_message = "cidr is a block of 10.0.0.0/8 from /8 to /12, such as 10.64.0.0/10."
  }
}

variable "groups" {
  description = "How many machines each group may have, by its name."
  type        = map(number)
}

variable "machines" {
  description = "E-mail addresses of the service accounts of head and workers."
  type        = list(string)
}
variable "mark" {
  description = "What tells of whom something is that takes no label: part of its description."
  type        = string
}
