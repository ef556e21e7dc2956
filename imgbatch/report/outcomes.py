"""Enters: a dataset. Leaves: what became of its sources, by class, with examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from imgbatch.dataset import SOURCES
from imgbatch.dataset.parts import readable
from imgbatch.observe.status import outcomes

if TYPE_CHECKING:
    from typing import Any

    from imgbatch.dataset import Dataset

STATES = ("ok", "failed", "filtered")
CLASSES_SHOWN = 40
EXAMPLES = 3
EXAMPLES_READ = 300


@dataclass(frozen=True, slots=True)
class Example:
    """One source of a class, and what was found in it."""

    address: str
    message: str


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """Why sources failed or were filtered, and how many."""

    status: str
    name: str
    count: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The reconciliation: sources = ok + failed + filtered + open.

    Attributes:
        sources: how many the manifest has.
        open: how many have no outcome yet.
        classes_left: how many classes are not in `classes`.
    """

    sources: int
    ok: int
    failed: int
    filtered: int
    classes: tuple[ErrorClass, ...]
    classes_left: int

    @property
    def open(self) -> int:
        """Sources without an outcome: a run was interrupted, or goes on."""
        return self.sources - self.ok - self.failed - self.filtered

    def count(self, state: str) -> int:
        """Return how many sources came to a state."""
        return {"ok": self.ok, "failed": self.failed, "filtered": self.filtered}[state]


def read_outcomes(dataset: Dataset, *, sources: int) -> Outcomes:
    """Count the table `sources` against the manifest, which has so many sources."""
    counts = outcomes(dataset)
    totals = {state: sum(counts.get(state, {}).values()) for state in STATES}
    classes = [
        (status, name, count)
        for status in ("failed", "filtered")
        for name, count in sorted(counts.get(status, {}).items(), key=lambda c: (-c[1], c[0]))
    ]
    return Outcomes(
        sources,
        **totals,
        classes=tuple(
            ErrorClass(status, name, count, _examples(dataset, status, name))
            for status, name, count in classes[:CLASSES_SHOWN]
        ),
        classes_left=max(0, len(classes) - CLASSES_SHOWN),
    )


def _examples(dataset: Dataset, status: str, name: str) -> tuple[Example, ...]:
    """Return a few sources of a class, with different messages where there are some."""
    where = (pc.field("status") == status) & (pc.field("error_class") == name)
    path = f"tables/{SOURCES}"
    with readable(path):
        rows = dataset.table(path).dataset()
        read = rows.head(EXAMPLES_READ, columns=["address", "message"], filter=where)
    found: list[dict[str, Any]] = read.sort_by("address").to_pylist()
    first_of = {row["message"]: row for row in reversed(found)}
    different = sorted(first_of.values(), key=lambda row: str(row["address"]))
    same = [row for row in found if row not in different]
    chosen = (different + same)[:EXAMPLES]
    return tuple(Example(str(row["address"]), row["message"] or "") for row in chosen)
