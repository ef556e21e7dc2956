output "group" { value = aws_autoscaling_group.head.name }
