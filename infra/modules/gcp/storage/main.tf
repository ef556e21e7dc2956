# What is kept between runs: the bucket, the container images, the token of the Ray cluster.
#
# Decision, 2026-11: a key of the user's own, and none that is made here: a key ring of Cloud KMS can
# never be deleted, so `down` would leave it, and the next `up` would find it in its way. Drawback: who
# wants one lets the agents of Cloud Storage, Artifact Registry and Secret Manager use it first.

locals {
  key = var.kms_key == "" ? null : var.kms_key
}

resource "google_storage_bucket" "deployment" {
  #checkov:skip=CKV_GCP_62:Access logs are a second bucket that grows; Cloud Audit Logs tell the same to who turns them on.
  project                     = var.project
  name                        = var.bucket
  location                    = upper(var.region)
  uniform_bucket_level_access = true # no ACL; conditions of roles need it
  public_access_prevention    = "enforced"

  # Decision, 2026-11: results are the user's, so `destroy` stops at a bucket that holds any, unless
  # destroy_data was applied before. Drawback: a destroy that stops here has ended everything but the
  # bucket, and says so as an error.
  force_destroy = var.destroy_data

  versioning {
    enabled = true
  }

  # Former versions are kept as versions, below: kept twice they would cost twice.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  dynamic "encryption" {
    for_each = local.key == null ? [] : [local.key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  # Uploads that nobody finished.
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 3
    }
  }

  # What was deleted or replaced.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 14
      with_state                 = "ARCHIVED"
    }
  }

  # The state of a run is written every few seconds: its former versions are worth a day.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 1
      with_state                 = "ARCHIVED"
      matches_prefix             = ["control/"]
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 1
      matches_prefix = ["control/tmp/"]
    }
  }
}

resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:Google's own key by default; kms_key takes one of yours.
  project       = var.project
  location      = var.region
  repository_id = var.repository
  description   = "What machines of ${var.repository} run"
  format        = "DOCKER"
  kms_key_name  = local.key

  # A tag means one image for ever: a push in the middle of a run would give new workers another Ray
  # than the head's.
  docker_config {
    immutable_tags = true
  }

  # Five images are kept; layers that they share are stored once.
  cleanup_policies {
    id     = "the-last-five"
    action = "KEEP"

    most_recent_versions {
      keep_count = 5
    }
  }
  cleanup_policies {
    id     = "older-ones"
    action = "DELETE"

    condition {
      tag_state  = "ANY"
      older_than = "86400s"
    }
  }
}

# Versions are added by the head, which ends the former one: no value is in any state of Terraform.
resource "google_secret_manager_secret" "token" {
  project   = var.project
  secret_id = var.token

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = local.key == null ? [] : [local.key]

          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }
}
