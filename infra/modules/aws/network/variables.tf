variable "prefix" { type = string }
variable "region" { type = string }
variable "cidr" {
  type = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "vpc_cidr is a /16, such as 10.83.0.0/16."
  }
}
