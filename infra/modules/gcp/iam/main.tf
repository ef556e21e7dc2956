# Who may do what: a service account for the head, one for workers, and one for the jobs of Cloud
# Scheduler that end machines; each no more than what it does.
#
# Groups and jobs have no policies of their own on Google Cloud, and conditions do not know them: what
# may be done to one may be done to all of the project. So give a deployment a project of its own.

locals {
  # Google keeps the name of a role that was deleted for up to 37 days: each `up` has names of its own.
  named   = { for name in ["sizes", "looks", "deadlines", "objects"] : name => join("_", [replace(var.prefix, "-", "_"), name, substr(terraform_data.roles.id, 0, 8)]) }
  objects = "projects/_/buckets/${var.bucket}/objects/"
  control = "${local.objects}control/"

  # Of other buckets, those of this project: others' owners let the accounts in themselves. A condition
  # has twelve operators at most: one for each part.
  parts = merge([
    for right, places in var.access : {
      for place in places : "${right} ${place.bucket}/${place.prefix}" => {
        right = right
        expression = join(" || ", concat(
          ["resource.name == \"projects/_/buckets/${place.bucket}\""],
          place.prefix == ""
          ? ["resource.name.startsWith(\"projects/_/buckets/${place.bucket}/objects/\")"]
          # The object of that very name too: a pack, a list of names.
          : [
            "resource.name == \"projects/_/buckets/${place.bucket}/objects/${place.prefix}\"",
            "resource.name.startsWith(\"projects/_/buckets/${place.bucket}/objects/${place.prefix}/\")",
          ],
        ))
      }
    }
  ]...)
  accounts = {
    head   = google_service_account.head.member
    worker = google_service_account.worker.member
  }
}

resource "terraform_data" "roles" {}

resource "google_service_account" "head" {
  project      = var.project
  account_id   = "${var.roles}-head"
  display_name = "The machine that leads a run of ${var.prefix}"
  description  = var.mark
}

resource "google_service_account" "worker" {
  project      = var.project
  account_id   = "${var.roles}-worker"
  display_name = "Workers of ${var.prefix}"
  description  = var.mark
}

resource "google_service_account" "timer" {
  project      = var.project
  account_id   = "${var.roles}-timer"
  display_name = "Deadlines and schedules of ${var.prefix}"
  description  = var.mark
}

# --- Groups

resource "google_project_iam_custom_role" "sizes" {
  project     = var.project
  role_id     = local.named["sizes"]
  title       = "${var.prefix}: sizes of groups"
  description = "Resize a group, and end its machines by name; neither template nor machine of one's own; ${var.mark}"
  permissions = ["compute.instanceGroupManagers.update"]
}

resource "google_project_iam_custom_role" "looks" {
  project     = var.project
  role_id     = local.named["looks"]
  title       = "${var.prefix}: what there is"
  description = "Groups, machines, what happened to them, and quotas; ${var.mark}"
  permissions = [
    "compute.globalOperations.list",
    "compute.instanceGroupManagers.get",
    "compute.instanceGroupManagers.list",
    "compute.instances.get",
    "compute.instances.list",
    "compute.projects.get",
    "compute.regionOperations.get",
    "compute.regionOperations.list",
    "compute.regions.get",
    "compute.zoneOperations.get",
    "compute.zoneOperations.list",
    "compute.zones.list",
  ]
}

resource "google_project_iam_custom_role" "deadlines" {
  project     = var.project
  role_id     = local.named["deadlines"]
  title       = "${var.prefix}: deadlines"
  description = "Move the moment of a job of Cloud Scheduler, and turn it on and off; ${var.mark}"
  permissions = [
    "cloudscheduler.jobs.enable",
    "cloudscheduler.jobs.fullView",
    "cloudscheduler.jobs.get",
    "cloudscheduler.jobs.pause",
    "cloudscheduler.jobs.update",
  ]
}

resource "google_project_iam_member" "groups" {
  for_each = {
    "head sizes"     = { role = google_project_iam_custom_role.sizes.id, member = google_service_account.head.member }
    "head looks"     = { role = google_project_iam_custom_role.looks.id, member = google_service_account.head.member }
    "head deadlines" = { role = google_project_iam_custom_role.deadlines.id, member = google_service_account.head.member }
    # A worker leaves by its own name; Google has no permission for that alone.
    "worker sizes" = { role = google_project_iam_custom_role.sizes.id, member = google_service_account.worker.member }
    "timer sizes"  = { role = google_project_iam_custom_role.sizes.id, member = google_service_account.timer.member }
  }

  project = var.project
  role    = each.value.role
  member  = each.value.member
}

