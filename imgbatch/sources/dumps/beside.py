"""Enters: a metadata file's stem. Leaves: the files that lie beside it and share that stem."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from imgbatch.sources.dumps.names import base, folder
from imgbatch.sources.names import claims_media, claims_video
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import MediaKind

AUDIO = frozenset({"m4a", "mp3", "opus", "ogg", "oga", "aac", "flac", "wav", "weba", "mka", "wma"})
# A repeated member of an archive is NAME#2: its first is the one that is meant.
REST = re.compile(r"^(?P<more>[^.]*)\.(?P<ending>\w+)$")


class Beside(NamedTuple):
    """A file beside a metadata file.

    Attributes:
        name: in the dump.
        path: as a metadata file there would name it.
        more: what its name has between the stem and the ending.
        ending: lower case, without dot.
    """

    name: str
    path: str
    more: str
    ending: str

    @property
    def kind(self) -> MediaKind:
        """What its ending says it is."""
        return kind_of(self.path)


def beside(dump: Dump, stem: str) -> Iterator[Beside]:
    """Yield the files named STEM.ENDING or STEM, something without a dot, .ENDING; sorted.

    Args:
        dump: to look in.
        stem: a name in the dump without its ending, folder included.
    """
    for name in dump.starting(stem):
        match = REST.match(name[len(stem) :])
        if match and "/" not in match["more"]:
            yield Beside(name, unquote(base(name)), match["more"], match["ending"].lower())


def together(name: str, ending: str) -> str:
    """Return how the metadata files beside one are named together: their gaps are counted as one.

    A million files of one post each would be a million times the same gap otherwise.
    """
    return f"{folder(name)}*.{ending}"


def kind_of(name: str) -> MediaKind:
    """Return what a name's ending says a file is."""
    if claims_media(name):
        return "video" if claims_video(name) else "image"
    return "audio" if name.rpartition(".")[2].lower() in AUDIO else "other"
