"""A dataset enters; what finds the ids of posts in names of sources leaves, as in the join."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgbatch.dataset import posts
from imgbatch.posts.keys import source_ids
from imgbatch.sources import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

    from imgbatch.dataset import Dataset


def ids_of(
    formats: Iterable[str], hidden: Callable[[str, str], str] | None = None
) -> Callable[[pa.Table, Sequence[str]], pa.Table]:
    """Return what gives rows of SOURCE_IDS, given the formats of the dumps; see `source_ids`."""
    return source_ids({name: partial(dumps.posts_of, name) for name in formats}, hidden)


def plain_ids_of(formats: Iterable[str]) -> Callable[[pa.Table], pa.Table]:
    """Return what gives rows of SOURCE_IDS with ids as names have them, never pseudonyms."""
    found = ids_of(formats)
    return lambda rows: found(rows, ())


def ids_in_names(dataset: Dataset) -> Callable[[pa.Table], pa.Table]:
    """Return what gives rows of SOURCE_IDS, with plain ids, for the sources of a dataset."""
    made = posts.record(dataset) if posts.POSTS in posts.here(dataset) else None
    inputs = made["inputs"].values() if made else ()
    return plain_ids_of(sorted({name for own in inputs for name in own["formats"]}))
