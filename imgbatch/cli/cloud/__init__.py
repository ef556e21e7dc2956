"""The commands of `imgbatch cloud`: one module per verb or family, one line here per command."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Rented machines: what they would cost, a run on them, and none left.",
    no_args_is_help=True,
)
