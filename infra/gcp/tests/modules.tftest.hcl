# What each module asks of Google, with a Google that knows the provider's schema and nothing else.

mock_provider "google" {
  mock_resource "google_compute_region_instance_template" {
    defaults = { self_link = "projects/pictures-123456/regions/europe-west4/instanceTemplates/one" }
  }
  mock_resource "google_service_account" {
    defaults = { email = "one@pictures-123456.iam.gserviceaccount.com", member = "serviceAccount:one@pictures-123456.iam.gserviceaccount.com", name = "projects/pictures-123456/serviceAccounts/one" }
  }
  mock_resource "google_project_iam_custom_role" {
    defaults = { id = "projects/pictures-123456/roles/one" }
  }
  mock_data "google_project" {
    defaults = { number = "123456789012", billing_account = "0X0X0X-0X0X0X-0X0X0X" }
  }
}

variables {
  project   = "pictures-123456"
  region    = "europe-west4"
  prefix    = "imgbatch-lab"
  group     = "imgbatch-lab-gpu"
  machines  = ["g2-standard-4", "g2-standard-8"]
  zones     = ["europe-west4-a", "europe-west4-b"]
  gpu       = true
  spot      = true
  disk_gib  = 100
  max_hours = 24
  script    = "#!/usr/bin/env bash"
  image     = { link = "projects/deeplearning-platform-release/global/images/one", disk_gib = 50 }
  account   = "ib-lab-worker@pictures-123456.iam.gserviceaccount.com"
  timer     = "ib-lab-timer@pictures-123456.iam.gserviceaccount.com"
  subnet    = "projects/pictures-123456/regions/europe-west4/subnetworks/imgbatch-lab-gpu-28"
  internet  = false
  labels    = { "imgbatch-deployment" = "lab" }

  bucket       = "imgbatch-lab-pictures-123456-europe-west4"
  repository   = "imgbatch-lab"
  token        = "imgbatch-lab-ray-token"
  kms_key      = ""
  destroy_data = false
  cidr         = "10.64.0.0/10"
  groups       = { "imgbatch-lab-head" = 1, "imgbatch-lab-gpu" = 8, "imgbatch-lab-cpu" = 100 }
  head_group   = "imgbatch-lab-head"
  roles        = "ib-lab"
  mark         = "imgbatch-deployment=lab"
  access = {
    read  = [{ bucket = "open-pictures", prefix = "2026" }, { bucket = "our-results", prefix = "" }]
    write = [{ bucket = "our-results", prefix = "" }]
  }
}

run "a_pool_is_empty_and_an_apply_leaves_its_size_alone" {
  module {
    source = "../modules/gcp/pool"
  }

  assert {
    condition     = google_compute_region_instance_group_manager.pool.target_size == 0 && google_compute_region_instance_group_manager.pool.wait_for_instances == false
    error_message = "none at first"
  }
  assert {
    condition = (
      google_compute_region_instance_group_manager.pool.update_policy[0].type == "OPPORTUNISTIC" &&
      google_compute_region_instance_group_manager.pool.update_policy[0].instance_redistribution_type == "NONE"
    )
    error_message = "no machine at work is replaced or moved"
  }
}

run "a_pool_takes_whichever_type_and_zone_there_is" {
  module {
    source = "../modules/gcp/pool"
  }

  assert {
    condition     = google_compute_region_instance_group_manager.pool.distribution_policy_target_shape == "ANY" && google_compute_region_instance_group_manager.pool.distribution_policy_zones == toset(var.zones)
    error_message = "zones"
  }
  assert {
    condition     = one(google_compute_region_instance_group_manager.pool.instance_flexibility_policy[0].instance_selections).machine_types == toset(var.machines)
    error_message = "types"
  }
}

run "a_pool_without_a_zone_is_refused_before_it_is_made" {
  command = plan
  module {
    source = "../modules/gcp/pool"
  }
  variables {
    zones = []
  }
  expect_failures = [google_compute_region_instance_group_manager.pool]
}

