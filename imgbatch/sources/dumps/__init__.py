"""Dumps: exports of posts with media beside them, one module here per format, found by sniffing.

A format is a module of this folder, its name with `_` for `-` (`fourcat` is 4cat), that exports

    TITLE: str                                   what it is called
    RECOGNISED: str                              by what it is recognised, in words
    YIELDS: str                                  what comes out, in words
    recognise(dump) -> float                     0 to 1; looks at names and a few heads, no more
    files(dump) -> Iterator[str]                 the metadata files that `read` reads, sorted
    read(dump, asked) -> Iterator[Post | Gap]    streams; a missing field is counted, never raised
    refuse(dump, asked)                          optional: raises DumpError where what is asked for
                                                 is nowhere in it
    posts_of(name) -> str | None                 optional: the post's id in a media file's name
    postless(dump) -> Iterator[str]              optional: metadata files of the format that hold no
                                                 post and need not be read
    link(dump, linked) -> Iterator[Gap]          optional: notes in a `Linked` which files are of
                                                 which posts, whatever format reads these posts
    links(dump) -> Iterator[str]                 beside it: the metadata files that say no more
    PIECES: bool                                 optional: media of posts of the same id add up
    IDS_WITHIN: "file" | "dump"                  optional: how far ids of posts go that name no
                                                 platform: the format's name stands for it then

A format with IDS_WITHIN is one of `imgbatch.platforms.FORMS`; so far go the pieces of a post, too.
Without it they go as far as the folder of the metadata file, which paths of media are relative to.

Decision, 2026-11: `files` is the format's own, and of two formats that read the same file neither
is taken unasked. Drawback: sniffing a dump of several formats lists their files once more.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from heapq import merge
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from imgbatch.errors import DumpError, SourceError
from imgbatch.platforms import marked
from imgbatch.settings import nearest
from imgbatch.sources.dumps.dump import Dump
from imgbatch.sources.dumps.linked import Linked
from imgbatch.sources.dumps.posts import EMPTY, Asked, Counted, Gap, Media, Plain, Post
from imgbatch.sources.dumps.tidy import tidy
from imgbatch.sources.dumps.unread import NESTED, unread, untaken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "EMPTY",
    "Asked",
    "Counted",
    "Dump",
    "Format",
    "Gap",
    "Media",
    "Plain",
    "Post",
    "choose",
    "exported",
    "formats",
    "ids_within",
    "in_pieces",
    "load",
    "posts_of",
    "read_all",
    "sniff",
    "untaken",
]

# Name to module, in the order in which they are told.
FORMATS = {
    "twarc2": "twarc2",
    "x-archive": "x_archive",
    "4cat": "fourcat",
    "zeeschuimer": "zeeschuimer",
    "telegram": "telegram",
    "instaloader": "instaloader",
    "gallery-dl": "gallery_dl",
    "yt-dlp": "yt_dlp",
    "reddit": "reddit",
    "tiktok-research": "tiktok_research",
    "meta": "meta",
    "webdataset": "webdataset",
    "img2dataset": "img2dataset",
    "table": "table",
    "fetched": "fetched",
}
SURE = 0.5
NOT_EXPORTED = "posts that files are of by this file, and that no export here has: they have no row"


class Format(Protocol):
    """What a module of a format exports."""

    TITLE: str
    RECOGNISED: str
    YIELDS: str

    def recognise(self, dump: Dump) -> float:
        """Tell how sure it is, 0 to 1, from names and a few heads."""

    def files(self, dump: Dump) -> Iterator[str]:
        """Yield the names of the metadata files that `read` reads, sorted."""

    def read(self, dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
        """Yield its posts as it reads, and a Gap for whatever could not be read."""


def formats() -> list[str]:
    """Return the names of the formats."""
    return list(FORMATS)


def load(name: str) -> Format:
    """Return the module of a format.

    Raises:
        DumpError: there is none of this name.
    """
    if name not in formats():
        raise DumpError(f"no dump format is called {name!r}{nearest(name, formats())}")
    return cast("Format", import_module(f"{__name__}.{FORMATS[name]}"))


def posts_of(name: str, file: str) -> str | None:
    """Return the post id that a format's own naming puts into a media file's name, if any."""
    find = getattr(load(name), "posts_of", None)
    return find(file) if find else None


def in_pieces(name: str) -> bool:
    """Tell whether posts of the same id that a format reads are pieces of one post."""
    return bool(getattr(load(name), "PIECES", False))


def ids_within(name: str) -> str:
    """Return how far ids go that a format reads: `file`, `dump`, or "": everywhere."""
    return str(getattr(load(name), "IDS_WITHIN", ""))


def sniff(dump: Dump) -> list[tuple[str, float]]:
    """Return the formats that a dump may be of, surest first, each with how sure it is.

    A file that cannot be read makes no format sure; reading it tells.
    """
    found = []
    for name in formats():
        try:
            sure = load(name).recognise(dump)
        except SourceError:
            sure = 0.0
        if sure > 0:
            found.append((name, sure))
    return sorted(found, key=lambda pair: -pair[1])


def choose(dump: Dump, asked: str = "auto") -> list[str]:
    """Return the formats to read a dump as: the one that is asked for, or what it is taken for.

    Args:
        dump: to look at.
        asked: `auto`, `none` or a format.

    Raises:
        DumpError: mixed: two formats would read the same file; or no such format; or the dump has
            no file that this one reads.
    """
    if asked == "none":
        return []
    if asked != "auto":
        if next(load(asked).files(dump), None) is None:
            raise DumpError(f"{dump.root} has no file of the format {asked}{closed(dump)}")
        return [asked]
    sure = [name for name, score in sniff(dump) if score > SURE]
    _apart(dump, sure)
    return sure


def refuse(dump: Dump, names: Sequence[str], asked: Asked) -> None:
    """Refuse to read a dump as these formats where what is asked for is nowhere in it.

    Raises:
        DumpError: so it is.
    """
    for name in names:
        if hasattr(load(name), "refuse"):
            load(name).refuse(dump, asked)  # type: ignore[attr-defined] # just asked for


def closed(dump: Dump) -> str:
    """Return what to add to a message where a dump has archives in archives."""
    name = next(dump.nested(), None)
    return "" if name is None else f" ({name} is {NESTED})"


def read_all(
    dump: Dump, names: Sequence[str], asked: Asked | None = None
) -> Iterator[tuple[str, Post | Gap]]:
    """Yield (format, post or gap) of a dump read as each of these formats, fit for tables.

    A file that looks like metadata and is read by none of them is a Gap of the kind `unread`, or
    `broken-file` where it is seen to be damaged. What stands for the platform of posts that name
    none has its mark (see `imgbatch.platforms`).

    Raises:
        DumpError: no such format.
    """
    with closing(Linked()) as linked:
        linking = [name for name in names if hasattr(load(name), "link")]
        for name in linking:
            for gap in load(name).link(dump, linked):  # type: ignore[attr-defined] # just asked for
                yield name, gap
        for name in names:
            for found in _read(dump, name, asked or Plain(), linked):
                yield name, found
        for post in linked.left():
            tidy(post)
            yield linking[0], post
    if names:
        taken = [load(name).files(dump) for name in names]
        taken += [load(name).postless(dump) for name in names if hasattr(load(name), "postless")]  # type: ignore[attr-defined] # just asked for
        for gap in unread(dump, merge(*taken)):
            yield names[0], gap


def exported(
    found: Iterable[tuple[str, Post | Gap]],
    dump: Dump,
    names: Sequence[str],
    gave: set[str] | None = None,
) -> Iterator[tuple[str, Post | Gap]]:
    """Pass on what `read_all` yields, but no `linked` post where exports say which there are.

    What a platform took down is in no export any more, and its files are in the zip still: there
    they have no post. How many posts that are is a Gap of each file that names them.

    Args:
        found: see `read_all`.
        dump: that it is of.
        names: of the formats that it was read as.
        gave: takes the files that say so: they are not empty.
    """
    lacking: Counter[tuple[str, str]] = Counter()
    exports: bool | None = None
    for name, one in found:
        # What a fetch wrote has them only where no export was.
        if isinstance(one, Post) and one.linked and hasattr(load(name), "link"):
            if exports is None:
                exports = any(_exports(dump, each) for each in names)
            if exports:
                lacking[name, one.raw_ref.rpartition(":")[0]] += 1
                continue
        yield name, one
    for (name, file), count in lacking.items():
        if gave is not None:
            gave.add(file)
        yield name, Gap("not-exported", file, None, NOT_EXPORTED, count)


def _exports(dump: Dump, name: str) -> bool:
    """Tell whether a format reads posts here whose ids may be those that a `Linked` has."""
    form = load(name)
    beside = set(form.links(dump)) if hasattr(form, "links") else ()
    return not ids_within(name) and any(file not in beside for file in form.files(dump))


def _read(dump: Dump, name: str, asked: Asked, linked: Linked) -> Iterator[Post | Gap]:
    """Yield what one format reads, with the files that others know of its posts."""
    own = _Marks(dump, name)
    for found in load(name).read(dump, asked):
        if isinstance(found, Post):
            # Another file means another post by an id that counts within its own.
            if not own.form:
                linked.give(found)
            tidy(found)
            if found.platform == own.form:
                found.platform = own.of(found.raw_ref)
        yield found


class _Marks:
    """What stands for the platform of posts of one format that name none.

    Attributes:
        form: the format, which stands for it; "" where ids go everywhere.
    """

    def __init__(self, dump: Dump, name: str) -> None:
        within = ids_within(name)
        self.form = name if within else ""
        self._dump = dump
        self._by_file = within == "file"
        self._file: str | None = None
        self._mark = ""

    def of(self, raw_ref: str) -> str:
        """Return it for a post of this place; posts of one file follow each other."""
        file = raw_ref.rpartition(":")[0] if self._by_file else ""
        if file != self._file:
            self._file, self._mark = file, marked(self.form, self._dump.address(file))
        return self._mark


def _apart(dump: Dump, names: Sequence[str]) -> None:
    if len(names) < 2:  # noqa: PLR2004 - two can be mixed
        return
    taken: dict[str, str] = {}
    for name in names:
        for file in load(name).files(dump):
            other = taken.setdefault(file, name)
            if other != name:
                raise DumpError(
                    f"{dump.root} is mixed: {file} is taken for {other} and for {name}",
                    f"Say which with --dump {other} or --dump {name}.",
                )
