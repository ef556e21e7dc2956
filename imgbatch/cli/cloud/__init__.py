"""The commands of `imgbatch cloud`: one module per verb or family, one line here per command."""

from __future__ import annotations

import typer

from imgbatch.cli.cloud import costs, doctor, doors, infra, plan, run, schedule, watch

app = typer.Typer(
    help="Rented machines: what they would cost, a run on them, and none left.",
    no_args_is_help=True,
)
schedules = typer.Typer(help="Runs that recur, woken by the cloud.", no_args_is_help=True)

app.command()(doctor.doctor)
app.command()(infra.up)
app.command()(doctor.connect)
app.command()(plan.plan)
app.command()(run.run)
app.command()(watch.status)
app.command()(watch.logs)
app.command()(watch.stop)
app.command()(doors.ssh)
app.command()(doors.jupyter)
app.command()(doors.dashboard)
app.command()(costs.costs)
app.command()(infra.down)
app.add_typer(schedules, name="schedule")
schedules.command("add", context_settings={"ignore_unknown_options": False})(schedule.add)
schedules.command("list")(schedule.list_)
schedules.command("remove")(schedule.remove)
