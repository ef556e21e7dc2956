"""What is to do: the shards and tables whose part is not in the current snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.dataset import Dataset, TableSpec
    from imgbatch.records import Shard


def gone(dataset: Dataset, shards: Sequence[Shard]) -> set[str]:
    """Return the names of shards that tables still hold and the manifest does not.

    Looked up in each run, not remembered from the commit that emptied them: a run that was killed
    between the two is healed by the next.
    """
    names = {shard.name for shard in shards}
    tables = [dataset.table(f"tables/{name}") for name in dataset.tables()]
    return {part.shard for table in tables for part in table.parts().values()} - names


def undone(
    dataset: Dataset, shards: Sequence[Shard], specs: Sequence[TableSpec]
) -> Mapping[Shard, tuple[str, ...]]:
    """Return the tables that each shard still needs; shards with nothing to do are left out."""
    committed = {spec.name: set(dataset.table(spec.path).parts()) for spec in specs}
    found = {
        shard: tuple(
            spec.name for spec in specs if spec.part_name(shard.label) not in committed[spec.name]
        )
        for shard in shards
    }
    return {shard: names for shard, names in found.items() if names}
