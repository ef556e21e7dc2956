"""Names enter: of media as a dump says them, and of sources. Leaves: what the two are compared by.

Pure functions. All names are those of addresses, quoted as `storage.addresses` does; they are
brought to one Unicode form, because a Mac's archives write accents in another one.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from imgbatch.dataset.joining import KEYS, SOURCE, SOURCE_IDS
from imgbatch.sources.dumps import names
from imgbatch.storage.addresses import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

LINE = re.compile(r":[0-9]+$")
# What X puts behind a name to ask for a size of a picture.
SIZED = re.compile(r":(orig|large|medium|small|thumb)$")
# What the name of a metadata file has behind the name of what it tells of.
TELLING = re.compile(r"(\.info)?\.(json|xml|txt)(\.(gz|bz2|xz|zst))?$", re.IGNORECASE)
# An id of fewer characters would be found in names that mean something else.
SHORTEST = 5
WORD = re.compile(rf"[A-Za-z0-9]{{{SHORTEST},}}")


def plain(name: str) -> str:
    """Return a name in one Unicode form."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def file_of(raw_ref: str) -> str:
    """Return the metadata file of a post's place."""
    return LINE.sub("", raw_ref)


def beside(file: str) -> str:
    """Return what the names of media begin with that lie beside a metadata file of one post."""
    return TELLING.sub("", file)


def _without_ending(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    head, dot, _ = base.rpartition(".")
    return folder + slash + (head if dot and head else base)


def of_url(url: str | None) -> tuple[str | None, str | None, str | None]:
    """Return the last part of an address, that without extension, and the whole path without it.

    All None where there is no path.
    """
    try:
        path = urlsplit(url or "").path
    except ValueError:  # such as http://[
        return None, None, None
    path = SIZED.sub("", unquote(path, errors="surrogateescape").rstrip("/"))
    base = path.rpartition("/")[2]
    if not base:
        return None, None, None
    base = plain(quote(base.encode("utf-8", "replace").decode()))
    return base, _without_ending(base), _without_ending(path.encode("utf-8", "replace").decode())


def media_keys(before: Mapping[str, str]) -> Callable[[pa.Table], pa.Table]:
    """Return what makes rows of KEYS of media, given what stands before the names of each input."""

    def made(rows: pa.Table) -> pa.Table:
        columns = (rows[name].to_pylist() for name in rows.column_names)
        found = [_medium(before, *row) for row in zip(*columns, strict=True)]
        return _table(found, KEYS)

    return made


def _medium(
    before: Mapping[str, str],
    at: int,
    input_: str,
    raw_ref: str,
    path: str | None,
    url: str | None,
) -> tuple[object, ...]:
    file = file_of(raw_ref)
    root = before.get(input_, f"{input_}/")
    resolved = names.resolve(path, file) if path else None
    name = plain(root + resolved) if resolved else None
    inner = plain(resolved.rpartition(names.MEMBER)[2]) if resolved else None
    base, leaf, spot = of_url(url)
    if base is None and path:
        base = plain(quote(names.base(path)))
        leaf, spot = _without_ending(base), path
    return at, file, name, inner, plain(root + beside(file)), base, leaf, spot


def source_keys(before: Mapping[str, str]) -> Callable[[pa.Table], pa.Table]:
    """Return what makes rows of SOURCE of rows of the manifest and their outcomes."""

    def made(rows: pa.Table) -> pa.Table:
        return _table([_source(before, **row) for row in rows.to_pylist()], SOURCE)

    return made


def _source(  # noqa: PLR0913 - one argument per column
    before: Mapping[str, str],
    *,
    sid: int,
    source_id: str,
    version: str,
    input: str,  # noqa: A002 - a column's name
    address: str,
    kind: str,
    status: str,
    sha256: str | None,
) -> tuple[object, ...]:
    name = plain(address)
    relative = name.removeprefix(before.get(input, f"{input}/"))
    base = name.rpartition("/")[2]
    media = status == "ok" or (status == "failed" and kind in ("image", "video"))
    return (
        sid,
        source_id,
        version,
        input,
        address,
        kind,
        sha256,
        name,
        relative.rpartition(names.MEMBER)[2],
        _without_ending(name),
        base,
        _without_ending(base),
        media,
    )


def source_ids(
    namers: Iterable[Callable[[str], str | None]],
) -> Callable[[pa.Table], pa.Table]:
    """Return what makes rows of SOURCE_IDS: ids of posts that the names of sources may hold.

    Args:
        namers: of the formats that name files in their own way.
    """
    known = tuple(namers)

    def made(rows: pa.Table) -> pa.Table:
        pairs = zip(rows["sid"].to_pylist(), rows["address"].to_pylist(), strict=True)
        return _table(
            [(sid, i) for sid, address in pairs for i in _ids(address, known)], SOURCE_IDS
        )

    return made


def _ids(address: str, namers: tuple[Callable[[str], str | None], ...]) -> Iterator[str]:
    base = address.rpartition("/")[2]
    stem = _without_ending(base)
    found = {stem, *WORD.findall(stem), *re.split(r"[ .]", stem)}
    # An id such as B_x-9 may itself hold what parts words.
    found |= {stem[: mark.start()] for mark in re.finditer(r"[-_ ]", stem)}
    told = {named for namer in namers if (named := namer(base)) is not None}
    yield from sorted(told | {one for one in found if len(one) >= SHORTEST or one == stem})


def _table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    if not rows:
        return schema.empty_table()
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, f.type) for column, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
