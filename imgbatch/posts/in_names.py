"""A dataset enters; what finds the ids of posts in names of sources leaves, as in the join."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from imgbatch.dataset import posts, tombstones
from imgbatch.dataset.audit import platforms_of, records
from imgbatch.dataset.post_marks import REDDIT
from imgbatch.errors import SettingsError
from imgbatch.platforms import SUBMISSION, unmarked
from imgbatch.posts.found import key_of
from imgbatch.posts.keys import source_ids
from imgbatch.sources import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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


def all_ids_of(
    formats: Iterable[str],
    hidden: Callable[[str, str], str] | None,
    platforms: Iterable[str],
) -> Callable[[pa.Table], pa.Table]:
    """Return what gives rows of SOURCE_IDS with ids as names have them, and with pseudonyms too.

    Args:
        formats: of the dumps.
        hidden: gives the pseudonym of a post, of its platform and id; without it ids are plain.
        platforms: where posts may be from.
    """
    if hidden is None:
        return plain_ids_of(formats)
    # "": as `privacy.anywhere` makes them.
    known = sorted({"", *map(unmarked, platforms)})
    # Names of files lack what Reddit's ids begin with.
    bare = [one for one in known if one == REDDIT]
    ways = [
        (ids_of(formats), ()),
        (ids_of(formats, hidden), known),
        (ids_of(formats, lambda there, own: hidden(there, SUBMISSION + own)), bare),
    ]
    return lambda rows: pa.concat_tables([found(rows, told) for found, told in ways])


def ids_in_names(dataset: Dataset) -> Callable[[pa.Table], pa.Table]:
    """Return what gives rows of SOURCE_IDS for the sources of a dataset.

    With plain ids; and where the dataset has pseudonyms and its key is named, with these too: by
    nothing else it knows the posts that go, and those that stay.
    """
    inputs = _inputs(dataset)
    formats = sorted({name for own in inputs for name in own["formats"]})
    key = _key(dataset) if _has_pseudonyms(inputs) else None
    if key is None:
        return plain_ids_of(formats)
    from imgbatch.posts import privacy  # noqa: PLC0415 - most dumps need none of it

    gone = tombstones.read(dataset.store).platforms | platforms_of(records(dataset.store))
    platforms = gone.union(posts.platforms(dataset))
    return all_ids_of(formats, partial(privacy.pseudonym, key, "post"), platforms)


def lacks_key(dataset: Dataset) -> bool:
    """Tell whether names do not show whose sources are: of pseudonyms, without their key."""
    return _has_pseudonyms(_inputs(dataset)) and _key(dataset) is None


def _inputs(dataset: Dataset) -> list[dict[str, Any]]:
    made = posts.record(dataset) if posts.POSTS in posts.here(dataset) else None
    return list(made["inputs"].values()) if made else []


def _has_pseudonyms(inputs: list[dict[str, Any]]) -> bool:
    return any(own["settings"]["pseudonyms"] for own in inputs)


def _key(dataset: Dataset) -> bytes | None:
    try:
        return key_of(dataset)
    except SettingsError:
        return None
