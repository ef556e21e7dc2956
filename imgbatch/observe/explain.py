"""A dataset and one source enter; everything known about it leaves, now and in former states.

Which part held the source when is told by the commits themselves, and what it said by the part's
file, as long as that is there: files of former states last until the dataset is vacuumed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, SOURCES, Part, groups
from imgbatch.dataset.parts import read_part, readable
from imgbatch.dataset.past import Past
from imgbatch.errors import DamageError, SettingsError
from imgbatch.records import source_id_of
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imgbatch.dataset import Dataset

NEAR = 5
FILE_GONE, NOT_IN_IT = "its file is gone", "it is not in it"
ORDER = ("source_id", "frame", "region")
SAID = ("version", "status", "error_class", "message", "n_pictures")


def explain(dataset: Dataset, source: str) -> dict[str, Any]:
    """Return everything known about one source.

    Args:
        dataset: what it is, or was, in.
        source: its id, its address, or the path of its file.

    Returns:
        source_id and address; manifest: its row, None when it left; outcome: its row of `sources`;
        rows: by analyzer table; listed: one entry per generation of its shard (run, when,
        generation, version, touched); outcomes: one entry per part of its shard in `sources` (run,
        when, generation, fingerprint, whether it was carried over, and what it says). Where a part
        says nothing, `missing` says why. shard: the log lines of its shard as a whole, with seconds
        and stages; log: those that name it: each attempt that was followed by another, quarantine,
        and each failure with the seconds of its stages. A source that left and came back is told of
        since it came back.

    Raises:
        SettingsError: there never was such a source; with those whose addresses are near.
    """
    past = Past(dataset)
    wanted = ids_of(source)
    row = _row(dataset, wanted)
    former = [] if row else _former(dataset, past, wanted)
    if not (row or former):
        raise _unknown(dataset, source)
    source_id = row["source_id"] if row else former[-1]["source_id"]
    shard = row["shard"] if row else former[-1]["shard"]
    lines = sorted(_lines(dataset, source_id, shard), key=lambda line: str(line["timestamp"]))
    rows = _rows(dataset, source_id)
    listed = _listed(dataset, past, source_id, shard)
    return {
        "source_id": source_id,
        "address": (row or former[-1])["address"],
        "manifest": row,
        "outcome": next(iter(rows.pop(SOURCES, [])), None),
        "rows": rows,
        "listed": listed,
        "outcomes": _outcomes(dataset, past, source_id, shard, listed),
        "shard": [line for line in lines if "source" not in line],
        "log": [line for line in lines if line.get("source") == source_id],
    }


def ids_of(source: str) -> list[str]:
    """Return the ids that may be meant: of an address, of a file's path, or the text itself."""
    found = [_text(source), source_id_of(_text(source))]
    if "://" not in source:
        archive, mark, member = source.partition("!/")
        address = open_store(str(Path(archive).absolute())).root + mark + member
        found.append(source_id_of(_text(address)))
    return found


def _text(name: str) -> str:
    """Return a name as text: that of a file may hold bytes that are none."""
    return name.encode("utf-8", "backslashreplace").decode()


def _row(dataset: Dataset, ids: list[str]) -> dict[str, Any] | None:
    found = dataset.read(MANIFEST, where=pc.field("source_id").isin(ids)).to_pylist()
    return found[0] if found else None


def _unknown(dataset: Dataset, source: str) -> SettingsError:
    addresses = dataset.read(MANIFEST, columns=["address"])["address"]
    source = _text(source)
    name = source.rstrip("/").rpartition("/")[2]
    near = addresses.filter(pc.ends_with(addresses, source))
    if not len(near):
        near = addresses.filter(pc.match_substring(addresses, name, ignore_case=True))
    shown = sorted(near.to_pylist())
    more = f" and {len(shown) - NEAR:,} more" if len(shown) > NEAR else ""
    did = f"; did you mean {', '.join(shown[:NEAR])}{more}?" if shown else ""
    return SettingsError(
        f"no source {source!r} is or was in {dataset.url}{did}",
        "Give a source_id, or an address as the table `sources` has it.",
    )


