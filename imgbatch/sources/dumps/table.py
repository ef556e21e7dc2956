"""Any table with paths or URLs of media: CSV, TSV, JSON lines, a JSON list or Parquet.

Never taken unasked: `--media-column` (and `--id-column`) or `--dump table` ask for it. What says
the rest of a post is found by usual names (`created_at`, `author`, `text`, `likes`, ...).

Paths are relative to the table's folder; those that begin with that folder's own path on this
machine are taken as such, others that begin with `/` as from the root of the dump. Rows of the
same id in one file are pieces of one post: their media add up (see PIECES). A row that names no
platform has its id within its file: post 1 of another file is another post. An id that lost its
digits in a spreadsheet (1.5E+18) is none. A time is what `_usual.moment` takes for one.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from imgbatch.errors import DumpError, SourceError
from imgbatch.settings import nearest
from imgbatch.sources.blobs import LOCAL_SCHEME
from imgbatch.sources.dumps import _rows
from imgbatch.sources.dumps._cells import KINDS, kind_of, kind_of_column, media_in
from imgbatch.sources.dumps._usual import Usual, moment, plain, usual, word
from imgbatch.sources.dumps.names import URL, folder, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import count, is_rounded, text_id
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked

    Row = Sequence[Any]

TITLE = "a table: CSV, TSV, JSON lines, a JSON list or Parquet"
RECOGNISED = "only asked for: --media-column COLUMN, or --dump table"
YIELDS = "a post per row or id, with the paths or URLs of one column as its media"
# Several rows may be of one post, in any order: their media add up.
PIECES = True
IDS_WITHIN = "file"

MEDIA = (
    "media", "image", "images", "image_path", "image_url", "image_urls", "media_path", "media_url",
    "media_urls", "photo", "photos", "photo_url", "picture", "picture_url", "video", "videos",
    "video_url", "file", "files", "file_name", "filename", "file_path", "filepath", "local_path",
    "path", "img", "img_url",
)  # fmt: skip
TEXTS = ("author_id", "author_name", "text", "lang", "url", "reply_to", "repost_of")
# Ids that are not the post's own: the post stays where they have lost their digits.
OTHERS = ("author_id", "reply_to", "repost_of")
TABLES_LOOKED_AT = 5
# A path of this machine begins so, or a URL of one.
FULL = ("/", "f")
MAYBE = 0.3


class Columns(NamedTuple):
    """Which columns of a table say what; "" where none does."""

    media: str
    post_id: str
    usual: Usual


def recognise(dump: Dump) -> float:
    """Tell how sure it is: never sure, because any table may name files for any reason."""
    for name in islice(files(dump), TABLES_LOOKED_AT):
        try:
            fields = _rows.columns(dump, name)
        except SourceError:
            continue
        if usual(fields).post_id and _medium_column(fields):
            return MAYBE
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the tables: all files that may be one, by their names."""
    yield from dump.metadata(*_rows.ENDINGS)


def refuse(dump: Dump, asked: Asked) -> None:
    """Refuse a column of ids that no table has: rows would be known by their numbers instead.

    Raises:
        DumpError: so it is; near ones are told.
    """
    wanted = asked.id_column
    seen: list[str] = []
    for name in files(dump) if wanted else ():
        with suppress(SourceError):
            seen += _rows.columns(dump, name)
    if wanted and seen and not _first(seen, [wanted]):
        raise _lacking(dump, seen, wanted)


def named(dump: Dump, asked: Asked) -> Iterator[tuple[str, str]]:
    """Yield (the table's name, path or URL) of all media that the tables of a dump name.

    Raises:
        DumpError: no table has a column that is asked for; near ones are told.
        SourceError: a table cannot be had.
    """
    refuse(dump, asked)
    seen: list[str] = []
    for name in files(dump):
        fields = _rows.columns(dump, name)
        seen += [field for field in fields if field not in seen]
        column = _medium_column(fields, asked)
        if not column:
            continue
        seen.append(column)
        own = _folder(dump, name)
        for found in _rows.rows(dump, name, [column]):
            if not isinstance(found, Gap):
                for medium in media_in(found[1][0]):
                    yield name, _inside(medium, own)
    if not _medium_column(seen, asked):
        raise _no_column(dump, seen, asked)


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the posts of all tables, in the order of their rows."""
    counted = Counted()
    for name in files(dump):
        try:
            chosen = _columns(_rows.columns(dump, name), asked)
        except SourceError as error:
            yield Gap(error.code, name, None, str(error))
            continue
        if not chosen.media:
            counted.missing(asked.media_column or "a column of media", name)
        if not chosen.post_id:
            counted.no_id(asked.id_column or "a column of ids: file and row are one", name)
        if not chosen.usual.created_at:
            counted.missing("a column of times", name)
        if not chosen.usual.author_id:
            counted.missing("a column of authors' ids", name)
        if not chosen.usual.text:
            counted.missing("a column of texts", name)
        yield from _Reader(dump, name, chosen, counted).posts()
        yield from counted.gaps()


def _no_column(dump: Dump, seen: list[str], asked: Asked) -> DumpError:
    wanted = asked.media_column
    if wanted is None:
        return DumpError(
            f"{dump.root}: no column is called as media usually are",
            f"Name one with --media-column; there are {', '.join(seen) or 'none'}.",
        )
    return _lacking(dump, seen, wanted)


def _lacking(dump: Dump, seen: list[str], wanted: str) -> DumpError:
    return DumpError(
        f"{dump.root}: no table has a column {wanted!r}{nearest(wanted, seen)}",
        "Give the name as it stands in the table's first row.",
    )


def _medium_column(fields: Iterable[str], asked: Asked | None = None) -> str:
    wanted = (asked.media_column,) if asked and asked.media_column else MEDIA
    return _first(fields, wanted)


def _first(fields: Iterable[str], wanted: Iterable[str]) -> str:
    """Return the field that has one of some names, in any case and with blanks or dashes."""
    known = list(fields)
    alike = {plain(field): field for field in reversed(known)}
    for name in wanted:
        if name in known:
            return name
        if plain(name) in alike:
            return alike[plain(name)]
    return ""


def _columns(fields: list[str], asked: Asked) -> Columns:
    media = _medium_column(fields, asked)
    found = usual(fields, media)
    post_id = _first(fields, [asked.id_column]) if asked.id_column else found.post_id
    return Columns(media, post_id, found)


def _inside(medium: str, own: str) -> str:
    """Return a path of this machine that begins with the table's folder as relative to it."""
    if not own:
        return medium
    path = medium.removeprefix(LOCAL_SCHEME)
    if path.startswith(own):
        return path.removeprefix(own)
    return path if path != medium else medium


