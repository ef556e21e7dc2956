"""A dataset enters; for how many days its posts are kept leaves, and whether a run changes that.

It is `keep_days` of the recipe that ran last, as that run's record has it. No row depends on it, so
a run that finds nothing else to do records it all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.dataset import posts
from imgbatch.errors import DamageError
from imgbatch.observe.status import last_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.settings import PostSettings


def kept_days(dataset: Dataset) -> int | None:
    """Return `keep_days` of the recipe that ran last; None where it has none.

    Raises:
        DamageError: the record of a run is not readable.
    """
    return _days(last_record(dataset, dataset.run_names()))


def changed(dataset: Dataset, input_: str, settings: PostSettings) -> dict[str, int | None] | None:
    """Return what a run over the whole of an input changes of how long posts are kept.

    The first run changes nothing, nor does an input that has no part in the posts of a dataset.

    Args:
        dataset: as the run finds it.
        input_: its root.
        settings: of the run's recipe.

    Returns:
        days, and before: what was kept so far; None is without end. None where both are the same.
    """
    posts.here(dataset)
    made = posts.record(dataset)
    if made and input_ not in made["inputs"]:
        return None
    try:
        last = last_record(dataset, dataset.run_names())
    except DamageError:
        return None  # `retain` says so, and what mends it
    days, before = settings.keep_days, _days(last)
    return None if last is None or days == before else {"days": days, "before": before}


def _days(record: Mapping[str, Any] | None) -> int | None:
    found = ((record or {}).get("recipe") or {}).get("posts", {}).get("keep_days")
    return None if found is None else int(found)
