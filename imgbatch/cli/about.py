"""The commands that tell of imgbatch itself: analyzers, recipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch.records import REGIONS
from imgbatch.terminal import Json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.analyzers import Column


def analyzers(*, json: Json = False) -> None:
    """Show what analyzers there are, what each needs, and its columns."""
    from imgbatch import analyzers as room

    for name in room.available():
        about = room.describe(name)
        columns, regions = _columns(about["columns"]), _columns(about["regions"])
        per = "picture" if about["grain"] == "picture" else "source"
        lines = [
            f"{name}: {about['summary']}",
            f"  one row per {per}; needs pictures of at least {about['min_side']} pixels",
            *(
                f"  setting {key} = {value.get('default')}"
                for key, value in about["settings"].items()
            ),
            *(f"  {c['name']} ({c['type']}): {c['meaning']}" for c in columns),
            *([f"  and one row per region of a picture in {name}{REGIONS}"] if regions else []),
            *(f"  {c['name']} ({c['type']}): {c['meaning']}" for c in regions),
        ]
        say(json, "analyzer", {**about, "columns": columns, "regions": regions}, lines)


def _columns(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [
        {"name": c.name, "type": str(c.type), "unit": c.unit, "meaning": c.meaning} for c in columns
    ]


def recipe_list() -> None:
    """List the recipes that come with imgbatch."""
    from imgbatch.settings import recipe_names

    sys.stdout.write("\n".join(recipe_names()) + "\n")


def recipe_show(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Print a recipe, to copy and edit."""
    from imgbatch.settings import recipe_text

    sys.stdout.write(recipe_text(name))
