# The same of a deployment on Google: its names, and what is refused there.

variables {
  cloud     = "gcp"
  name      = "lab"
  region    = "europe-west4"
  account   = "pictures-123456"
  registry  = "europe-west4-docker.pkg.dev"
  image_tag = "0.1.0-abc"
  head      = { machines = ["n2-standard-4"], disk_gib = 60 }
  max_hours = 24
  kms       = false
  readable  = ["gs://open-pictures/2026/", "gs://all_of_it"]
  writable  = []
  schedules = {}
  pools = {
    gpu = { machines = ["g2-standard-4", "g2-standard-8"], gpus = ["l4"], most = 8, spot = true, disk_gib = 100 }
    t4  = { machines = ["n1-standard-4+t4"], gpus = ["t4"], most = 8, spot = true, disk_gib = 100 }
    cpu = { machines = ["n2-standard-8", "c3-highcpu-22"], gpus = [], most = 4, spot = true, disk_gib = 100 }
  }
}

run "names_are_those_that_google_takes" {
  command = plan

  assert {
    condition     = output.bucket == "imgbatch-lab-pictures-123456-europe-west4" && output.control == "gs://${output.bucket}/control"
    error_message = output.control
  }
  assert {
    condition     = output.image == "europe-west4-docker.pkg.dev/pictures-123456/imgbatch-lab/imgbatch:0.1.0-abc"
    error_message = output.image
  }
  assert {
    # A label's key holds no colon, a secret's name no slash.
    condition     = output.tags == { "imgbatch-deployment" = "lab" } && output.token == "imgbatch-lab-ray-token"
    error_message = "label, token"
  }
  assert {
    condition     = output.access.read == [{ bucket = "open-pictures", prefix = "2026" }, { bucket = "all_of_it", prefix = "" }]
    error_message = jsonencode(output.access)
  }
}

run "the_longest_name_fits_into_the_id_of_a_service_account" {
  command = plan
  variables {
    name    = "abcdefghijklmnopqrst"
    account = "pix-12"
  }

  assert {
    condition     = length("${output.roles}-worker") <= 30
    error_message = "30 characters at most"
  }
}

run "a_machine_asks_google" {
  command = plan

  assert {
    condition     = alltrue([for script in output.scripts : strcontains(script, "Metadata-Flavor: Google") && strcontains(script, "CONTROL='gs://")])
    error_message = "functions"
  }
  assert {
    condition     = strcontains(output.scripts["t4"], "GPU='true'") && strcontains(output.scripts["cpu"], "GPU='false'")
    error_message = "GPU"
  }
}

run "with_nothing_running_it_costs_less_than_a_dollar_a_month" {
  command = plan

  assert {
    condition     = sum(values(output.standing)) < 1 && output.standing["jobs of Cloud Scheduler"] == 0.4
    error_message = jsonencode(output.standing)
  }
}

run "a_schedule_costs_its_jobs" {
  command = plan
  variables {
    schedules = { weekly = { cron = "0 22 * * 1", timezone = "Europe/Berlin", hours = 6 } }
  }

  assert {
    condition     = output.standing["jobs of Cloud Scheduler"] == 0.9
    error_message = jsonencode(output.standing)
  }
}

run "a_bucket_whose_name_is_too_long" {
  command = plan
  variables {
    name    = "abcdefghijklmnopqrst"
    account = "a-project-with-a-rather-longid"
  }
  expect_failures = [output.bucket]
}

run "a_region_of_aws" {
  command = plan
  variables {
    region = "eu-central-1"
  }
  expect_failures = [var.region]
}

run "a_project_by_its_number" {
  command = plan
  variables {
    account = "123456789012"
  }
  expect_failures = [var.account]
}

run "a_machine_of_aws" {
  command = plan
  variables {
    pools = { gpu = { machines = ["g6.xlarge"], gpus = ["l4"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "a_machine_of_arm" {
  command = plan
  variables {
    pools = { cpu = { machines = ["t2a-standard-4"], gpus = [], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "an_a100_is_had" {
  command = plan
  variables {
    pools = { a100 = { machines = ["a2-highgpu-1g", "a2-highgpu-2g"], gpus = ["a100"], most = 2, spot = true, disk_gib = 100 } }
  }

  assert {
    condition     = strcontains(output.scripts["a100"], "GPU='true'")
    error_message = "GPU"
  }
}

run "a_gpu_of_which_nobody_knows_price_and_quota" {
  command = plan
  variables {
    pools = { h100 = { machines = ["a3-highgpu-1g"], gpus = [], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "an_a100_whose_disk_is_paid_for_apart" {
  command = plan
  variables {
    pools = { a100 = { machines = ["a2-ultragpu-1g"], gpus = ["a100"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "a_head_that_takes_no_disk_of_the_kind_that_is_made" {
  command = plan
  variables {
    head = { machines = ["c4-standard-4"], disk_gib = 60 }
  }
  expect_failures = [var.head]
}

run "a_gpu_beside_machines_that_cannot_have_it" {
  command = plan
  variables {
    pools = { t4 = { machines = ["n2-standard-4+t4"], gpus = ["t4"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "two_types_with_a_gpu_that_is_the_templates" {
  command = plan
  variables {
    pools = { t4 = { machines = ["n1-standard-4+t4", "n1-standard-8+t4"], gpus = ["t4"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "an_l4_that_is_not_told" {
  command = plan
  variables {
    pools = { gpu = { machines = ["g2-standard-4"], gpus = [], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "a_bucket_of_aws" {
  command = plan
  variables {
    readable = ["s3://open-pictures"]
  }
  expect_failures = [var.readable]
}

run "a_bucket_that_would_end_a_condition" {
  command = plan
  variables {
    readable = ["gs://open-pictures/a\") || resource.name.startsWith(\"b"]
  }
  expect_failures = [var.readable]
}
