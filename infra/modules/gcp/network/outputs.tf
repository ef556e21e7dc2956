output "subnets" {
  description = "Of each group, by its name."
  value       = { for group, subnet in google_compute_subnetwork.group : group => subnet.self_link }
}

output "ranges" { value = local.range }
