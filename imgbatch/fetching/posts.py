"""A dump and the outcomes of its URLs enter; OUT/posts.jsonl leaves: posts, media and their files.

One object a line, a post or `{"gap": ...}`, which `sources.dumps.fetched` reads again.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sqlite3
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from msgspec import structs

from imgbatch.dataset.post_columns import SUSPECT
from imgbatch.dataset.same_ids import DIFFERING, SAYING
from imgbatch.dataset.suspects import SILENT
from imgbatch.errors import DatasetError, LinkError
from imgbatch.fetching.kept import POSTS, put_changed
from imgbatch.fetching.urls import canonical
from imgbatch.posts.damage import there
from imgbatch.posts.keys import file_of
from imgbatch.posts.left_out import left_out
from imgbatch.sources.dumps import Counted, Gap, Post, exported, ids_within, in_pieces, read_all
from imgbatch.sources.dumps.names import folder, resolve
from imgbatch.sources.dumps.values import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.fetching.links import Links
    from imgbatch.sources.dumps import Asked, Dump, Media
    from imgbatch.storage import Store

    # The format's name, and what it read.
    Told = Iterable[tuple[str, Post | Gap]]

IN_DUMP, NOT_FETCHED = "in-dump", "not-fetched"


def told(
    dump: Dump,
    names: Sequence[str],
    asked: Asked | None,
    stones: Tombstones,
    gave: set[str] | None = None,
) -> Told:
    """Return what a dump tells, without posts that were taken out of OUT or are not exported.

    Args:
        dump: to read.
        names: of its formats.
        asked: which columns hold what, for tables.
        stones: of what was taken out.
        gave: takes the files of posts that are left out: they are not empty.
    """
    found = read_all(dump, names, asked)
    kept = left_out(found, stones, dump, gave=gave) if stones else found
    return exported(kept, dump, names, gave)


def silent(dump: Dump, links: Links) -> Iterator[Gap]:
    """Yield a gap for each file of a dump that gave posts and gives none now, nor says so.

    What it held is not known to be gone, as in a run of a dataset (`dataset.suspects`).
    """
    for file in links.silent():
        if there(dump, file):
            yield Gap(SUSPECT, file, None, SILENT)


def gave(one: dict[str, Any]) -> str:
    """Return of which file a line of posts.jsonl tells that it gave posts; "": of none."""
    gap = one.get("gap")
    if gap is None:
        return file_of(one.get("raw_ref") or "")
    return gap["ref"] if (gap["kind"], gap["message"]) == (SUSPECT, SILENT) else ""


def linked(dump: Dump, post: Post, kinds: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield (URL as the dump has it, whether it is of these kinds) of media that a post links to.

    Media whose files the dump has are left out.
    """
    for medium in post.media:
        if medium.url and not _is_here(dump, post, medium):
            yield medium.url, medium.kind in kinds


def written(store: Store) -> Iterator[dict[str, Any]]:
    """Yield the lines of posts.jsonl: posts and, of another shape, gaps of the dump.

    Raises:
        DatasetError: it is damaged.
        FileNotFoundError: there is none.
    """
    with store.open(POSTS) as file:
        for number, line in enumerate(file, 1):
            try:
                one = json.loads(line)
                if not isinstance(one, dict):
                    raise ValueError("neither a post nor a gap")  # noqa: TRY004, TRY301 - as of no JSON
            except (ValueError, RecursionError) as error:
                raise DatasetError(
                    f"{store.root}/{POSTS}, line {number}: {error}", "Fetch again first."
                ) from error
            yield one


def _is_here(dump: Dump, post: Post, medium: Media) -> bool:
    if medium.path is None:
        return False
    name = resolve(medium.path, post.raw_ref.rpartition(":")[0])
    return name is not None and dump.has(name)


def write_posts(store: Store, dump: Dump, told: Told, links: Links) -> tuple[int, int]:
    """Write posts.jsonl; return how many posts and how many gaps it holds.

    Of a format whose posts come in pieces, a table's rows, those of one id become one post here, as
    `dataset.same_ids.one_of_each` makes one of them.
    """
    counts = {Post: 0, Gap: 0}
    pieces = _Pieces()
    with tempfile.TemporaryFile() as file:
        for name, found in told:
            if isinstance(found, Gap):
                line = {"gap": dataclasses.asdict(found)}
            else:
                line = _line(name, found, dump, links)
                if in_pieces(name):
                    pieces.add(_whose(name, found), line, _known_by(name, found))
                    continue
            counts[type(found)] += 1
            file.write(_encoded(line))
        for line in pieces.whole():
            counts[Post] += 1
            file.write(_encoded(line))
        for gap in pieces.differing.gaps():
            counts[Gap] += 1
            file.write(_encoded({"gap": dataclasses.asdict(gap)}))
        put_changed(store, POSTS, cast("BinaryIO", file))
    return counts[Post], counts[Gap]


