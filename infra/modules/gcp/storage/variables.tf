variable "project" { type = string }
variable "region" { type = string }
variable "bucket" { type = string }
variable "repository" { type = string }
variable "token" { type = string }
variable "destroy_data" { type = bool }
variable "kms_key" {
  type = string

  validation {
    condition     = var.kms_key == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key looks like projects/P/locations/REGION/keyRings/R/cryptoKeys/K."
  }
}
