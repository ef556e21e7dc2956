"""The commands that ask stored embeddings: search, classify."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.errors import InputError, SettingsError
from imgbatch.terminal import Anew, DatasetUrl, Json, LabelName

if TYPE_CHECKING:
    from imgbatch.search import Found


def search(
    dataset: DatasetUrl,
    *,
    like: Annotated[
        str | None,
        typer.Option(metavar="PHOTO", help="A path, a URL, or a source's address or id."),
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Words, by the model of the table clip.")
    ] = None,
    face: Annotated[
        str | None, typer.Option(metavar="PHOTO", help="A photo: each of its faces is looked for.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="How many to find.")] = 20,
    on: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="Whose vectors to compare: embed, clip, classic, ..."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=2.0, help="Of --face: the largest distance of a match."),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Also write a page of thumbnails; print where it is.")
    ] = False,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write the hits to FILE.parquet, .csv or .html."),
    ] = None,
    json: Json = False,
) -> None:
    """Find what is most similar in DATASET to a photo, to words, or to the faces of a photo."""
    from imgbatch import search as room
    from imgbatch.dataset import Dataset
    from imgbatch.search import hits, page
    from imgbatch.settings import read_limits

    if [like, text, face].count(None) != len(("text", "face")):
        raise SettingsError(
            "search for what?", "Give one of --like PHOTO, --text WORDS and --face PHOTO."
        )
    if threshold is not None and face is None:
        raise SettingsError("--threshold is of --face", "Leave it out.")
    limits = read_limits()
    opened = Dataset.open(dataset)
    form = hits.check_out(opened, out) if out else ""
    if face is not None:
        found = room.face(opened, face, limits, k=k, on=on, threshold=threshold)
    elif text is not None:
        found = room.text(opened, text, limits, k=k, on=on)
    else:
        found = room.like(opened, str(like), limits, k=k, on=on)
    written = []
    if out and form != ".html":
        written.append(hits.write(out, hits.as_file(found.hits, form)))
    if html or form == ".html":
        made = page.render(found, limits)
        written.append(hits.write(out, made) if out and form == ".html" else page.put(found, made))
    _say(found, written, as_json=json)


def _say(found: Found, written: list[str], *, as_json: bool) -> None:
    rows = found.hits.to_pylist()
    if as_json:
        told = [{"event": "query", **found.record()}, *({"event": "hit", **row} for row in rows)]
        told += [{"event": "written", "address": address} for address in written]
        lines = [jsonlib.dumps(record, default=str) for record in told]
    else:
        lines = _lines(found, rows, written)
    sys.stdout.write("\n".join(lines) + "\n")


def _lines(found: Found, rows: list[dict[str, Any]], written: list[str]) -> list[str]:
    from imgbatch.report.words import shown

    space = found.space
    lines = [f"{found.compared:,} vectors of table {space.table} (model {space.model}) compared"]
    lines += [f"noticed: {shown(text, 1000)}" for text in found.noticed]
    if found.pointless:
        lines.append(f"{found.pointless:,} more have no direction: all zero")
    for number, query in enumerate(found.queries):
        lines.append(f"most similar to {shown(query.label, 300)}:")
        lines.append("rank  similarity  distance")
        for row in rows:
            if row["query"] == number:
                values = f"{row['rank']:>4}  {row['similarity']:>10.4f}  {row['distance']:>8.4f}"
                lines.append(f"{values}  {_place(row)}")
    return [*lines, *written]


def _place(row: dict[str, Any]) -> str:
    from imgbatch.report.words import shown

    at = "" if row["time"] is None else f" at {row['time']:.1f} s"
    face = f", face {row['region']}" if "region" in row else ""
    match = {True: ", match", False: "", None: ""}[row.get("match")]
    return f"{shown(row['address'] or row['source_id'], 300)}{at}{face}{match}"


def classify(
    dataset: DatasetUrl,
    *,
    prompts: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="One per line: `label: prompt`, with a blank after the colon, or a prompt.",
        ),
    ],
    on: Annotated[
        str, typer.Option(metavar="TABLE", help="Whose embeddings: of a CLIP model.")
    ] = "clip",
    name: LabelName = "",
    anew: Anew = False,
    json: Json = False,
) -> None:
    """Label the pictures of DATASET by words: from stored CLIP embeddings, no picture is read."""
    from imgbatch import terminal
    from imgbatch.dataset.ordered import here
    from imgbatch.groupers.zero_shot import read_prompts
    from imgbatch.grouping import Wish

    try:
        lines = Path(prompts).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--prompts {prompts}: {error}") from error
    found = [f"{one.label}: {one.text}" for one in read_prompts(lines)]
    settings = {"prompts": found, "table": on}
    wish = Wish(dataset, "zero_shot", settings, name, anew=anew, engine="inline")
    terminal.group(wish, here, as_json=json)
