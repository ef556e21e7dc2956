# What each module asks of AWS, with an AWS that knows the provider's schema and nothing else.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::imgbatch-lab" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/one" }
  }
}

variables {
  prefix         = "imgbatch-lab"
  group          = "imgbatch-lab-gpu"
  machines       = ["g6.xlarge", "g5.xlarge"]
  most           = 8
  spot           = true
  disk_gib       = 100
  script         = "#!/usr/bin/env bash"
  image          = { id = "ami-0123456789abcdef0", root = "/dev/xvda", disk_gib = 75 }
  profile        = "arn:aws:iam::123456789012:instance-profile/imgbatch-lab-worker"
  security_group = "sg-0123456789abcdef0"
  subnets        = ["subnet-0123456789abcdef0"]
  tags           = { "imgbatch:deployment" = "lab" }
  region         = "eu-central-1"
  cidr           = "10.83.0.0/16"
  bucket         = "imgbatch-lab"
  repository     = "imgbatch-lab"
  token          = "/imgbatch/lab/ray-token"
  kms            = false
  destroy_data   = false
  account        = "123456789012"
  partition      = "aws"
}

run "a_pool_is_empty_and_never_larger_than_its_most" {
  module {
    source = "../modules/aws/pool"
  }

  assert {
    condition = (
      aws_autoscaling_group.pool.min_size == 0 && aws_autoscaling_group.pool.max_size == 8 &&
      aws_autoscaling_group.pool.desired_capacity == 0
    )
    error_message = "0..8, and 0 now"
  }
}

run "no_machine_of_a_pool_is_ended_because_of_zones_or_hints" {
  module {
    source = "../modules/aws/pool"
  }

  assert {
    condition     = aws_autoscaling_group.pool.suspended_processes == toset(["AZRebalance"]) && aws_autoscaling_group.pool.capacity_rebalance == false
    error_message = "rebalancing ends machines at work"
  }
  assert {
    # A machine that is protected from scale-in outlives a scheduled action that sets 0.
    condition     = aws_autoscaling_group.pool.protect_from_scale_in != true
    error_message = "protected machines outlive their deadline"
  }
}

run "a_pool_of_spot_machines_has_all_its_types_and_nothing_on_demand" {
  module {
    source = "../modules/aws/pool"
  }

  assert {
    condition = (
      aws_autoscaling_group.pool.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 0 &&
      aws_autoscaling_group.pool.mixed_instances_policy[0].instances_distribution[0].spot_allocation_strategy == "price-capacity-optimized"
    )
    error_message = "spot alone"
  }
  assert {
    condition     = [for one in aws_autoscaling_group.pool.mixed_instances_policy[0].launch_template[0].override : one.instance_type] == ["g6.xlarge", "g5.xlarge"]
    error_message = "the types, the preferred first"
  }
}

run "a_pool_that_is_to_be_on_demand_has_no_spot_machine" {
  module {
    source = "../modules/aws/pool"
  }
  variables {
    spot = false
  }

  assert {
    condition     = aws_autoscaling_group.pool.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 100
    error_message = "on demand alone"
  }
}

run "a_machine_gives_its_credentials_to_nobody_and_leaves_nothing_behind" {
  module {
    source = "../modules/aws/pool"
  }

  assert {
    condition = (
      aws_launch_template.pool.metadata_options[0].http_tokens == "required" &&
      aws_launch_template.pool.metadata_options[0].http_put_response_hop_limit == 1
    )
    error_message = "IMDSv2, one hop"
  }
  assert {
    condition = (
      aws_launch_template.pool.block_device_mappings[0].device_name == "/dev/xvda" &&
      aws_launch_template.pool.block_device_mappings[0].ebs[0].encrypted == "true" &&
      aws_launch_template.pool.block_device_mappings[0].ebs[0].delete_on_termination == "true" &&
      aws_launch_template.pool.block_device_mappings[0].ebs[0].volume_type == "gp3"
    )
    error_message = "an encrypted disk that ends with its machine"
  }
  assert {
    condition     = aws_launch_template.pool.instance_initiated_shutdown_behavior == "terminate"
    error_message = "a machine that shuts itself down is to be gone, not stopped with a disk that costs"
  }
  assert {
    condition     = alltrue([for one in aws_launch_template.pool.tag_specifications : one.tags["imgbatch:deployment"] == "lab"]) && length(aws_launch_template.pool.tag_specifications) == 3
    error_message = "machine, disk and interface are found by their tag"
  }
  assert {
    condition     = aws_launch_template.pool.user_data == base64gzip(var.script)
    error_message = "the boot script"
  }
}

