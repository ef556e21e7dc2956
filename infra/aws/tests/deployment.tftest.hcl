# A whole deployment with its defaults, with an AWS that knows the provider's schema and nothing else.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b"] }
  }
  mock_data "aws_ssm_parameter" {
    defaults = { value = "ami-0123456789abcdef0" }
  }
  mock_data "aws_ami" {
    defaults = {
      id               = "ami-0123456789abcdef0"
      root_device_name = "/dev/xvda"
      block_device_mappings = [{
        device_name  = "/dev/xvda"
        ebs          = { volume_size = "75" }
        no_device    = ""
        virtual_name = ""
      }]
    }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/one" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { id = "imgbatch-lab-123456789012-eu-central-1", arn = "arn:aws:s3:::imgbatch-lab-123456789012-eu-central-1" }
  }
}

variables {
  name   = "lab"
  region = "eu-central-1"
  head   = { disk_gib = 80 }
}

run "the_output_tells_all_that_a_terminal_needs" {
  assert {
    condition     = output.deployment.max_hours == 24
    error_message = "how long a run's machines may live"
  }
  assert {
    condition     = output.deployment.control == "${output.deployment.bucket}/control" && output.deployment.account == "123456789012"
    error_message = jsonencode(output.deployment)
  }
  assert {
    condition     = toset(keys(output.deployment.pools)) == toset(["gpu", "l4", "a10g", "t4", "cpu"])
    error_message = "the pools that there are without a word"
  }
  assert {
    condition     = alltrue([for pool in output.deployment.pools : join(" ", pool.zones) == "eu-central-1a eu-central-1b" && pool.spot])
    error_message = "all zones, spot"
  }
}

run "machines_read_in_the_bucket_what_the_output_tells" {
  assert {
    condition     = aws_s3_object.deployment.content == jsonencode(output.deployment) && aws_s3_object.deployment.key == "control/deployment.json"
    error_message = "the same, at its place"
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
