variable "project" { type = string }
variable "region" { type = string }
variable "group" { type = string }
variable "machines" { type = list(string) }
variable "zones" { type = list(string) }
variable "disk_gib" { type = number }
variable "max_hours" { type = number }
variable "script" { type = string }
variable "image" {
  description = "Machine image: its link, and the disk that it takes."
  type        = object({ link = string, disk_gib = number })
}
variable "account" {
  description = "E-mail address of the machines' service account."
  type        = string
}
variable "timer" {
  description = "E-mail address of the account by which the deadline ends machines."
  type        = string
}
variable "subnet" { type = string }
variable "internet" { type = bool }
variable "labels" { type = map(string) }
variable "gpu" { type = bool }
variable "spot" { type = bool }
