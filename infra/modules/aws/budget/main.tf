# A letter when the month gets dear. It ends nothing, and comes up to a day late.
#
# Decision, 2026-11: of the whole account. A budget of one tag counts nothing until somebody makes that
# tag a cost allocation tag, which takes a day and a console. Drawback: other work in the account
# counts too.

resource "aws_budgets_budget" "month" {
  name         = var.prefix
  budget_type  = "COST"
  limit_amount = var.dollars
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    for_each = [["ACTUAL", 50], ["ACTUAL", 80], ["ACTUAL", 100], ["FORECASTED", 100]]

    content {
      comparison_operator        = "GREATER_THAN"
      notification_type          = notification.value[0]
      threshold                  = notification.value[1]
      threshold_type             = "PERCENTAGE"
      subscriber_email_addresses = [var.email]
    }
  }
}
