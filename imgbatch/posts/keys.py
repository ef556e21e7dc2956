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
from imgbatch.dataset.posts_named import TELLING
from imgbatch.posts.telling import Reach, reach
from imgbatch.sources.dumps import names
from imgbatch.storage.addresses import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LINE = re.compile(r":[0-9]+$")
# What X puts behind a name to ask for a size of a picture.
SIZED = re.compile(r":(orig|large|medium|small|thumb)$")
# What may be an id in a name: runs of letters and digits, and what stands between blanks and dots.
PARTS = (re.compile(r"[A-Za-z0-9]+"), re.compile(r"[^ .]+"))
MARK = re.compile(r"[-_ ]")
# Which of a post's media a file is, right behind the id: _2, -03, (4), _p0, _img_5, 06 and a title.
PLACE = re.compile(r"[ ._-]*\(?(?:[A-Za-z]{1,5}[ ._-]?)?(\d{1,3})(?![A-Za-z0-9])")


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


def exact_paths(rows: pa.Table) -> pa.Table:
    """Return rows of `copies.SPARE` whose paths mean the same beside any metadata file.

    Given without `said`, which is what the paths were before.
    """
    pairs = zip(rows["local_path"].to_pylist(), rows["raw_ref"].to_pylist(), strict=True)
    rows = rows.append_column("said", rows["local_path"])
    found = [_exact(path, file_of(raw_ref)) if path else path for path, raw_ref in pairs]
    at = rows.schema.get_field_index("local_path")
    return rows.set_column(at, rows.schema.field(at), pa.array(found, pa.string()))


def _exact(path: str, file: str) -> str:
    name = names.resolve(path, file)
    return path if name is None else names.exact(name)


def _medium(
    before: Mapping[str, str],
    at: int,
    input_: str,
    raw_ref: str,
    path: str | None,
    url: str | None,
    said: str | None,
) -> tuple[object, ...]:
    file = file_of(raw_ref)
    root = before.get(input_, f"{input_}/")
    resolved = names.resolve(path, file) if path else None
    name = plain(root + resolved) if resolved else None
    inner = plain(resolved.rpartition(names.MEMBER)[2]) if resolved else None
    base, leaf, spot = of_url(url)
    if base is None and path:
        base = plain(quote(names.base(path)))
        leaf, spot = _without_ending(base), quote((said or path).replace("\\", "/"))
    elif reach(leaf or "") is Reach.NOWHERE:
        # A name that tells something is the same file at two hosts; photo.jpg is another at each.
        spot = url
    telling = reach(leaf or "")
    return at, file, name, inner, plain(root + beside(file)), base, leaf, spot, telling


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
    namers: Mapping[str, Callable[[str], str | None]],
    hidden: Callable[[str, str], str] | None = None,
) -> Callable[[pa.Table, Sequence[str]], pa.Table]:
    """Return what makes rows of SOURCE_IDS: ids of posts that the names of sources may hold.

    Args:
        namers: by format, of those that name files in their own way.
        hidden: gives the pseudonym of a post, of its platform and id; without it ids are plain.
    """

    def made(rows: pa.Table, platforms: Sequence[str]) -> pa.Table:
        pairs = zip(rows["sid"].to_pylist(), rows["address"].to_pylist(), strict=True)
        found = ((sid, *one) for sid, address in pairs for one in _ids(address, namers))
        if hidden:
            # Which platform a file's post is of nobody knows yet.
            found = (
                (sid, hidden(platform, own), *more)
                for sid, own, *more in found
                for platform in platforms
            )
        return _table(list(found), SOURCE_IDS)

    return made


def _ids(
    address: str, namers: Mapping[str, Callable[[str], str | None]]
) -> Iterator[tuple[str, int | None, Reach, str | None]]:
    """Yield ids that a file's name may hold, in the order of SOURCE_IDS, each once.

    What would be found in names that mean something else is an id only where a name is nothing
    else, or where a format says so for its own posts; and only in the same input.
    """
    base = address.rpartition("/")[2]
    stem = _without_ending(base)
    ends = {part[0]: part.end() for parts in PARTS for part in parts.finditer(stem)}
    # An id such as B_x-9 may itself hold what parts words.
    ends |= {stem[: mark.start()]: mark.start() for mark in MARK.finditer(stem)}
    yield stem, None, max(reach(stem), Reach.INPUT), None
    said = {stem}
    for own, end in ends.items():
        if own not in said and (telling := reach(own)):
            said.add(own)
            yield own, _place(stem, end), telling, None
    for form, namer in namers.items():
        told = namer(address)
        if told is not None and told not in said:
            telling = reach(told)
            theirs = None if telling is Reach.ANYWHERE else form
            # Reddit's ids have a prefix that names of files lack.
            end = ends.get(told, ends.get(told.partition("_")[2], len(stem)))
            yield told, _place(stem, end), max(telling, Reach.INPUT), theirs


def _place(stem: str, end: int) -> int | None:
    """Return the number that stands behind the id that ends there."""
    found = PLACE.match(stem, end)
    return int(found[1]) if found else None


def _table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    if not rows:
        return schema.empty_table()
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, f.type) for column, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
