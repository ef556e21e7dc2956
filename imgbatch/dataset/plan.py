"""What is to do: the shards and tables whose part is not in the current snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.dataset import Dataset, TableSpec
    from imgbatch.records import Shard


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