run "spot_machines_are_deleted_and_not_stopped_and_live_for_hours_at_most" {
  module {
    source = "../modules/gcp/pool"
  }

  assert {
    condition = (
      google_compute_region_instance_template.pool.scheduling[0].provisioning_model == "SPOT" &&
      google_compute_region_instance_template.pool.scheduling[0].preemptible &&
      google_compute_region_instance_template.pool.scheduling[0].automatic_restart == false &&
      google_compute_region_instance_template.pool.scheduling[0].instance_termination_action == "DELETE" &&
      google_compute_region_instance_template.pool.scheduling[0].max_run_duration[0].seconds == 24 * 3600
    )
    error_message = "spot, deleted, a day"
  }
}

run "a_pool_that_is_to_be_on_demand_has_no_spot_machine_and_its_end_all_the_same" {
  module {
    source = "../modules/gcp/pool"
  }
  variables {
    spot = false
  }

  assert {
    condition = (
      google_compute_region_instance_template.pool.scheduling[0].provisioning_model == "STANDARD" &&
      google_compute_region_instance_template.pool.scheduling[0].preemptible == false &&
      google_compute_region_instance_template.pool.scheduling[0].instance_termination_action == "DELETE"
    )
    error_message = "on demand alone"
  }
}

run "a_machine_has_no_address_of_outside_and_leaves_nothing_behind" {
  module {
    source = "../modules/gcp/pool"
  }

  assert {
    condition     = length(google_compute_region_instance_template.pool.network_interface[0].access_config) == 0
    error_message = "no public address"
  }
  assert {
    condition = (
      google_compute_region_instance_template.pool.disk[0].auto_delete && google_compute_region_instance_template.pool.disk[0].disk_size_gb == 100 &&
      google_compute_region_instance_template.pool.disk[0].labels["imgbatch-deployment"] == "lab"
    )
    error_message = "a disk that ends with its machine, and is found by its label"
  }
  assert {
    condition = (
      google_compute_region_instance_template.pool.metadata["startup-script"] == var.script &&
      google_compute_region_instance_template.pool.metadata["block-project-ssh-keys"] == "TRUE" &&
      google_compute_region_instance_template.pool.metadata["enable-oslogin"] == "TRUE"
    )
    error_message = "the boot script; nobody's keys"
  }
  assert {
    condition     = google_compute_region_instance_template.pool.labels["imgbatch-role"] == "worker" && google_compute_region_instance_template.pool.labels["imgbatch-deployment"] == "lab"
    error_message = "labels"
  }
}

run "a_machine_that_is_to_reach_the_internet_gets_an_address" {
  module {
    source = "../modules/gcp/pool"
  }
  variables {
    internet = true
  }

  assert {
    condition     = length(google_compute_region_instance_template.pool.network_interface[0].access_config) == 1
    error_message = "one"
  }
}

run "an_n1_gets_its_t4_by_the_template" {
  module {
    source = "../modules/gcp/pool"
  }
  variables {
    machines = ["n1-standard-4+t4"]
  }

  assert {
    condition = (
      google_compute_region_instance_template.pool.machine_type == "n1-standard-4" &&
      google_compute_region_instance_template.pool.guest_accelerator[0].type == "nvidia-tesla-t4" &&
      google_compute_region_instance_template.pool.guest_accelerator[0].count == 1
    )
    error_message = "an N1 and a T4"
  }
  assert {
    condition     = length(google_compute_region_instance_group_manager.pool.instance_flexibility_policy) == 0
    error_message = "one type needs no choice"
  }
}

run "a_disk_smaller_than_the_machine_image_is_refused_before_it_costs" {
  command = plan
  module {
    source = "../modules/gcp/pool"
  }
  variables {
    disk_gib = 40
  }
  expect_failures = [google_compute_region_instance_template.pool]
}

run "a_groups_deadline_is_there_before_it_is_needed_and_ends_all_of_it" {
  module {
    source = "../modules/gcp/pool"
  }

  assert {
    condition     = google_cloud_scheduler_job.deadline.name == "imgbatch-lab-gpu-deadline" && google_cloud_scheduler_job.deadline.paused
    error_message = "paused until a run arms it"
  }
  assert {
    condition = (
      google_cloud_scheduler_job.deadline.http_target[0].uri == "https://compute.googleapis.com/compute/v1/projects/pictures-123456/regions/europe-west4/instanceGroupManagers/imgbatch-lab-gpu/resize?size=0" &&
      google_cloud_scheduler_job.deadline.http_target[0].http_method == "POST" &&
      google_cloud_scheduler_job.deadline.http_target[0].oauth_token[0].service_account_email == var.timer
    )
    error_message = google_cloud_scheduler_job.deadline.http_target[0].uri
  }
}

