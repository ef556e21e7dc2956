"""Error classes enter; the sources that failed with one are done again, and nothing else is.

They are touched: their shards get a new generation, in which their rows are computed anew and all
others carried over. The input is not listed: a source is read again in the version that it has.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch import analyzers, settings
from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.dataset.changes import Changes
from imgbatch.dataset.lock import refuse_busy
from imgbatch.driver import Driver
from imgbatch.errors import DatasetError, SettingsError
from imgbatch.observe.recorder import Recorder
from imgbatch.removed import forget_removed
from imgbatch.settings import nearest
from imgbatch.summary import Request, new_run
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imgbatch.driver import Engine
    from imgbatch.observe.recorder import Watcher
    from imgbatch.settings import Limits
    from imgbatch.summary import Summary

# By stage, what a source can fail with in a run, as the tree of errors has it.
CLASSES = {
    "fetch": ("missing", "denied", "changed", "unreadable", "failed", "timeout"),
    "archive": ("corrupt", "truncated", "bomb", "encrypted", "unsupported"),
    "decode": (
        "empty",
        "truncated",
        "corrupt",
        "bomb",
        "unrecognised",
        "unsupported",
        "no-video",
        "no-frames",
        "unexpected",
    ),
    "analyze": ("failed",),
    "poison": ("crash", "memory", "hang"),
}
KNOWN = [f"{stage}.{name}" for stage, names in CLASSES.items() for name in names]


@dataclass(frozen=True, slots=True)
class Again:
    """What is asked to be done again.

    Attributes:
        classes: error classes, with the wild cards of a shell: `decode.*`.
        elsewhere: as of a `Request`.
    """

    dataset: str
    classes: tuple[str, ...]
    engine: str
    elsewhere: bool = False


def retry(again: Again, limits: Limits, engine: Engine, watcher: Watcher) -> Summary:
    """Do the sources again that failed with one of the classes, by the recipe of the last run.

    Raises:
        SettingsError: there is no such error class.
        DatasetError: nothing was ever run.
    """
    start = time.monotonic()
    _check(again.classes)
    dataset = Dataset.open(again.dataset)
    runs = dataset.runs()
    if not runs:
        raise DatasetError(f"{dataset.url} has no run whose sources could be done again")
    last = runs[-1]
    recipe = settings.recipe_of(last["recipe"], settings_of=analyzers.settings_of)
    specs = table_specs(recipe)
    request = Request(last["input"], again.dataset, "", again.engine, elsewhere=again.elsewhere)
    refuse_busy(dataset.store)
    with Recorder(again.dataset, new_run(), limits=limits, watcher=watcher) as recorder:
        driver = Driver(
            dataset,
            request,
            recipe,
            specs,
            limits,
            start=start,
            run=recorder.run,
            fetching=recorder.fetching,
        )
        with contextlib.closing(driver):
            tables = [spec.name for spec in specs if "status" in spec.schema.names]
            changes = _touched(dataset, failed(dataset, tables, again.classes))
            driver.summary.changed = changes.changed.num_rows
            driver.change(changes)
            if not changes.nothing:
                driver.compute(engine, recorder)
    driver.summary.forgot = forget_removed(again.dataset, recipe)
    return driver.summary


def _check(classes: Iterable[str]) -> None:
    for name in classes:
        stage = name.partition(".")[0]
        if not any(fnmatchcase(known, stage) for known in CLASSES):
            raise SettingsError(
                f"no error class begins with {stage!r}{nearest(stage, list(CLASSES))}",
                "`imgbatch status DATASET` shows the classes that there are.",
            )


def failed(dataset: Dataset, tables: Sequence[str], classes: Sequence[str]) -> pa.Array:
    """Return the ids of the sources that failed with one of the classes, in any of the tables.

    Raises:
        SettingsError: a class is neither one that there is nor one that any source can fail with.
    """
    columns, where = ["source_id", "error_class"], pc.field("status") == "failed"
    rows = pa.concat_tables(dataset.read(name, columns=columns, where=where) for name in tables)
    there = pc.unique(rows["error_class"]).to_pylist()
    _refuse_unknown(classes, there)
    wanted = [c for c in there if any(fnmatchcase(c, pattern) for pattern in classes)]
    chosen = rows.filter(pc.is_in(rows["error_class"], value_set=pa.array(wanted, pa.string())))
    return pc.unique(chosen["source_id"])


def _refuse_unknown(classes: Iterable[str], there: Iterable[str]) -> None:
    # What is there is known as well: another version of imgbatch may have written it.
    known = sorted({*KNOWN, *there})
    for pattern in classes:
        if not any(fnmatchcase(name, pattern) for name in known):
            told = ", ".join(sorted(there))
            raise SettingsError(
                f"there is no error class {pattern!r}{nearest(pattern, known)}",
                f"Sources of this dataset failed with: {told}." if told else "No source failed.",
            )


def _touched(dataset: Dataset, ids: pa.Array) -> Changes:
    rows = dataset.read(MANIFEST, where=pc.field("source_id").isin(ids))
    return Changes.of_rows(changed=rows)
