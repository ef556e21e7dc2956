"""Labels enter and leave: the Delta tables below `groups/`, what each was made of, and the files.

    DATASET/groups/<name>/                 Delta: one row per thing that was labelled
    DATASET/groups/<name>/_files/<run>/    what the grouper wrote beside it: contact sheets, models
    DATASET/runs/<run>/group.json          what a grouping was asked, read and came to

A grouping replaces all labels in one commit, and the commit itself says what they were made of.
Files come before it, under the run's own name, and former ones go after it: whenever it is killed,
the labels that a reader sees have their own files.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST
from imgbatch.dataset.parts import put_table, read_columns, read_part
from imgbatch.dataset.state import state
from imgbatch.dataset.tombstones import names_below
from imgbatch.errors import DamageError, FencedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from imgbatch.dataset import Dataset, Part, Table

FOLDER = "groups"
FILES = "_files"
# What the commit of labels says of them, beside its run and digests.
SAID = "group"
RECORD = "group.json"
PART_ROWS = 1_000_000


def record_name(run: str) -> str:
    """Return the name of the object that says what a grouping was asked and came to."""
    return f"runs/{run}/{RECORD}"


def groupings(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return the records of all groupings by their run, of those that did not finish too."""
    found = {}
    for name in names_below(dataset.store, "runs"):
        if name.endswith(f"/{RECORD}"):
            try:
                told = json.loads(dataset.store.get(name))
                found[str(told["run"])] = told
            except (ValueError, KeyError, TypeError) as error:
                raise DamageError(f"{name} is not readable: {error!r}") from error
    return found


def path_of(name: str) -> str:
    """Return the folder of a table of labels below the dataset's root."""
    return f"{FOLDER}/{name}"


def names(dataset: Dataset) -> list[str]:
    """Return the names of the tables of labels that hold some: as below `groups/`."""
    return [name for name in dataset.folders(FOLDER) if record(dataset.table(path_of(name)))]


def record(table: Table) -> dict[str, Any] | None:
    """Return what the labels of a table were made of; None where there are none yet.

    Returns:
        run, number, grouper, version, settings, asked (those of them that are not the grouper's
        own, as they were given), tables (of each that was read its version, fingerprint, rows and
        state), rows, groups: how many, grouped: rows that are in one, files, finished, imgbatch:
        its version. left: how many rows a takedown took out since, if any.
    """
    said = table.said(SAID)
    return None if said is None else json.loads(said)


def counted(labels: pa.Table, column: str) -> dict[str, int]:
    """Return what a record says of labels: how many rows, groups, and rows that are in one.

    Args:
        labels: all of them.
        column: that names the group.
    """
    label = labels[column]
    return {
        "rows": labels.num_rows,
        "groups": pc.count_distinct(label, mode="only_valid").as_py(),
        "grouped": labels.num_rows - label.null_count,
    }


