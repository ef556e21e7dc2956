# What is refused, before any cloud is asked.

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

run "capital_letters_in_a_name" {
  command = plan
  variables {
    name = "Lab"
  }
  expect_failures = [var.name]
}

run "a_name_that_ends_with_a_hyphen" {
  command = plan
  variables {
    name = "lab-"
  }
  expect_failures = [var.name]
}

run "a_name_too_long_for_a_bucket" {
  command = plan
  variables {
    name = "abcdefghijklmnopqrstu"
  }
  expect_failures = [var.name]
}

run "the_name_of_the_bucket_of_states" {
  command = plan
  variables {
    name = "state"
  }
  expect_failures = [var.name]
}

run "a_zone_in_place_of_a_region" {
  command = plan
  variables {
    region = "eu-central-1a"
  }
  expect_failures = [var.region]
}

run "an_account_that_is_none" {
  command = plan
  variables {
    account = "12345"
  }
  expect_failures = [var.account]
}

run "a_cloud_that_is_not_known" {
  command = plan
  variables {
    cloud = "azure"
  }
  expect_failures = [var.cloud]
}

run "a_tag_with_a_colon" {
  command = plan
  variables {
    image_tag = "a:b"
  }
  expect_failures = [var.image_tag]
}

run "a_head_of_arm" {
  command = plan
  variables {
    head = { machines = ["m7g.large"], disk_gib = 60 }
  }
  expect_failures = [var.head]
}

run "a_head_without_a_machine" {
  command = plan
  variables {
    head = { machines = [], disk_gib = 60 }
  }
  expect_failures = [var.head]
}

run "a_disk_too_small_for_the_image" {
  command = plan
  variables {
    head = { machines = ["m7i.large"], disk_gib = 8 }
  }
  expect_failures = [var.head]
}

run "no_pool" {
  command = plan
  variables {
    pools = {}
  }
  expect_failures = [var.pools]
}

run "a_pool_named_head" {
  command = plan
  variables {
    pools = { head = { machines = ["g6.xlarge"], gpus = ["l4"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "a_pool_without_bound" {
  command = plan
  variables {
    pools = { one = { machines = ["g6.xlarge"], gpus = ["l4"], most = 1000, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "half_a_machine" {
  command = plan
  variables {
    pools = { one = { machines = ["g6.xlarge"], gpus = ["l4"], most = 1.5, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "a_pool_without_a_machine" {
  command = plan
  variables {
    pools = { one = { machines = [], gpus = [], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "a_machine_of_arm" {
  command = plan
  variables {
    pools = { one = { machines = ["g5g.xlarge"], gpus = ["t4"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "a_type_without_a_size" {
  command = plan
  variables {
    pools = { one = { machines = ["g6"], gpus = ["l4"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "another_gpu_than_the_machines_have" {
  command = plan
  variables {
    pools = { one = { machines = ["g6.xlarge"], gpus = ["a10g"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "a_gpu_that_is_not_told" {
  command = plan
  variables {
    pools = { one = { machines = ["g6.xlarge", "g5.xlarge"], gpus = ["l4"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "machines_without_gpu_among_those_with" {
  command = plan
  variables {
    pools = { one = { machines = ["g6.xlarge", "c7i.2xlarge"], gpus = ["l4"], most = 8, spot = true, disk_gib = 100 } }
  }
  expect_failures = [var.pools]
}

run "disks_beyond_all_reason" {
  command = plan
  variables {
    pools = { one = { machines = ["g6.xlarge"], gpus = ["l4"], most = 8, spot = true, disk_gib = 20000 } }
  }
  expect_failures = [var.pools]
}

run "a_schedule_longer_than_max_hours" {
  command = plan
  variables {
    schedules = { a = { cron = "0 3 * * 1", timezone = "UTC", hours = 25 } }
  }
  expect_failures = [var.schedules]
}

run "a_time_zone_that_is_an_offset" {
  command = plan
  variables {
    schedules = { a = { cron = "0 3 * * 1", timezone = "+02:00", hours = 5 } }
  }
  expect_failures = [var.schedules]
}

run "a_schedule_with_a_space_in_its_name" {
  command = plan
  variables {
    schedules = { "a b" = { cron = "0 3 * * 1", timezone = "UTC", hours = 5 } }
  }
  expect_failures = [var.schedules]
}

run "no_bound_on_hours" {
  command = plan
  variables {
    max_hours = 1000
  }
  expect_failures = [var.max_hours]
}

run "a_bucket_without_its_scheme" {
  command = plan
  variables {
    readable = ["open-pictures"]
  }
  expect_failures = [var.readable]
}

run "a_bucket_with_a_star" {
  command = plan
  variables {
    writable = ["s3://results/*"]
  }
  expect_failures = [var.writable]
}

run "two_schedules_of_which_one_ends_when_the_other_wakes" {
  command = plan
  variables {
    schedules = {
      a = { cron = "0 3 * * 1-5", timezone = "UTC", hours = 6 }
      b = { cron = "0 9 * * 3", timezone = "UTC", hours = 2 }
    }
  }
  expect_failures = [output.schedules]
}

run "two_schedules_that_end_together" {
  command = plan
  variables {
    schedules = {
      a = { cron = "30 3 1 * *", timezone = "UTC", hours = 6 }
      b = { cron = "30 5 * * 3", timezone = "UTC", hours = 4 }
    }
  }
  expect_failures = [output.schedules]
}
