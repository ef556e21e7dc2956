variable "project" { type = string }
variable "region" { type = string }
variable "prefix" { type = string }
variable "roles" { type = string }
variable "bucket" { type = string }
variable "repository" { type = string }
variable "token" { type = string }
variable "access" {
  type = map(list(object({ bucket = string, prefix = string })))
}
variable "mark" {
  description = "What tells of whom something is that takes no label: part of its description."
  type        = string
}
