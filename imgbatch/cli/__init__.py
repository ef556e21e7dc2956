"""The terminal: one function per command, and one line here that gives it its name.

Heavy imports wait inside the commands until one needs them, so that `--help` is quick.
"""

from __future__ import annotations

import typer

from imgbatch.cli import (
    about,
    bucket,
    cloud,
    doctor,
    dumps,
    fetch,
    forget,
    group,
    learn,
    live,
    models,
    past,
    plan,
    posts,
    read,
    run,
    schedule,
    search,
    submit,
)

app = typer.Typer(
    help="Turn a bucket of pictures and videos into a table that a researcher can trust.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
recipes = typer.Typer(help="Recipes: what a run computes.", no_args_is_help=True)
buckets = typer.Typer(help="Buckets themselves: made and hardened.", no_args_is_help=True)
schedules = typer.Typer(help="Commands that recur on this machine.", no_args_is_help=True)
weights = typer.Typer(help="Weights of models: got, verified, mirrored.", no_args_is_help=True)

app.command()(plan.plan)
app.command()(run.run)
app.command()(submit.submit)
app.command()(run.retry)
app.command()(read.verify)
app.command()(live.status)
app.command()(live.tail)
app.command()(live.logs)
app.command()(live.cancel)
app.command()(group.group)
app.command()(learn.fit)
app.command()(learn.apply)
app.command()(past.explain)
app.command()(past.history)
app.command()(past.compare)
app.command()(read.report)
app.command()(read.sheet)
app.command()(read.export)
app.command()(search.search)
app.command()(search.classify)
app.command()(forget.forget)
app.command()(posts.retain)
app.command()(run.preprocess)
app.command()(fetch.fetch)
app.command()(doctor.doctor)
app.command()(dumps.dumps)
app.command()(about.analyzers)
app.command()(group.groupers)
app.add_typer(buckets, name="bucket")
buckets.command("create")(bucket.create)
buckets.command("harden")(bucket.harden)
app.add_typer(weights, name="models")
weights.command("list")(models.list_)
weights.command("show")(models.show)
weights.command("pull")(models.pull)
weights.command("push")(models.push)
weights.command("verify")(models.verify)
app.add_typer(recipes, name="recipe")
app.add_typer(cloud.app, name="cloud")
app.add_typer(schedules, name="schedule")
schedules.command("add")(schedule.add)
schedules.command("list")(schedule.list_)
schedules.command("remove")(schedule.remove)
schedules.command("run")(schedule.run)
schedules.command("loop")(schedule.loop)
recipes.command("list")(about.recipe_list)
recipes.command("show")(about.recipe_show)
