# By the policies, so that no machine is launched before its role may do anything.
output "head_profile" {
  value      = aws_iam_instance_profile.head.arn
  depends_on = [aws_iam_role_policy.head]
}

output "worker_profile" {
  value      = aws_iam_instance_profile.worker.arn
  depends_on = [aws_iam_role_policy.worker]
}