run "a_disk_smaller_than_the_machine_image_is_refused_before_it_costs" {
  command = plan
  module {
    source = "../modules/aws/pool"
  }
  variables {
    disk_gib = 60
  }
  expect_failures = [aws_launch_template.pool]
}

run "the_head_is_none_or_one_and_on_demand" {
  module {
    source = "../modules/aws/head"
  }

  assert {
    condition = (
      aws_autoscaling_group.head.min_size == 0 && aws_autoscaling_group.head.max_size == 1 &&
      aws_autoscaling_group.head.desired_capacity == 0 &&
      aws_autoscaling_group.head.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 100
    )
    error_message = "0..1, on demand"
  }
  assert {
    condition = (
      aws_launch_template.head.metadata_options[0].http_tokens == "required" &&
      aws_launch_template.head.metadata_options[0].http_put_response_hop_limit == 1 &&
      aws_launch_template.head.block_device_mappings[0].ebs[0].encrypted == "true" &&
      aws_launch_template.head.instance_initiated_shutdown_behavior == "terminate"
    )
    error_message = "as careful as a worker"
  }
}

run "machines_are_reached_by_each_other_alone" {
  module {
    source = "../modules/aws/network"
  }

  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.each_other.cidr_ipv4 == null &&
      aws_vpc_security_group_ingress_rule.each_other.cidr_ipv6 == null &&
      aws_vpc_security_group_ingress_rule.each_other.referenced_security_group_id == aws_security_group.machines.id
    )
    error_message = "no address of outside reaches in"
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "the free kind"
  }
}

run "every_zone_has_addresses_of_its_own" {
  module {
    source = "../modules/aws/network"
  }

  assert {
    condition     = join(" ", output.zones) == "eu-central-1a eu-central-1b eu-central-1c"
    error_message = jsonencode(output.zones)
  }
  assert {
    condition     = [for zone in aws_subnet.zone : zone.cidr_block] == ["10.83.0.0/20", "10.83.16.0/20", "10.83.32.0/20"]
    error_message = jsonencode([for zone in aws_subnet.zone : zone.cidr_block])
  }
}

run "a_zone_keeps_its_addresses_when_another_is_gone" {
  module {
    source = "../modules/aws/network"
  }
  override_data {
    target = data.aws_availability_zones.all
    values = { names = ["eu-central-1b", "eu-central-1d"] }
  }

  assert {
    condition     = [for zone in aws_subnet.zone : zone.cidr_block] == ["10.83.16.0/20", "10.83.48.0/20"]
    error_message = jsonencode([for zone in aws_subnet.zone : zone.cidr_block])
  }
}

run "a_network_too_small_for_sixteen_zones_is_refused" {
  command = plan
  module {
    source = "../modules/aws/network"
  }
  variables {
    cidr = "10.83.0.0/24"
  }
  expect_failures = [var.cidr]
}

