"""The frozen words of a dump: Post, Media, Gap; and Counted, which adds up what was missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

# So many things are told apart before they are given, and so long is what is said of each.
MOST, LONGEST = 10_000, 300
# The kind of gap of a file that says itself that it holds no posts: what it had before is gone.
EMPTY = "no-posts"
# So many NUL bytes in a row are no text: a disk that was full, or lost its power, leaves them.
HOLE = 16
FURTHER = f"further ones after {MOST} of different words"
MediaKind = Literal["image", "video", "audio", "other"]


class Media(Struct):
    """One medium of a post, in the post's order.

    A Struct, as Post is: made from keywords in a quarter of the time that a dataclass takes.

    Attributes:
        index: its place in the post, from 0.
        url: where the platform had it.
        path: the file as the dump names it, relative to the metadata file's folder, or to the root
            of the dump where it begins with `/`, or a name of the dump behind `//` (see
            `names.resolve`).
        key: the platform's own id of it.
        width, height: pixels, as the dump says.
        duration: seconds.
        alt_text: as its author or the platform described it.
        status: why there is no file (`not-included`, `too-large`, `unavailable`, ...), else "".
        sha256: of the file's bytes, 64 hex digits, where the dump says it.
    """

    index: int
    kind: MediaKind
    url: str | None = None
    path: str | None = None
    key: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    alt_text: str | None = None
    status: str = ""
    sha256: str | None = None


class Post(Struct):
    """One post, message, submission or record of a dump.

    Attributes:
        post_id: the platform's, as text: digits beyond 2**53 must stay what they are.
        platform: lower case: x, instagram, tiktok, telegram, reddit, facebook, ...; of formats
            without one, `imgbatch.platforms` says what stands here.
        raw_ref: metadata file and line or item (from 1), as `names.ref` writes it.
        created_at: aware, in UTC.
        time_source: the field and unit that `created_at` was read from.
        reply_to, repost_of: ids of other posts.
        metrics: likes, shares, views, ..., by the dump's own names.
        partial: the collector saw a part of the post only, and says so; it stays only where no
            whole copy of the post is there.
        former: what former versions called the post, where that was something else: platforms and
            ids. Datasets of then have it by these, and so have their tombstones.
        linked: known alone by what a metadata file says of media, in which no post stands.
        anywhere: by the pseudonyms of posts that stand here, pseudonyms of theirs that depend on no
            platform: tombstones have these, and no table does.
        handle: the author's name where it stood for an id and is not kept: takedowns mean it.
    """

    post_id: str
    platform: str
    raw_ref: str
    author_id: str | None = None
    author_name: str | None = None
    created_at: datetime | None = None
    time_source: str = ""
    text: str | None = None
    lang: str | None = None
    url: str | None = None
    reply_to: str | None = None
    repost_of: str | None = None
    metrics: Mapping[str, int] = {}
    media: tuple[Media, ...] = ()
    partial: bool = False
    former: tuple[tuple[str, str], ...] = ()
    linked: bool = False
    anywhere: Mapping[str, tuple[str, ...]] = {}
    handle: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """What a dump does not tell, or could not be read of it.

    Attributes:
        kind: broken-line, cut-line, long-line, broken-json, broken-file, missing-field, bad-field,
            bad-bytes, no-posts (the file says so itself), no-id (nothing says which post or posts
            stand here), rounded-id, re-encoded (files are not what the platform had), not-exported
            (files are of posts that the export beside them lacks), unread, or the error class of a
            file that could not be read (archive.*, fetch.*).
        ref: the metadata file, as the dump names it.
        line: line or item, from 1, the first one where there were several; None: the whole file.
        message: what is missing or wrong, by field.
        count: how often.
    """

    kind: str
    ref: str
    line: int | None
    message: str
    count: int = 1


class Asked(Protocol):
    """What a reader may be told; the recipe's `[posts]` table has these and more."""

    @property
    def media_column(self) -> str | None:
        """The column that holds paths or URLs of media, for tables."""

    @property
    def id_column(self) -> str | None:
        """The column that holds the post's id, for tables."""


@dataclass(frozen=True, slots=True)
class Plain:
    """Nothing is asked: the format decides."""

    media_column: str | None = None
    id_column: str | None = None


class Counted:
    """Adds up what is missing: one Gap for each kind, file and message, not one a line.

    A file's gaps should be given when it ends: `yield from counted.gaps()`, which forgets them.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], tuple[int | None, int]] = {}

    def missing(self, field_name: str, ref: str, line: int | None = None) -> None:
        """Note that a field which posts of this format have is not there."""
        self.note("missing-field", field_name, ref, line)

    def bad(self, field_name: str, ref: str, line: int | None = None) -> None:
        """Note that a field is there and holds something else than it should."""
        self.note("bad-field", field_name, ref, line)

    def rounded(self, field_name: str, ref: str, line: int | None = None) -> None:
        """Note that the id of a post is a number that has lost its digits."""
        words = "digits are lost, as where a spreadsheet saved it"
        self.note("rounded-id", f"{field_name}: {words}", ref, line)

    def no_id(self, why: str, ref: str, line: int | None = None) -> None:
        """Note that it is not known which post stands here, or which posts."""
        self.note("no-id", why, ref, line)

    def empty(self, ref: str, line: int | None = None) -> None:
        """Note that a file which gave no post says itself that there are none."""
        self.note(EMPTY, "it says itself that it holds no posts", ref, line)

    def hole(self, ref: str, line: int | None = None) -> None:
        """Note a run of at least HOLE NUL bytes: posts may have stood there."""
        self.note("broken-line", "NUL bytes stand where something else stood", ref, line)

    def note(self, kind: str, message: str, ref: str, line: int | None = None) -> None:
        """Note anything; messages should be few. What a dump says itself may be in them, cut."""
        key = (kind, ref, message[:LONGEST])
        if key not in self._found and len(self._found) >= MOST:
            key = (kind, "", FURTHER)
        first, count = self._found.get(key, (line, 0))
        self._found[key] = (first, count + 1)

    def gaps(self) -> Iterator[Gap]:
        """Yield what was noted and forget it."""
        found, self._found = self._found, {}
        for (kind, ref, message), (line, count) in found.items():
            yield Gap(kind, ref, line, message, count)
