output "group" { value = google_compute_region_instance_group_manager.pool.name }
