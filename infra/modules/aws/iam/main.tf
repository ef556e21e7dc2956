# Who may do what: a role for the head and one for workers, each no more than what it does.
#
# The scheduler needs none: scheduled actions are Auto Scaling's own, by its service-linked role. The
# deployer is whoever runs Terraform: ../../../README.md lists what that takes.

locals {
  group_arn  = "arn:${var.partition}:autoscaling:${var.region}:${var.account}:autoScalingGroup:*:autoScalingGroupName"
  pool_arns  = [for group in var.pool_groups : "${local.group_arn}/${group}"]
  group_arns = concat(["${local.group_arn}/${var.head_group}"], local.pool_arns)
  control    = "${var.bucket_arn}/control"

  # Of a list of buckets and their parts: what is listed, and what is read.
  buckets = {
    for right, places in var.access :
    right => [for place in places : "arn:${var.partition}:s3:::${place.bucket}"]
  }
  objects = {
    for right, places in var.access : right => flatten([
      for place in places : (
        place.prefix == ""
        ? ["arn:${var.partition}:s3:::${place.bucket}/*"]
        # The object of that very name too: a pack, a list of names.
        : [for end in ["", "/*"] : "arn:${var.partition}:s3:::${place.bucket}/${place.prefix}${end}"]
      )
    ])
  }
}

data "aws_iam_policy_document" "machines" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

# What head and workers both do: images, the bucket with its datasets, other buckets, and a session of
# Systems Manager for `ssh`.
data "aws_iam_policy_document" "both" {
  #checkov:skip=CKV_AWS_356:Actions on * are those for which AWS knows no resource.
  #checkov:skip=CKV_AWS_111:The same: the channels of Systems Manager's agent.
  statement {
    sid       = "Registry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid       = "Images"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [var.repository_arn]
  }
  statement {
    # Not AmazonSSMManagedInstanceCore: it may read every parameter of the account.
    sid = "Sessions"
    actions = [
      "ec2messages:AcknowledgeMessage",
      "ec2messages:DeleteMessage",
      "ec2messages:FailMessage",
      "ec2messages:GetEndpoint",
      "ec2messages:GetMessages",
      "ec2messages:SendReply",
      "ssm:UpdateInstanceInformation",
      "ssmmessages:CreateControlChannel",
      "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel",
    ]
    resources = ["*"]
  }
  statement {
    # A missing lease is told from an unreadable one only where the bucket may be listed.
    sid       = "List"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = distinct(concat([var.bucket_arn], local.buckets.read))
  }
  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = concat(["${var.bucket_arn}/*"], local.objects.read)
  }
  statement {
    # DeleteObject: locks and replaced parts of datasets. No version is deleted by anyone but the
    # bucket's own lifecycle: what a machine deletes can be had back for two weeks.
    sid       = "Write"
    actions   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = concat(["${var.bucket_arn}/*"], local.objects.write)
  }
  dynamic "statement" {
    for_each = var.key_arn == null ? [] : [var.key_arn]

    content {
      sid       = "Key"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "head" {
  #checkov:skip=CKV_AWS_356:Auto Scaling's and EC2's questions know no resource, nor does the price list.
  #checkov:skip=CKV_AWS_111:The same.
  source_policy_documents = [data.aws_iam_policy_document.both.json]

  statement {
    sid       = "Sizes"
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = local.group_arns
  }
  statement {
    # A deadline may end machines, and never let a group grow beyond what Terraform gave it.
    sid       = "Deadlines"
    actions   = ["autoscaling:PutScheduledUpdateGroupAction"]
    resources = local.group_arns

    condition {
      test     = "Null"
      variable = "autoscaling:MaxSize"
      values   = ["true"]
    }
    condition {
      test     = "NumericEqualsIfExists"
      variable = "autoscaling:MinSize"
      values   = ["0"]
    }
  }
  statement {
    sid       = "NoDeadline"
    actions   = ["autoscaling:DeleteScheduledAction"]
    resources = local.group_arns
  }
  statement {
    sid = "Look"
    actions = [
      "autoscaling:DescribeAutoScalingGroups",
      "autoscaling:DescribeScalingActivities",
      "autoscaling:DescribeScheduledActions",
      "ec2:DescribeInstances",
      "ec2:DescribeSpotPriceHistory",
      "pricing:GetProducts",
      "servicequotas:GetAWSDefaultServiceQuota",
      "servicequotas:GetServiceQuota",
    ]
    resources = ["*"]
  }
  statement {
    sid       = "Token"
    actions   = ["ssm:GetParameter", "ssm:PutParameter"]
    resources = [var.token_arn]
  }
  statement {
    # What Terraform told is Terraform's.
    sid       = "DeploymentIsGiven"
    effect    = "Deny"
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = ["${local.control}/deployment.json"]
  }
}

data "aws_iam_policy_document" "worker" {
  #checkov:skip=CKV_AWS_356:See `both`.
  #checkov:skip=CKV_AWS_111:See `both`.
  source_policy_documents = [data.aws_iam_policy_document.both.json]

  statement {
    sid       = "Leave"
    actions   = ["autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = local.pool_arns
  }
  statement {
    sid       = "Token"
    actions   = ["ssm:GetParameter"]
    resources = [var.token_arn]
  }
  # A policy cannot say "all but a prefix" and "but for": of control/ a worker writes boots/ alone, and
  # what else lies there is named.
  statement {
    sid       = "ControlIsTheHeads"
    effect    = "Deny"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = concat(local.orders, [for name in local.heads : "${local.control}/${name}"])
  }
  statement {
    sid       = "ControlStays"
    effect    = "Deny"
    actions   = ["s3:DeleteObject"]
    resources = ["${local.control}/*"]
  }
  statement {
    # Orders hold the environment of whoever gave them.
    sid       = "OrdersAreTheHeads"
    effect    = "Deny"
    actions   = ["s3:GetObject"]
    resources = local.orders
  }
}

locals {
  orders = [
    for name in ["orders/*", "schedules/*", "runs/*/order.json"] : "${local.control}/${name}"
  ]
  heads = [
    "deployment.json", "lease.json", "tmp/*", "runs/*/state.json", "runs/*/stop.json",
    "runs/*/ledger.jsonl", "runs/*/head.log", "boots/*",
  ]
}

resource "aws_iam_role" "head" {
  name               = "${var.roles}-head"
  description        = "The machine that leads a run of ${var.prefix}"
  assume_role_policy = data.aws_iam_policy_document.machines.json
}

resource "aws_iam_role_policy" "head" {
  name   = "head"
  role   = aws_iam_role.head.id
  policy = data.aws_iam_policy_document.head.json
}

resource "aws_iam_instance_profile" "head" {
  name = "${var.roles}-head"
  role = aws_iam_role.head.name
}

resource "aws_iam_role" "worker" {
  name               = "${var.roles}-worker"
  description        = "Workers of ${var.prefix}"
  assume_role_policy = data.aws_iam_policy_document.machines.json
}

resource "aws_iam_role_policy" "worker" {
  name   = "worker"
  role   = aws_iam_role.worker.id
  policy = data.aws_iam_policy_document.worker.json
}

resource "aws_iam_instance_profile" "worker" {
  name = "${var.roles}-worker"
  role = aws_iam_role.worker.name
}
