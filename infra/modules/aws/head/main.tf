# The group of the one machine that leads a run: none or one, on demand. A head that dies is replaced
# by the group, and the next one goes on by what lies in the bucket.

resource "aws_launch_template" "head" {
  name                                 = var.group
  image_id                             = var.image.id
  user_data                            = base64gzip(var.script) # cloud-init takes it so
  update_default_version               = true
  instance_initiated_shutdown_behavior = "terminate"
  vpc_security_group_ids               = [var.security_group]

  iam_instance_profile {
    arn = var.profile
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # the container is on the host's network
  }

  block_device_mappings {
    device_name = var.image.root

    ebs {
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "volume", "network-interface"]

    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = var.group, "imgbatch:role" = "head" })
    }
  }

  lifecycle {
    precondition {
      condition     = var.disk_gib >= var.image.disk_gib
      error_message = "The head's image takes a disk of ${var.image.disk_gib} GiB at least."
    }
  }
}

resource "aws_autoscaling_group" "head" {
  name                      = var.group
  min_size                  = 0
  max_size                  = 1
  desired_capacity          = 0
  vpc_zone_identifier       = var.subnets
  capacity_rebalance        = false
  health_check_type         = "EC2"
  suspended_processes       = ["AZRebalance"] # it ends machines at work to have as many in each zone
  wait_for_capacity_timeout = "0"

  mixed_instances_policy {
    instances_distribution {
      on_demand_percentage_above_base_capacity = 100
      on_demand_allocation_strategy            = "prioritized"
    }

    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.head.id
        version            = aws_launch_template.head.latest_version
      }

      dynamic "override" {
        for_each = var.machines

        content {
          instance_type = override.value
        }
      }
    }
  }

  # Machines take their tags from the template, which tags their disks too.
  dynamic "tag" {
    for_each = merge(var.tags, { Name = var.group, "imgbatch:role" = "head" })

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    ignore_changes = [desired_capacity] # a run sets it; an apply in its middle must not end it
  }
}
