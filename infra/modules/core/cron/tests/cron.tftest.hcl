run "the_end_is_some_hours_later" {
  command = plan
  variables {
    cron  = "0 3 * * 1"
    hours = 6
  }
  assert {
    condition     = output.kill == "0 9 * * 1" && output.cron == "0 3 * * 1"
    error_message = output.kill
  }
}

run "an_end_after_midnight_is_on_the_next_day_of_the_week" {
  command = plan
  variables {
    cron  = "30 22 * * 5-7"
    hours = 6
  }
  assert {
    condition     = output.kill == "30 4 * * 0,1,6" && output.cron == "30 22 * * 0,5,6"
    error_message = output.kill
  }
}

run "an_end_after_midnight_is_on_the_next_day_of_the_month" {
  command = plan
  variables {
    cron  = "0 20 1,27 2,8 *"
    hours = 10
  }
  assert {
    condition     = output.kill == "0 6 2,28 2,8 *"
    error_message = output.kill
  }
}

run "hours_of_every_day_end_on_whatever_day" {
  command = plan
  variables {
    cron  = "15 */12 * * *"
    hours = 11
  }
  assert {
    condition     = output.kill == "15 11,23 * * *" && output.cron == "15 0,12 * * *"
    error_message = output.kill
  }
}

run "more_than_a_day" {
  command = plan
  variables {
    cron  = "0 12 * * 6"
    hours = 60
  }
  assert {
    condition     = output.kill == "0 0 * * 2"
    error_message = output.kill
  }
}

run "a_day_that_not_every_month_has_is_refused" {
  command = plan
  variables {
    cron  = "0 20 28 * *"
    hours = 5
  }
  expect_failures = [output.kill]
}

run "months_without_days_that_end_in_the_next_are_refused" {
  command = plan
  variables {
    cron  = "0 20 * 6 *"
    hours = 5
  }
  expect_failures = [output.kill]
}

run "hours_that_end_on_different_days_are_refused" {
  command = plan
  variables {
    cron  = "0 3,20 * * 1"
    hours = 5
  }
  expect_failures = [output.kill]
}

run "a_kill_that_would_end_the_next_run_is_refused" {
  command = plan
  variables {
    cron  = "0 */6 * * *"
    hours = 6
  }
  expect_failures = [output.kill]
}

run "a_kill_of_yesterdays_run_at_todays_wake_is_refused" {
  command = plan
  variables {
    cron  = "0 3 * * *"
    hours = 24
  }
  expect_failures = [output.kill]
}

run "four_fields_are_refused" {
  command = plan
  variables {
    cron  = "0 3 * *"
    hours = 1
  }
  expect_failures = [var.cron]
}

run "every_minute_is_refused" {
  command = plan
  variables {
    cron  = "* 3 * * *"
    hours = 1
  }
  expect_failures = [var.cron]
}

run "names_of_days_are_refused" {
  command = plan
  variables {
    cron  = "0 3 * * MON"
    hours = 1
  }
  expect_failures = [var.cron]
}

run "days_of_month_and_week_together_are_refused" {
  command = plan
  variables {
    cron  = "0 3 1 * 1"
    hours = 1
  }
  expect_failures = [var.cron]
}

run "an_hour_that_no_day_has_is_refused" {
  command = plan
  variables {
    cron  = "0 24 * * *"
    hours = 1
  }
  expect_failures = [output.cron]
}

run "a_range_that_runs_backwards_is_refused" {
  command = plan
  variables {
    cron  = "0 3 * * 5-1"
    hours = 1
  }
  expect_failures = [output.cron]
}

run "half_hours_are_refused" {
  command = plan
  variables {
    cron  = "0 3 * * *"
    hours = 0.5
  }
  expect_failures = [var.hours]
}
