"""A dataset enters; posts that its run was to forget leave it, with all that only they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset import Dataset
from imgbatch.dataset.audit import records
from imgbatch.dataset.forget import complete
from imgbatch.posts.leaving import AGAIN, FORMER
from imgbatch.recount import recount
from imgbatch.report import rewrite_report

if TYPE_CHECKING:
    from imgbatch.settings import Recipe


def forget_removed(url: str, recipe: Recipe) -> dict[str, int] | None:
    """Complete what is on record as begun (see `imgbatch.posts.leaving`).

    By any policy but `forget` that is what a run began itself, and no command of the user's.

    Args:
        url: of a dataset that no run is at work on: a forget takes its own lock.
        recipe: of the run.

    Returns:
        how many rows left each table; None where there was nothing to be done.

    Raises:
        BusyError, FencedError, StorageError: as for `forget`; the next run completes it.
    """
    dataset = Dataset.open(url)
    if recipe.posts.removed != "forget" and not _began(dataset):
        return None
    audit = complete(dataset, recount)
    if audit is None:
        return None
    rewrite_report(dataset, audit.report)
    return {name: rows for name, rows in audit.rows.items() if rows}


def _began(dataset: Dataset) -> bool:
    """Tell whether a run began to forget what was forgotten before, by other ids or elsewhere."""
    told = records(dataset.store)
    ours = (FORMER, AGAIN)
    return any(one["status"] == "begun" and one.get("reason") in ours for one in told)
