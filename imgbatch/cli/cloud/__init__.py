"""The commands of `imgbatch cloud`: one module per verb or family, one line here per command."""

from __future__ import annotations

import typer

from imgbatch.cli.cloud import doctor, infra

app = typer.Typer(
    help="Rented machines: what they would cost, a run on them, and none left.",
    no_args_is_help=True,
)

app.command()(doctor.doctor)
app.command()(infra.up)
app.command()(infra.down)
app.command()(doctor.connect)
