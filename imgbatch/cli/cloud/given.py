"""Flags that commands of `imgbatch cloud` share."""

from __future__ import annotations

from typing import Annotated

import typer

from imgbatch.terminal import Json

__all__ = ["DeploymentOption", "Json", "Yes"]

DeploymentOption = Annotated[
    str | None,
    typer.Option("--deployment", metavar="NAME", help="Which one, if this laptop knows several."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
