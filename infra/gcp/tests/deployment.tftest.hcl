# A whole deployment with its defaults, with a Google that knows the provider's schema and nothing else.

mock_provider "google" {
  mock_data "google_compute_zones" {
    defaults = { names = ["europe-west4-a", "europe-west4-b", "europe-west4-c"] }
  }
  mock_data "google_compute_image" {
    defaults = { self_link = "projects/deeplearning-platform-release/global/images/one", disk_size_gb = 50 }
  }
  mock_resource "google_storage_bucket" {
    defaults = { name = "imgbatch-lab-pictures-123456-europe-west4" }
  }
}

override_data {
  target = data.google_compute_machine_types.zone
  values = {
    machine_types = [
      { name = "g2-standard-4", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
      { name = "g2-standard-8", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
      { name = "g2-standard-12", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
      { name = "n1-standard-4", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
      { name = "n2-standard-4", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
      { name = "n2d-standard-4", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
      { name = "e2-standard-4", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
      { name = "n2-standard-8", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
      { name = "n2d-standard-8", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
      { name = "e2-standard-8", accelerators = [], deprecated = [], description = "", guest_cpus = 4, is_shared_cpus = false, maximum_persistent_disks = 1, maximum_persistent_disks_size_gb = 1, memory_mb = 1, self_link = "" },
    ]
  }
}

variables {
  name    = "lab"
  project = "pictures-123456"
  region  = "europe-west4"
}

run "the_output_tells_all_that_a_terminal_needs" {
  assert {
    condition     = output.deployment.max_hours == 24
    error_message = "how long a run's machines may live"
  }
  assert {
    condition     = output.deployment.control == "gs://imgbatch-lab-pictures-123456-europe-west4/control" && output.deployment.control == "${output.deployment.bucket}/control" && output.deployment.account == "pictures-123456"
    error_message = jsonencode(output.deployment)
  }
  assert {
    condition     = output.deployment.image == "europe-west4-docker.pkg.dev/pictures-123456/imgbatch-lab/imgbatch:latest" && output.deployment.token == "imgbatch-lab-ray-token"
    error_message = output.deployment.image
  }
  assert {
    condition     = toset(keys(output.deployment.pools)) == toset(["gpu", "t4", "cpu"]) && output.deployment.head.group == "imgbatch-lab-head" && output.deployment.pools["t4"].group == "imgbatch-lab-t4"
    error_message = "the pools that there are without a word"
  }
  assert {
    condition     = alltrue([for pool in output.deployment.pools : join(" ", pool.zones) == "europe-west4-a europe-west4-b europe-west4-c" && pool.spot])
    error_message = "all zones, spot"
  }
  assert {
    condition     = sum(values(output.deployment.standing)) < 1
    error_message = jsonencode(output.deployment.standing)
  }
}

run "machines_read_in_the_bucket_what_the_output_tells" {
  assert {
    condition     = google_storage_bucket_object.deployment.content == jsonencode(output.deployment) && google_storage_bucket_object.deployment.name == "control/deployment.json"
    error_message = "the same, at its place"
  }
}

run "machines_that_could_not_install_docker_are_refused_before_they_cost" {
  command = plan
  variables {
    internet = false
  }
  expect_failures = [var.internet]
}

run "an_image_of_ones_own_needs_no_internet" {
  variables {
    internet      = false
    machine_image = "projects/pictures-123456/global/images/family/with-docker"
  }

  assert {
    condition     = data.google_compute_image.machine.project == "pictures-123456" && data.google_compute_image.machine.family == "with-docker"
    error_message = "that image"
  }
}

run "nobody_is_written_to_without_an_address" {
  assert {
    condition     = length(module.budget) == 0 && output.deployment.alarm == 0
    error_message = "a budget without an address"
  }
}

run "an_address_gets_letters_and_the_output_tells_of_how_much" {
  variables {
    email          = "ada@example.org"
    monthly_budget = 70
  }

  assert {
    condition     = length(module.budget) == 1 && output.deployment.alarm == 70
    error_message = jsonencode(output.deployment.alarm)
  }
}

run "t4_are_asked_for_in_zones_that_have_them" {
  variables {
    region = "europe-west3"
  }
  override_data {
    target = data.google_compute_zones.all
    values = { names = ["europe-west3-a", "europe-west3-b", "europe-west3-c", "europe-west3-ai1a"] }
  }

  assert {
    condition     = output.deployment.pools["t4"].zones == ["europe-west3-b"]
    error_message = jsonencode(output.deployment.pools["t4"].zones)
  }
  assert {
    condition     = output.deployment.pools["cpu"].zones == ["europe-west3-a", "europe-west3-b", "europe-west3-c"]
    error_message = jsonencode(output.deployment.pools["cpu"].zones)
  }
}

run "a_pool_stays_in_the_zones_that_it_was_given" {
  variables {
    pools = { gpu = { machines = ["g2-standard-4"], gpus = ["l4"], zones = ["europe-west4-b"] } }
  }

  assert {
    condition     = output.deployment.pools["gpu"].zones == ["europe-west4-b"]
    error_message = jsonencode(output.deployment.pools)
  }
}