# Who changes a job that acts as an account must be allowed to act as it: it may size groups, as the
# head itself may, and nothing else.
resource "google_service_account_iam_member" "timer" {
  service_account_id = google_service_account.timer.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.head.member
}

# --- The bucket

# A missing lease is told from an unreadable one only where the bucket may be listed.
resource "google_storage_bucket_iam_member" "list" {
  for_each = local.accounts

  bucket = var.bucket
  role   = "roles/storage.legacyBucketReader"
  member = each.value
}

resource "google_storage_bucket_iam_member" "head" {
  for_each = {
    read = { role = "roles/storage.objectViewer", expression = "" }
    # What Terraform told is Terraform's. No version is deleted by anyone but the bucket's own lifecycle
    # and who administers it: what a machine deletes can be had back for two weeks.
    write = {
      role       = google_project_iam_custom_role.objects.id
      expression = "resource.name != \"${local.control}deployment.json\""
    }
  }

  bucket = var.bucket
  role   = each.value.role
  member = google_service_account.head.member

  dynamic "condition" {
    for_each = each.value.expression == "" ? [] : [each.value.expression]

    content {
      title      = "not-what-terraform-told"
      expression = condition.value
    }
  }
}

resource "google_storage_bucket_iam_member" "worker" {
  for_each = {
    # Orders hold the environment of whoever gave them.
    read = {
      role       = "roles/storage.objectViewer"
      title      = "not-orders"
      expression = "!resource.name.startsWith(\"${local.control}orders/\") && !resource.name.startsWith(\"${local.control}schedules/\") && !(resource.name.startsWith(\"${local.control}runs/\") && resource.name.endsWith(\"/order.json\"))"
    }
    write = {
      role       = google_project_iam_custom_role.objects.id
      title      = "not-control"
      expression = "!resource.name.startsWith(\"${local.control}\")"
    }
    # Of control/ a worker makes what tells of a boot that failed, and replaces nothing.
    boots = {
      role       = "roles/storage.objectCreator"
      title      = "boots"
      expression = "resource.name.startsWith(\"${local.control}runs/\") && resource.name.extract(\"/control/runs/{run}/boots/\") != \"\""
    }
  }

  bucket = var.bucket
  role   = each.value.role
  member = google_service_account.worker.member

  condition {
    title      = each.value.title
    expression = each.value.expression
  }
}

# Replacing an object takes the permission to delete it; deleting one leaves its former version.
resource "google_project_iam_custom_role" "objects" {
  project     = var.project
  role_id     = local.named["objects"]
  title       = "${var.prefix}: objects"
  description = "Make, replace and delete objects; ${var.mark}"
  permissions = [
    "storage.multipartUploads.abort",
    "storage.multipartUploads.create",
    "storage.multipartUploads.list",
    "storage.multipartUploads.listParts",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.update",
  ]
}

# --- Other buckets

resource "google_project_iam_member" "buckets" {
  for_each = merge([
    for who, member in local.accounts : { for name, part in local.parts : "${who} ${name}" => merge(part, { member = member }) }
  ]...)

  project = var.project
  role    = each.value.right == "read" ? "roles/storage.objectViewer" : google_project_iam_custom_role.objects.id
  member  = each.value.member

  condition {
    title      = "${var.prefix}-${each.value.right}"
    expression = each.value.expression
  }
}

# --- Images and token

resource "google_artifact_registry_repository_iam_member" "pull" {
  for_each = local.accounts

  project    = var.project
  location   = var.region
  repository = var.repository
  role       = "roles/artifactregistry.reader"
  member     = each.value
}

resource "google_secret_manager_secret_iam_member" "read" {
  for_each = local.accounts

  project   = var.project
  secret_id = var.token
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value
}

resource "google_secret_manager_secret_iam_member" "set" {
  project   = var.project
  secret_id = var.token
  role      = "roles/secretmanager.secretVersionManager"
  member    = google_service_account.head.member
}
