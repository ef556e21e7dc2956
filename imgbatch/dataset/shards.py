"""The manifest read back: its shards, the sources of one, and sources by what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, Dataset, Part
from imgbatch.dataset.changes import LISTED
from imgbatch.dataset.parts import read_part
from imgbatch.dataset.spill import Spill
from imgbatch.records import Shard, Source, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def all_shards(dataset: Dataset) -> list[Shard]:
    """Return the shards of the manifest, those of one compressed tar next to each other in order.

    Only names are read, and for compressed tars which archive each shard lies in.
    """
    streams = _streams(dataset)
    found = [
        Shard(p.shard, p.generation, streams.get(p.shard, ("", 0))[0] or None, p.path, p.rows)
        for p in _parts(dataset)
    ]
    return sorted(found, key=lambda s: (*streams.get(s.name, ("", 0)), s.name))


def _parts(dataset: Dataset) -> list[Part]:
    return list(dataset.table(MANIFEST).parts().values())


def _streams(dataset: Dataset) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    columns, streamed = ["shard", "container", "offset"], pc.field("packing") == "stream"
    for batch in dataset.batches(MANIFEST, columns=columns, where=streamed):
        rows = pa.table(batch).group_by(["shard", "container"]).aggregate([("offset", "min")])
        for row in rows.to_pylist():
            shard, here = row["shard"], (row["container"], row["offset_min"])
            found[shard] = min(here, found.get(shard, here))
    return found


def read_shard(dataset: Dataset, shard: Shard) -> tuple[list[Source], list[int]]:
    """Return the sources of a shard, and in which generation each was last touched.

    Raises:
        DamageError: its part is missing or cannot be read.
    """
    return sources_of(listed_rows(dataset, shard))


def listed_rows(dataset: Dataset, shard: Shard) -> pa.Table:
    """Return the rows of a shard, as the manifest has them.

    Raises:
        DamageError: its part is missing or cannot be read.
    """
    return read_rows(dataset, shard.part)


def sources_of(rows: pa.Table) -> tuple[list[Source], list[int]]:
    """Return the sources of a shard's rows, and in which generation each was last touched."""
    return [source_of(row) for row in rows.to_pylist()], rows["touched"].to_pylist()


def sources_at(rows: pa.Table, places: Sequence[int]) -> dict[int, Source]:
    """Return the sources at some places of a shard's rows."""
    chosen = rows.take(pa.array(places, pa.int64())).to_pylist()
    return {place: source_of(row) for place, row in zip(places, chosen, strict=True)}


def read_rows(dataset: Dataset, path: str) -> pa.Table:
    """Return the rows of one part of the manifest.

    Raises:
        DamageError: it is missing or cannot be read.
    """
    rows, _ = read_part(dataset.store, Part(MANIFEST, path, 0, 0))
    return rows.replace_schema_metadata(None)


class Members:
    """The archives of the manifest and what lies in them.

    The manifest is read once, for the first that is asked for: one reading for each archive would
    cost the square of their number.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._spill: Spill | None = None

    def of(self, archive: str) -> list[Source]:
        """Return an archive's own source and those that lie in it, as the manifest has them."""
        if self._spill is None:
            self._spill = self._read()
        rows = self._spill.read("FROM members WHERE archive = $1", [archive])
        return [source_of(row) for row in rows.to_pylist()]

    def _read(self) -> Spill:
        spill = Spill()
        inside = pc.field("container").is_valid() | (pc.field("verdict_class") == "archive")
        rows = self._dataset.batches(MANIFEST, columns=LISTED.names, where=inside)
        spill.fill("listed", LISTED, rows)
        # In order, so that the rows of one lie together and the others are passed over.
        spill.run(
            "CREATE TABLE members AS SELECT *, coalesce(container, address) AS archive "
            "FROM listed ORDER BY archive"
        )
        spill.run("DROP TABLE listed")
        return spill


def find(dataset: Dataset, ids: Sequence[str]) -> list[Source]:
    """Return the sources of some ids, in no promised order; ids that are not there are left out."""
    its = pc.field("source_id").isin(list(ids))
    batches = dataset.batches(MANIFEST, columns=LISTED.names, where=its)
    return [source_of(row) for batch in batches for row in batch.to_pylist()]


def of_input(dataset: Dataset, root: str) -> Iterator[Source]:
    """Yield the sources of one input, in no promised order, in bounded memory."""
    its = pc.field("input") == root
    for batch in dataset.batches(MANIFEST, columns=LISTED.names, where=its):
        yield from map(source_of, batch.to_pylist())


def archives(dataset: Dataset) -> dict[str, str]:
    """Return the version of every archive that was read, by address."""
    if not dataset.table(MANIFEST).exists:
        return {}  # the run that made the dataset was killed before it had a manifest
    read = pc.field("verdict_class") == "archive"
    found: dict[str, str] = {}
    for batch in dataset.batches(MANIFEST, columns=["address", "version"], where=read):
        found.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return found


def source_of(row: dict[str, Any]) -> Source:
    """Return the source of a row of the manifest, or of a listing."""
    verdict = None
    if row["verdict_status"]:
        verdict = Verdict(row["verdict_status"], row["verdict_class"], row["verdict_message"])
    return Source(
        address=row["address"],
        version=row["version"],
        size=row["size"],
        container=row["container"],
        packing=row["packing"],
        offset=row["offset"],
        packed_size=row["packed_size"],
        method=row["method"],
        verdict=verdict,
    )


def inputs(dataset: Dataset, *, until: str) -> set[str]:
    """Return the roots of the inputs whose sources the manifest holds; stops where one is found."""
    table = dataset.table(MANIFEST)
    if not table.exists:
        return set()
    found: set[str] = set()
    for batch in dataset.batches(MANIFEST, columns=["input"]):
        found.update(pc.unique(batch["input"]).to_pylist())
        if until in found:
            break
    return found
