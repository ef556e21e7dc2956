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

from imgbatch.dataset import MANIFEST, SOURCES
from imgbatch.errors import SettingsError
from imgbatch.records import source_id_of
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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

    Args:
        dataset: where to look.
        named: the sources.
        same_bytes: sources that hold the same bytes as a named one count as named.

    Raises:
        DatasetError: there is no manifest.
    """
    rows = _rows(dataset)
    wanted = {one.source_id for one in named}
    inside = _inside(rows, wanted)
    here = pc.or_(_among(rows["source_id"], wanted), inside)
    twins = pc.and_(_twins(rows, here), pc.invert(here))
    if same_bytes:
        here = pc.or_(here, twins)
        twins = pc.and_(twins, pc.invert(here))
    ours = rows.filter(here)
    held = set(ours["source_id"].to_pylist())
    return Known(
        ids=frozenset(wanted | held),
        addresses=frozenset(ours["address"].to_pylist()),
        unknown=tuple(one for one in named if one.source_id not in held),
        twins=tuple(sorted(set(rows.filter(twins)["address"].to_pylist()))),
    )


def _rows(dataset: Dataset) -> pa.Table:
    """Return id, address and digest of all that the manifest or the outcomes hold."""
    names = ["source_id", "address"]
    listed = dataset.read(MANIFEST, columns=names)
    if SOURCES not in dataset.tables():
        return listed.append_column("sha256", pa.nulls(listed.num_rows, pa.string()))
    outcomes = dataset.read(SOURCES, columns=[*names, "sha256"])
    unread = listed.filter(pc.invert(pc.is_in(listed["source_id"], outcomes["source_id"])))
    nulls = pa.nulls(unread.num_rows, pa.string())
    return pa.concat_tables([outcomes, unread.append_column("sha256", nulls)])


def _among(ids: pa.ChunkedArray, wanted: Iterable[str]) -> pa.ChunkedArray:
    return pc.is_in(ids, value_set=pa.array(sorted(wanted), pa.string()))


def _inside(rows: pa.Table, wanted: set[str]) -> pa.ChunkedArray:
    """Return for each row whether it lies in a wanted archive."""
    packed = pc.match_substring(rows["address"], MEMBER)
    archive = pc.replace_substring_regex(rows["address"], f"^(.*){MEMBER}.*$", r"\1")
    ours = [
        address
        for address in pc.unique(archive.filter(packed)).to_pylist()
        if source_id_of(address) in wanted
    ]
    return pc.and_(packed, pc.is_in(archive, value_set=pa.array(ours, pa.string())))


def _twins(rows: pa.Table, here: pa.ChunkedArray) -> pa.ChunkedArray:
    digests = pc.unique(rows["sha256"].filter(here)).to_pylist()
    told = [digest for digest in digests if digest not in {None, EMPTY}]
    return pc.is_in(rows["sha256"], value_set=pa.array(told, pa.string()))


def similar(dataset: Dataset, one: Given) -> str:
    """Return `; did you mean ...?` with addresses that look like an unknown one, or nothing."""
    if one.address is None:
        return ""
    addresses = dataset.read(MANIFEST, columns=["address"])["address"]
    name = one.address.rpartition("/")[2]
    named = addresses.filter(pc.match_substring(addresses, name, ignore_case=True))
    among = (named if len(named) else addresses).slice(0, SIMILAR_AMONG).to_pylist()
    cutoff = 0.0 if len(named) else 0.6
    close = difflib.get_close_matches(one.address, among, n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(close)}?" if close else ""
