output "bucket" { value = google_storage_bucket.deployment.name }
output "repository" { value = google_artifact_registry_repository.images.repository_id }
output "token" { value = google_secret_manager_secret.token.secret_id }
