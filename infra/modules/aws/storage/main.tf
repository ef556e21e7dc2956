# What is kept between runs: the bucket, the container images, the token of the Ray cluster.

locals {
  key = var.kms ? aws_kms_key.own[0].arn : null
}

resource "aws_s3_bucket" "deployment" {
  #checkov:skip=CKV_AWS_18:Access logs are a second bucket that grows; CloudTrail tells the same to who turns it on.
  #checkov:skip=CKV_AWS_144:A copy in another region doubles the cost; results can be computed again.
  #checkov:skip=CKV_AWS_145:S3's own key by default; kms = true takes one of the account's, for a dollar a month.
  #checkov:skip=CKV2_AWS_62:Nobody listens to events: the machines ask the bucket.
  bucket = var.bucket

  # Decision, 2026-11: results are the user's, so `destroy` stops at a bucket that holds any, unless
  # destroy_data was applied before. prevent_destroy would stop the destruction of all else too.
  # Drawback: a destroy that stops here has ended everything but the bucket, and says so as an error.
  force_destroy = var.destroy_data
}

resource "aws_s3_bucket_public_access_block" "deployment" {
  bucket                  = aws_s3_bucket.deployment.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "deployment" {
  bucket = aws_s3_bucket.deployment.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "deployment" {
  bucket = aws_s3_bucket.deployment.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "deployment" {
  bucket = aws_s3_bucket.deployment.id

  rule {
    bucket_key_enabled = var.kms

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms ? "aws:kms" : "AES256"
      kms_master_key_id = local.key
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "deployment" {
  bucket = aws_s3_bucket.deployment.id

  rule {
    id     = "uploads-that-nobody-finished"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 3
    }
  }

  rule {
    id     = "what-was-deleted-or-replaced"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 14
    }
    expiration {
      expired_object_delete_marker = true
    }
  }

  # The state of a run is written every few seconds: its former versions are worth a day.
  rule {
    id     = "former-states-of-runs"
    status = "Enabled"
    filter {
      prefix = "control/"
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  rule {
    id     = "temporary-objects"
    status = "Enabled"
    filter {
      prefix = "control/tmp/"
    }

    expiration {
      days = 1
    }
  }

  depends_on = [aws_s3_bucket_versioning.deployment]
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "OnlyEncryptedConnections"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.deployment.arn, "${aws_s3_bucket.deployment.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "deployment" {
  bucket = aws_s3_bucket.deployment.id
  policy = data.aws_iam_policy_document.bucket.json

  depends_on = [aws_s3_bucket_public_access_block.deployment]
}

resource "aws_ecr_repository" "images" {
  #checkov:skip=CKV_AWS_136:ECR's own key by default; kms = true takes one of the account's, for a dollar a month.
  name = var.repository

  # A tag means one image for ever: a push in the middle of a run would give new workers another Ray
  # than the head's.
  image_tag_mutability = "IMMUTABLE"
  # Images can be built again, so `destroy` ends them too.
  force_delete = true

  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = var.kms ? "KMS" : "AES256"
    kms_key         = local.key
  }
}

resource "aws_ecr_lifecycle_policy" "images" {
  repository = aws_ecr_repository.images.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Five images are kept; layers that they share are stored once."
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 5 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_ssm_parameter" "token" {
  #checkov:skip=CKV_AWS_337:Who overwrites a parameter without naming a key moves it to SSM's own: the head would have to know the key, and each plan would move it back. The token lives for one run.
  name        = var.token
  description = "Token of the Ray cluster at work; its head sets a new one for each run."
  type        = "SecureString"

  # Written once and never read back: the token is in no state of Terraform.
  value_wo         = "none yet"
  value_wo_version = 1

  lifecycle {
    # The head sets a token without naming a key, and AWS then takes its own for Systems Manager. To
    # change that back would set the value above, in the middle of a run.
    ignore_changes = [key_id]
  }
}

resource "aws_kms_key" "own" {
  count = var.kms ? 1 : 0

  description             = "Bucket and images of ${var.prefix}"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "own" {
  count = var.kms ? 1 : 0

  name          = "alias/${var.prefix}"
  target_key_id = aws_kms_key.own[0].key_id
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:A key's policy: its resource is the key itself, and without the account nobody could change it.
  #checkov:skip=CKV_AWS_111:The same.
  #checkov:skip=CKV_AWS_356:The same.
  statement {
    sid       = "TheAccountDecidesByItsPolicies"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${var.partition}:iam::${var.account}:root"]
    }
  }
}
