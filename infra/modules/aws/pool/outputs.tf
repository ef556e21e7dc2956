output "group" { value = aws_autoscaling_group.pool.name }
