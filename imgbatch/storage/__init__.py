"""Few verbs over every store: list, head, get, open, put, replace, delete, erase, and the like.

`file://` (and plain paths) are served by `storage.local`; `s3://`, `gs://` and `memory://` by
`storage.remote` through obstore; what obstore cannot do goes through the makers' own SDKs: versions
(`storage.versions`), and objects whose names it cannot say (`storage.odd`).

Decision, 2026-11: folders do not go through obstore. Its local store decodes names as UTF-8 and
percent-encodes some characters; a corpus folder holds whatever names a scraper left there, and
none of them may be lost. Drawback: two implementations of each verb, held to one contract suite.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Protocol

from imgbatch.errors import SettingsError
from imgbatch.settings import nearest
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

REMOTE_SCHEMES = ("s3", "gs", "memory")


class ChangedError(FileExistsError):
    """The object that was to be replaced is not in the version that was told: somebody else's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as a listing shows it.

    Attributes:
        name: relative to the store's root, parts separated by `/`.
        version: etag or generation where the store has one, else size and mtime.
    """

    name: str
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class Former:
    """Bytes that a store still keeps and no listing shows.

    Attributes:
        name: as the store itself calls it, for messages and for `erase`.
        version: which of its versions; "" where the store has none.
        marker: only says that the object was deleted; has no bytes.
    """

    name: str
    version: str
    marker: bool = False


class Store(Protocol):
    """Objects under one root.

    Missing objects raise FileNotFoundError, refused ones DeniedError;
    a bucket that cannot be used at all AccessError, one that is out OutageError; whatever else goes
    wrong StorageError.

    Attributes:
        root: canonical URL, no trailing slash.
    """

    root: str

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield every object below a folder, recursively, in no promised order."""

    def folders(self, prefix: str = "") -> Sequence[str]:
        """Return the names of the folders in a folder, without looking at what is in them."""

    def files(self, prefix: str = "") -> Sequence[str]:
        """Return the names of the objects right in a folder."""

    def head(self, name: str) -> Entry:
        """Return size and version of one object."""

    def get(self, name: str, version: str = "") -> bytes:
        """Return a whole object.

        Raises:
            ChangedError: it is not in the version that is asked for.
        """

    def get_range(self, name: str, start: int, length: int, version: str = "") -> bytes:
        """Return `length` bytes from `start`; fewer only where the object ends.

        Raises:
            ChangedError: it is not in the version that is asked for.
        """

    def open(self, name: str, version: str = "") -> BinaryIO:
        """Open an object as a seekable file; all that it reads is of one version.

        Raises:
            ChangedError: from its reads too: it is not in that version, or not any more.
        """

    def put(self, name: str, data: bytes) -> None:
        """Write an object whole: readers see the old one or the new one, never a part."""

    def put_file(self, name: str, path: str) -> None:
        """Write an object whole from a file of this machine, which may be larger than memory."""

    def put_once(self, name: str, data: bytes) -> None:
        """Write an object that must not exist yet.

        Raises:
            FileExistsError: it does; nothing was written.
        """

    def replace(self, name: str, data: bytes, version: str) -> str:
        """Write an object that must still be in a version; return its new one.

        Of several that replace the same version exactly one does, if their data differ: on S3 the
        same bytes are the same version. `put` and `delete` ask for no version: they win over
        whoever replaces at the same moment.

        Raises:
            ChangedError: it is in another version; nothing was written.
            FileNotFoundError: it is not there any more.
        """

    def delete(self, name: str) -> None:
        """Delete an object; one that is not there is no error."""

    def former(self, prefix: str = "") -> Iterator[Former]:
        """Yield what is kept below a folder of objects that were replaced, deleted or half put.

        Raises:
            StorageError: it may not be listed.
        """

    def recall(self, former: Former) -> bytes:
        """Return such bytes.

        Raises:
            StorageError: they may not be read.
        """

    def erase(self, former: Iterable[Former]) -> None:
        """Delete such bytes for good.

        Raises:
            StorageError: some may not be deleted.
        """

    def address(self, name: str) -> str:
        """Return the canonical address of an object: its URL, readable, one per object."""

    def link(self, name: str, seconds: int) -> str | None:
        """Return a URL that opens an object in a browser for so long; None where there is none."""

    def delta_location(self, name: str) -> tuple[str, dict[str, str]]:
        """Return what Delta Lake opens a table below this root by: its URI and storage options.

        They may hold keys, those of this moment: ask again rather than keep them.
        """


@lru_cache(maxsize=64)
def open_store(url: str) -> Store:
    """Open the store at a URL or a plain path; the query of a bucket's URL holds its options.

    Raises:
        SettingsError: the scheme is not known, or an option (see `storage.options`).
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        from imgbatch.storage.local import LocalStore  # noqa: PLC0415 - loaded when needed

        return LocalStore(rest if separator else url, quoted=bool(separator))
    if scheme in REMOTE_SCHEMES:
        from imgbatch.storage.remote import RemoteStore  # noqa: PLC0415 - a heavy import

        return RemoteStore(url)
    known = ["file", *REMOTE_SCHEMES]
    raise SettingsError(
        f"{url}: unknown scheme {scheme!r}{nearest(scheme, known)}",
        "Give a folder, or a URL that begins with " + ", ".join(f"{k}://" for k in known) + ".",
    )


def claim(store: Store, name: str, data: bytes) -> None:
    """Write an object that must not exist yet, with bytes that nobody else would write.

    A store's client repeats a request that failed; where the first one was carried out all the
    same, `put_once` meets its own object and says that it exists. So it is read again.

    Raises:
        FileExistsError: it does, with other bytes; nothing was written.
    """
    try:
        store.put_once(name, data)
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError):
            if store.get(name) == data:
                return
        raise


def ends_with_keys(link: str) -> bool:
    """Return whether a link was signed with temporary keys, and so ends with them at the latest.

    Those of roles and of single sign-on last for an hour to a day.
    """
    return "x-amz-security-token=" in link.lower()


def locate(address: str) -> tuple[Store, str]:
    """Return the store and the name of an object by its canonical address."""
    scheme, _, rest = address.partition("://")
    if scheme == "file":
        return open_store("file:///"), unquote(rest).lstrip("/")
    bucket, _, name = rest.partition("/")
    return open_store(f"{scheme}://{bucket}"), unquote(name)
