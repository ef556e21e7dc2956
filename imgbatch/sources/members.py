"""Enters: names as an archive stores them. Leaves: one address per member, and the limits.

Decision, 2026-11: a member whose name is absolute or climbs out (`/a.png`, `../a.png`, `C:/a.png`)
is read like any other. Nothing is ever unpacked to disk under a member's name: the name is only
the tail of an address, and a dump made with `tar -P` has no other names. Drawback: whoever writes
files named after sources must make names of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.errors import ArchiveError
from imgbatch.sources.names import REPEAT
from imgbatch.storage.addresses import quote

if TYPE_CHECKING:
    from imgbatch.records import Source

# An archive with more members than this is `archive.bomb`: its names alone would fill the memory.
MEMBERS = 10_000_000
# A compressed member that unpacks to more is `archive.bomb`. Stored zip members and members of
# plain tars take as much in the archive as they give, so they have no limit.
MEMBER_BYTES = 2**30
# The largest window that a zstd or LZMA stream may ask this machine to hold.
WINDOW_BYTES = 2**27


class Addresses:
    """Gives each member of one archive its address, `ARCHIVE!/NAME`, unique in that archive.

    A name that comes again gets `#2`, `#3`, ... in the order of the archive.
    """

    def __init__(self, container: str) -> None:
        self._container = container
        self._times: dict[str, int] = {}

    def take(self, name: str) -> str:
        """Return the address of the next member.

        Raises:
            ArchiveError: archive.bomb, more members than MEMBERS.
        """
        if len(self._times) >= MEMBERS:
            raise ArchiveError("archive.bomb", f"more than {MEMBERS} members")
        shown = quote(name)
        unique, times = shown, self._times.get(shown, 0)
        while unique in self._times:
            times += 1
            unique = f"{shown}#{times}"
            self._times[shown] = times
        self._times[unique] = 1
        return f"{self._container}!/{unique}"


def told_name(source: Source) -> str:
    """Return the name of a member as its address tells it, whichever of several with it this is."""
    return REPEAT.sub("", source.address.removeprefix(f"{source.container}!/"))


def is_named(source: Source, name: str) -> bool:
    """Tell whether a member of this name is the one that a source was listed as."""
    # What ends in #2 may be the second of its name, or be called so.
    return REPEAT.sub("", quote(name)) == told_name(source)
