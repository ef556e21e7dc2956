"""Objects whose names obstore cannot say, read through the maker's own SDK.

`a//b.jpg`, `/lead.jpg`, `x/../z.jpg` and names with control characters are keys like any other to
S3 and Google, and scrapers make them. obstore's paths have no empty part, neither `.` nor `..`: it
refuses such a key, or takes a slash off either end and means another object. Enters: a bucket, or
a key of it. Leaves: what the rest of `storage` would have had from obstore; errors are in its words
(`RetoldError`), for `storage.refusals`.

Decision, 2026-11: they are read and never written. Nothing of ours has such a name. Drawback: no
dataset below a prefix such as `a//b`.

Decision, 2026-11: obstore lists `/lead.jpg` as `lead.jpg` and says nothing, so whoever lists a
whole bucket asks first whether there is such a key. Drawback: one request more for each listing of
a whole bucket, beside its first page; none below a prefix.

What is not seen: an object with bytes whose name ends with a slash, as long as nothing else there
is odd and no name on its page is the same but for the slash. obstore lists it without the slash,
and it is `fetch.missing`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from imgbatch.storage import access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgbatch.storage import Entry

_ODD = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)|[\x00-\x1f\x7f]")

Read = tuple[str, "Callable[[], bytes]"]


def is_odd(key: str) -> bool:
    """Return whether obstore cannot say a key, or would mean another by it."""
    return _ODD.search(key) is not None


class RetoldError(Exception):
    """What a server said to an SDK, told as obstore tells it."""


class Objects(Protocol):
    """The objects of a bucket by their true keys.

    All of it raises RetoldError, and obstore's PreconditionError for what has changed.
    """

    def pages(self, below: str, after: str) -> Iterator[Sequence[Entry]]:
        """Yield what has bytes or no slash at its end, by pages; names are whole keys.

        Args:
            below: what keys begin with.
            after: what they come behind, in the order of their bytes.

        Returns:
            Entries whose version is as obstore says it, or "" where only it knows.
        """

    def leads(self) -> bool:
        """Return whether a key begins with a slash."""

    def head(self, key: str) -> tuple[int, str]:
        """Return size and version."""

    def read(self, key: str, stretch: tuple[int, int] | None) -> Read:
        """Return the version, and what reads the bytes from a start to an end, or all."""


class OddNames:
    """The SDK of a bucket such as `s3://photos`, loaded when it is needed."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._made: tuple[int, Objects] | None = None

    @property
    def objects(self) -> Objects:
        """Return the bucket's objects, as this process knows now how to reach them."""
        edition = access.edition()
        if self._made is None or self._made[0] != edition:
            self._made = (edition, self._reached())
        return self._made[1]

    def _reached(self) -> Objects:
        if self._bucket.startswith("s3:"):
            from imgbatch.storage.odd.s3 import S3Objects  # noqa: PLC0415 - a heavy import

            return S3Objects(self._bucket)
        from imgbatch.storage.odd.gs import GoogleObjects  # noqa: PLC0415 - a heavy import

        return GoogleObjects(self._bucket)