def _folder(dump: Dump, name: str) -> str:
    """Return the path of a table's folder, where it lies on this machine."""
    root = dump.address("")
    if not root.startswith(LOCAL_SCHEME):
        return ""
    return unquote(root.removeprefix(LOCAL_SCHEME)) + unquote(folder(name))


class _Reader:
    """Rows of one table to posts."""

    def __init__(self, dump: Dump, name: str, chosen: Columns, counted: Counted) -> None:
        self._dump = dump
        self._name = name
        self._counted = counted
        self._own = _folder(dump, name)
        self._kind = kind_of_column(chosen.media)
        self._said = said = chosen.usual
        *one_each, metrics = said
        columns = dict.fromkeys([chosen.post_id, chosen.media, *one_each, *metrics])
        columns.pop("", None)
        # The columns that say something, and by their names where a row has them.
        self._columns = list(columns)
        place = {column: at for at, column in enumerate(columns)}
        self._id, self._medium = place.get(chosen.post_id), place.get(chosen.media)
        self._platform, self._alt_text = place.get(said.platform), place.get(said.alt_text)
        self._created_at = place.get(said.created_at)
        told = said._asdict()
        self._texts = [(field, place[told[field]]) for field in TEXTS if told[field]]
        self._others = [(field, at) for field, at in self._texts if field in OTHERS]
        self._metrics = [(column, place[column]) for column in metrics]

    def posts(self) -> Iterator[Post | Gap]:
        """Yield a post per row."""
        for found in _rows.rows(self._dump, self._name, self._columns):
            made = found if isinstance(found, Gap) else self._post(*found)
            if made is not None:
                yield made

    def _post(self, line: int, row: Row) -> Post | None:
        place = ref(self._name, line)
        told = None if self._id is None else row[self._id]
        post_id = place if self._id is None else text_id(told)
        if post_id is None:
            self._no_id(told, line)
            return None
        platform = None if self._platform is None else word(row[self._platform])
        post = Post(post_id, platform or "table", place)
        for field, at in self._texts:
            told = row[at]
            setattr(post, field, told if type(told) is str and told else word(told))
        for field, at in self._others:
            told = row[at]
            # Looked at only where it may be so: a call for each would cost every row.
            rounded = "+" in told if type(told) is str else type(told) is float
            if rounded or (post.author_id is None and field == "author_id"):
                self._check_other(post, field, told, line)
        if self._created_at is not None:
            post.created_at = moment(row[self._created_at])
            if post.created_at is not None:
                post.time_source = self._said.created_at
            else:
                self._no_time(row[self._created_at], line)
        metrics = {}
        for column, at in self._metrics:
            if (number := count(row[at])) is not None:
                metrics[column] = number
        post.metrics = metrics
        if self._medium is not None and row[self._medium]:
            post.media = self._media(row[self._medium], row)
        return post

    def _no_id(self, told: Any, line: int) -> None:
        column = self._columns[0][:200]
        if is_rounded(told):
            self._counted.rounded(column, self._name, line)
        else:
            self._counted.note("no-id", column, self._name, line)

    def _check_other(self, post: Post, field: str, told: Any, line: int) -> None:
        """Take an id out that has lost its digits; count it, or an author who has none."""
        column = getattr(self._said, field)
        if is_rounded(told):
            setattr(post, field, None)
            self._counted.bad(column, self._name, line)
        elif field == "author_id" and post.author_id is None:
            self._counted.missing(column, self._name, line)

    def _no_time(self, told: Any, line: int) -> None:
        note = self._counted.missing if told is None or told == "" else self._counted.bad
        note(self._said.created_at, self._name, line)

    def _media(self, cell: Any, row: Row) -> tuple[Media, ...]:
        alt_text = None if self._alt_text is None else word(row[self._alt_text])
        found: list[Media] = []
        for said in media_in(cell):
            # By its ending as it stands, which tells almost all without a call.
            kind = KINDS.get(said.rpartition(".")[2]) or kind_of(said, self._kind)
            if "://" in said and URL.match(said) and not said.startswith(LOCAL_SCHEME):
                medium = Media(len(found), kind, url=said, alt_text=alt_text)
            else:
                path = _inside(said, self._own) if said[:1] in FULL else said
                medium = Media(len(found), kind, path=path, alt_text=alt_text)
            found.append(medium)
        return tuple(found)
