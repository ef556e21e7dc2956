# By what they may do, so that no machine is launched before its account may do anything.
output "head" {
  value      = { email = google_service_account.head.email }
  depends_on = [google_project_iam_member.groups, google_storage_bucket_iam_member.head]
}

output "worker" {
  value      = { email = google_service_account.worker.email }
  depends_on = [google_project_iam_member.groups, google_storage_bucket_iam_member.worker]
}

output "timer" {
  value      = { email = google_service_account.timer.email }
  depends_on = [google_project_iam_member.groups]
}