run "the_head_is_on_demand_and_as_careful_as_a_worker" {
  module {
    source = "../modules/gcp/head"
  }
  variables {
    group    = "imgbatch-lab-head"
    machines = ["n2-standard-4", "e2-standard-4"]
  }

  assert {
    condition = (
      google_compute_region_instance_group_manager.head.target_size == 0 &&
      google_compute_region_instance_template.head.scheduling[0].provisioning_model == "STANDARD" &&
      google_compute_region_instance_template.head.scheduling[0].instance_termination_action == "DELETE" &&
      google_compute_region_instance_template.head.scheduling[0].max_run_duration[0].seconds == 24 * 3600 &&
      google_compute_region_instance_template.head.shielded_instance_config[0].enable_secure_boot &&
      length(google_compute_region_instance_template.head.network_interface[0].access_config) == 0
    )
    error_message = "0, on demand, a day"
  }
  assert {
    condition     = google_cloud_scheduler_job.deadline.name == "imgbatch-lab-head-deadline"
    error_message = "its own deadline"
  }
}

run "a_group_can_have_no_more_machines_than_addresses" {
  module {
    source = "../modules/gcp/network"
  }

  assert {
    condition = { for group, subnet in google_compute_subnetwork.group : group => split("/", subnet.ip_cidr_range)[1] } == {
      "imgbatch-lab-head" = "29" # 8 addresses, of which Google keeps four
      "imgbatch-lab-gpu"  = "28" # 12 machines
      "imgbatch-lab-cpu"  = "25" # 124
    }
    error_message = jsonencode([for subnet in google_compute_subnetwork.group : subnet.ip_cidr_range])
  }
  assert {
    condition     = alltrue([for subnet in google_compute_subnetwork.group : subnet.private_ip_google_access])
    error_message = "Google's services without an address of outside"
  }
}

run "a_group_of_another_size_moves_and_the_others_stay" {
  module {
    source = "../modules/gcp/network"
  }
  variables {
    groups = { "imgbatch-lab-head" = 1, "imgbatch-lab-a" = 4, "imgbatch-lab-gpu" = 28 }
  }

  assert {
    condition     = google_compute_subnetwork.group["imgbatch-lab-head"].ip_cidr_range == run.a_group_can_have_no_more_machines_than_addresses.ranges["imgbatch-lab-head"]
    error_message = "the head's"
  }
  assert {
    condition = (
      split(".", google_compute_subnetwork.group["imgbatch-lab-gpu"].ip_cidr_range)[2] == split(".", run.a_group_can_have_no_more_machines_than_addresses.ranges["imgbatch-lab-gpu"])[2] &&
      google_compute_subnetwork.group["imgbatch-lab-gpu"].ip_cidr_range != run.a_group_can_have_no_more_machines_than_addresses.ranges["imgbatch-lab-gpu"] &&
      google_compute_subnetwork.group["imgbatch-lab-gpu"].name == "imgbatch-lab-gpu-27"
    )
    error_message = "to addresses of its own that it did not have"
  }
}

run "what_takes_no_label_is_found_by_its_description" {
  module {
    source = "../modules/gcp/pool"
  }

  assert {
    condition     = strcontains(google_compute_region_instance_group_manager.pool.description, var.mark) && strcontains(google_cloud_scheduler_job.deadline.description, var.mark)
    error_message = google_compute_region_instance_group_manager.pool.description
  }
}

run "pools_that_would_share_addresses_are_refused" {
  command = plan
  module {
    source = "../modules/gcp/network"
  }
  variables {
    # More groups than a network of so few places can tell apart by their names.
    cidr   = "10.64.0.0/12"
    groups = { for number in range(0, 400) : "imgbatch-lab-p${number}" => 1 }
  }
  expect_failures = [google_compute_network.own]
}

