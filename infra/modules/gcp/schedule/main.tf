# The pair of one schedule: the cloud wakes the head, and some hours later sets every group to 0. The
# second half works even if all code of ours is broken.
#
# Decision, 2026-11: the kill ends all groups, with whatever run is at work then; that one goes on at
# the next wake, or when it is ordered again. Drawback: a run by hand across a kill is cut in two.

locals {
  groups = "https://compute.googleapis.com/compute/v1/projects/${var.project}/regions/${var.region}/instanceGroupManagers"
}

resource "google_cloud_scheduler_job" "wake" {
  project          = var.project
  region           = var.region
  name             = "${var.head_group}-wake-${var.name}"
  description      = "Wakes the head of ${var.prefix}; ${var.mark}"
  schedule         = var.wake
  time_zone        = var.timezone
  attempt_deadline = "60s"

  retry_config {
    retry_count          = 5
    min_backoff_duration = "10s"
    max_backoff_duration = "120s"
  }

  http_target {
    http_method = "POST"
    uri         = "${local.groups}/${var.head_group}/resize?size=1"

    oauth_token {
      service_account_email = var.timer
      scope                 = "https://www.googleapis.com/auth/compute"
    }
  }

  # No wake without its end.
  depends_on = [google_cloud_scheduler_job.kill]
}

resource "google_cloud_scheduler_job" "kill" {
  for_each = toset(concat([var.head_group], var.pool_groups))

  project          = var.project
  region           = var.region
  name             = "${each.key}-kill-${var.name}"
  description      = "Ends all machines of ${each.key}; ${var.mark}"
  schedule         = var.kill
  time_zone        = var.timezone
  attempt_deadline = "60s"

  retry_config {
    retry_count          = 5
    min_backoff_duration = "10s"
    max_backoff_duration = "120s"
  }

  http_target {
    http_method = "POST"
    uri         = "${local.groups}/${each.key}/resize?size=0"

    oauth_token {
      service_account_email = var.timer
      scope                 = "https://www.googleapis.com/auth/compute"
    }
  }
}
