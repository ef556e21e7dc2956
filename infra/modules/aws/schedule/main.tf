# The pair of one schedule: the cloud wakes the head, and some hours later sets every group to 0. The
# second half works even if all code of ours is broken.
#
# Decision, 2026-11: the kill ends all groups, with whatever run is at work then; that one goes on at
# the next wake, or when it is ordered again. Drawback: a run by hand across a kill is cut in two.

resource "aws_autoscaling_schedule" "wake" {
  scheduled_action_name  = "imgbatch-wake-${var.name}"
  autoscaling_group_name = var.head_group
  recurrence             = var.wake
  time_zone              = var.timezone
  min_size               = -1 # as it is
  max_size               = -1
  desired_capacity       = 1
}

resource "aws_autoscaling_schedule" "kill" {
  for_each = toset(concat([var.head_group], var.pool_groups))

  # AWS refuses actions of one group that are put at the same time ("Scheduled action with this
  # scheduled start time already exists").
  depends_on = [aws_autoscaling_schedule.wake]

  scheduled_action_name  = "imgbatch-kill-${var.name}"
  autoscaling_group_name = each.key
  recurrence             = var.kill
  time_zone              = var.timezone
  min_size               = 0
  max_size               = -1
  desired_capacity       = 0
}
