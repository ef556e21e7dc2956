"""What a dump says of a medium enters; the words that it is known by in any copy of its post leave.

    key, url, bytes    the platform's id of it, its whole address, the digest that the dump says
    file, beside       its path, where that means a file of the dump by itself; else the path and
                       the folder of its metadata file
    at                 host and path of its address: what is behind these may be signed anew
    spot               that path alone without its extension, where the name at its end tells
                       something: the same at all hosts
    place              its place and kind, where there is no other word

Pure functions; tombstones are made of words (`imgbatch.dataset.medium_marks`), so they stay as they
are.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

# What X puts behind a name to ask for a size of a picture.
SIZED = re.compile(r":(orig|large|medium|small|thumb)$")
EXTENSION = re.compile(r"(?<=[^/])\.[^./]*$")
PLACE = "place "


@dataclass(frozen=True, slots=True)
class Words:
    """What a medium is told by.

    Attributes:
        sure: of no other medium of its post.
        likely: of no other, unless one and the same copy of the post has them twice.
    """

    sure: frozenset[str]
    likely: frozenset[str] = frozenset()

    @property
    def all(self) -> frozenset[str]:
        """Both."""
        return self.sure | self.likely

    @property
    def told(self) -> bool:
        """Whether the dump says anything of it but where it stands."""
        return not any(word.startswith(PLACE) for word in self.sure)


def words_of(
    *,
    place: int,
    kind: str,
    key: str | None,
    url: str | None,
    paths: Iterable[str],
    sha256: str | None,
) -> Words:
    """Return what a medium is told by.

    Args:
        place: in its post.
        kind: as tables have it, and so are the others.
        key: the platform's id of it.
        url: its address.
        paths: what `path_word` and `file_word` give for its path.
        sha256: of its bytes, as the dump says.
    """
    told = (("key", key), ("url", url), ("bytes", sha256))
    sure = {f"{name} {_plain(own)}" for name, own in told if own} | set(map(_plain, paths))
    if not sure:
        return Words(frozenset({f"{PLACE}{place} {kind}"}))
    host, path = _parts(url)
    if not path:
        return Words(frozenset(sure))
    spot = f"spot {EXTENSION.sub('', path)}"
    return Words(frozenset(sure), frozenset({f"at {host}{path}", spot}))


def file_word(address: str) -> str:
    """Return the word for a path that means a file of a dump, by the address of that."""
    return f"file {address}"


def path_word(before: str, file: str, path: str) -> str:
    """Return the word for a path as a metadata file says it.

    Args:
        before: what the addresses of the dump's files begin with.
        file: the name of the metadata file.
        path: that it says.
    """
    return f"beside {before}{file.rpartition('/')[0]} {path}"


def _plain(word: str) -> str:
    return word if word.isascii() else unicodedata.normalize("NFC", word)


def _parts(url: str | None) -> tuple[str, str]:
    """Return host and path of an address; "" where there is none."""
    try:
        split = urlsplit(url or "")
    except ValueError:  # such as http://[
        return "", ""
    path = SIZED.sub("", unquote(split.path, errors="replace").rstrip("/"))
    return split.netloc.lower(), _plain(path)


def name_in(spot: str) -> str:
    """Return the name at the end of a word `spot`; "" of any other word."""
    return spot.rpartition("/")[2] if spot.startswith("spot ") else ""
