variable "project" { type = string }
variable "prefix" { type = string }
variable "email" {
  type = string

  validation {
    condition     = can(regex("^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$", var.email))
    error_message = "email is one address, such as you@example.org."
  }
}
variable "amount" {
  type = number

  validation {
    condition     = var.amount > 0
    error_message = "monthly_budget is more than 0."
  }
}
