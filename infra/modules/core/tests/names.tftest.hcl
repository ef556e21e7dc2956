# Names, addresses and bounds of a deployment: no cloud is asked.

variables {
  cloud     = "aws"
  name      = "lab"
  region    = "eu-central-1"
  account   = "123456789012"
  registry  = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
  image_tag = "0.1.0-abc"
  head      = { machines = ["m7i.xlarge"], disk_gib = 60 }
  max_hours = 24
  kms       = false
  readable  = ["s3://open-pictures/2026/", "s3://all-of-it"]
  writable  = ["s3://results-of-ours/x/y"]
  schedules = { weekly = { cron = "0 22 * * 1", timezone = "Europe/Berlin", hours = 6 } }
  pools = {
    gpu = { machines = ["g6.xlarge", "g5.xlarge"], gpus = ["l4", "a10g"], most = 8, spot = true, disk_gib = 100 }
    cpu = { machines = ["c7i.2xlarge"], gpus = [], most = 4, spot = true, disk_gib = 100 }
  }
}

run "names_are_of_the_deployment" {
  command = plan

  assert {
    condition     = output.head_group == "imgbatch-lab-head" && output.pools["gpu"].group == "imgbatch-lab-gpu"
    error_message = "groups"
  }
  assert {
    condition     = output.bucket == "imgbatch-lab-123456789012-eu-central-1"
    error_message = output.bucket
  }
  assert {
    condition     = output.control == "s3://${output.bucket}/control"
    error_message = output.control
  }
  assert {
    condition     = output.image == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/imgbatch-lab:0.1.0-abc"
    error_message = output.image
  }
  assert {
    condition     = output.token == "/imgbatch/lab/ray-token" && output.tags["imgbatch:deployment"] == "lab"
    error_message = "token or tags"
  }
}

run "the_longest_names_fit_into_what_aws_takes" {
  command = plan
  variables {
    name   = "abcdefghijklmnopqrst"
    region = "ap-southeast-1"
  }

  assert {
    condition     = length(output.bucket) <= 63
    error_message = "A bucket's name has 63 characters at most, not ${length(output.bucket)}."
  }
  assert {
    condition     = length("${output.roles}-worker") <= 64
    error_message = "A role's name has 64 characters at most."
  }
}

run "a_part_of_a_bucket_is_told_from_all_of_it" {
  command = plan

  assert {
    condition = output.access == {
      read = [
        { bucket = "open-pictures", prefix = "2026" },
        { bucket = "all-of-it", prefix = "" },
        { bucket = "results-of-ours", prefix = "x/y" },
      ]
      write = [{ bucket = "results-of-ours", prefix = "x/y" }]
    }
    error_message = jsonencode(output.access)
  }
}

run "a_schedule_has_its_end" {
  command = plan

  assert {
    condition = output.schedules["weekly"] == {
      cron = "0 22 * * 1", wake = "0 22 * * 1", kill = "0 4 * * 2", timezone = "Europe/Berlin", hours = 6
    }
    error_message = jsonencode(output.schedules)
  }
}

run "every_machine_has_a_boot_script_that_knows_what_it_is" {
  command = plan

  assert {
    condition     = toset(keys(output.scripts)) == toset(["head", "gpu", "cpu"])
    error_message = "one for the head, and one for each pool"
  }
  assert {
    condition = (
      strcontains(output.scripts["gpu"], "POOL='gpu'") && strcontains(output.scripts["gpu"], "GPU='true'") &&
      strcontains(output.scripts["gpu"], "GROUP='imgbatch-lab-gpu'") && strcontains(output.scripts["gpu"], "ROLE='worker'")
    )
    error_message = "a worker with a GPU"
  }
  assert {
    condition     = strcontains(output.scripts["cpu"], "GPU='false'")
    error_message = "a worker without"
  }
  assert {
    condition     = strcontains(output.scripts["head"], "ROLE='head'") && strcontains(output.scripts["head"], "POOL=''")
    error_message = "the head"
  }
  assert {
    condition     = alltrue([for script in output.scripts : strcontains(script, "IMAGE='${output.image}'")])
    error_message = "image"
  }
}

run "with_nothing_running_it_costs_less_than_a_dollar_a_month" {
  command = plan

  assert {
    condition     = sum(values(output.standing)) < 1
    error_message = jsonencode(output.standing)
  }
}

run "a_key_of_ones_own_is_told_among_what_it_costs" {
  command = plan
  variables {
    kms = true
  }

  assert {
    condition     = sum(values(output.standing)) > 1
    error_message = jsonencode(output.standing)
  }
}

run "two_schedules_at_moments_of_their_own" {
  command = plan
  variables {
    schedules = {
      a = { cron = "0 3 * * 1", timezone = "UTC", hours = 6 }
      b = { cron = "0 3 * * 2", timezone = "UTC", hours = 6 }
      c = { cron = "0 3 * * 1", timezone = "Europe/Berlin", hours = 6 }
      d = { cron = "5 3 1 * *", timezone = "UTC", hours = 6 }
    }
  }

  assert {
    condition     = output.schedules["b"].kill == "0 9 * * 2" && output.schedules["d"].kill == "5 9 1 * *"
    error_message = jsonencode(output.schedules)
  }
}