run "machines_are_reached_by_each_other_and_by_sessions_of_google_alone" {
  module {
    source = "../modules/gcp/network"
  }
  variables {
    machines = ["ib-lab-head@pictures-123456.iam.gserviceaccount.com", "ib-lab-worker@pictures-123456.iam.gserviceaccount.com"]
  }

  assert {
    condition = (
      length(google_compute_firewall.each_other.source_ranges) == 0 && # none was given, and Google takes service accounts alone
      google_compute_firewall.each_other.source_service_accounts == google_compute_firewall.each_other.target_service_accounts
    )
    error_message = "no address of outside reaches in"
  }
  assert {
    condition     = google_compute_firewall.sessions.source_ranges == toset(["35.235.240.0/20"]) && one(google_compute_firewall.sessions.allow).ports == tolist(["22"])
    error_message = "the proxy that asks who comes"
  }
}

run "a_network_of_others_addresses_is_refused" {
  command = plan
  module {
    source = "../modules/gcp/network"
  }
  variables {
    cidr = "8.8.0.0/16"
  }
  expect_failures = [var.cidr]
}

run "the_bucket_is_private_versioned_and_not_destroyed_with_data" {
  module {
    source = "../modules/gcp/storage"
  }

  assert {
    condition = (
      google_storage_bucket.deployment.uniform_bucket_level_access && google_storage_bucket.deployment.public_access_prevention == "enforced" &&
      google_storage_bucket.deployment.versioning[0].enabled && google_storage_bucket.deployment.force_destroy == false
    )
    error_message = "private, versioned, kept"
  }
  assert {
    condition     = length(google_storage_bucket.deployment.encryption) == 0
    error_message = "nobody asked for a key"
  }
}

run "a_key_of_ones_own_encrypts_bucket_images_and_token" {
  module {
    source = "../modules/gcp/storage"
  }
  variables {
    kms_key = "projects/p/locations/europe-west4/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition = (
      google_storage_bucket.deployment.encryption[0].default_kms_key_name == var.kms_key &&
      google_artifact_registry_repository.images.kms_key_name == var.kms_key &&
      one(google_secret_manager_secret.token.replication[0].user_managed[0].replicas[0].customer_managed_encryption).kms_key_name == var.kms_key
    )
    error_message = "all three"
  }
}

run "a_key_that_is_none_is_refused" {
  command = plan
  module {
    source = "../modules/gcp/storage"
  }
  variables {
    kms_key = "my-key"
  }
  expect_failures = [var.kms_key]
}

run "a_tag_means_one_image_for_ever" {
  module {
    source = "../modules/gcp/storage"
  }

  assert {
    condition     = google_artifact_registry_repository.images.docker_config[0].immutable_tags
    error_message = "immutable"
  }
}

run "a_worker_writes_no_control_object_and_reads_no_order" {
  module {
    source = "../modules/gcp/iam"
  }

  assert {
    condition     = google_storage_bucket_iam_member.worker["write"].condition[0].expression == "!resource.name.startsWith(\"projects/_/buckets/imgbatch-lab-pictures-123456-europe-west4/objects/control/\")"
    error_message = google_storage_bucket_iam_member.worker["write"].condition[0].expression
  }
  assert {
    condition     = strcontains(google_storage_bucket_iam_member.worker["read"].condition[0].expression, "!resource.name.startsWith(\"projects/_/buckets/imgbatch-lab-pictures-123456-europe-west4/objects/control/orders/\")")
    error_message = google_storage_bucket_iam_member.worker["read"].condition[0].expression
  }
  assert {
    condition     = google_storage_bucket_iam_member.worker["boots"].role == "roles/storage.objectCreator"
    error_message = "what tells of a boot replaces nothing"
  }
}

run "the_head_writes_all_but_what_terraform_told" {
  module {
    source = "../modules/gcp/iam"
  }

  assert {
    condition     = google_storage_bucket_iam_member.head["write"].condition[0].expression == "resource.name != \"projects/_/buckets/imgbatch-lab-pictures-123456-europe-west4/objects/control/deployment.json\""
    error_message = google_storage_bucket_iam_member.head["write"].condition[0].expression
  }
}

