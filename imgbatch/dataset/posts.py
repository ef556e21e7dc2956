"""Posts enter and leave: four Delta tables of the dataset, and what their commit says of them.

    DATASET/posts/         one row per post
    DATASET/post_media/    one row per medium of a post; source_id and version where a source has it
    DATASET/post_copies/   where else a post was read: other copies and pieces, of all inputs
    DATASET/post_gaps/     what could not be read, and what is unmatched on either side

A part holds the rows of some posts, chosen by a hash of their ids: `NN-<sha256, 8>.parquet`. It is
written again when its rows differ, so that a new export costs its own share, and the former rows
stay behind the tables' former versions. `posts` is committed last: what its commit says is whole.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from imgbatch import __version__
from imgbatch.dataset import MANIFEST, SOURCES
from imgbatch.dataset.part import Part
from imgbatch.dataset.parts import packed
from imgbatch.dataset.post_columns import COPIES, GAPS, MEDIA, POSTS, SCHEMAS, SUMMARIES, TABLES
from imgbatch.dataset.state import state
from imgbatch.dataset.tombstones import names_below
from imgbatch.errors import FencedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imgbatch.dataset import Dataset
    from imgbatch.settings import PostSettings

__all__ = [
    "COPIES",
    "GAPS",
    "MEDIA",
    "POSTS",
    "SCHEMAS",
    "TABLES",
    "Made",
    "commit",
    "here",
    "record",
]

# What the commit of posts says of them, beside its run and digests.
SAID = "posts"
# Grows when the same dump would give other rows.
VERSION = 7
# The version that reads days and years of tables first as such, and not as seconds of 1970.
DAYS_SINCE = 3
# A part has about so many rows: as many hexadecimal digits tell them apart as that takes.
PART_ROWS = 20_000
WIDTH = 2
# Settings by which something is kept, and the tables that have columns of it.
KEPT = {"text": (POSTS, MEDIA), "names": (POSTS,)}


@dataclass(frozen=True, slots=True)
class Made:
    """What is to be committed.

    Attributes:
        rows: of each table its rows by part, in order of the parts' names.
        said: what the commit says of them; see `record`.
    """

    rows: dict[str, Iterator[tuple[str, pa.Table]]]
    said: dict[str, Any]


def here(dataset: Dataset) -> list[str]:
    """Return those of the four tables that the dataset has, as it is now."""
    return [name for name in TABLES if dataset.refreshed(name).exists]


def record(dataset: Dataset) -> dict[str, Any] | None:
    """Return what the posts of a dataset were made of; None where there are none.

    Returns:
        version, sources: state of that table, inputs: of each its formats, settings, the state of
        the manifest when it was read, and what stands before its names; counts, imgbatch.
    """
    said = dataset.table(POSTS).said(SAID)
    return None if said is None else json.loads(said)


def record_now(dataset: Dataset) -> dict[str, Any] | None:
    """Return what `record` does of the posts as they are now; of their other tables nothing."""
    dataset.refreshed(POSTS)
    return record(dataset)


def read_before(dataset: Dataset) -> list[str]:
    """Return the inputs whose posts were read last by a former version, which may differ."""
    made = record(dataset) if POSTS in here(dataset) else None
    inputs = made["inputs"].items() if made else ()
    return sorted(name for name, own in inputs if own.get("version", 0) < VERSION)


def lessened(dataset: Dataset, input_: str, settings: PostSettings) -> list[str]:
    """Return the tables that an input's posts come to with less than they were brought with.

    Whether ids are pseudonyms is not looked at: a dataset of the others is refused.

    Args:
        dataset: with the posts as they were brought.
        input_: its root.
        settings: how they will be brought.
    """
    made = record(dataset) if dataset.table(POSTS).exists else None
    own = made["inputs"].get(input_) if made else None
    if own is None:
        return []
    now = settings.model_dump()
    less = [name for name in KEPT if own["settings"].get(name, True) and not now[name]]
    return list(dict.fromkeys(table for name in less for table in KEPT[name]))


def states(dataset: Dataset) -> dict[str, str]:
    """Return what the manifest and the outcomes are like now, to see whether they changed."""
    manifest, sources = dataset.refreshed(MANIFEST), dataset.refreshed(f"tables/{SOURCES}")
    return {"manifest": state(manifest), "sources": state(sources)}


def platforms(dataset: Dataset) -> list[str]:
    """Return where the posts of a dataset are from."""
    found: set[str] = set()
    for batch in dataset.table(POSTS).batches(["platform"]):
        found.update(pc.unique(batch.column(0)).to_pylist())
    return sorted(found)


def digits_for(rows: int, former: int) -> int:
    """Return how many digits of a hash name a part, for so many rows; never fewer than before."""
    digits = former
    while rows > PART_ROWS * 16**digits:
        digits += 1
    return digits


def digits_of(dataset: Dataset, table: str) -> int:
    """Return how many digits name the parts of a table now."""
    return max((len(_prefix(path)) for path in dataset.table(table).parts()), default=0)


def stem_of(prefix: str) -> str:
    """Return what the name of a part begins with: `xx` for all rows, `3x`, `3f`, `3fa`."""
    return prefix.ljust(WIDTH, "x")


def _prefix(path: str) -> str:
    return path.partition("-")[0].rstrip("x")


def commit(dataset: Dataset, made: Made, *, run: str, number: int) -> dict[str, int]:
    """Write what differs and commit it, table by table; return how many parts each got.

    Args:
        dataset: to write to, under a number that was taken by `take_number`.
        made: all rows of all inputs.
        run: who commits.
        number: under which.

    Raises:
        FencedError: another run took the dataset over; the former rows stay.
    """
    written = {}
    for name in TABLES:
        table = dataset.table(name)
        # In this order: whoever takes the next number after our look finds the table and closes it.
        table.create(SCHEMAS[name], fence=number, run=run, description=SUMMARIES[name])
        table.refresh()
        table.add_columns(SCHEMAS[name])
        former = table.parts()
        said = {"format": str(VERSION), "imgbatch": __version__, "table": name}
        kept, adds = set(), []
        for stem, rows in made.rows[name]:
            part, data = _packed(name, stem, rows, said)
            kept.add(part.path)
            if part.path not in former:
                dataset.store.put(f"{name}/{part.path}", data)
                adds.append(part)
        gone = [part for path, part in former.items() if path not in kept]
        _refuse_overtaken(dataset, number)
        last = name == POSTS
        if adds or gone or last:
            told = {SAID: json.dumps(made.said)} if last else None
            table.commit(adds, gone, fence=number, run=run, said=told)
        written[name] = len(adds)
    return written


def unsettle(dataset: Dataset, *, run: str, number: int) -> None:
    """Have the next run of every input read its dump again: parts were taken out."""
    made = record(dataset)
    if made is None:
        return
    inputs = {name: {**own, "manifest": ""} for name, own in made["inputs"].items()}
    said = {SAID: json.dumps({**made, "inputs": inputs})}
    dataset.table(POSTS).commit([], [], fence=number, run=run, said=said)


def strays(dataset: Dataset) -> list[str]:
    """Return the names of files of the four tables that their snapshots do not hold."""
    found = []
    for name in TABLES:
        held = {f"{name}/{path}" for path in dataset.table(name).parts()}
        names = names_below(dataset.store, name)
        found += [one for one in names if one not in held and "/_delta_log/" not in one]
    return found


def vacuum(dataset: Dataset) -> None:
    """Delete what former versions of the tables held: nothing leads back to before."""
    for name in strays(dataset):
        dataset.store.delete(name)


def _packed(name: str, stem: str, rows: pa.Table, said: dict[str, str]) -> tuple[Part, bytes]:
    # In one chunk: how the rows came together does not show in the file.
    data = packed(rows.combine_chunks(), said)
    sha256 = hashlib.sha256(data).hexdigest()
    return Part(name, f"{stem}-{sha256[:8]}.parquet", len(data), rows.num_rows, sha256), data


def _refuse_overtaken(dataset: Dataset, number: int) -> None:
    manifest = dataset.refreshed(MANIFEST)
    if manifest.fence != number:
        raise FencedError(f"run number {manifest.fence} took over from {number}")
