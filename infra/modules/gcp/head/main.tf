# The group of the one machine that leads a run: none or one, on demand. A head that dies is replaced
# by the group, and the next one goes on by what lies in the bucket.

locals {
  mark   = join(";", [for key, value in var.labels : "${key}=${value}"])
  resize = "https://compute.googleapis.com/compute/v1/projects/${var.project}/regions/${var.region}/instanceGroupManagers/${var.group}/resize"
}

resource "google_compute_region_instance_template" "head" {
  project     = var.project
  region      = var.region
  name_prefix = "${var.group}-"
  description = "The machine that leads a run"

  # Of several types the group takes whichever there is.
  machine_type = var.machines[0]
  labels       = merge(var.labels, { "imgbatch-role" = "head" })

  metadata = {
    startup-script         = var.script
    enable-oslogin         = "TRUE"
    block-project-ssh-keys = "TRUE"
    serial-port-enable     = "FALSE"
  }

  disk {
    boot         = true
    auto_delete  = true
    source_image = var.image.link
    disk_type    = "pd-balanced"
    disk_size_gb = var.disk_gib
    labels       = merge(var.labels, { "imgbatch-role" = "head" })
  }

  network_interface {
    subnetwork = var.subnet

    dynamic "access_config" {
      for_each = var.internet ? [1] : []

      content {
        network_tier = "PREMIUM"
      }
    }
  }

  scheduling {
    provisioning_model          = "STANDARD"
    automatic_restart           = false
    on_host_maintenance         = "MIGRATE"
    instance_termination_action = "DELETE" # a machine that is stopped has a disk that costs

    # The cloud ends a machine that lives for so long, whatever becomes of everything else.
    max_run_duration {
      seconds = var.max_hours * 3600
    }
  }

  service_account {
    email  = var.account
    scopes = ["cloud-platform"] # what it may do is said by its roles
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  lifecycle {
    create_before_destroy = true # the group moves from one to the other

    precondition {
      condition     = var.disk_gib >= var.image.disk_gib
      error_message = "The image of ${var.group} takes a disk of ${var.image.disk_gib} GiB at least."
    }
  }
}

resource "google_compute_region_instance_group_manager" "head" {
  project            = var.project
  region             = var.region
  name               = var.group
  base_instance_name = var.group
  description        = "One machine at most: it leads a run; ${local.mark}"
  target_size        = 0
  wait_for_instances = false

  # Wherever there is one to be had; an even spread would wait for a zone that has none.
  distribution_policy_zones        = var.zones
  distribution_policy_target_shape = "ANY"

  version {
    instance_template = google_compute_region_instance_template.head.self_link
  }

  dynamic "instance_flexibility_policy" {
    for_each = length(var.machines) > 1 ? [var.machines] : []

    content {
      instance_selections {
        name          = "any"
        machine_types = instance_flexibility_policy.value
      }
    }
  }

  # An apply in the middle of a run leaves machines at work alone, and so does the group itself.
  update_policy {
    type                         = "OPPORTUNISTIC"
    minimal_action               = "REPLACE"
    instance_redistribution_type = "NONE"
    max_surge_fixed              = 0 # never one more than was asked for
    max_unavailable_fixed        = length(var.zones)
  }

  # A machine that was taken back is replaced, as on AWS; the next one finds the same lease, or leaves.
  instance_lifecycle_policy {
    default_action_on_failure = "REPAIR"
    force_update_on_repair    = "NO"
  }

  lifecycle {
    ignore_changes = [target_size] # a run sets it; an apply in its middle must not end it

    precondition {
      condition     = length(var.zones) > 0
      error_message = "No zone of ${var.region} has all of ${join(", ", var.machines)}: give other types, another region, or do without."
    }
  }
}

# The deadline of the group. A run sets the moment and turns it on before it asks for a machine, and
# off when it has ended; what it then does is Terraform's, by an account that can do nothing else.
#
# Cron knows no year: one that was never turned off would strike again a year later.
resource "google_cloud_scheduler_job" "deadline" {
  project          = var.project
  region           = var.region
  name             = "${var.group}-deadline"
  description      = "Ends all machines of ${var.group}; ${local.mark}"
  schedule         = "0 0 1 1 *"
  time_zone        = "Etc/UTC"
  paused           = true
  attempt_deadline = "60s"

  retry_config {
    retry_count          = 5
    min_backoff_duration = "10s"
    max_backoff_duration = "120s"
  }

  http_target {
    http_method = "POST"
    uri         = "${local.resize}?size=0"

    oauth_token {
      service_account_email = var.timer
      scope                 = "https://www.googleapis.com/auth/compute"
    }
  }

  lifecycle {
    ignore_changes = [schedule, time_zone, paused] # a run's
  }
}
