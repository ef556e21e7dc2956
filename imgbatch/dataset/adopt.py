"""Works enter; what of them lies written in the store already leaves as parts to commit.

Two things leave such parts: a driver that died between a worker's last write and its own commit,
and a recipe that was changed and is now as it was before. A part is only taken after a look at all
of it: its digest is the one in its name, its metadata name the fingerprint, its rows are of exactly
the sources that the manifest has, and the tables of a shard agree. Where one of an analyzer's two
tables was committed and the other was not, the first is looked at like a part that was not.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from imgbatch.dataset import SOURCES
from imgbatch.dataset.part import Part
from imgbatch.dataset.parts import read_part
from imgbatch.dataset.reconciled import reconcile
from imgbatch.dataset.shards import listed_rows
from imgbatch.dataset.verify import Verified
from imgbatch.errors import DamageError
from imgbatch.records import analyzer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    import pyarrow as pa

    from imgbatch.dataset import Dataset, TableSpec
    from imgbatch.dataset.plan import Work
    from imgbatch.records import Shard

    Candidates = Mapping[tuple[str, str], Sequence[str]]

READERS = 8


def adopt(
    dataset: Dataset,
    works: Sequence[Work],
    specs: Iterable[TableSpec],
    listed: Callable[[Shard], pa.Table] | None = None,
) -> tuple[list[Part], list[Work]]:
    """Return parts that can be committed as they are, and what is still to do without them.

    Args:
        dataset: where they would lie.
        works: what is to do.
        specs: the tables of the recipe.
        listed: gives the rows of a shard; by default those that the manifest has.
    """
    rows_of = listed or partial(listed_rows, dataset)
    by_name = {spec.name: spec for spec in specs}
    found = _candidates(dataset, {name for work in works for name in work.tables})
    if not found:
        return [], list(works)
    with ThreadPoolExecutor(READERS) as pool:
        adopted = list(pool.map(lambda work: _adopt(dataset, work, by_name, found, rows_of), works))
    left = [
        replace(work, tables=tuple(n for n in work.tables if n not in own))
        for work, own in zip(works, adopted, strict=True)
    ]
    parts = [
        part
        for work, own in zip(works, adopted, strict=True)
        for name, part in own.items()
        if not _is_committed(work, name, part.path)
    ]
    return parts, [work for work in left if work.tables]


def _candidates(dataset: Dataset, names: Iterable[str]) -> Candidates:
    """Return the paths of parts in the store that no snapshot holds, by table and stem."""
    found = defaultdict(list)
    for name in names:
        table = dataset.table(f"tables/{name}")
        if not table.exists:
            continue
        committed = table.parts()
        for entry in dataset.store.list(table.name):
            path = entry.name.removeprefix(f"{table.name}/")
            if path.endswith(".parquet") and "/" not in path and path not in committed:
                found[name, path.rpartition("-")[0]].append(path)
    return found


def _adopt(
    dataset: Dataset,
    work: Work,
    specs: Mapping[str, TableSpec],
    candidates: Candidates,
    rows_of: Callable[[Shard], pa.Table],
) -> dict[str, Part]:
    """Return parts for some or all tables of a shard that agree with each other."""
    label = work.shard.label
    read: dict[str, tuple[Part, pa.Table]] = {}
    for name in work.tables:
        stem = specs[name].stem(label)
        paths = list(candidates.get((name, stem), ()))
        if (former := work.former.get(name)) is not None and former.stem == stem:
            paths.insert(0, former.path)
        for path in paths:
            if (whole := _read(dataset, specs[name], path)) is not None:
                read[name] = whole
                break
    for name in [name for name in work.tables if not _has_partner(name, work.tables, read)]:
        read.pop(name, None)
    rows = {name: table for name, (_, table) in read.items()}
    if SOURCES not in work.tables:
        rows[SOURCES] = read_part(dataset.store, work.former[SOURCES])[0]
    if not read or SOURCES not in rows:
        return {}
    checked = Verified()
    reconcile(label, rows_of(work.shard), rows, checked)
    return {} if checked.problems else {name: part for name, (part, _) in read.items()}


def _has_partner(name: str, tables: Iterable[str], read: Container[str]) -> bool:
    """Say whether all tables of a table's analyzer were read."""
    return all(other in read for other in tables if analyzer_of(other) == analyzer_of(name))


def _is_committed(work: Work, name: str, path: str) -> bool:
    return name in work.former and work.former[name].path == path


def _read(dataset: Dataset, spec: TableSpec, path: str) -> tuple[Part, pa.Table] | None:
    try:
        rows, sha256 = read_part(dataset.store, Part(spec.path, path, 0, 0))
    except DamageError:
        return None  # it was never committed, and is written anew
    told = (rows.schema.metadata or {}).get(b"imgbatch.fingerprint", b"").decode()
    if told != spec.fingerprint or not path.endswith(f"-{sha256[:8]}.parquet"):
        return None
    size = dataset.store.head(f"{spec.path}/{path}").size
    return Part(spec.path, path, size, rows.num_rows, sha256), rows.replace_schema_metadata(None)
