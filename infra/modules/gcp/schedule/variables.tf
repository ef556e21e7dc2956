variable "project" { type = string }
variable "region" { type = string }
variable "prefix" { type = string }
variable "name" { type = string }
variable "wake" { type = string }
variable "kill" { type = string }
variable "timezone" { type = string }
variable "head_group" { type = string }
variable "pool_groups" { type = list(string) }
variable "timer" { type = string }
variable "mark" {
  description = "What tells of whom something is that takes no label: part of its description."
  type        = string
}