def _former(dataset: Dataset, past: Past, ids: list[str]) -> list[dict[str, Any]]:
    """Return rows of a source that is gone, from parts of the manifest that are no longer held."""
    held = dataset.table(MANIFEST).parts()
    found = []
    for commit in past.commits(MANIFEST):
        for path in commit.added:
            rows = None if path in held else _there(dataset, MANIFEST, path)
            if rows is not None:
                found += rows.filter(pc.field("source_id").isin(ids)).to_pylist()
    return found


def _there(dataset: Dataset, table: str, path: str) -> pa.Table | None:
    """Return the rows of a part; None when its file is gone."""
    try:
        return read_part(dataset.store, Part(table, path, 0, 0))[0]
    except DamageError:
        return None


def _rows(dataset: Dataset, source_id: str) -> dict[str, list[dict[str, Any]]]:
    where = pc.field("source_id") == source_id
    tables = {name: dataset.read(name, where=where) for name in dataset.tables()}
    for path in map(groups.path_of, groups.names(dataset)):
        with readable(path):
            tables[path] = dataset.table(path).dataset().to_table(filter=where)
    return {
        name: rows.sort_by([(k, "ascending") for k in ORDER if k in rows.column_names]).to_pylist()
        for name, rows in tables.items()
        if rows.num_rows
    }


def _of_shard(past: Past, path: str, shard: str) -> Iterator[tuple[dict[str, Any], Part]]:
    """Yield the parts of a shard that any commit added, oldest first, with who added them."""
    for commit in past.commits(path):
        for name in commit.added:
            part = Part(path, name, 0, 0)
            if part.shard == shard:
                when = commit.when.isoformat(timespec="seconds")
                yield {"run": commit.run, "when": when, "generation": part.generation}, part


def _listed(dataset: Dataset, past: Past, source_id: str, shard: str) -> list[dict[str, Any]]:
    found = []
    for told, part in _of_shard(past, MANIFEST, shard):
        found.append(told | _said(dataset, part, source_id, ("version", "touched")))
    return found


def _outcomes(
    dataset: Dataset, past: Past, source_id: str, shard: str, listed: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    path = f"tables/{SOURCES}"
    touched = {entry["generation"]: entry.get("touched") for entry in listed}
    found: list[dict[str, Any]] = []
    for told, part in _of_shard(past, path, shard):
        since = touched.get(part.generation)
        carried = since is not None and any(
            entry["fingerprint"] == part.fingerprint and since <= entry["generation"]
            for entry in found
        )
        said = _said(dataset, part, source_id, SAID)
        found.append({**told, "fingerprint": part.fingerprint, "carried": carried, **said})
    return found


def _said(dataset: Dataset, part: Part, source_id: str, columns: tuple[str, ...]) -> dict[str, Any]:
    """Return what a part says of a source, or that its file or the source in it is not there."""
    rows = _there(dataset, part.table, part.path)
    if rows is None:
        return {"missing": FILE_GONE}
    found = rows.filter(pc.field("source_id") == source_id).to_pylist()
    return {name: found[0][name] for name in columns} if found else {"missing": NOT_IN_IT}


def _lines(dataset: Dataset, source_id: str, shard: str) -> Iterator[dict[str, Any]]:
    """Yield the log lines that name a source or its shard."""
    try:
        names = [entry.name for entry in dataset.store.list("logs")]
    except FileNotFoundError:
        return
    marks = (source_id.encode(), f'"{shard}@'.encode())
    for name in names:
        for line in dataset.store.get(name).splitlines():
            # Looked at as bytes first: of a million lines a few are of this source.
            if any(mark in line for mark in marks):
                yield json.loads(line)
