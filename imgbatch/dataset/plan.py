"""What is to do: the shards and tables whose part is not in the current snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgbatch.dataset import SOURCES
from imgbatch.dataset.parts import read_columns
from imgbatch.errors import DamageError
from imgbatch.records import analyzer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imgbatch.dataset import Dataset, Part, TableSpec
    from imgbatch.records import Shard


@dataclass(frozen=True, slots=True)
class Work:
    """What is to do for one shard.

    Attributes:
        tables: the tables to write a part of.
        former: by table, the committed part of the same fingerprint whose rows still hold for the
            sources that were not touched since. That of `sources` is there too where it is not to
            be written: it says which sources the analyzers see.
    """

    shard: Shard
    tables: tuple[str, ...]
    former: Mapping[str, Part] = field(default_factory=dict)


def gone(dataset: Dataset, shards: Sequence[Shard]) -> set[str]:
    """Return the names of shards that tables still hold and the manifest does not.

    Looked up in each run, not remembered from the commit that emptied them: a run that was killed
    between the two is healed by the next.
    """
    names = {shard.name for shard in shards}
    tables = [dataset.table(f"tables/{name}") for name in dataset.tables()]
    return {part.shard for table in tables for part in table.parts().values()} - names


def lessened(dataset: Dataset, specs: Sequence[TableSpec]) -> list[str]:
    """Return the tables whose rows will be made anew with fewer columns.

    What they lose, embeddings of faces say, stays in files behind earlier states: who asked for
    less has to know. Of posts see `imgbatch.dataset.posts`.
    """
    found = []
    for spec in specs:
        table = dataset.table(spec.path)
        if not table.exists:
            continue
        lost = {*table.schema().names} - {*spec.schema.names}
        parts = table.parts().values() if lost else ()
        # The schema keeps its columns for ever, so only rows that will be replaced count: of those
        # that were made alike one part tells.
        others = {part.fingerprint: part for part in parts if part.fingerprint != spec.short}
        if any(_holds(dataset, part, lost) for part in others.values()):
            found.append(spec.name)
    return found


def _holds(dataset: Dataset, part: Part, columns: Iterable[str]) -> bool:
    """Tell whether a part has one of some columns; where it cannot be read, it may have."""
    try:
        return bool(read_columns(dataset.store, part, sorted(columns)).column_names)
    except DamageError:
        return True


def undone(dataset: Dataset, shards: Sequence[Shard], specs: Sequence[TableSpec]) -> list[Work]:
    """Return what each shard still needs; shards with nothing to do are left out.

    An analyzer's two tables are written together: how many regions a picture has and what they are
    come from one look at it.
    Where the outcomes of a shard are to be written, all its tables are: outcomes and rows come from
    one reading of each source, and never from two that may have come to different ends.
    """
    committed = {spec.name: dataset.table(spec.path).parts().values() for spec in specs}
    stems = {name: {part.stem for part in parts} for name, parts in committed.items()}
    last = {
        spec.name: {p.shard: p for p in committed[spec.name] if p.fingerprint == spec.short}
        for spec in specs
    }
    works = []
    for shard in shards:
        tables = tuple(s.name for s in specs if s.stem(shard.label) not in stems[s.name])
        analyzers = {analyzer_of(name) for name in tables}
        tables = tuple(
            s.name for s in specs if SOURCES in tables or analyzer_of(s.name) in analyzers
        )
        if tables:
            former = {
                name: last[name][shard.name]
                for name in {*tables, SOURCES}
                if shard.name in last[name]
            }
            works.append(Work(shard, tables, former))
    return works
