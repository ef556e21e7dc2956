terraform {
  # 1.11: locks of the S3 backend without a table, and write-only arguments (the token is in no state).
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Where the state lies is given to `terraform init` by -backend-config (`imgbatch cloud up` does).
  backend "s3" {}
}

provider "aws" {
  region = var.region

  default_tags {
    tags = module.core.tags
  }
}
