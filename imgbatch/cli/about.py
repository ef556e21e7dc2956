"""The commands that tell of imgbatch itself: analyzers, recipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.records import REGIONS
from imgbatch.terminal import Json, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.analyzers import Column


def analyzers(*, json: Json = False) -> None:
    """Show what analyzers there are, what each needs by its defaults, and its columns."""
    from imgbatch import analyzers as room

    for name in room.available():
        about = described(name)
        columns, regions = _columns(about["columns"]), _columns(about["regions"])
        per = "picture" if about["grain"] == "picture" else "source"
        lines = [
            f"{name}: {about['summary']}",
            f"  one row per {per}",
            *(f"  needs {what}" for what in needed(about) or ["nothing"]),
            *(
                f"  setting {key} = {value.get('default')}"
                for key, value in about["settings"].items()
            ),
            *(f"  {c['name']} ({c['type']}): {c['meaning']}" for c in columns),
            *([f"  and one row per region of a picture in {name}{REGIONS}"] if regions else []),
            *(f"  {c['name']} ({c['type']}): {c['meaning']}" for c in regions),
        ]
        say(json, "analyzer", {**about, "columns": columns, "regions": regions}, lines)


def described(name: str) -> dict[str, Any]:
    """Return what is shown of one analyzer, with the weights and packages that it takes."""
    from imgbatch import analyzers as room
    from imgbatch.ready import loads

    found = loads(name, room.settings_of(name)())
    return {
        **room.describe(name),
        "weights": [
            {"name": need.name, "sha256": need.sha256, "licence": need.licence, "size": need.size}
            for need in found
        ],
        "packages": list(dict.fromkeys(package for need in found for package in need.packages)),
    }


def needed(about: Mapping[str, Any]) -> list[str]:
    """Return in words what an analyzer needs by its defaults; nothing for most."""
    from imgbatch.report.words import data_size

    words = []
    if about["min_side"]:
        words.append(f"pictures of at least {about['min_side']} pixels")
    if about["full_size"]:
        words.append("pictures in full size, which are decoded once more for it")
    if about["memory"]:
        words.append(f"{data_size(about['memory'])} of memory beyond what decoding takes")
    if about["gpu"]:
        words.append(f"{about['gpu']:g} of a GPU")
    if about["gpu_if_any"]:
        words.append(f"{about['gpu_if_any']:g} of a GPU, where there is one")
    for weights in about["weights"]:
        size = f"{data_size(weights['size'])}, " if weights["size"] else ""
        words.append(f"weights: {weights['name']} ({size}`imgbatch models pull {weights['name']}`)")
    if about["packages"]:
        words.append(f"packages: {', '.join(about['packages'])} (`scripts/setup models`)")
    return words


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
