variable "name" { type = string }
variable "wake" { type = string }
variable "kill" { type = string }
variable "timezone" { type = string }
variable "head_group" { type = string }
variable "pool_groups" { type = list(string) }
