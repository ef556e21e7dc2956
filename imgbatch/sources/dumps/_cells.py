"""Pure: what a cell of a table says of media enters. Leaves: paths and URLs, and their kind."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps.names import URL, base
from imgbatch.sources.names import IMAGES, VIDEOS, claims_media

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.posts import MediaKind

# Of what parts only the beginning is tried: thousands of blanks would be tried for each of them.
URLS = re.compile(r"(?<![\s,;|])[\s,;|]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
PATHS = re.compile(r"((?:(?<!\s)\s+)?[,;|]\s*)")
# A longer text is no list of media.
LONGEST = 2**16
# No name of a file is longer.
NAME = 512
HELD = ("path", "file", "file_name", "filename", "url", "src")
NOTHING = frozenset(("", "null", "none", "nan", "[]", "{}"))
SHORTEST = 5  # longer than these
AUDIO = ("mp3", "wav", "flac", "ogg", "oga", "opus", "m4a", "aac")
KINDS: dict[str, MediaKind] = {
    **dict.fromkeys(AUDIO, "audio"),
    **dict.fromkeys(VIDEOS, "video"),
    **dict.fromkeys(IMAGES, "image"),
}
# Without any of these a text is one path or URL.
PARTED = re.compile(r"[,;|\s\[]")
MANY = (list, tuple)
PICTURED = ("image", "img", "photo", "pic", "thumb")


def media_in(cell: Any) -> list[str]:
    """Return the paths and URLs that a cell holds, in its order.

    A cell is a text (one path or URL; several, parted by `,` `;` `|` or before a URL a blank; a
    JSON or Python list), a list of such, or an object with a path or url, as Parquet has them.
    """
    if isinstance(cell, str):
        text = cell.strip()
        if len(text) < SHORTEST and text.lower() in NOTHING:
            return []
        return list(_of_text(text)) if PARTED.search(text) else [text]
    if isinstance(cell, MANY):
        return _of_list(cell)
    if isinstance(cell, dict):
        return [cell[name] for name in HELD if isinstance(cell.get(name), str) and cell[name]][:1]
    return []


def kind_of(medium: str, otherwise: MediaKind) -> MediaKind:
    """Return what a path or URL promises, else what its column does."""
    return KINDS.get(base(medium).rpartition(".")[2].lower(), otherwise)


def kind_of_column(column: str) -> MediaKind:
    """Return what the name of a column promises of what is in it."""
    if any(word in column.lower() for word in PICTURED):
        return "image"
    return "video" if "video" in column.lower() else "other"


def _of_list(cell: list[Any] | tuple[Any, ...]) -> list[str]:
    """Return what a list holds, however deep lists lie in it: JSON's may lie a thousand deep."""
    found: list[str] = []
    left: list[Any] = [cell]
    while left:
        one = left.pop()
        if isinstance(one, MANY):
            left += reversed(one)
        else:
            found += media_in(one)
    return found


def _of_text(text: str) -> Iterator[str]:
    listed = _listed(text)
    if listed is not None:
        yield from media_in(listed)
        return
    for piece in URLS.split(text) if len(text) <= LONGEST else [text]:
        yield from _of_piece(piece.strip(",;| "))


def _of_piece(piece: str) -> Iterator[str]:
    """Yield one URL, or paths: a name may itself hold a comma, so it parts only behind media."""
    if URL.match(piece):
        yield piece
        return
    held = ""
    for part in PATHS.split(piece):
        held += part
        if claims_media(held[-NAME:]):
            yield held.lstrip(",;| ")
            held = ""
    if rest := held.strip(",;| "):
        yield rest


def _listed(text: str) -> list[Any] | None:
    """Return the list that a text is, as JSON or as Python writes it; None where it is none."""
    if not (text.startswith("[") and text.endswith("]")) or len(text) > LONGEST:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return found if isinstance(found, list) else None
