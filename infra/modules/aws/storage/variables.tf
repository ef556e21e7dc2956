variable "prefix" { type = string }
variable "bucket" { type = string }
variable "repository" { type = string }
variable "token" { type = string }
variable "kms" { type = bool }
variable "destroy_data" { type = bool }
variable "account" { type = string }
variable "partition" { type = string }
