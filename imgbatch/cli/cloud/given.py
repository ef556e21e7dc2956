"""Flags that commands of `imgbatch cloud` share, and the question before money or data."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from imgbatch.errors import SettingsError
from imgbatch.terminal import INTERRUPTED, Json

__all__ = ["CloudName", "DeploymentOption", "Json", "NameOption", "RegionOption", "Yes", "agree"]

DeploymentOption = Annotated[
    str | None,
    typer.Option("--deployment", metavar="NAME", help="Which one, if this laptop knows several."),
]
CloudName = Annotated[str, typer.Argument(metavar="CLOUD", help="aws or gcp.")]
NameOption = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Of the deployment; `main`, or the only one."),
]
RegionOption = Annotated[
    str | None, typer.Option("--region", help="As your settings of the cloud say by default.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def agree(question: str, *, yes: bool) -> None:
    """Go on if whoever sits at the terminal says so, or said so before.

    Raises:
        SettingsError: nobody sits there.
        typer.Exit: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("this has to be agreed to, and there is no terminal", "Give --yes.")
    if not typer.confirm(question, err=True):
        sys.stderr.write("nothing was done\n")
        raise typer.Exit(INTERRUPTED)
