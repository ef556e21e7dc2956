# A letter when the month gets dear. It ends nothing, and comes up to a day late.
#
# Who applies this must be allowed to make budgets of the project's billing account.

data "google_project" "own" {
  project_id = var.project
}

resource "google_monitoring_notification_channel" "email" {
  project      = var.project
  display_name = "${var.prefix}: ${var.email}"
  type         = "email"
  labels       = { email_address = var.email }
}

resource "google_billing_budget" "month" {
  billing_account = data.google_project.own.billing_account
  display_name    = var.prefix

  budget_filter {
    projects        = ["projects/${data.google_project.own.number}"]
    calendar_period = "MONTH"
  }

  amount {
    # In the currency of the billing account: any other is refused.
    specified_amount {
      units = tostring(floor(var.amount))
    }
  }

  dynamic "threshold_rules" {
    for_each = [["CURRENT_SPEND", 0.5], ["CURRENT_SPEND", 0.8], ["CURRENT_SPEND", 1.0], ["FORECASTED_SPEND", 1.0]]

    content {
      spend_basis       = threshold_rules.value[0]
      threshold_percent = threshold_rules.value[1]
    }
  }

  all_updates_rule {
    monitoring_notification_channels = [google_monitoring_notification_channel.email.id]
    disable_default_iam_recipients   = true
  }
}
