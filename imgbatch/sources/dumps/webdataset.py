"""WebDataset: tars whose members go together by name up to the first dot, one sample after another.

Confirmed in webdataset's tariterators.py (read 2026-11): the key is the path up to the first dot of
its last part, what follows is the suffix, in lower case; only members that follow each other make a
sample; names without a dot and those that begin with `__...__` are passed over, as is whatever is
no plain file.

A sample becomes a post. Its id is the `post_id` or `id` of its JSON (or `--id-column`), else the
shard and the key: keys need not be unique beyond their shard. A tar is walked once, from its start.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps._seekable import seekable
from imgbatch.sources.dumps._usual import moment, numbers, usual, words
from imgbatch.sources.dumps.names import MEMBER, exact, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import clean, count, number, text, text_id
from imgbatch.sources.members import Addresses
from imgbatch.sources.names import IMAGES, TAR_NAMES, VIDEOS, archive_form
from imgbatch.sources.streams import open_tape
from imgbatch.sources.tars import REGULAR, is_folder, walk
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked, MediaKind
    from imgbatch.sources.tars import Tape

TITLE = "WebDataset"
RECOGNISED = "tars where media and .json, .txt or .cls of the same name follow each other"
YIELDS = "samples as posts: text from .txt or JSON, the usual fields of the JSON, all media of it"

IDS_WITHIN = "dump"

PARTS = re.compile(r"^((?:.*/)?[^./][^./]*)\.([^/]*)$")
META = re.compile(r"^__[^/]*__($|/)")
TOLD = ("json", "txt", "cls", "caption", "text")
AUDIO = frozenset(("wav", "mp3", "flac", "ogg", "m4a", "opus"))
# What a JSON of another tool in the same shape holds.
FOREIGN = ("instaloader", "subcategory", "extractor_key", "extractor")
# A larger JSON or text is none of one sample.
LARGEST = 2**24
TARS = ("tar", "tgz", "tzst", "tbz", "tbz2", "txz")
TARS_TRIED, TARS_LOOKED_AT = 20, 3
MEMBERS_LOOKED_AT = 200


@dataclass(slots=True)
class Sample:
    """Members that go together.

    Attributes:
        key: their name up to the first dot.
        media: names in the dump of members and their kinds, in the order of the tar.
        told: contents of the others, by suffix.
        others: suffixes that are neither.
    """

    key: str
    media: list[tuple[str, MediaKind]] = field(default_factory=list)
    told: dict[str, bytes] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the first members of the first tars that have any."""
    listed = (name for name in files(dump) if next(dump.starting(name + MEMBER), None))
    looked = (_is_ours(dump, name) for name in islice(listed, TARS_TRIED))
    told = list(islice((ours for ours in looked if ours is not None), TARS_LOOKED_AT))
    return 0.85 if told and all(told) else 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the tars, but for those that img2dataset describes beside them."""
    for name in dump.metadata(*TARS):
        # What lies in an archive in an archive is no source.
        if MEMBER not in name and archive_form(name) == "tar" and not dump.has(_stats(name)):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the samples of all tars, in order."""
    counted = Counted()
    for name in files(dump):
        line = 0
        try:
            for found in samples(dump, name, counted):
                line += 1
                yield _post(found, asked, name, line, counted)
        except SourceError as error:
            yield Gap(error.code, name, line, f"{error}; {line} samples came before that")
        yield from counted.gaps()


def samples(dump: Dump, name: str, counted: Counted) -> Iterator[Sample]:
    """Yield the samples of a tar, what they tell in memory and their media not.

    Raises:
        SourceError: it cannot be had, or is damaged; the samples before that came.
    """
    held: Sample | None = None
    # Two samples may have one key, and a medium each: as listed, each of these has its own name.
    addresses = Addresses(name)
    with _tar(dump, name) as tape:
        for header in walk(tape):
            if is_folder(header):
                continue
            address = addresses.take(header.name)
            parts = PARTS.match(header.name)
            if header.type not in REGULAR or META.match(header.name) or parts is None:
                continue
            key, suffix = parts[1], parts[2].lower()
            if held is None or held.key != key:
                if held is not None:
                    yield held
                held = Sample(key)
            kind = _kind(suffix)
            if kind is not None:
                held.media.append((address, kind))
            elif suffix not in TOLD:
                held.others.append(suffix)
            elif header.size > LARGEST:
                counted.note("long-line", f"a .{suffix} of more than {LARGEST} bytes", name)
            else:
                held.told[suffix] = tape.read(header.size)
    if held is not None:
        yield held


