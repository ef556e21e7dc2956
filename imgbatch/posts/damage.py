"""What is read of a dump passes through: whether any of it was damaged.

What lacks in a dump that was cut or damaged is not known to be removed. A file of which nothing was
read is another matter: see `imgbatch.dataset.suspects`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.sources.dumps import Gap, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.sources.dumps import Dump, Post

DAMAGE = (
    "broken-line", "cut-line", "long-line", "broken-json", "no-id", "rounded-id", "archive.",
    "fetch.",
)  # fmt: skip
UNLISTED = ("archive.", "fetch.")


class Noted:
    """Passes on what is read, and notes whether any of it was damaged.

    Args:
        found: posts and gaps of a dump, with the format that each is of.

    Attributes:
        damage: why none counts as removed; "": no reason is known.
        listed: whether all files are known by their names: those in a damaged archive are not.
    """

    def __init__(self, found: Iterable[tuple[str, Post | Gap]]) -> None:
        self._found = found
        self.damage = ""
        self.listed = True

    def __iter__(self) -> Iterator[tuple[str, Post | Gap]]:
        for name, one in self._found:
            if isinstance(one, Gap) and one.kind.startswith(DAMAGE):
                self.damage = f"the dump is damaged ({one.kind}), so none counts as removed"
                self.listed &= not one.kind.startswith(UNLISTED)
            yield name, one


def there(dump: Dump, name: str) -> bool:
    """Tell whether a file is listed, or else the archive that it was in, and nothing of that."""
    if dump.has(name):
        return True
    inside = names.archive(name)
    archive = inside.removesuffix(names.MEMBER)
    return bool(archive) and dump.has(archive) and next(dump.starting(inside), None) is None