def _whose(name: str, post: Post) -> str:
    """Return what all pieces of a post have, and those of no other."""
    within = ids_within(name)
    place = {"file": file_of(post.raw_ref), "dump": ""}.get(within, folder(post.raw_ref))
    return json.dumps([post.platform, post.post_id, place])


def _known_by(name: str, post: Post) -> list[tuple[str | None, ...]]:
    """Return of each medium of a piece what tells it from others of its post.

    As `dataset.same_ids` tells them apart: by what the dump says of them, for what lies in the dump
    has none of that in OUT.
    """
    by_folder = not ids_within(name)
    return [(m.key, m.path, None if by_folder and m.path else m.url) for m in post.media]


class _Pieces:
    """Lines of posts that come in pieces, in a temporary database as `links` has one.

    Attributes:
        differing: pieces that say something else than their post does; known behind `whole`.
    """

    def __init__(self) -> None:
        self.differing = Counted()
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.executescript(
            "CREATE TABLE pieces (id INTEGER PRIMARY KEY, post TEXT, line TEXT, media TEXT);"
            "CREATE INDEX by_post ON pieces (post, id); BEGIN;"
        )

    def add(self, post: str, line: dict[str, Any], media: list[tuple[str | None, ...]]) -> None:
        """Take a piece of a post, and what that and each of its media are known by."""
        self._base.execute(
            "INSERT INTO pieces (post, line, media) VALUES (?, ?, ?)",
            (post, json.dumps(line), json.dumps(media)),
        )

    def whole(self) -> Iterator[dict[str, Any]]:
        """Yield one line per post, by id: its last piece, with the media of all, each once."""
        rows = self._base.execute("SELECT post, line, media FROM pieces ORDER BY post, id")
        for _, its in itertools.groupby(rows, key=lambda row: row[0]):
            pieces = [(json.loads(line), json.loads(known)) for _, line, known in its]
            media: dict[tuple[str | None, ...], dict[str, Any]] = {}
            for piece, known in pieces:
                for medium, by in zip(piece["media"], known, strict=True):
                    media.setdefault(tuple(by), medium)
            *others, last = [piece for piece, _ in pieces]
            for other in others:
                self._compare(other, last)
            last["media"] = [{**m, "index": n} for n, m in enumerate(media.values())]
            called = [name for piece in (*others, last) for name in piece.get("former", ())]
            if called:
                last["former"] = [list(name) for name in dict.fromkeys(map(tuple, called))]
            yield last
        self._base.close()

    def _compare(self, other: dict[str, Any], last: dict[str, Any]) -> None:
        if any(other[name] not in (None, last[name]) for name in SAYING):
            file, _, line = other["raw_ref"].rpartition(":")
            self.differing.note("differing-rows", DIFFERING, file, int(line))


def _encoded(line: dict[str, Any]) -> bytes:
    # A name of a metric, or what is told of a gap, may have half a surrogate pair.
    return clean(json.dumps(line, ensure_ascii=False)).encode() + b"\n"


def _line(name: str, post: Post, dump: Dump, links: Links) -> dict[str, Any]:
    created = None if post.created_at is None else post.created_at.isoformat()
    told = structs.asdict(post)
    if not post.former:
        del told["former"]
    return {
        **told,
        "created_at": created,
        "metrics": dict(post.metrics),
        "dump": name,
        "media": [_medium(post, medium, dump, links) for medium in post.media],
    }


def _medium(post: Post, medium: Media, dump: Dump, links: Links) -> dict[str, Any]:
    record = {**structs.asdict(medium), "path": None}
    if _is_here(dump, post, medium):
        return {**record, "status": IN_DUMP}
    if not medium.url:
        return record
    row = links.outcome(address_of(medium.url))
    if row is None:
        return {**record, "status": NOT_FETCHED}
    if not row["file"]:
        return {**record, "status": row["error_class"]}
    return {**record, "status": "", "path": row["file"], "sha256": row["sha256"]}


def urls_of(one: dict[str, Any]) -> list[str]:
    """Return what a line of posts.jsonl links to."""
    return [address_of(url) for medium in one.get("media", []) if (url := medium["url"])]


def address_of(text: str) -> str:
    """Return the URL that a dump's text stands for; the text itself where it is none."""
    try:
        return str(canonical(text))
    except LinkError:
        return text