@contextlib.contextmanager
def _tar(dump: Dump, name: str) -> Iterator[Tape]:
    with seekable(dump, name) as file, open_tape(file) as (tape, _):
        yield tape


def _stats(name: str) -> str:
    return name.rpartition(".")[0] + "_stats.json"


def _is_ours(dump: Dump, name: str) -> bool | None:
    """Tell whether at least half of the first samples are a medium and what describes it.

    Of a damaged tar by those before the damage; None: it has no sample that could say so.
    """
    looked: list[Sample] = []
    with contextlib.suppress(SourceError):
        looked.extend(islice(samples(dump, name, Counted()), MEMBERS_LOOKED_AT))
    if not looked:
        return None
    whole = [
        found
        for found in looked
        if found.media and found.told and not any("." in suffix for suffix in found.others)
    ]
    foreign = any(key in _told(found.told.get("json")) for found in whole for key in FOREIGN)
    return bool(whole) and 2 * len(whole) >= len(looked) and not foreign


def _told(data: bytes | None) -> dict[str, Any]:
    """Return the object of a JSON member, an empty one where it is none."""
    try:
        found = json.loads((data or b"{}").replace(b"\0", b"").decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _kind(suffix: str) -> MediaKind | None:
    last = suffix.rpartition(".")[2]
    if last in IMAGES:
        return "image"
    if last in VIDEOS:
        return "video"
    return "audio" if last in AUDIO else None


def _post(sample: Sample, asked: Asked, name: str, line: int, counted: Counted) -> Post:
    row = _told(sample.told.get("json"))
    if any(not _is_text(data) for data in sample.told.values()):
        counted.note("bad-bytes", "no UTF-8: these bytes became U+FFFD", name, line)
    if "json" in sample.told and not row:
        counted.note("broken-json", "a .json that holds no object", name, line)
    named = usual(row, "url")
    post_id = text_id(row.get(asked.id_column or named.post_id))
    if asked.id_column and post_id is None:
        counted.no_id(asked.id_column, name, line)
    told = row.get(named.created_at)
    created = moment(told)
    if told is not None and created is None:
        counted.bad(named.created_at, name, line)
    if not sample.media:
        counted.missing("media", name, line)
    return Post(
        post_id=post_id or clean(f"{TAR_NAMES.sub('', unquote(name))}/{sample.key}"),
        platform=words(row, named.platform) or "webdataset",
        raw_ref=ref(name, line),
        author_id=words(row, named.author_id),
        author_name=words(row, named.author_name),
        created_at=created,
        time_source=named.created_at if created else "",
        text=_text(sample) or words(row, named.text),
        lang=words(row, named.lang),
        url=words(row, named.url),
        reply_to=words(row, named.reply_to),
        repost_of=words(row, named.repost_of),
        metrics=numbers(row, named.metrics) | _label(sample),
        media=_media(sample, row),
    )


def _text(sample: Sample) -> str | None:
    for suffix in ("txt", "caption", "text"):
        if suffix in sample.told:
            return text(sample.told[suffix].decode("utf-8-sig", "replace"))
    return None


def _label(sample: Sample) -> dict[str, int]:
    """Return the class of a sample, which `.cls` holds as a number."""
    found = count(sample.told.get("cls", b"").decode("ascii", "replace"))
    return {} if found is None else {"cls": found}


def _media(sample: Sample, row: dict[str, Any]) -> tuple[Media, ...]:
    # What a JSON says of one medium says nothing of several.
    row = row if len(sample.media) == 1 else {}
    return tuple(
        Media(
            index,
            kind,
            url=text(row.get("url")),
            path=exact(member),
            key=sample.key,
            width=count(row.get("original_width", row.get("width"))),
            height=count(row.get("original_height", row.get("height"))),
            duration=number(row.get("duration")),
        )
        for index, (member, kind) in enumerate(sample.media)
    )
