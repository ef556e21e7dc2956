"""What is to do enters; how many sources are to be read for it leaves, without reading shards.

`plan` looks at every shard for that. A driver only announces it, and has what costs it nothing:
what it has just frozen, what the parts are named, and how many outcomes of a part are ok. Of shards
of which it knows too little, as a run before died with them undone, two columns of the manifest are
read.

Exact but in two cases, in which it is too many: a new analyzer over a shard that changed as well,
or whose outcomes are not counted; and tables of a shard that are of different generations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, SOURCES, Dataset
from imgbatch.dataset.counts import ok_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imgbatch.dataset.plan import Work


def sources_due(dataset: Dataset, works: Iterable[Work], touched: Mapping[str, int]) -> int:
    """Return how many sources are to be read.

    Args:
        dataset: has the manifest and the former parts.
        works: what is to do.
        touched: of the shards whose generation this run made, how many sources it touched in each.

    Raises:
        DamageError: a part of the manifest cannot be read.
    """
    count = 0
    fresh: list[Work] = []
    behind: dict[str, tuple[str, int]] = {}
    for work in works:
        shard, former = work.shard, work.former
        since = min((part.generation for part in former.values()), default=-1)
        if SOURCES not in former:
            count += shard.sources
        elif not former.keys() >= set(work.tables):
            fresh.append(work)
        elif shard.name in touched and since == shard.generation - 1:
            count += touched[shard.name]
        else:
            behind[shard.part] = shard.name, since
    return count + _pictures(dataset, fresh) + _touched_since(dataset, behind)


def _pictures(dataset: Dataset, works: list[Work]) -> int:
    """Return how many sources new analyzers see: those whose outcome is ok."""
    told = ok_rows(dataset) if works else {}
    count = 0
    for work in works:
        former = work.former[SOURCES]
        known = former.generation == work.shard.generation
        count += told.get(former.path, former.rows) if known else work.shard.sources
    return count


def _touched_since(dataset: Dataset, behind: Mapping[str, tuple[str, int]]) -> int:
    """Return how many sources of shards were touched after a generation.

    Args:
        dataset: has the manifest.
        behind: by part of the manifest, its shard and that generation.
    """
    if not behind:
        return 0
    names, since = (pa.array(column) for column in zip(*behind.values(), strict=True))
    count = 0
    for rows in dataset.table(MANIFEST).batches(["shard", "touched"], only=behind.keys()):
        then = since.take(pc.index_in(rows["shard"], value_set=names))
        count += pc.sum(pc.greater(rows["touched"], then)).as_py() or 0
    return count
