"""A dataset enters; its runs in order, each table's commits, and any table after any run leave.

The order of runs is that of their commits to the manifest: each takes its number there. Ids begin
with a time of whole seconds and would not tell.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imgbatch.dataset import MANIFEST
from imgbatch.dataset.groups import groupings
from imgbatch.dataset.parts import read_part
from imgbatch.errors import DamageError, DatasetError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from imgbatch.dataset import Dataset, Part, Table

NO_RUN = ("", "create")


@dataclass(frozen=True, slots=True)
class Commit:
    """One version of a table.

    Attributes:
        run: which run committed it; "" or "create" when it held no rows of a run.
        added: file names of the parts that it added.
    """

    version: int
    run: str
    when: datetime
    added: tuple[str, ...]


def commits(table: Table) -> list[Commit]:
    """Return all commits of a table, oldest first."""
    return [_commit(entry) for entry in reversed(table.history())]


def _commit(entry: dict[str, Any]) -> Commit:
    return Commit(
        version=entry["version"],
        run=entry.get("run", ""),
        when=datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
        added=tuple(json.loads(entry.get("digests", "{}"))),
    )


class Past:
    """The runs of a dataset that changed anything, and its tables as they stood after each.

    Attributes:
        runs: ids, oldest first.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._commits: dict[str, list[Commit]] = {}
        found = dict.fromkeys(commit.run for commit in self.commits(MANIFEST))
        self.runs = [run for run in found if run not in NO_RUN]

    def commits(self, path: str) -> list[Commit]:
        """Return all commits of a table, by its folder, oldest first."""
        if path not in self._commits:
            self._commits[path] = commits(self._dataset.table(path))
        return self._commits[path]

    def after(self, path: str, run: str) -> Table | None:
        """Return a table as it stood when a run had ended; None when it was not there yet."""
        until = set(self.runs[: self.runs.index(run) + 1]).union(NO_RUN)
        last = None
        for commit in self.commits(path):
            if commit.run not in until:
                break
            last = commit
        return self._dataset.table(path).as_of(last.version) if last else None

    def named(self, text: str) -> str:
        """Return a run's id by its beginning, or by `first`, `previous` or `last`.

        Raises:
            SettingsError: no run is meant, or more than one.
        """
        # A grouping changes labels alone.
        labelled = groupings(self._dataset)
        runs = [run for run in self.runs if run not in labelled]
        words = {"first": runs[:1], "previous": runs[-2:-1], "last": runs[-1:]}
        found = words.get(text) or [run for run in self.runs if run.startswith(text)]
        if len(found) == 1:
            return found[0]
        said = f"{len(found)} runs begin with {text!r}" if found else f"no run is {text!r}"
        raise SettingsError(
            f"{said}; runs here: {', '.join(self.runs) or 'none'}",
            "Give a run as `imgbatch history DATASET` shows it, or first, previous or last.",
        )


def read_former(dataset: Dataset, part: Part) -> pa.Table:
    """Return the rows of a part that some former state of a dataset held.

    Raises:
        DatasetError: its file is not there any more.
    """
    try:
        return read_part(dataset.store, part)[0].replace_schema_metadata(None)
    except DamageError as error:
        raise vacuumed(str(error)) from error


def vacuumed(what: str) -> DatasetError:
    """Return the error for a file of a former state that cannot be read."""
    return DatasetError(
        f"a former state cannot be read: {what}",
        "Files of former states last until the dataset is vacuumed. Compare newer runs.",
    )


def added_by(commits_: Sequence[Commit], run: str) -> list[str]:
    """Return the file names of the parts that a run added."""
    return [path for commit in commits_ if commit.run == run for path in commit.added]