run "the_bucket_is_private_versioned_encrypted_and_not_destroyed_with_data" {
  module {
    source = "../modules/aws/storage"
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.deployment.block_public_acls,
      aws_s3_bucket_public_access_block.deployment.block_public_policy,
      aws_s3_bucket_public_access_block.deployment.ignore_public_acls,
      aws_s3_bucket_public_access_block.deployment.restrict_public_buckets,
    ])
    error_message = "public"
  }
  assert {
    condition = (
      aws_s3_bucket_versioning.deployment.versioning_configuration[0].status == "Enabled" &&
      one(one(aws_s3_bucket_server_side_encryption_configuration.deployment.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    )
    error_message = "versions, encryption"
  }
  assert {
    condition     = aws_s3_bucket.deployment.force_destroy == false
    error_message = "results are the user's"
  }
  assert {
    condition     = length(aws_kms_key.own) == 0
    error_message = "a key costs a dollar a month, and nobody asked for one"
  }
}

run "a_key_of_ones_own_encrypts_bucket_and_images" {
  module {
    source = "../modules/aws/storage"
  }
  variables {
    kms = true
  }

  assert {
    condition = (
      aws_kms_key.own[0].enable_key_rotation &&
      one(one(aws_s3_bucket_server_side_encryption_configuration.deployment.rule).apply_server_side_encryption_by_default).kms_master_key_id == aws_kms_key.own[0].arn &&
      aws_ecr_repository.images.encryption_configuration[0].kms_key == aws_kms_key.own[0].arn
    )
    error_message = "both"
  }
}

run "the_token_is_in_no_state" {
  module {
    source = "../modules/aws/storage"
  }

  assert {
    condition     = aws_ssm_parameter.token.value_wo == null && aws_ssm_parameter.token.type == "SecureString"
    error_message = "a token is written once, and never read back"
  }
}

run "a_tag_means_one_image_for_ever" {
  module {
    source = "../modules/aws/storage"
  }

  assert {
    condition     = aws_ecr_repository.images.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.images.image_scanning_configuration[0].scan_on_push
    error_message = "immutable, and scanned"
  }
}

run "a_schedule_wakes_the_head_and_ends_every_group" {
  module {
    source = "../modules/aws/schedule"
  }
  variables {
    name        = "weekly"
    wake        = "0 22 * * 1"
    kill        = "0 4 * * 2"
    timezone    = "Europe/Berlin"
    head_group  = "imgbatch-lab-head"
    pool_groups = ["imgbatch-lab-gpu", "imgbatch-lab-cpu"]
  }

  assert {
    condition = (
      aws_autoscaling_schedule.wake.desired_capacity == 1 && aws_autoscaling_schedule.wake.autoscaling_group_name == "imgbatch-lab-head" &&
      aws_autoscaling_schedule.wake.recurrence == "0 22 * * 1" && aws_autoscaling_schedule.wake.time_zone == "Europe/Berlin"
    )
    error_message = "wake"
  }
  assert {
    # -1: as it is. A schedule that set a group's bounds would undo what was armed or capped.
    condition     = aws_autoscaling_schedule.wake.min_size == -1 && aws_autoscaling_schedule.wake.max_size == -1
    error_message = "a wake leaves bounds alone"
  }
  assert {
    condition     = toset([for kill in aws_autoscaling_schedule.kill : kill.autoscaling_group_name]) == toset(["imgbatch-lab-head", "imgbatch-lab-gpu", "imgbatch-lab-cpu"])
    error_message = "every group"
  }
  assert {
    condition = alltrue([
      for kill in aws_autoscaling_schedule.kill :
      kill.desired_capacity == 0 && kill.min_size == 0 && kill.max_size == -1 &&
      kill.recurrence == "0 4 * * 2" && kill.time_zone == "Europe/Berlin"
    ])
    error_message = "to nothing"
  }
}

run "a_budget_writes_before_and_at_its_end" {
  module {
    source = "../modules/aws/budget"
  }
  variables {
    email   = "somebody@example.org"
    dollars = 100
  }

  assert {
    condition     = toset([for one in aws_budgets_budget.month.notification : "${one.notification_type} ${one.threshold}"]) == toset(["ACTUAL 50", "ACTUAL 80", "ACTUAL 100", "FORECASTED 100"])
    error_message = "four letters"
  }
}

run "an_address_that_is_none_is_refused" {
  command = plan
  module {
    source = "../modules/aws/budget"
  }
  variables {
    email   = "somebody"
    dollars = 100
  }
  expect_failures = [var.email]
}
