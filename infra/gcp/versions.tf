terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }

  # Where the state lies is given to `terraform init` by -backend-config (`imgbatch cloud up` does).
  backend "gcs" {}
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = module.core.tags

  # Budgets, and some more, answer to a person only where a project is named that pays for the asking.
  user_project_override = true
  billing_project       = var.project
}
