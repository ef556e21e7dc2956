"""Enters: a dataset. Leaves: its labels: how many groups, how large, and pictures of some."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch import groupers
from imgbatch.dataset import groups
from imgbatch.errors import MissingExtraError, SettingsError
from imgbatch.observe.status import labelled
from imgbatch.report.figures import Bar, Histogram, histogram, top_bars
from imgbatch.report.sheet import strip_of
from imgbatch.report.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from imgbatch.dataset import Dataset
    from imgbatch.report.sheet import Strip

# Of so many tables some groups are shown, the largest ones, and so many sources of each.
TABLES, GROUPS, SOURCES = 3, 8, 6
LARGEST = 10
KEYS = ("source_id", "version", "picture_id", "region_id")
# What is said of a source of a group, where its labels have it.
CAPTION = ("distance", "turns")
# Rows of a group that are looked at together, until enough of its sources are found.
ROWS = 1000


@dataclass(frozen=True, slots=True)
class Labels:
    """One table of labels.

    Attributes:
        name: as below `groups/`.
        summary: what its grouper says of itself.
        settings: in words.
        stale: tables that have changed since.
        left: rows that were forgotten since.
        groups, grouped: how many, and rows in one.
        largest: groups by rows, where they are few enough to be named.
        sizes: rows of a group, over all groups.
        strips: some groups, the largest first.
    """

    name: str
    summary: str
    settings: str
    finished: str
    stale: tuple[str, ...]
    left: int
    rows: int
    groups: int
    grouped: int
    largest: tuple[Bar, ...]
    sizes: Histogram | None
    strips: tuple[Strip, ...]


def read_labels(dataset: Dataset, *, thumbnails: bool) -> tuple[Labels, ...]:
    """Summarise every table of labels; of the first few also show groups."""
    found: list[Labels] = []
    for name, made in labelled(dataset).items():
        names = dataset.table(groups.path_of(name)).schema().names
        # Whoever is in a group of faces is not shown on a page that is passed on.
        faces = "region_id" in names or _biometric(made["grouper"])
        shown = thumbnails and len(found) < TABLES and not faces
        label = next(column for column in names if column not in KEYS)
        rows = groups.read_some(dataset, name, ["source_id", label, *CAPTION])
        found.append(_labels(dataset, name, made, rows, shown=shown))
    return tuple(found)


def _labels(
    dataset: Dataset, name: str, made: Mapping[str, Any], rows: pa.Table, *, shown: bool
) -> Labels:
    label = next(column for column in rows.column_names if column not in KEYS)
    grouped = rows.filter(pc.is_valid(rows[label]))
    counts = grouped.group_by(label).aggregate([([], "count_all"), ("source_id", "count_distinct")])
    sizes = counts["count_all"].to_numpy()
    few = len(sizes) <= LARGEST
    named = dict(zip(map(str, counts[label].to_pylist()), sizes.tolist(), strict=True))
    return Labels(
        name=name,
        summary=_summary(made["grouper"]),
        settings=", ".join(f"{key} {value}" for key, value in made["settings"].items()),
        finished=made["finished"],
        stale=tuple(made["stale"]),
        left=made["left"],
        rows=rows.num_rows,
        groups=len(sizes),
        grouped=grouped.num_rows,
        largest=top_bars(named, LARGEST) if few else (),
        sizes=histogram(sizes) if sizes.size and not few else None,
        strips=tuple(_strips(dataset, grouped, label, counts)) if shown else (),
    )


def _summary(grouper: str) -> str:
    try:
        return str(groupers.describe(grouper)["summary"])
    except (SettingsError, MissingExtraError):
        return "Its grouper is not installed here."


def _biometric(grouper: str) -> bool:
    try:
        return any(column.mark for column in groupers.load(grouper).COLUMNS)
    except (SettingsError, MissingExtraError):
        return True


def _strips(dataset: Dataset, rows: pa.Table, label: str, counts: pa.Table) -> list[Strip]:
    several = counts.filter(pc.field("source_id_count_distinct") > 1)
    order = [("source_id_count_distinct", "descending"), (label, "ascending")]
    first = several.take(pc.select_k_unstable(several, GROUPS, order))
    strips = []
    for row in first.to_pylist():
        members = rows.filter(pc.equal(rows[label], row[label]))
        note = counted(row["source_id_count_distinct"], "source")
        strips.append(strip_of(dataset, str(row[label]), note, _captions(members)))
    return strips


def _captions(members: pa.Table) -> dict[str, str]:
    """Return some sources of a group, each with what is said of it."""
    found: dict[str, str] = {}
    if "distance" in members.column_names:
        members = members.sort_by([("distance", "ascending"), ("source_id", "ascending")])
    for row in chain.from_iterable(b.to_pylist() for b in members.to_batches(ROWS)):
        if len(found) == SOURCES:
            break
        turned = row.get("turns")
        caption = _distance(row.get("distance"))
        found.setdefault(row["source_id"], f"{caption}, turned" if turned else caption)
    return found


def _distance(value: float | None) -> str:
    """Return a distance in words: bits of hashes are whole, those of vectors are not."""
    if value is None:
        return ""
    return counted(value, "bit") if isinstance(value, int) else f"{value:.3g} away"