def differences(
    last: Mapping[str, Any],
    made: Mapping[str, Any],
    fitted_by: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> list[str]:
    """Return in words what other labels come of than those that are there; none: they may stay.

    Args:
        last: the record of those that are there.
        made: grouper, version, settings and tables of those that will come.
        fitted_by: what of the settings counts; all of them by default.
    """
    for key in ("grouper", "version"):
        if last[key] != made[key]:
            return [f"{key} {last[key]}, now {made[key]}"]
    before, now = (fitted_by(one["settings"]) for one in (last, made))
    if before != now:
        return [
            f"{name} = {before.get(name)}, now {now.get(name)}"
            for name in {**before, **now}
            if before.get(name) != now.get(name)
        ]
    then, here = (
        {name: read["fingerprint"] for name, read in one["tables"].items() if name != "sources"}
        for one in (last, made)
    )
    return [
        f"rows of {name} that were made otherwise"
        for name in {**then, **here}
        if then.get(name) != here.get(name)
    ]


def stale(dataset: Dataset, made: Mapping[str, Any]) -> list[str]:
    """Return the tables that are not any more what labels were made of."""
    return [
        name
        for name, read in made["tables"].items()
        if state(dataset.table(f"tables/{name}")) != read["state"]
    ]


def read(dataset: Dataset, name: str) -> pa.Table:
    """Return the labels of a table.

    Raises:
        DamageError: a part is missing or cannot be read.
    """
    table = dataset.table(path_of(name))
    parts = [read_part(dataset.store, part)[0] for part in table.parts().values()]
    plain = [one.replace_schema_metadata(None) for one in parts]
    return pa.concat_tables([table.schema().empty_table(), *plain], promote_options="default")


def read_some(dataset: Dataset, name: str, columns: Sequence[str]) -> pa.Table:
    """Return some columns of the labels of a table, those that it has.

    Of labels with the probabilities of a thousand classes, that is a thousandth of the memory.

    Raises:
        DamageError: a part is missing or cannot be read.
    """
    table = dataset.table(path_of(name))
    names = [column for column in columns if column in table.schema().names]
    parts = [read_columns(dataset.store, part, names) for part in table.parts().values()]
    plain = [one.replace_schema_metadata(None) for one in parts]
    none = table.schema().empty_table().select(names)
    return pa.concat_tables([none, *plain], promote_options="default")


def file_name(name: str, run: str, file: str) -> str:
    """Return the name of the object that a grouping's file is."""
    return f"{path_of(name)}/{FILES}/{run}/{file}"


def read_file(dataset: Dataset, name: str, made: Mapping[str, Any], file: str) -> bytes | None:
    """Return a file that labels were committed with; None where it is not there."""
    with contextlib.suppress(FileNotFoundError):
        return dataset.store.get(file_name(name, made["run"], file))
    return None


def commit(
    dataset: Dataset, name: str, labels: pa.Table, made: Mapping[str, Any], folder: Path
) -> None:
    """Write labels and their files, and replace the former ones by them in one commit.

    Args:
        dataset: to write to, under the number in `made`, which was taken by `take_number`.
        name: of the table.
        labels: all of them; nobody else's rows stay.
        made: what they were made of; see `record`.
        folder: holds the files in `made["files"]`.

    Raises:
        FencedError: another run took the dataset over; the former labels stay.
    """
    table, run, number = dataset.table(path_of(name)), made["run"], made["number"]
    for file in made["files"]:
        dataset.store.put_file(file_name(name, run, file), str(folder / file))
    parts = write(dataset, table.name, labels, made)
    # In this order: whoever takes the next number after our look finds the table and closes it.
    table.create(labels.schema, fence=number, run=run, description=f"Labels by {made['grouper']}")
    manifest = dataset.refreshed(MANIFEST)
    if manifest.fence != number:
        raise FencedError(f"run number {manifest.fence} took over from {number}")
    table.add_columns(labels.schema)
    former_parts = list(table.committed().values())  # whoever committed them
    table.commit(parts, former_parts, fence=number, run=run, said={SAID: json.dumps(made)})
    _clear(dataset, name, run)


def write(dataset: Dataset, path: str, labels: pa.Table, made: Mapping[str, Any]) -> Sequence[Part]:
    """Write the parts of labels, for a commit; each tells what it was made of."""
    told = {
        "table": path,
        "grouper": made["grouper"],
        "version": str(made["version"]),
        "settings": json.dumps(made["settings"]),
        "tables": json.dumps(made["tables"]),
        "run": made["run"],
    }
    starts = range(0, labels.num_rows, PART_ROWS)
    return [
        put_table(
            dataset.store,
            path,
            f"labels{at:05}@{made['number']}-{made['run'][-6:]}",
            labels.slice(start, PART_ROWS),
            told,
        )
        for at, start in enumerate(starts)
    ]


def _clear(dataset: Dataset, name: str, run: str) -> None:
    """Delete the files of former labels."""
    own = file_name(name, run, "")
    for found in names_below(dataset.store, f"{path_of(name)}/{FILES}"):
        if not found.startswith(own):
            dataset.store.delete(found)
