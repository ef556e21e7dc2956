"""A dataset enters; for how many days its posts are kept leaves, and whether a run changes that.

Of each input it is `keep_days` of the recipe that its whole runs had last, as the last record has
it. No row depends on it, so a run that finds nothing else to do records it all the same.

Decision, 2026-11: a post that several inputs have is kept for the shortest of their times. What was
promised for one of them, that its posts go after so many days, then holds whatever else is brought
into the dataset, and nothing is kept longer than somebody asked for. Drawback: who may keep such a
post for longer by another export of it, brings that into a dataset of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.dataset import posts
from imgbatch.errors import DamageError
from imgbatch.observe.status import RECENT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.settings import PostSettings


def kept_days(dataset: Dataset) -> dict[str, int]:
    """Return for how many days posts are kept, by the root of their input.

    An input that is not among them keeps its posts without end.

    Raises:
        DamageError: the record of a run is not readable.
    """
    made = posts.record_now(dataset)
    last = _last(dataset, made["inputs"] if made else None)
    found = {root: _days(record) for root, record in last.items()}
    return {root: days for root, days in sorted(found.items()) if days is not None}


def changed(dataset: Dataset, input_: str, settings: PostSettings) -> dict[str, int | None] | None:
    """Return what a run over the whole of an input changes of how long its posts are kept.

    The first run changes nothing, nor does an input that has no part in the posts of a dataset.

    Args:
        dataset: as the run finds it.
        input_: its root.
        settings: of the run's recipe.

    Returns:
        days, and before: what was kept so far; None is without end. None where both are the same.
    """
    made = posts.record_now(dataset)
    if made and input_ not in made["inputs"]:
        return None
    try:
        last = _last(dataset, [input_]).get(input_)
    except DamageError:
        return None  # `retain` says so, and what mends it
    if last is None:
        return None
    days, before = settings.keep_days, _days(last)
    return None if days == before else {"days": days, "before": before}


def _last(dataset: Dataset, inputs: Collection[str] | None) -> dict[str, dict[str, Any]]:
    """Return the record of the last whole run of each of some inputs; None: of whichever ran last.

    Only so many records are read as it takes to find them.
    """
    found: dict[str, dict[str, Any]] = {}
    since = 0
    for name in reversed(dataset.run_names()):
        # Names begin with the time by some machine's clock; the number says which run was later.
        if len(found) == (1 if inputs is None else len(inputs)) and since >= RECENT:
            break
        since += 1
        record = dataset.run_record(name)
        root = record.get("input")
        if record.get("limit") or record.get("share") or root is None:
            continue
        if inputs is None:
            if not found or _number(record) > max(map(_number, found.values())):
                found = {root: record}
        elif root in inputs:
            if root not in found:
                since = 1
            if root not in found or _number(record) > _number(found[root]):
                found[root] = record
    return found


def _number(record: Mapping[str, Any]) -> int:
    return int(record["number"])


def _days(record: Mapping[str, Any]) -> int | None:
    found = (record.get("recipe") or {}).get("posts", {}).get("keep_days")
    return None if found is None else int(found)
