"""What one transaction of a Delta table is made of, and what its errors mean."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, Transaction

from imgbatch.errors import DamageError, DeniedError, RunError, StorageError
from imgbatch.storage.local import DENIED
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.dataset.part import Part

APP = "imgbatch"
# What begins the sentence of an error that a bucket's server caused.
OF_STORES = ("Generic S3 error", "Generic GCS error")
# An error is drawn as a tree, in red, one clause to the line.
BRANCH = re.compile("\\s*\x1b\\[31m\u21b3\x1b\\[0m\\s*")
# After its sentence comes where in its code that was, or all that it knows of a file.
INNER = re.compile(r"\s*(\n\s*0: |: ParsedLogPath \{).*", re.DOTALL)
# EPERM, EACCES, EROFS: asking again is refused again.
REFUSED = re.compile(r"os error (1|13|30)\b")
# Commits name their run for as long as the dataset lives; delta's default forgets after 30 days.
# They tell no range of any column, for which delta would still keep a place at every part.
CONFIGURATION = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.checkpointInterval": "100",
    "delta.dataSkippingNumIndexedCols": "0",
}


def add_action(part: Part, *, now: int) -> AddAction:
    """Return what adds a part; `now` in milliseconds since 1970."""
    counted = json.dumps({"numRecords": part.rows})
    return AddAction(part.path, part.size, {}, now, data_change=True, stats=counted)


def remove_action(part: Part, *, now: int) -> RemoveAction:
    """Return what removes a part; `now` in milliseconds since 1970."""
    return RemoveAction(part.path, data_change=True, deletion_timestamp=now, size=part.size)


def properties(
    fence: int, run: str, adds: Sequence[Part], said: Mapping[str, str] | None = None
) -> CommitProperties:
    """Return what a commit says of itself: its run, fence, parts' digests, and more."""
    metadata: Mapping[str, Any] = {
        **(said or {}),
        "run": run,
        "digests": json.dumps({part.path: part.sha256 for part in adds}),
    }
    return CommitProperties(
        custom_metadata=dict(metadata),
        max_commit_retries=0,
        app_transactions=[Transaction(APP, fence)],
    )


def failed(root: str, table: str, error: BaseException) -> RunError:
    """Return our error for one of deltalake's: damage, or what a store said.

    Args:
        root: URL of the dataset.
        table: its name.
        error: what deltalake raised.
    """
    text = words(error)
    said = f"table {table}: {text}"
    if root.startswith("file:") and REFUSED.search(text):
        return DeniedError(said, DENIED)
    if isinstance(error, DeltaError) and not any(words in said for words in OF_STORES):
        return DamageError(said)
    if root.startswith("file:"):
        return StorageError(said)
    from imgbatch.storage.refusals import refusal  # noqa: PLC0415 - of buckets only

    found = refusal(root, table, Exception(text))
    return found if isinstance(found, RunError) else StorageError(f"table {table}: {found}")


def words(error: BaseException) -> str:
    """Return what deltalake says, as a sentence without secrets."""
    return scrub(BRANCH.sub(": ", INNER.sub("", str(error)))).strip()


class mapped:  # noqa: N801 - reads as a statement where it is used
    """Turns deltalake's errors into ours; a lost race stays CommitFailedError for the caller."""

    def __init__(self, root: str, table: str) -> None:
        self.root = root
        self.table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CommitFailedError):
            return
        # An OSError that is ours already says more.
        if isinstance(error, DeltaError | OSError) and not isinstance(error, RunError):
            raise failed(self.root, self.table, error) from error
