variable "group" { type = string }
variable "machines" { type = list(string) }
variable "disk_gib" { type = number }
variable "script" { type = string }
variable "image" {
  description = "Machine image: its id, the device of its root, and the disk that this takes."
  type        = object({ id = string, root = string, disk_gib = number })
}
variable "profile" { type = string }
variable "security_group" { type = string }
variable "subnets" { type = list(string) }
variable "tags" { type = map(string) }
variable "most" { type = number }
variable "spot" { type = bool }
