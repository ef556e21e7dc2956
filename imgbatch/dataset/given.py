"""Enters: what a user typed to name sources. Leaves: their ids, and which the dataset knows.

A source is named by its address, by its id, or by the path of a file of this machine. An archive's
name stands for its members too.
Posts are looked up in `imgbatch.dataset.posts_forgotten`.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, SOURCES, posts
from imgbatch.dataset.post_columns import MEDIA
from imgbatch.errors import SettingsError
from imgbatch.records import source_id_of
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from imgbatch.dataset import Dataset

ID = re.compile(r"[0-9a-f]{32}")
MEMBER = "!/"
EMPTY = hashlib.sha256(b"").hexdigest()
SIMILAR_AMONG = 20_000
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Given:
    """One source as a user named it.

    Attributes:
        text: what was typed.
        address: its canonical address; None when it was named by its id.
    """

    text: str
    source_id: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a dataset knows of some given sources.

    Attributes:
        ids: of all that are named, unknown ones too, and of the members of named archives.
        addresses: of those of them that the dataset holds.
        unknown: those that it does not hold.
        twins: addresses of other sources that hold the same bytes as one of them.
    """

    ids: frozenset[str]
    addresses: frozenset[str]
    unknown: tuple[Given, ...]
    twins: tuple[str, ...]


def given(text: str) -> Given:
    """Read one name of a source.

    Raises:
        SettingsError: it can be no address, no id and no path.
    """
    if ID.fullmatch(text):
        return Given(text, text)
    if "://" in text:
        return Given(text, source_id_of(text), text)
    if "/" not in text and not Path(text).exists():
        raise SettingsError(
            f"{text!r} is neither an address nor the id of a source",
            "Give an address such as s3://BUCKET/NAME, an id of 32 hex digits, or a file's path.",
        )
    address = open_store("/").address(str(Path(text).absolute()).lstrip("/"))
    return Given(text, source_id_of(address), address)


def given_lines(text: str) -> list[Given]:
    """Read names of sources, one per line; empty lines and those that begin with # are no names.

    Raises:
        SettingsError: some lines are none; the message shows the first.
    """
    found, wrong = [], []
    for number, line in enumerate(text.splitlines(), 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        try:
            found.append(given(name))
        except SettingsError:
            wrong.append(f"line {number}: {name!r}")
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise SettingsError(
            f"neither addresses nor ids of sources: {', '.join(wrong[:SHOWN])}{more}",
            "One address, id or path per line. Nothing was changed.",
        )
    return found


def look_up(dataset: Dataset, named: Sequence[Given], *, same_bytes: bool = False) -> Known:
    """Find out what a dataset knows of some sources.

    The tables are gone through a few parts at a time, the outcomes twice: digests of named sources
    are known only then. What is kept is what is named and its twins, so memory does not grow with
    the dataset: for 10,000 among a million sources the process takes 180 MB at most, of which 128
    were there before, and took 444 MB when it held both tables.

    Args:
        dataset: where to look.
        named: the sources.
        same_bytes: sources that hold the same bytes as a named one count as named.

    Raises:
        DatasetError: there is no manifest.
    """
    wanted = {one.source_id for one in named}
    ours: dict[str, str] = {}
    digests: set[str] = set()
    for batch in _listed(dataset):
        rows = batch.filter(pc.or_(_among(batch["source_id"], wanted), _inside(batch, wanted)))
        ours.update(_pairs(rows))
        if "sha256" in rows.schema.names:
            digests.update(rows["sha256"].to_pylist())
    twins = _twins(dataset, digests - {None, EMPTY}, ours)
    if same_bytes:
        ours.update(twins)
        twins = {}
    return Known(
        ids=frozenset(wanted.union(ours)),
        addresses=frozenset(ours.values()),
        unknown=tuple(one for one in named if one.source_id not in ours),
        twins=tuple(sorted(set(twins.values()))),
    )


def of_no_post(dataset: Dataset, addresses: Collection[str]) -> list[Given]:
    """Return those of some sources that the dataset holds, and no post of it has."""
    wanted = {source_id_of(address): address for address in addresses}
    ours = {own for batch in _listed(dataset) for own, _ in _pairs(batch) if own in wanted}
    if ours and MEDIA in posts.here(dataset):
        for batch in dataset.table(MEDIA).batches(["source_id"]):
            ours.difference_update(batch["source_id"].to_pylist())
    return [Given(wanted[own], own, wanted[own]) for own in sorted(ours)]


def _listed(dataset: Dataset) -> Iterator[pa.RecordBatch]:
    """Yield ids and addresses of all that the manifest or the outcomes hold; these have digests."""
    names = ["source_id", "address"]
    yield from dataset.batches(MANIFEST, columns=names)
    if SOURCES in dataset.tables():
        yield from dataset.batches(SOURCES, columns=[*names, "sha256"])


def _pairs(rows: pa.RecordBatch) -> Iterator[tuple[str, str]]:
    return zip(rows["source_id"].to_pylist(), rows["address"].to_pylist(), strict=True)


def _among(values: pa.Array, wanted: Collection[str]) -> pa.Array:
    # Arrow's own would make its index of what is wanted anew for every batch.
    return pa.array([one in wanted for one in values.to_pylist()], pa.bool_())


def _inside(rows: pa.RecordBatch, wanted: set[str]) -> pa.Array:
    """Return for each row whether it lies in a wanted archive."""
    packed = pc.match_substring(rows["address"], MEMBER)
    archive = pc.replace_substring_regex(rows["address"], f"^(.*){MEMBER}.*$", r"\1")
    ours = {
        address
        for address in pc.unique(archive.filter(packed)).to_pylist()
        if source_id_of(address) in wanted
    }
    if not ours:
        return pa.repeat(pa.scalar(value=False), rows.num_rows)
    return pc.and_(packed, _among(archive, ours))


def _twins(dataset: Dataset, digests: set[str], ours: Mapping[str, str]) -> dict[str, str]:
    """Return id and address of all other sources that hold the same bytes as some do."""
    found: dict[str, str] = {}
    if not digests:
        return found
    for batch in dataset.batches(SOURCES, columns=["source_id", "address", "sha256"]):
        same = _pairs(batch.filter(_among(batch["sha256"], digests)))
        found.update((source_id, address) for source_id, address in same if source_id not in ours)
    return found


def similar(dataset: Dataset, one: Given) -> str:
    """Return `; did you mean ...?` with addresses that look like an unknown one, or nothing."""
    if one.address is None:
        return ""
    name = one.address.rpartition("/")[2]
    named: list[str] = []
    others: list[str] = []
    for batch in dataset.batches(MANIFEST, columns=["address"]):
        addresses = batch["address"]
        alike = addresses.filter(pc.match_substring(addresses, name, ignore_case=True))
        named += alike.slice(0, SIMILAR_AMONG - len(named)).to_pylist()
        others += addresses.slice(0, SIMILAR_AMONG - len(others)).to_pylist()
        if len(named) == SIMILAR_AMONG:
            break
    cutoff = 0.0 if named else 0.6
    close = difflib.get_close_matches(one.address, named or others, n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(close)}?" if close else ""
