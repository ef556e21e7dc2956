"""The commands that label rows of finished tables: group, groupers."""

from __future__ import annotations

from typing import Annotated

import typer

from imgbatch import terminal
from imgbatch.cli.run import Address, EngineName, job, refuse_address
from imgbatch.terminal import Anew, DatasetUrl, Grouper, Json, LabelName, Sets, say, words_of


def group(
    dataset: DatasetUrl,
    grouper: Grouper,
    *,
    sets: Sets = None,
    name: LabelName = "",
    anew: Anew = False,
    engine: Annotated[
        EngineName, typer.Option(help="ray: work that is too much for one process is spread.")
    ] = EngineName.ray,
    address: Address = None,
    json: Json = False,
) -> None:
    """Label rows of finished tables: DATASET/groups/NAME says which belong together."""
    if engine is EngineName.ray:
        words = [word for text in sets or () for word in ("--set", text)]
        words += words_of({"name": name or None, "anew": anew, "json": json, "address": address})
        raise typer.Exit(job("group", *words, "--", dataset, grouper))
    refuse_address(address)
    from imgbatch.dataset.ordered import here
    from imgbatch.grouping import Wish, settings_of

    wish = Wish(dataset, grouper, settings_of(sets or ()), name, anew=anew, engine=engine)
    terminal.group(wish, here, as_json=json)


def groupers(*, json: Json = False) -> None:
    """Show what groupers there are, which tables each reads, its settings and its columns."""
    from imgbatch import groupers as room

    for name in room.available():
        about = room.describe(name)
        columns = [
            {"name": c.name, "type": str(c.type), "unit": c.unit, "meaning": c.meaning}
            for c in about["columns"]
        ]
        lines = [
            f"{name}: {about['summary']}",
            f"  reads {', '.join(about['reads'])}",
            *(
                f"  setting {key} = {value.get('default')}"
                for key, value in about["settings"].items()
            ),
            *(f"  {c['name']} ({c['type']}): {c['meaning']}" for c in columns),
        ]
        say(json, "grouper", {**about, "columns": columns}, lines)
