"""What one transaction of a Delta table is made of, and what its errors mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, Transaction

from imgbatch.errors import DamageError, StorageError
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.dataset.part import Part

APP = "imgbatch"
# Commits name their run for as long as the dataset lives; delta's default forgets after 30 days.
CONFIGURATION = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.checkpointInterval": "100",
}


def add_action(part: Part, *, now: int) -> AddAction:
    """Return what adds a part; `now` in milliseconds since 1970."""
    counted = json.dumps({"numRecords": part.rows})
    return AddAction(part.path, part.size, {}, now, data_change=True, stats=counted)


def remove_action(part: Part, *, now: int) -> RemoveAction:
    """Return what removes a part; `now` in milliseconds since 1970."""
    return RemoveAction(part.path, data_change=True, deletion_timestamp=now, size=part.size)


def properties(fence: int, run: str, adds: Sequence[Part]) -> CommitProperties:
    """Return what a commit says of itself: its run, its fence, and the digests of its parts."""
    metadata: Mapping[str, Any] = {
        "run": run,
        "digests": json.dumps({part.path: part.sha256 for part in adds}),
    }
    return CommitProperties(
        custom_metadata=dict(metadata),
        max_commit_retries=0,
        app_transactions=[Transaction(APP, fence)],
    )


class mapped:  # noqa: N801 - reads as a statement where it is used
    """Turns deltalake's errors into ours; a lost race stays CommitFailedError for the caller."""

    def __init__(self, table: str) -> None:
        self.table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CommitFailedError):
            return
        if isinstance(error, DeltaError):
            raise DamageError(f"table {self.table}: {scrub(str(error))}") from error
        if isinstance(error, OSError):
            raise StorageError(f"table {self.table}: {scrub(str(error))}") from error
