"""Enters: a dump, and the files that its formats read. Leaves: a Gap for each other metadata file.

A file that is empty or cut is recognised by no format, so nothing of it is read and no line of it
is told. What it held is not known to be gone: it is looked at here, and `broken-file` says so. Of
an archive that is damaged, what else it held is not known.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import lines, names
from imgbatch.sources.dumps._seekable import seekable
from imgbatch.sources.dumps.dump import TOLD as FORMS
from imgbatch.sources.dumps.names import ending
from imgbatch.sources.dumps.posts import HOLE, Counted, Gap
from imgbatch.sources.dumps.walk import values
from imgbatch.sources.dumps.window import BEFORE
from imgbatch.sources.names import REPEAT, archive_form
from imgbatch.sources.streams import HEAD_BYTES, compression_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump

# What holds records; texts, pages and subtitles do not.
STRUCTURED = ("json", "jsonl", "ndjson", "csv", "tsv", "parquet")
NESTED = "an archive in an archive: unpack the outer one"
REPEATED = "its archive has a file of that name before it, and the first is read"
UNREAD = "metadata by its name, and not of the format that the dump is read as"
BROKEN = "broken-file"
EMPTY = "it is empty, or of NUL bytes"
TOLD = 1000
# By so many bytes a format would have known a file that is whole.
LOOKED_AT = 2**16
# How a document ends shows in so many.
END = 2**12
CUT = "it ends before its document does"
SPACE = b"\0 \t\r\n"


def unread(dump: Dump, taken: Iterator[str]) -> Iterator[Gap]:
    """Yield a Gap for each metadata file that no format reads.

    Args:
        dump: to look through.
        taken: the files that formats read, sorted.
    """
    # Of an archive that a format reads itself, it tells what is damaged, and of its members.
    archives: set[str] = set()
    taken = _noted(taken, archives)
    current = next(taken, None)
    counted = Counted()
    told = 0
    for file in dump.metadata(*STRUCTURED):
        while current is not None and current < file:
            current = next(taken, None)
        if current == file:
            continue
        told += 1
        inside = names.archive(file).removesuffix(names.MEMBER)
        own = Gap("unread", file, None, UNREAD) if inside in archives else None
        gap = own or _why(dump, file)
        if told <= TOLD or gap.kind == BROKEN:
            yield gap
        else:
            counted.note(gap.kind, f"further files after the first {TOLD}", "")
    for _ in taken:
        pass  # noted below the last file, too
    yield from _archived(dump, archives)
    yield from counted.gaps()


def untaken(dump: Dump) -> dict[str, int]:
    """Return how many files may hold posts where no format is recognised, by ending.

    They are what some format reads by its ending, and archives whose members are not known.
    """
    found = {form: sum(1 for _ in dump.metadata(form)) for form in FORMS if form}
    found["damaged archive"] = sum(1 for _ in dump.damaged())
    found["archive in an archive"] = sum(1 for _ in dump.nested())
    return {form: count for form, count in found.items() if count}


def _archived(dump: Dump, own: set[str]) -> Iterator[Gap]:
    """Yield a Gap for whatever archives hold that nobody sees."""
    for file in dump.damaged():
        if file in own:
            continue
        verdict = dump.source(file).verdict
        assert verdict is not None, "it says what is damaged"
        yield Gap(verdict.error_class or "archive.corrupt", file, None, verdict.message)
    for file in dump.nested():
        yield Gap("unread", file, None, NESTED)
    for file in dump.repeated():
        if ending(REPEAT.sub("", file)) in STRUCTURED:
            yield Gap("unread", file, None, REPEATED)


def _noted(taken: Iterator[str], archives: set[str]) -> Iterator[str]:
    for file in taken:
        if archive_form(file):
            archives.add(file)
        yield file


def _why(dump: Dump, file: str) -> Gap:
    """Return the Gap of a file that no format took: it may be that nobody could look into it."""
    try:
        head = dump.head(file, LOOKED_AT)
        broken = _broken(dump, file, head)
    except SourceError as error:
        return Gap(error.code, file, None, str(error))
    if broken:
        # With its size: that it became another one shows, however it is broken.
        return Gap(BROKEN, file, None, f"{broken} ({dump.size(file):,} bytes)")
    return Gap("unread", file, None, UNREAD)


def _broken(dump: Dump, file: str, head: bytes) -> str:
    """Return what is seen to be wrong with a file; "" where it may be any other one.

    Raises:
        SourceError: it cannot be had.
    """
    if not head.strip(SPACE):
        return EMPTY
    if b"\0" * HOLE in head:
        return "NUL bytes stand where something else stood"
    form = ending(file)
    if form == "parquet":
        return _broken_parquet(dump, file)
    if form in ("csv", "tsv"):
        # A row of names that was cut looks so, too.
        ends = b"\n" in head or b"\r" in head or len(head) == LOOKED_AT
        return "" if ends else "its first line does not end"
    if form != "json":
        line, end, _ = head.removeprefix(lines.BOM).lstrip(SPACE).partition(b"\n")
        if end or len(head) < LOOKED_AT:
            return "" if _is_value(line) else "its first line is no JSON"
    return _broken_json(dump, file, head)


def _broken_json(dump: Dump, file: str, head: bytes) -> str:
    """Return what is wrong with how a document begins or ends; what is between is not decoded."""
    text = head.decode("utf-8-sig", "replace").lstrip("\0 \t\r\n")
    if found := BEFORE.match(text):
        text = text[found.end() :]
    if not text.startswith(("{", "[")):
        return "" if len(head) < LOOKED_AT and _is_value(head) else "it does not begin as JSON does"
    end = head if len(head) < LOOKED_AT else _end(dump, file)
    if end.endswith(b"\0" * HOLE):
        return "it ends in NUL bytes"
    if not end.rstrip(b"\0; \t\r\n").endswith(b"}" if text[0] == "{" else b"]"):
        return CUT
    if len(head) < LOOKED_AT and any(
        isinstance(found, Gap) and found.kind == "cut-line"
        for found in values(dump, file, lambda _: False)
    ):
        return CUT
    return ""


def _is_value(data: bytes) -> bool:
    try:
        json.loads(data.replace(b"\0", b"").decode("utf-8-sig", "replace"), strict=False)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _end(dump: Dump, file: str) -> bytes:
    """Return the last bytes of what a file holds; one that is packed is read for them.

    Raises:
        SourceError: it cannot be had.
    """
    with seekable(dump, file) as opened:
        if compression_of(opened.read(HEAD_BYTES)) is None:
            opened.seek(-min(END, opened.seek(0, io.SEEK_END)), io.SEEK_END)
            return opened.read(END)
    last = b""
    with dump.open(file) as unpacked:
        while piece := unpacked.read1(LOOKED_AT):
            last = (last + piece)[-END:]
    return last


def _broken_parquet(dump: Dump, file: str) -> str:
    try:
        with seekable(dump, file) as opened:
            pq.ParquetFile(opened).close()
    except (pa.ArrowException, OSError) as error:
        return f"no Parquet: {error}"[:200]
    return ""
