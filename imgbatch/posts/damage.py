"""What is read of a dump passes through: whether it was damaged, what is broken, what is empty.

What lacks in a dump that was cut or damaged is not known to be removed. A broken file that no
format reads is known again by its mark: while it stays what it is, it holds no post that was read
beside it since (see `imgbatch.dataset.withheld`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from imgbatch.sources.dumps import EMPTY, Gap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.sources.dumps import Dump, Post

DAMAGE = (
    "broken-line", "cut-line", "long-line", "broken-json", "no-id", "rounded-id", "archive.",
    "fetch.",
)  # fmt: skip
UNLISTED = ("archive.", "fetch.")
BROKEN = "broken-file"
# More broken files that came since the last run are damage of the dump itself.
MOST = 20
# Half a mark of a SHA-256: what tells some files apart.
DIGITS = 16


class Noted:
    """Passes on what is read, and notes whether any of it was damaged.

    Args:
        found: posts and gaps of a dump, with the format that each is of.
        dump: that they are read of.
        known: marks of the files that were broken when it was read last.

    Attributes:
        damage: what was; "": nothing.
        listed: whether all files are known by their names: those in a damaged archive are not.
        empty: formats and files that say themselves that they hold no posts.
        broken: marks of files that are broken and that no format reads.
    """

    def __init__(
        self, found: Iterable[tuple[str, Post | Gap]], dump: Dump, known: Iterable[str] = ()
    ) -> None:
        self._found = found
        self._dump = dump
        self._known = frozenset(known)
        self._damage = ""
        self.listed = True
        self.empty: set[tuple[str, str]] = set()
        self.broken: set[str] = set()

    @property
    def damage(self) -> str:
        """Why none counts as removed; "": no reason is known."""
        kind = self._damage or (BROKEN if len(self.broken - self._known) > MOST else "")
        return f"the dump is damaged ({kind}), so none counts as removed" if kind else ""

    @property
    def fresh(self) -> set[str]:
        """Marks of the broken files that came or changed, where these are few enough to name."""
        found = self.broken - self._known
        return found if len(found) <= MOST else set()

    @property
    def marks(self) -> list[str]:
        """What the next run takes as known: with too many, those alone that were."""
        found = self.broken if len(self.broken - self._known) <= MOST else self.broken & self._known
        return sorted(found)

    def __iter__(self) -> Iterator[tuple[str, Post | Gap]]:
        for name, one in self._found:
            if isinstance(one, Gap):
                if one.kind.startswith(DAMAGE):
                    self._damage = one.kind
                    self.listed &= not one.kind.startswith(UNLISTED)
                elif one.kind == BROKEN:
                    self.broken.add(self._mark(one))
                elif one.kind == EMPTY:
                    self.empty.add((name, one.ref))
            yield name, one

    def _mark(self, gap: Gap) -> str:
        """Return the mark of a broken file as it is: its name, its size and what is wrong."""
        size = self._dump.size(gap.ref) if self._dump.has(gap.ref) else gap.count
        said = f"{gap.ref}\n{size}\n{gap.message}"
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