run "nobody_makes_machines_or_templates_or_gives_roles" {
  module {
    source = "../modules/gcp/iam"
  }

  assert {
    condition     = google_project_iam_custom_role.sizes.permissions == toset(["compute.instanceGroupManagers.update"])
    error_message = "sizes alone"
  }
  assert {
    condition = alltrue([
      for permission in setunion(google_project_iam_custom_role.sizes.permissions, google_project_iam_custom_role.looks.permissions, google_project_iam_custom_role.deadlines.permissions, google_project_iam_custom_role.objects.permissions) :
      !can(regex("(create|insert|setIamPolicy|actAs|useReadOnly|setMetadata)$", permission)) || contains(["storage.objects.create", "storage.multipartUploads.create"], permission)
    ])
    error_message = "more than it does"
  }
  assert {
    condition     = google_service_account_iam_member.timer.role == "roles/iam.serviceAccountUser" && length(google_service_account_iam_member.timer[*]) == 1
    error_message = "the head acts as the timer, and as nobody else"
  }
}

run "other_buckets_are_read_and_written_where_that_was_given" {
  module {
    source = "../modules/gcp/iam"
  }

  assert {
    condition     = google_project_iam_member.buckets["worker read open-pictures/2026"].condition[0].expression == "resource.name == \"projects/_/buckets/open-pictures\" || resource.name == \"projects/_/buckets/open-pictures/objects/2026\" || resource.name.startsWith(\"projects/_/buckets/open-pictures/objects/2026/\")"
    error_message = google_project_iam_member.buckets["worker read open-pictures/2026"].condition[0].expression
  }
  assert {
    condition     = google_project_iam_member.buckets["head write our-results/"].condition[0].expression == "resource.name == \"projects/_/buckets/our-results\" || resource.name.startsWith(\"projects/_/buckets/our-results/objects/\")"
    error_message = "all of a bucket"
  }
  assert {
    condition     = toset(keys(google_project_iam_member.buckets)) == toset(["head read open-pictures/2026", "head read our-results/", "head write our-results/", "worker read open-pictures/2026", "worker read our-results/", "worker write our-results/"])
    error_message = jsonencode(keys(google_project_iam_member.buckets))
  }
}

run "a_schedule_wakes_the_head_and_ends_every_group" {
  module {
    source = "../modules/gcp/schedule"
  }
  variables {
    name        = "weekly"
    wake        = "0 22 * * 1"
    kill        = "0 4 * * 2"
    timezone    = "Europe/Berlin"
    pool_groups = ["imgbatch-lab-gpu", "imgbatch-lab-cpu"]
  }

  assert {
    condition = (
      endswith(google_cloud_scheduler_job.wake.http_target[0].uri, "/instanceGroupManagers/imgbatch-lab-head/resize?size=1") &&
      google_cloud_scheduler_job.wake.schedule == "0 22 * * 1" && google_cloud_scheduler_job.wake.time_zone == "Europe/Berlin"
    )
    error_message = "wake"
  }
  assert {
    condition = alltrue([
      for group, kill in google_cloud_scheduler_job.kill :
      endswith(kill.http_target[0].uri, "/instanceGroupManagers/${group}/resize?size=0") &&
      kill.schedule == "0 4 * * 2" && kill.time_zone == "Europe/Berlin"
    ])
    error_message = "to nothing"
  }
  assert {
    condition     = toset(keys(google_cloud_scheduler_job.kill)) == toset(["imgbatch-lab-head", "imgbatch-lab-gpu", "imgbatch-lab-cpu"])
    error_message = "every group"
  }
}

run "a_budget_writes_before_and_at_its_end" {
  module {
    source = "../modules/gcp/budget"
  }
  variables {
    email  = "somebody@example.org"
    amount = 100
  }

  assert {
    condition     = google_billing_budget.month.amount[0].specified_amount[0].units == "100"
    error_message = "as much"
  }

  assert {
    condition     = [for one in google_billing_budget.month.threshold_rules : "${one.spend_basis} ${one.threshold_percent}"] == ["CURRENT_SPEND 0.5", "CURRENT_SPEND 0.8", "CURRENT_SPEND 1", "FORECASTED_SPEND 1"]
    error_message = "four letters"
  }
  assert {
    condition     = one(google_billing_budget.month.budget_filter).projects == toset(["projects/123456789012"])
    error_message = "of this project"
  }
}
