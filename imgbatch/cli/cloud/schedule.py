"""The commands of runs that recur: schedule add, list, remove."""

from __future__ import annotations

from typing import Annotated

import typer


def add(name: str) -> None:
    """Add."""


def list_() -> None:
    """List."""


def remove(name: str) -> None:
    """Remove."""
