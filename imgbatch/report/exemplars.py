"""Enters: labels with exemplars. Leaves: a contact sheet per cluster, and a page that leads there.

Each is one HTML file without scripts, with the report's policy and style. They lie below `report/`,
so `imgbatch forget` takes them out with the report.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch import __version__
from imgbatch.dataset import Dataset, groups, pages
from imgbatch.dataset.labels import older
from imgbatch.dataset.made import made_of
from imgbatch.dataset.state import unlocked
from imgbatch.errors import DatasetError
from imgbatch.report.page import POLICY, environment
from imgbatch.report.sheet import choices_of
from imgbatch.report.story import dataset_name
from imgbatch.report.thumbnails import HEIGHT, Thumbnail, of_frames
from imgbatch.settings import MediaSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jinja2 import Environment

    from imgbatch.settings import Limits

FOLDER = "report/sheets"
INDEX = "index.html"
# What a page shows, in this order, and how it is called.
KINDS = {
    "nearest": "Nearest to the centroid",
    "random": "Drawn at random",
    "border": "On the border of another cluster",
}
# Of each cluster, on the page that leads to them.
FIRST = 6
NONE = Thumbnail(reason="not in the dataset any more")
CHANGED = Thumbnail(reason="changed since it was grouped")
ID_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Card:
    """One exemplar: its row of labels, where it comes from, and its picture."""

    row: Mapping[str, Any]
    address: str
    thumbnail: Thumbnail


@dataclass(frozen=True, slots=True)
class Sheet:
    """One cluster.

    Attributes:
        name: of its page.
        rows: how many it has.
        silhouette: mean of them, None where there is none.
        kinds: title and exemplars of each kind, the nearest first.
    """

    cluster: int
    name: str
    rows: int
    silhouette: float | None
    kinds: Mapping[str, tuple[Card, ...]]


@dataclass(frozen=True, slots=True)
class Sheets:
    """What was written.

    Attributes:
        address: of the page that leads on.
        old: that the labels are older than their tables, in words; "" where they are not.
    """

    address: str
    old: str


def write_sheets(dataset: Dataset, labels: str, limits: Limits) -> Sheets:
    """Write the contact sheets of a table of labels.

    Sources are fetched and decoded cluster by cluster: no more than one sheet is in memory.

    Raises:
        DatasetError: there are no such labels, or they have no exemplars.
        BusyError: a takedown went by while they were made; none of these pages is left.
    """
    before = pages.look(dataset)
    dataset = Dataset.open(dataset.url)  # as it is from here on, whatever was opened before
    with unlocked(dataset), pages.putting(dataset, before) as put:
        return _written(dataset, labels, limits, put)


def _written(
    dataset: Dataset, labels: str, limits: Limits, put: Callable[[str, bytes], None]
) -> Sheets:
    made = groups.record(dataset.table(groups.path_of(labels)))
    if made is None:
        there = ", ".join(groups.names(dataset)) or "none"
        raise DatasetError(
            f"no labels {labels} in {dataset.url}; there are {there}",
            "Make some: `imgbatch group DATASET clusters`.",
        )
    rows = groups.read(dataset, labels)
    if not {"cluster", "exemplar"} <= {*rows.column_names}:
        raise DatasetError(
            f"the labels {labels} have no exemplars: {made['grouper']} made them",
            "Contact sheets are of clusters: `imgbatch group DATASET clusters`.",
        )
    folder = f"{FOLDER}/{labels}"
    inputs = tuple(dict.fromkeys(str(run.get("input", "")) for run in dataset.runs()))
    filled = environment("imgbatch.report", inputs=inputs)
    old = older(dataset, rows, made)
    shown: list[Sheet] = []
    for sheet in _sheets(dataset, made, rows, limits):
        page = _page(filled, "cluster.html", dataset, labels, sheet=sheet, old=old)
        put(f"{folder}/{sheet.name}", page)
        first = {kind: cards[:FIRST] for kind, cards in sheet.kinds.items() if kind in KINDS}
        shown.append(Sheet(sheet.cluster, sheet.name, sheet.rows, sheet.silhouette, first))
    told = groups.read_file(dataset, labels, made, "scores.json")
    scores = json.loads(told) if told else {}
    about = {"sheets": shown, "made": made, "scores": scores, "old": old}
    put(f"{folder}/{INDEX}", _page(filled, "clusters.html", dataset, labels, **about))
    return Sheets(dataset.store.address(f"{folder}/{INDEX}"), old)


def _page(
    filled: Environment, template: str, dataset: Dataset, labels: str, **told: object
) -> bytes:
    text = filled.get_template(template).render(
        name=dataset_name(dataset),
        labels=labels,
        titles=KINDS,
        policy=POLICY,
        version=__version__,
        **told,
    )
    return text.encode("utf-8", "replace")


def _sheets(
    dataset: Dataset, made: Mapping[str, Any], rows: pa.Table, limits: Limits
) -> Iterator[Sheet]:
    table = next(iter(made["tables"]))
    media = MediaSettings.model_validate(made_of(dataset, table)["media"])
    small = media.model_copy(update={"min_side": HEIGHT, "exact": False})
    inside = rows.filter(pc.is_valid(rows["cluster"]))
    means = inside.group_by("cluster").aggregate([("silhouette", "mean"), ([], "count_all")])
    shown = inside.filter(pc.is_valid(inside["exemplar"])).sort_by("rank")
    for about in means.sort_by("cluster").to_pylist():
        own = shown.filter(pc.equal(shown["cluster"], about["cluster"])).to_pylist()
        cards = _cards(dataset, own, small, limits)
        yield Sheet(
            about["cluster"],
            f"cluster-{about['cluster']}.html",
            about["count_all"],
            about["silhouette_mean"],
            {kind: _of_kind(cards, kind) for kind in KINDS},
        )


def _of_kind(cards: list[Card], kind: str) -> tuple[Card, ...]:
    """Return the exemplars of one kind: those on the border by silhouette, others by distance."""
    own = [card for card in cards if kind in card.row["exemplar"].split()]
    if kind == "border":
        own.sort(key=lambda card: card.row["silhouette"])
    return tuple(own)


def _cards(
    dataset: Dataset, rows: list[dict[str, Any]], media: MediaSettings, limits: Limits
) -> list[Card]:
    wanted: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        wanted[row["source_id"]].add(_frame(row))
    choices = {c.source.source_id: c for c in choices_of(dataset, dict.fromkeys(wanted, ""))}
    # What a source that changed holds now is no picture of what was labelled.
    versions = {row["source_id"]: row["version"] for row in rows}
    same = {key: c for key, c in choices.items() if c.source.version == versions[key]}
    found = of_frames(same, wanted, media, limits)
    return [
        Card(
            row,
            choices[key].source.address if key in choices else "",
            found.get(key, {}).get(_frame(row), CHANGED if key in choices else NONE),
        )
        for row in rows
        for key in (row["source_id"],)
    ]


def _frame(row: Mapping[str, Any]) -> int:
    """Return the frame that a picture's id names, 0 for a whole source."""
    told = str(row.get("picture_id") or "")[ID_DIGITS:].strip("-")
    return int(told) if told else 0
