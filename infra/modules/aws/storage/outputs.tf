output "bucket" { value = aws_s3_bucket.deployment.id }
output "bucket_arn" { value = aws_s3_bucket.deployment.arn }
output "repository_arn" { value = aws_ecr_repository.images.arn }
output "repository_url" { value = aws_ecr_repository.images.repository_url }
output "token_arn" { value = aws_ssm_parameter.token.arn }

output "key_arn" {
  description = "Of the key of the account's own; null without."
  value       = local.key
}
