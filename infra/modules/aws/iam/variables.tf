variable "prefix" { type = string }
variable "roles" { type = string }
variable "partition" { type = string }
variable "region" { type = string }
variable "account" { type = string }
variable "head_group" { type = string }
variable "pool_groups" { type = list(string) }
variable "bucket_arn" { type = string }
variable "repository_arn" { type = string }
variable "token_arn" { type = string }
variable "key_arn" {
  type     = string
  nullable = true
}
variable "access" {
  type = map(list(object({ bucket = string, prefix = string })))
}
