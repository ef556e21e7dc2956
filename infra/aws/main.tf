# A deployment on AWS: what machines may ever exist, and what they may do. Applied, it runs none.

data "aws_caller_identity" "me" {}
data "aws_partition" "here" {}

locals {
  account   = data.aws_caller_identity.me.account_id
  partition = data.aws_partition.here.partition
  registry  = "${local.account}.dkr.ecr.${var.region}.${data.aws_partition.here.dns_suffix}"
}

module "core" {
  source = "../modules/core"

  cloud     = "aws"
  name      = var.name
  region    = var.region
  account   = local.account
  registry  = local.registry
  image_tag = var.image_tag
  head      = var.head
  pools     = var.pools
  max_hours = var.max_hours
  schedules = var.schedules
  readable  = var.readable
  writable  = var.writable
  kms       = var.kms
}

module "storage" {
  source = "../modules/aws/storage"

  prefix       = module.core.prefix
  bucket       = module.core.bucket
  repository   = module.core.repository
  token        = module.core.token
  kms          = var.kms
  destroy_data = var.destroy_data
  account      = local.account
  partition    = local.partition
}

module "network" {
  source = "../modules/aws/network"

  prefix = module.core.prefix
  region = var.region
  cidr   = var.vpc_cidr
}

module "iam" {
  source = "../modules/aws/iam"

  prefix         = module.core.prefix
  roles          = module.core.roles
  partition      = local.partition
  region         = var.region
  account        = local.account
  head_group     = module.core.head_group
  pool_groups    = [for pool in module.core.pools : pool.group]
  bucket_arn     = module.storage.bucket_arn
  repository_arn = module.storage.repository_arn
  token_arn      = module.storage.token_arn
  key_arn        = module.storage.key_arn
  access         = module.core.access
}

# Machine images, as AWS names its newest. Amazon Linux 2023 has dnf, the AWS command line and the
# agent of Systems Manager; the one for GPUs also has NVIDIA's driver, Docker and its GPU runtime.
locals {
  newest = {
    cpu = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    gpu = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
  }
  own = { for kind, ami in { cpu = var.ami_cpu, gpu = var.ami_gpu } : kind => ami if ami != "" }
  kinds = toset(concat(
    ["cpu"], [for pool in var.pools : "gpu" if length(pool.gpus) > 0]
  ))
}

data "aws_ssm_parameter" "newest" {
  for_each = { for kind in local.kinds : kind => local.newest[kind] if !contains(keys(local.own), kind) }

  name = each.value
}

data "aws_ami" "machine" {
  for_each = local.kinds

  include_deprecated = true # one that was pinned years ago is pinned still

  filter {
    name   = "image-id"
    values = [try(local.own[each.key], nonsensitive(data.aws_ssm_parameter.newest[each.key].value))]
  }
}

locals {
  images = {
    for kind, ami in data.aws_ami.machine : kind => {
      id   = ami.id
      root = ami.root_device_name
      disk_gib = try(one([
        for device in ami.block_device_mappings : tonumber(device.ebs.volume_size)
        if device.device_name == ami.root_device_name
      ]), 0)
    }
  }
}

module "head" {
  source = "../modules/aws/head"

  group          = module.core.head_group
  machines       = var.head.machines
  disk_gib       = var.head.disk_gib
  script         = module.core.scripts["head"]
  image          = local.images["cpu"]
  profile        = module.iam.head_profile
  security_group = module.network.security_group
  subnets        = module.network.subnets
  tags           = module.core.tags
}

module "pool" {
  source   = "../modules/aws/pool"
  for_each = module.core.pools

  group          = each.value.group
  machines       = each.value.machines
  most           = each.value.most
  spot           = each.value.spot
  disk_gib       = each.value.disk_gib
  script         = module.core.scripts[each.key]
  image          = local.images[length(each.value.gpus) > 0 ? "gpu" : "cpu"]
  profile        = module.iam.worker_profile
  security_group = module.network.security_group
  subnets        = module.network.subnets
  tags           = module.core.tags
}

module "schedule" {
  source   = "../modules/aws/schedule"
  for_each = module.core.schedules

  name        = each.key
  wake        = each.value.wake
  kill        = each.value.kill
  timezone    = each.value.timezone
  head_group  = module.head.group
  pool_groups = [for pool in module.pool : pool.group]
}

module "budget" {
  source = "../modules/aws/budget"
  count  = var.email == "" ? 0 : 1

  prefix  = module.core.prefix
  email   = var.email
  dollars = var.monthly_budget
}

# What machines read, and `imgbatch cloud connect`: the same as the output.
resource "aws_s3_object" "deployment" {
  #checkov:skip=CKV_AWS_186:Encrypted as its bucket is.
  bucket       = module.storage.bucket
  key          = "control/deployment.json"
  content      = jsonencode(local.deployment)
  content_type = "application/json"
}
