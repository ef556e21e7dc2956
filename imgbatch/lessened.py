"""A recipe that keeps less of regions than a former one did; what that one kept leaves for good.

The former rows of a table stay behind its former versions, so that an earlier state can be read.
Not so what was found in pictures and is no longer to be kept: the landmarks and embeddings of faces
once the recipe says `output = "count"`. When a run is through, these leave:

    files of region tables that no snapshot holds, where the table has columns that the recipe lacks
    labels that were made of such columns, and the files beside them
    what a repair put aside of either, the report, and what a bucket keeps of all that

The main tables, which count, stay as they are, and so do tables that the recipe does not fill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch import groupers
from imgbatch.dataset import groups, labels, scrub
from imgbatch.dataset.repair import ASIDE
from imgbatch.dataset.tombstones import names_below
from imgbatch.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imgbatch.dataset import Dataset, TableSpec
    from imgbatch.storage import Former

REGION = "region"


def is_due(dataset: Dataset, specs: Iterable[TableSpec]) -> bool:
    """Tell whether there is anything that the recipe keeps no more; a look at names alone.

    Args:
        dataset: where all parts are as the recipe has them.
        specs: the tables of the recipe.

    Raises:
        StorageError: former versions of objects may not be listed; asked for only where there are
            columns that the recipe lacks.
    """
    lost = _lost(dataset, specs)
    made_of = _labels(dataset, specs, lost)
    return any(dataset.table(groups.path_of(name)).parts() for name in made_of) or any(
        _files(dataset, folder) or [one for one in _former(dataset, folder) if not one.marker]
        for folder in _folders(lost, made_of)
    )


def release(dataset: Dataset, specs: Sequence[TableSpec], *, run: str, number: int) -> int:
    """Delete what the recipe keeps no more; return how many files.

    Args:
        dataset: as for `is_due`.
        specs: the tables of the recipe.
        run: for the commits that empty labels.
        number: under which, taken with the lock.

    Raises:
        FencedError: another run took the dataset over.
        StorageError: former versions of objects may not be listed or deleted; the next run asks
            for it again.
    """
    lost = _lost(dataset, specs)
    made_of = _labels(dataset, specs, lost)
    # Its page and those of searches show faces. First: once the files are gone, nothing is due.
    gone = names_below(dataset.store, scrub.REPORT)
    scrub.report(dataset.store)
    for name in made_of:
        labels.empty(dataset, name, run=run, number=number)
    folders = _folders(lost, made_of)
    for folder in folders:
        files = _files(dataset, folder)
        for file in files:
            dataset.store.delete(file)
        gone += files
    for folder in (scrub.REPORT, *folders):
        dataset.store.erase(_former(dataset, folder))
    return len(gone)


def _lost(dataset: Dataset, specs: Iterable[TableSpec]) -> dict[str, frozenset[str]]:
    """Return the columns of region tables that the recipe lacks, by table, where there are any."""
    found = {}
    for spec in specs:
        if spec.grain != REGION:
            continue
        table = dataset.table(spec.path)
        table.refresh()
        if table.exists and (columns := {*table.schema().names} - {*spec.schema.names}):
            found[spec.name] = frozenset(columns)
    return found


def _labels(
    dataset: Dataset, specs: Iterable[TableSpec], lost: Mapping[str, frozenset[str]]
) -> list[str]:
    """Return the names of labels that were made of such columns."""
    if not lost:
        return []
    made_with = {spec.name: spec.short for spec in specs}
    found = []
    for name in dataset.folders(groups.FOLDER):
        table = dataset.table(groups.path_of(name))
        table.refresh()
        made = groups.record(table) or {"tables": {}}
        if any(
            read["fingerprint"] != made_with[own] and _is_made_of(made, own, lost[own])
            for own, read in made["tables"].items()
            if own in lost
        ):
            found.append(name)
    return found


def _is_made_of(made: Mapping[str, Any], table: str, columns: frozenset[str]) -> bool:
    """Tell whether labels were made of some of these columns of a table."""
    try:
        module = groupers.load(made["grouper"])
        read = module.READS(module.Settings.model_validate(made["settings"]))
    except (RunError, ValueError):
        return True  # by another version of the grouper, or a model that is gone: nobody knows
    return bool(columns.intersection(read.get(table, columns)))


def _folders(lost: Iterable[str], made_of: Iterable[str]) -> list[str]:
    own = [*(f"tables/{name}" for name in lost), *map(groups.path_of, made_of)]
    return [*own, *(f"{ASIDE}/{folder}" for folder in own)]


def _files(dataset: Dataset, folder: str) -> list[str]:
    """Return the names of a folder's files that no snapshot holds."""
    names = names_below(dataset.store, folder)
    held = set()
    if not folder.startswith(f"{ASIDE}/"):
        held = {f"{folder}/{path}" for path in dataset.table(folder).parts()}
    return [name for name in names if name not in held and scrub.DELTA_LOG not in name.split("/")]


def _former(dataset: Dataset, folder: str) -> list[Former]:
    found = dataset.store.former(folder)
    return [one for one in found if scrub.DELTA_LOG not in one.name.split("/")]
